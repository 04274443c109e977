#include "graph/shapes.h"

#include "model/checked.h"

#include <cinttypes>

namespace mote {

namespace {

constexpr uint64_t kMaxExtent = 1u << 24; // of any map, so that pixels of one plane fit 48 bits
constexpr uint64_t kMaxTensorBytes = uint64_t{1} << 46;

Checked storedBytes(TensorKind kind, const TensorShape &s) {
    const Checked pixels = Checked(s.n) * s.h * s.w;
    return kind == TensorKind::Port ? pixels * s.c * 4 : pixels * ((uint64_t{s.c} + 7) / 8) * 16;
}

Status shapeError(const Graph &graph, const std::string &where, const std::string &what) {
    return makeStatus(StatusCode::InvalidModel, "graph '%s', %s: %s", graph.name.c_str(), where.c_str(),
                      what.c_str());
}

std::string text(const TensorShape &s) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "%" PRIu32 "x%" PRIu32 "x%" PRIu32 "x%" PRIu32, s.n, s.c, s.h, s.w);
    return buffer;
}

// Walks the ops of one graph at one size. Straight-line: each op's rule in the order of OpKind.
class Inference {
public:
    Inference(const Model &model, const Graph &graph) : model_(model), graph_(graph) {
        shapes_.tensors.resize(graph.tensors.size());
        shapes_.costs.resize(graph.ops.size());
    }

    Status inputs(uint32_t n, uint32_t h, uint32_t w) {
        for (const Port &port : graph_.ports) {
            if (port.output)
                continue;
            TensorShape shape;
            MOTE_TRY(portShape(port, n, h, w, shape));
            MOTE_TRY(set(port.tensor, shape, "port '" + port.name + "'"));
        }
        return {};
    }

    Status op(size_t index) {
        const Op &op = graph_.ops[index];
        const std::string where = "op '" + op.name + "'";
        if (op.inputs.empty())
            return shapeError(graph_, where, "found no input, expected at least one");
        if (op.output >= graph_.tensors.size())
            return shapeError(graph_, where, "output is not a tensor of the graph");
        TensorShape in;
        MOTE_TRY(get(op.inputs[0], in, where));
        // All inputs stand beside each other; their channels add up.
        uint64_t channels = in.c;
        for (size_t i = 1; i < op.inputs.size(); ++i) {
            TensorShape other;
            MOTE_TRY(get(op.inputs[i], other, where));
            if (other.n != in.n || other.h != in.h || other.w != in.w)
                return shapeError(graph_, where,
                                  "inputs '" + graph_.tensors[op.inputs[0]].name + "' of " + text(in) +
                                      " and '" + graph_.tensors[op.inputs[i]].name + "' of " + text(other) +
                                      " do not stand beside each other");
            channels += other.c;
        }
        TensorShape out = in;
        out.c = graph_.tensors[op.output].channels;
        Checked operations;
        const auto elements = [](const TensorShape &s) { return Checked(s.n) * s.c * s.h * s.w; };
        switch (op.kind) {
        case OpKind::Concat:
            operations = elements(out) * 2;
            break;
        case OpKind::Conv2d: {
            const Weight *weight = weightOf(op);
            if (weight == nullptr || weight->shape.size() != 4)
                return shapeError(graph_, where, "weight is missing or has not four dimensions");
            const uint64_t up = op.inputResample == Resample::NearestUp2 ? 2 : 1;
            MOTE_TRY(
                convolved(where, in.h * up, op.padTop, op.padBottom, weight->shape[1], op.stride, out.h));
            MOTE_TRY(
                convolved(where, in.w * up, op.padLeft, op.padRight, weight->shape[2], op.stride, out.w));
            operations = elements(out) * 2 * weight->shape[1] * weight->shape[2] * channels + elements(out);
            if (op.residual != kNone) {
                TensorShape residual;
                MOTE_TRY(get(op.residual, residual, where));
                const TensorShape given = residual;
                resample(op.residualResample, residual);
                if (residual != out)
                    return shapeError(graph_, where,
                                      "residual '" + graph_.tensors[op.residual].name + "' of " +
                                          text(given) + " does not fit the output of " + text(out));
                operations += elements(out) * 2;
            }
            break;
        }
        case OpKind::GroupNorm:
            // Mean 1, variance 3, normalisation 2; an activation 4; all on the input's pixels.
            operations =
                Checked(in.n) * channels * in.h * in.w * (op.activation == ActivationFunction::None ? 6 : 10);
            resample(op.outputResample, out);
            break;
        case OpKind::Pointwise: {
            // A product and two sums, an activation 4.
            operations = elements(out) * (op.activation == ActivationFunction::None ? 3 : 7);
            if (op.affine < model_.weights.size() && model_.weights[op.affine].shape.size() == 4) {
                const std::vector<uint32_t> &shape = model_.weights[op.affine].shape;
                if (shape[2] != in.h || shape[3] != in.w)
                    return shapeError(graph_, where,
                                      "its affine map is for " + std::to_string(shape[2]) + "x" +
                                          std::to_string(shape[3]) + " pixels, its input is " + text(in));
            }
            if (op.residual != kNone) {
                TensorShape residual;
                MOTE_TRY(get(op.residual, residual, where));
                if (residual != out)
                    return shapeError(graph_, where,
                                      "residual '" + graph_.tensors[op.residual].name + "' of " +
                                          text(residual) + " does not fit the output of " + text(out));
            }
            break;
        }
        case OpKind::Attention: {
            const Checked tokens = Checked(in.h) * in.w;
            operations = Checked(in.n) * tokens * tokens * (Checked(out.c) * 4 + Checked(op.heads) * 3);
            break;
        }
        case OpKind::Resample: {
            resample(op.outputResample, out);
            const uint64_t taps =
                op.outputResample == Resample::FirDown2                                                ? 16
                : op.outputResample == Resample::NearestUp2 || op.outputResample == Resample::ZerosUp2 ? 1
                                                                                                       : 4;
            operations = elements(out) * 2 * taps;
            break;
        }
        default:
            return shapeError(graph_, where, "is not executable: kind " + std::to_string(int(op.kind)));
        }
        MOTE_TRY(set(op.output, out, where));

        Checked bytes = storedBytes(graph_.tensors[op.output].kind, out);
        for (const uint32_t input : op.inputs)
            bytes += storedBytes(graph_.tensors[input].kind, shapes_.tensors[input]);
        if (op.residual < graph_.tensors.size())
            bytes += storedBytes(graph_.tensors[op.residual].kind, shapes_.tensors[op.residual]);
        if (const Weight *weight = weightOf(op))
            bytes += weight->bytes;
        OpCost &cost = shapes_.costs[index];
        if (!operations.valid || !bytes.valid)
            return shapeError(graph_, where, "its cost at this size exceeds 64 bits");
        cost = {operations.value, bytes.value};
        const Checked allOperations = Checked(shapes_.total.operations) + cost.operations;
        const Checked allBytes = Checked(shapes_.total.bytes) + cost.bytes;
        if (!allOperations.valid || !allBytes.valid)
            return shapeError(graph_, where, "the graph's cost at this size exceeds 64 bits");
        shapes_.total = {allOperations.value, allBytes.value};
        return {};
    }

