// Downsampling factor and receptive field: how the maps of a graph lie over the image.
#include "graph/shapes.h"
#include "model/validate.h"

#include <algorithm>
#include <cinttypes>
#include <numeric>

namespace mote {

namespace {

// Pixels of a map per pixel of the image along one axis, reduced. 0/1: no such axis (a vector).
struct Ratio {
    uint64_t numerator = 0, denominator = 1;
};

enum class Axis { Vertical, Horizontal };

Ratio reduced(uint64_t numerator, uint64_t denominator) {
    const uint64_t divisor = std::gcd(numerator, denominator);
    return divisor == 0 ? Ratio{} : Ratio{numerator / divisor, denominator / divisor};
}

// What an op does between its first input's pixels and its output's: 2/1 doubles, 1/2 halves.
Ratio scaleOf(const Op &op) {
    Ratio scale{1, 1};
    if (op.kind == OpKind::Conv2d)
        scale = reduced(op.inputResample == Resample::NearestUp2 ? 2 : 1, op.stride);
    else if (op.outputResample == Resample::NearestUp2 || op.outputResample == Resample::FirUp2 ||
             op.outputResample == Resample::ZerosUp2)
        scale = {2, 1};
    else if (op.outputResample != Resample::None)
        scale = {1, 2};
    return scale;
}

Status badIndex(const Graph &graph, const Op &op) {
    return makeStatus(StatusCode::InvalidModel, "graph '%s', op '%s': an input or output is not a tensor",
                      graph.name.c_str(), op.name.c_str());
}

// The ratio of every tensor along one axis.
Result<std::vector<Ratio>> tensorRatios(const Graph &graph, Axis axis) {
    const DimensionSymbol symbol = axis == Axis::Vertical ? DimensionSymbol::H : DimensionSymbol::W;
    std::vector<Ratio> ratios(graph.tensors.size());
    for (const Port &port : graph.ports) {
        if (port.output || port.tensor >= ratios.size())
            continue;
        for (const Dimension &dimension : port.shape)
            if (dimension.symbol == symbol)
                ratios[port.tensor] = reduced(dimension.numerator, dimension.denominator);
    }
    for (const Op &op : graph.ops) {
        if (op.output >= ratios.size())
            return badIndex(graph, op);
        Ratio in;
        for (const uint32_t input : op.inputs) {
            if (input >= ratios.size())
                return badIndex(graph, op);
            if (in.numerator == 0)
                in = ratios[input];
        }
        const Ratio scale = scaleOf(op);
        // Both factors are bounded here, so that neither this product nor a walked interval can overflow.
        const Ratio out = reduced(in.numerator * scale.numerator, in.denominator * scale.denominator);
        if (out.numerator > kMaxSizeMultiple || out.denominator > kMaxSizeMultiple)
            return makeStatus(StatusCode::Unsupported,
                              "graph '%s', op '%s': its map is %" PRIu64 "/%" PRIu64
                              " of the image, expected no factor above %" PRIu32,
                              graph.name.c_str(), op.name.c_str(), out.numerator, out.denominator,
                              kMaxSizeMultiple);
        ratios[op.output] = out;
    }
    return ratios;
}

uint64_t leastMultiple(const std::vector<Ratio> &ratios) {
    uint64_t multiple = 1;
    for (const Ratio &ratio : ratios) {
        multiple = std::lcm(multiple, ratio.denominator);
        if (multiple > kMaxSizeMultiple)
            return multiple;
    }
    return multiple;
}

// Pixels [low, high] of a map; empty when low > high.
struct Interval {
    int64_t low = 1, high = 0;

    bool empty() const { return low > high; }
    void cover(const Interval &o) {
        if (o.empty())
            return;
        *this = empty() ? o : Interval{std::min(low, o.low), std::max(high, o.high)};
    }
};

int64_t floorDivide(int64_t a, int64_t b) {
    return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

// The source pixels of a resampled map's interval.
Interval before(Resample how, const Interval &after) {
    if (how == Resample::NearestUp2 || how == Resample::ZerosUp2)
        return {floorDivide(after.low, 2), floorDivide(after.high, 2)};
    if (how == Resample::AverageDown2)
        return {2 * after.low, 2 * after.high + 1};
    if (how == Resample::FirUp2)
        return {floorDivide(after.low - 1, 2), floorDivide(after.high + 1, 2)};
    if (how == Resample::FirDown2)
        return {2 * after.low - 1, 2 * after.high + 2};
    return after;
}

// Walks the graph backwards from the intervals wanted of the outputs. False: an attention was met.
bool walkBack(const Model &model, const Graph &graph, Axis axis, std::vector<Interval> &wanted) {
    const bool vertical = axis == Axis::Vertical;
    for (size_t i = graph.ops.size(); i-- > 0;) {
        const Op &op = graph.ops[i];
        const Interval out = wanted[op.output];
        if (out.empty())
            continue;
        Interval in = out;
        if (op.kind == OpKind::Attention)
            return false;
        if (op.kind == OpKind::GroupNorm || op.kind == OpKind::Resample)
            in = before(op.outputResample, out);
        if (op.kind == OpKind::Pointwise && op.residual < wanted.size())
            wanted[op.residual].cover(out);
        if (op.kind == OpKind::Conv2d) {
            const Weight *weight = op.weight < model.weights.size() ? &model.weights[op.weight] : nullptr;
            const int64_t kernel =
                weight != nullptr && weight->shape.size() == 4 ? weight->shape[vertical ? 1 : 2] : 1;
            const int64_t pad = vertical ? op.padTop : op.padLeft;
            in = before(op.inputResample,
                        {out.low * op.stride - pad, out.high * op.stride - pad + kernel - 1});
            if (op.residual < wanted.size())
                wanted[op.residual].cover(before(op.residualResample, out));
        }
        for (const uint32_t input : op.inputs)
            wanted[input].cover(in);
    }
    return true;
}

} // namespace

Result<uint32_t> downsamplingFactor(const Graph &graph) {
    if (fixedSize(graph))
        return uint32_t{1};
    uint64_t factor = 1;
    for (const Axis axis : {Axis::Vertical, Axis::Horizontal}) {
        MOTE_TRY_ASSIGN(const std::vector<Ratio> ratios, tensorRatios(graph, axis));
        factor = std::lcm(factor, leastMultiple(ratios));
        if (factor > kMaxSizeMultiple)
            return makeStatus(StatusCode::Unsupported,
                              "graph '%s': its maps need sizes that are multiples of %" PRIu64
                              ", expected at most %" PRIu32,
                              graph.name.c_str(), factor, kMaxSizeMultiple);
    }
    return static_cast<uint32_t>(factor);
}

Result<ReceptiveField> receptiveField(const Model &model, const Graph &graph) {
    MOTE_TRY_ASSIGN(const uint32_t factor, downsamplingFactor(graph));
    if (fixedSize(graph)) // it cannot run on a part
        return ReceptiveField{true, 0};
    ReceptiveField field;
    for (const Axis axis : {Axis::Vertical, Axis::Horizontal}) {
        MOTE_TRY_ASSIGN(const std::vector<Ratio> ratios, tensorRatios(graph, axis));
        for (const Port &output : graph.ports) {
            if (!output.output || output.tensor >= ratios.size() || ratios[output.tensor].numerator == 0)
                continue;
            const auto numerator = static_cast<int64_t>(ratios[output.tensor].numerator);
            const auto denominator = static_cast<int64_t>(ratios[output.tensor].denominator);
            // The pattern of dependences repeats every `factor` pixels of the image.
            for (int64_t pixel = 0; pixel < int64_t{factor} * numerator / denominator; ++pixel) {
                std::vector<Interval> wanted(graph.tensors.size());
                wanted[output.tensor] = {pixel, pixel};
                if (!walkBack(model, graph, axis, wanted))
                    return ReceptiveField{true, 0};
                const int64_t centre = floorDivide(pixel * denominator, numerator);
                for (const Port &input : graph.ports) {
                    if (input.output || input.tensor >= ratios.size() || wanted[input.tensor].empty() ||
                        ratios[input.tensor].numerator == 0)
                        continue;
                    // From the port's pixels to the image's.
                    const auto down = static_cast<int64_t>(ratios[input.tensor].numerator);
                    const auto up = static_cast<int64_t>(ratios[input.tensor].denominator);
                    const int64_t low = floorDivide(wanted[input.tensor].low * up, down);
                    const int64_t high = floorDivide((wanted[input.tensor].high + 1) * up - 1, down);
                    const int64_t radius = std::max({centre - low, high - centre, int64_t{0}});
                    field.radius = std::max(field.radius, static_cast<uint32_t>(radius));
                }
            }
        }
    }
    return field;
}

} // namespace mote