    Status outputs(uint32_t n, uint32_t h, uint32_t w) {
        for (const Port &port : graph_.ports) {
            if (!port.output)
                continue;
            TensorShape declared, found;
            MOTE_TRY(portShape(port, n, h, w, declared));
            MOTE_TRY(get(port.tensor, found, "port '" + port.name + "'"));
            if (declared != found)
                return shapeError(graph_, "port '" + port.name + "'",
                                  "the ops give " + text(found) + ", the port declares " + text(declared));
        }
        return {};
    }

    GraphShapes take() { return std::move(shapes_); }

private:
    static void resample(Resample how, TensorShape &shape) {
        if (how == Resample::NearestUp2 || how == Resample::FirUp2 || how == Resample::ZerosUp2) {
            shape.h *= 2; // extents are at most 2^24
            shape.w *= 2;
        } else if (how != Resample::None) {
            shape.h /= 2;
            shape.w /= 2;
        }
    }

    const Weight *weightOf(const Op &op) const {
        return op.weight < model_.weights.size() ? &model_.weights[op.weight] : nullptr;
    }

    Status get(uint32_t tensor, TensorShape &shape, const std::string &where) const {
        if (tensor >= shapes_.tensors.size())
            return shapeError(graph_, where, "an input is not a tensor of the graph");
        shape = shapes_.tensors[tensor];
        if (shape.n == 0)
            return shapeError(graph_, where,
                              "tensor '" + graph_.tensors[tensor].name + "' is used before it is made");
        return {};
    }

    Status set(uint32_t tensor, const TensorShape &shape, const std::string &where) {
        if (tensor >= shapes_.tensors.size())
            return shapeError(graph_, where, "its tensor is not one of the graph");
        if (shape.n == 0 || shape.c == 0 || shape.h == 0 || shape.w == 0)
            return shapeError(graph_, where, "makes the empty shape " + text(shape));
        if (shape.h > kMaxExtent || shape.w > kMaxExtent ||
            !storedBytes(graph_.tensors[tensor].kind, shape).within(kMaxTensorBytes))
            return shapeError(graph_, where, "makes " + text(shape) + ", more than any device can hold");
        shapes_.tensors[tensor] = shape;
        return {};
    }

    // One dimension of a convolution's output; a kernel larger than the padded input has none.
    Status convolved(const std::string &where, uint64_t in, uint32_t before, uint32_t after, uint32_t kernel,
                     uint32_t stride, uint32_t &out) const {
        const uint64_t padded = in + before + after;
        if (kernel == 0 || stride == 0 || kernel > padded)
            return shapeError(graph_, where,
                              "a kernel of " + std::to_string(kernel) + " with stride " +
                                  std::to_string(stride) + " does not fit " + std::to_string(in) +
                                  " pixels padded by " + std::to_string(before) + " and " +
                                  std::to_string(after));
        out = static_cast<uint32_t>((padded - kernel) / stride + 1);
        return {};
    }

    Status portShape(const Port &port, uint32_t n, uint32_t h, uint32_t w, TensorShape &shape) const {
        const std::string where = "port '" + port.name + "'";
        if (port.shape.size() > 4)
            return shapeError(graph_, where, "has more than four dimensions");
        uint32_t *const out[4] = {&shape.n, &shape.c, &shape.h, &shape.w};
        for (size_t i = 0; i < 4; ++i) {
            *out[i] = 1; // a dimension that the port lacks
            if (i >= port.shape.size())
                continue;
            const Dimension &dimension = port.shape[i];
            uint64_t symbol = 1;
            switch (dimension.symbol) {
            case DimensionSymbol::One:
                break;
            case DimensionSymbol::N:
                symbol = n;
                break;
            case DimensionSymbol::H:
                symbol = h;
                break;
            case DimensionSymbol::W:
                symbol = w;
                break;
            case DimensionSymbol::T:
                return makeStatus(StatusCode::Unsupported,
                                  "graph '%s', %s: dimensions over T are not in this version",
                                  graph_.name.c_str(), where.c_str());
            }
            const uint64_t product = symbol * dimension.numerator; // two 32-bit factors
            if (dimension.denominator == 0 || product % dimension.denominator != 0 || product == 0 ||
                product / dimension.denominator > kMaxExtent)
                return makeStatus(StatusCode::InvalidArgument,
                                  "graph '%s', %s: dimension %zu is %" PRIu64 " * %" PRIu32 " / %" PRIu32
                                  ", expected a whole number from 1 to %" PRIu64,
                                  graph_.name.c_str(), where.c_str(), i, symbol, dimension.numerator,
                                  dimension.denominator, kMaxExtent);
            *out[i] = static_cast<uint32_t>(product / dimension.denominator);
        }
        return {};
    }

    const Model &model_;
    const Graph &graph_;
    GraphShapes shapes_;
};

} // namespace

uint64_t tensorBytes(TensorKind kind, const TensorShape &shape) {
    return storedBytes(kind, shape).value;
}

FixedSize fixedSize(const Graph &graph) {
    for (const Port &port : graph.ports)
        if (port.shape.size() == 4 && port.shape[2].symbol == DimensionSymbol::One &&
            port.shape[3].symbol == DimensionSymbol::One)
            return {port.shape[2].numerator, port.shape[3].numerator};
    return {};
}

Result<GraphShapes> inferShapes(const Model &model, const Graph &graph, uint32_t n, uint32_t h, uint32_t w) {
    if (n == 0 || h == 0 || w == 0 || n > kMaxExtent || h > kMaxExtent || w > kMaxExtent)
        return makeStatus(StatusCode::InvalidArgument,
                          "graph '%s': found a batch of %" PRIu32 " and an image of %" PRIu32 "x%" PRIu32
                          " (height x width), expected each from 1 to %" PRIu64,
                          graph.name.c_str(), n, h, w, kMaxExtent);
    const FixedSize fixed = fixedSize(graph);
    if (fixed && (h != fixed.height || w != fixed.width))
        return makeStatus(StatusCode::InvalidArgument,
                          "graph '%s': found an image of %" PRIu32 "x%" PRIu32
                          " (height x width), expected %" PRIu32 "x%" PRIu32 ", the only size it runs at",
                          graph.name.c_str(), h, w, fixed.height, fixed.width);
    Inference inference(model, graph);
    MOTE_TRY(inference.inputs(n, h, w));
    for (size_t i = 0; i < graph.ops.size(); ++i)
        MOTE_TRY(inference.op(i));
    MOTE_TRY(inference.outputs(n, h, w));
    return inference.take();
}

} // namespace mote
