// The rules for one graph: tensors, ports, and each op with the fields that its kind uses.
#include "model/describe.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <numeric>

namespace mote {

namespace {

template <typename Enum> unsigned number(Enum value) {
    return static_cast<unsigned>(value);
}

class GraphRules {
public:
    GraphRules(const Model &model, uint32_t index, const std::string &file)
        : model_(model), graph_(model.graphs[index]), file_(file), index_(index) {}

    Status check() {
        place("");
        MOTE_TRY(checkName(file_, field("name"), graph_.name));
        if (number(graph_.phase) > number(Phase::Final))
            return bad("phase: found %u, expected 0 to 3", number(graph_.phase));
        if (graph_.sizeMultiple == 0 || graph_.sizeMultiple > kMaxSizeMultiple)
            return bad("size_multiple: found %u, expected 1 to %u", graph_.sizeMultiple, kMaxSizeMultiple);
        if (graph_.tensors.size() > kMaxTensors || graph_.ops.size() > kMaxOps || graph_.ops.empty() ||
            graph_.ports.size() > kMaxPorts)
            return bad("ops: found %zu on %zu tensors with %zu ports, expected 1 to %u, at most %u and %u",
                       graph_.ops.size(), graph_.tensors.size(), graph_.ports.size(), kMaxOps, kMaxTensors,
                       kMaxPorts);
        MOTE_TRY(tensors());
        MOTE_TRY(ports());
        place("conditioning.");
        MOTE_TRY(conditioning());
        place("");
        MOTE_TRY(differing(graph_.ops, "ops"));
        for (size_t i = 0; i < graph_.ops.size(); ++i)
            MOTE_TRY(op(graph_.ops[i], i));
        place("");
        for (size_t i = 0; i < graph_.tensors.size(); ++i)
            if (!made_[i] || !used_[i])
                return bad("tensors[%zu] %s: found no op that %s it, expected one, or %s port", i,
                           nameOf(static_cast<uint32_t>(i)).c_str(), made_[i] ? "uses" : "makes",
                           made_[i] ? "an output" : "an input");
        return {};
    }

private:
    // Where in the graph the rules are: messages begin with the file and this, and go on with the field.
    void place(const std::string &where) { where_ = "graphs[" + std::to_string(index_) + "]." + where; }
    void place(const char *list, size_t index) {
        place(std::string(list) + "[" + std::to_string(index) + "].");
    }
    void place(const char *list, size_t index, const std::string &name) {
        place(std::string(list) + "[" + std::to_string(index) + "] " + quoted(name) + ".");
    }
    std::string field(const char *name) const { return where_ + name; }
    std::string nameOf(uint32_t tensor) const { return quoted(graph_.tensors[tensor].name); }

#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    Status
    bad(const char *format, ...) const {
        char message[1024]; // names are at most 255 bytes
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(message, sizeof message, format, arguments);
        va_end(arguments);
        return wrong(file_, "%s%s", where_.c_str(), message);
    }

    // Names must differ; sorted, equal ones are neighbours.
    template <typename T> Status differing(const std::vector<T> &list, const char *what) const {
        std::vector<uint32_t> order(list.size());
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(), [&list](uint32_t a, uint32_t b) {
            const int compared = list[a].name.compare(list[b].name);
            return compared != 0 ? compared < 0 : a < b;
        });
        for (size_t i = 1; i < order.size(); ++i)
            if (list[order[i]].name == list[order[i - 1]].name)
                return bad("%s[%u].name: found %s again, expected names that differ", what, order[i],
                           quoted(list[order[i]].name).c_str());
        return {};
    }

    Status tensors() {
        for (size_t i = 0; i < graph_.tensors.size(); ++i) {
            const Tensor &tensor = graph_.tensors[i];
            place("tensors", i);
            MOTE_TRY(checkName(file_, field("name"), tensor.name));
            if (number(tensor.kind) > number(TensorKind::Port))
                return bad("kind: found %u, expected 0 or 1", number(tensor.kind));
            place("tensors", i, tensor.name);
            if (tensor.channels == 0 || tensor.channels > kMaxChannels)
                return bad("channels: found %u, expected 1 to %u", tensor.channels, kMaxChannels);
        }
        made_.assign(graph_.tensors.size(), false);
        used_.assign(graph_.tensors.size(), false);
        place("");
        return differing(graph_.tensors, "tensors");
    }

    Status ports() {
        std::vector<bool> taken(graph_.tensors.size(), false);
        for (size_t i = 0; i < graph_.ports.size(); ++i) {
            const Port &port = graph_.ports[i];
            place("ports", i);
            MOTE_TRY(checkName(file_, field("name"), port.name));
            place("ports", i, port.name);
            MOTE_TRY(checkText(file_, field("description"), port.description, kMaxTextBytes));
            if (port.kind != PortKind::Image && port.kind != PortKind::Tensor) {
                Status status = bad("kind: found %u, expected 0 (image) or 1 (tensor)", number(port.kind));
                status.code = StatusCode::Unsupported;
                return status;
            }
            if (port.tensor >= graph_.tensors.size() || graph_.tensors[port.tensor].kind != TensorKind::Port)
                return bad("tensor: found %u, expected a tensor of kind 1 (port)", port.tensor);
            if (taken[port.tensor])
                return bad("tensor: found %u again, expected one port per tensor", port.tensor);
            taken[port.tensor] = true;
            MOTE_TRY(portShape(port));
            MOTE_TRY(portSource(port));
            if (!std::isfinite(port.valueLow) || !std::isfinite(port.valueHigh) ||
                !(port.valueLow < port.valueHigh))
                return bad(
                    "value_low: found %g with value_high %g, expected finite numbers, the low one lower",
                    double(port.valueLow), double(port.valueHigh));
            // The app may give a port that the sampler alone reads; an output port is a use.
            used_[port.tensor] = true;
            made_[port.tensor] = !port.output;
        }
        place("");
        for (size_t i = 0; i < graph_.tensors.size(); ++i)
            if (graph_.tensors[i].kind == TensorKind::Port && !taken[i])
                return bad("tensors[%zu] %s: found no port, expected a port of it", i,
                           nameOf(static_cast<uint32_t>(i)).c_str());
        return differing(graph_.ports, "ports");
    }

    Status portShape(const Port &port) const {
        if (port.shape.size() != 4)
            return bad("shape: found %zu dimensions, expected 4: N, C, H, W", port.shape.size());
        const DimensionSymbol symbols[4] = {DimensionSymbol::N, DimensionSymbol::One, DimensionSymbol::H,
                                            DimensionSymbol::W};
        for (size_t i = 0; i < 4; ++i) {
            const Dimension &dimension = port.shape[i];
            const bool fixed = i >= 2 && dimension.symbol == DimensionSymbol::One;
            if (fixed != (i >= 2 && graph_.ports[0].shape[i].symbol == DimensionSymbol::One) ||
                (fixed && (dimension.numerator != graph_.ports[0].shape[i].numerator ||
                           port.shape[2].symbol != port.shape[3].symbol)))
                return bad(
                    "shape[%zu]: found %u of symbol %u, expected a number of pixels for both or neither, "
                    "that of the first port",
                    i, dimension.numerator, number(dimension.symbol));
            if (dimension.symbol != symbols[i] && !fixed)
                return bad("shape[%zu].symbol: found %u, expected %u", i, number(dimension.symbol),
                           number(symbols[i]));
            const uint32_t most = i >= 2 ? kMaxSizeMultiple : i == 1 ? kMaxChannels : 1;
            const uint32_t mostBelow = i >= 2 && !fixed ? kMaxSizeMultiple : 1;
            if (dimension.numerator == 0 || dimension.numerator > most || dimension.denominator == 0 ||
                dimension.denominator > mostBelow)
                return bad("shape[%zu]: found %u/%u, expected 1 to %u over 1 to %u", i, dimension.numerator,
                           dimension.denominator, most, mostBelow);
        }
        if (port.shape[1].numerator != graph_.tensors[port.tensor].channels)
            return bad("shape[1]: found %u, expected the tensor's %u channels", port.shape[1].numerator,
                       graph_.tensors[port.tensor].channels);
        return {};
    }

    Status portSource(const Port &port) const {
        const bool ofModel =
            port.source == PortSource::ModelOutput || port.source == PortSource::ModelVariance;
        const bool fits = port.output ? port.source == PortSource::App || ofModel
                                      : !ofModel && number(port.source) <= number(PortSource::Noise);
        if (!fits)
            return bad("source: found %u, expected %s", number(port.source),
                       port.output ? "0 (app), 2 (model output) or 6 (model variance)" : "0, 1, 3, 4 or 5");
        if (port.source != PortSource::Graph && (port.sourceGraph != kNone || port.sourcePort != kNone))
            return bad("source_graph: found %u, expected none for this source", port.sourceGraph);
        if (port.source == PortSource::Constant && port.sourceWeight >= model_.weights.size())
            return bad("source_weight: found %u, expected less than %zu", port.sourceWeight,
                       model_.weights.size());
        if (port.source != PortSource::Constant && port.sourceWeight != kNone)
            return bad("source_weight: found %u, expected none for this source", port.sourceWeight);
        return {};
    }

    Status op(const Op &op, size_t index) {
        place("ops", index);
        MOTE_TRY(checkName(file_, field("name"), op.name));
        place("ops", index, op.name);
        if (number(op.kind) > number(OpKind::Pointwise)) {
            Status status = bad("kind: found %u (%s), expected a kind that this version runs, 0 to 5",
                                number(op.kind), opKindName(op.kind));
            status.code = StatusCode::Unsupported;
            return status;
        }
        MOTE_TRY(unusedFields(op));
        uint32_t channels = 0; // of all inputs, then of the output
        MOTE_TRY(inputs(op, channels));
        switch (op.kind) {
        case OpKind::Concat:
            MOTE_TRY(concat(op));
            break;
        case OpKind::Conv2d:
            MOTE_TRY(conv2d(op, channels));
            break;
        case OpKind::GroupNorm:
            MOTE_TRY(groupNorm(op, channels));
            break;
        case OpKind::Resample:
            if (op.outputResample == Resample::None || number(op.outputResample) > number(Resample::ZerosUp2))
                return bad("output_resample: found %u, expected 1 to 5", number(op.outputResample));
            break;
        case OpKind::Pointwise:
            MOTE_TRY(pointwise(op, channels));
            break;
        default:
            MOTE_TRY(attention(op, channels));
            break;
        }
        return output(op, channels);
    }

    // A field that the kind does not use and that is set means that writer and reader disagree about the
    // kind.
    Status unusedFields(const Op &op) const {
        const bool conv = op.kind == OpKind::Conv2d, norm = op.kind == OpKind::GroupNorm,
                   pointwise = op.kind == OpKind::Pointwise;
        const Op plain;
        const struct {
            const char *name;
            bool used, set;
        } fields[] = {
            {"input_scale", op.kind == OpKind::Concat, !op.inputScale.empty()},
            {"input_offset", op.kind == OpKind::Concat, !op.inputOffset.empty()},
            {"weight", conv, op.weight != plain.weight},
            {"bias", conv, op.bias != plain.bias},
            {"stride", conv, op.stride != plain.stride},
            {"pad", conv, op.padTop != 0 || op.padLeft != 0 || op.padBottom != 0 || op.padRight != 0},
            {"input_resample", conv, op.inputResample != plain.inputResample},
            {"residual", conv || pointwise, op.residual != plain.residual},
            {"residual_resample", conv && op.residual != kNone,
             op.residualResample != plain.residualResample},
            {"output_scale", conv, op.outputScale != plain.outputScale},
            {"output_scales", conv, !op.outputScales.empty()},
            {"affine", norm || pointwise, op.affine != plain.affine},
            {"groups", norm, op.groups != plain.groups},
            {"epsilon", norm, op.epsilon != plain.epsilon},
            {"activation", norm || pointwise, op.activation != plain.activation},
            {"output_resample", norm || op.kind == OpKind::Resample,
             op.outputResample != plain.outputResample},
            {"heads", op.kind == OpKind::Attention, op.heads != plain.heads},
            {"projection", conv || norm, op.projection != plain.projection},
        };
        for (const auto &entry : fields)
            if (entry.set && !entry.used)
                return bad("%s: found a value, expected none for %s", entry.name, opKindName(op.kind));
        return {};
    }

    // Every input was made before, by a port or an earlier op.
    Status readable(uint32_t tensor, TensorKind kind, const char *name) {
        if (tensor >= graph_.tensors.size())
            return bad("%s: found %u, expected less than %zu", name, tensor, graph_.tensors.size());
        if (graph_.tensors[tensor].kind != kind)
            return bad("%s: found %s, expected %s", name, nameOf(tensor).c_str(),
                       kind == TensorKind::Port ? "a port's tensor" : "an activation");
        if (!made_[tensor])
            return bad("%s: found %s, which no port or earlier op makes, expected a tensor that exists", name,
                       nameOf(tensor).c_str());
        used_[tensor] = true;
        return {};
    }

    Status inputs(const Op &op, uint32_t &channels) {
        const uint32_t most = op.kind == OpKind::Concat                                     ? kMaxInputs
                              : op.kind == OpKind::Attention || op.kind == OpKind::Resample ? 1
                                                                                            : 2;
        if (op.inputs.empty() || op.inputs.size() > most)
            return bad("inputs: found %zu, expected 1 to %u", op.inputs.size(), most);
        for (size_t i = 0; i < op.inputs.size(); ++i) {
            const char name[] = {'i', 'n', 'p', 'u', 't', 's', '[', static_cast<char>('0' + i), ']', '\0'};
            MOTE_TRY(readable(op.inputs[i],
                              op.kind == OpKind::Concat ? TensorKind::Port : TensorKind::Activation, name));
            channels += graph_.tensors[op.inputs[i]].channels; // at most 8 times 2^16
        }
        return {};
    }

    Status concat(const Op &op) const {
        if (op.inputScale.size() != op.inputs.size() || op.inputOffset.size() != op.inputs.size())
            return bad("input_scale: found %zu and %zu offsets, expected one of each for its %zu inputs",
                       op.inputScale.size(), op.inputOffset.size(), op.inputs.size());
        for (size_t i = 0; i < op.inputs.size(); ++i)
            if (!std::isfinite(op.inputScale[i]) || !std::isfinite(op.inputOffset[i]))
                return bad("input_scale[%zu]: found %g with offset %g, expected finite numbers", i,
                           double(op.inputScale[i]), double(op.inputOffset[i]));
        return {};
    }

    // "'conv.weight' of F16 [8][3][3][6]"
    static std::string shapeText(const Weight &weight) {
        std::string out = quoted(weight.name) + (weight.type == DataType::F32 ? " of F32 " : " of F16 ");
        for (const uint32_t dimension : weight.shape)
            out += "[" + std::to_string(dimension) + "]";
        return out;
    }

    Status conditioning() {
        const Conditioning &c = graph_.conditioning;
        if (number(c.kind) > number(ConditioningKind::Vectors))
            return bad("kind: found %u, expected 1 (labels) or 2 (vectors)", number(c.kind));
        if (c.kind == ConditioningKind::None) {
            const bool plain = c.stepEmbeddings == kNone && c.classes == kNone && c.nullClass == kNone;
            return plain ? Status{} : bad("kind: found 0 with tables, expected 1 (labels) or 2 (vectors)");
        }
        const auto rows = [&](uint32_t index, const char *name, uint64_t count) -> Status {
            if (index >= model_.weights.size())
                return bad("%s: found %u, expected less than %zu", name, index, model_.weights.size());
            const Weight &weight = model_.weights[index];
            if (weight.type != DataType::F32 || weight.shape.size() != 2 || weight.shape[1] > kMaxChannels ||
                (count != 0 && weight.shape[0] != count) ||
                (embedding_ != 0 && weight.shape[1] != embedding_))
                return bad("%s: found %s, expected F32 [%s][E], E the same in both tables and at most %u",
                           name, shapeText(weight).c_str(), count != 0 ? std::to_string(count).c_str() : "K",
                           kMaxChannels);
            embedding_ = weight.shape[1];
            return {};
        };
        MOTE_TRY(rows(c.stepEmbeddings, "step_embeddings", model_.timesteps.size()));
        if (c.kind == ConditioningKind::Vectors)
            return c.classes == kNone && c.nullClass == kNone
                       ? Status{}
                       : bad("classes: found %u with null_class %u, expected none of both with vectors",
                             c.classes, c.nullClass);
        MOTE_TRY(rows(c.classes, "classes", 0));
        const uint32_t labels = model_.weights[c.classes].shape[0];
        if (c.nullClass != kNone && c.nullClass >= labels)
            return bad("null_class: found %u, expected less than %u, or none", c.nullClass, labels);
        return {};
    }

    // What makes the rows of an op's table for each image: [outputs][E], beside a table of one row.
    Status projection(const Op &op, uint32_t table, uint64_t outputs) const {
        if (op.projection == kNone)
            return {};
        if (embedding_ == 0)
            return bad("projection: found %u, expected none in a graph without conditioning", op.projection);
        if (op.projection >= model_.weights.size())
            return bad("projection: found %u, expected less than %zu", op.projection, model_.weights.size());
        const Weight &weight = model_.weights[op.projection];
        const std::vector<uint32_t> &s = weight.shape;
        if (weight.type != DataType::F16 || s.size() != 2 || s[0] != outputs || s[1] != embedding_)
            return bad("projection: found %s, expected F16 [%" PRIu64 "][%u]", shapeText(weight).c_str(),
                       outputs, embedding_);
        if (model_.weights[table].shape[0] != 1)
            return bad("projection: found one beside a table of %u rows, expected one row",
                       model_.weights[table].shape[0]);
        return {};
    }

    // A table with one row for all timesteps or one for each.
    Status table(uint32_t index, bool affine, uint32_t channels) const {
        const char *name = affine ? "affine" : "bias";
        if (index >= model_.weights.size())
            return bad("%s: found %u, expected less than %zu", name, index, model_.weights.size());
        const Weight &weight = model_.weights[index];
        const std::vector<uint32_t> &s = weight.shape;
        const bool shaped =
            affine ? s.size() == 3 && s[1] == 2 && s[2] == channels : s.size() == 2 && s[1] == channels;
        if (weight.type != DataType::F32 || !shaped || (s[0] != 1 && s[0] != model_.timesteps.size()))
            return bad("%s: found %s, expected F32 [R]%s[%u], R = 1 or %zu", name, shapeText(weight).c_str(),
                       affine ? "[2]" : "", channels, model_.timesteps.size());
        return {};
    }

    Status conv2d(const Op &op, uint32_t &channels) {
        if (op.weight >= model_.weights.size())
            return bad("weight: found %u, expected less than %zu", op.weight, model_.weights.size());
        const Weight &weight = model_.weights[op.weight];
        const std::vector<uint32_t> &s = weight.shape;
        if (weight.type != DataType::F16 || s.size() != 4 || s[3] != channels || s[1] > kMaxKernel ||
            s[2] > kMaxKernel)
            return bad("weight: found %s, expected F16 [out][kh][kw][%u], kh and kw at most %u",
                       shapeText(weight).c_str(), channels, kMaxKernel);
        MOTE_TRY(table(op.bias, false, s[0]));
        MOTE_TRY(projection(op, op.bias, s[0]));
        if (op.stride != 1 && op.stride != 2)
            return bad("stride: found %u, expected 1 or 2", op.stride);
        const struct {
            const char *name;
            uint32_t pad, kernel;
        } pads[] = {{"pad_top", op.padTop, s[1]},
                    {"pad_bottom", op.padBottom, s[1]},
                    {"pad_left", op.padLeft, s[2]},
                    {"pad_right", op.padRight, s[2]}};
        for (const auto &pad : pads)
            if (pad.pad >= pad.kernel)
                return bad("%s: found %u, expected less than the kernel's %u", pad.name, pad.pad, pad.kernel);
        if (op.inputResample != Resample::None && op.inputResample != Resample::NearestUp2)
            return bad("input_resample: found %u, expected 0 (none) or 1 (nearest x2)",
                       number(op.inputResample));
        if (op.residual != kNone) {
            MOTE_TRY(readable(op.residual, TensorKind::Activation, "residual"));
            if (graph_.tensors[op.residual].channels != s[0])
                return bad("residual: found %s of %u channels, expected %u, the output's",
                           nameOf(op.residual).c_str(), graph_.tensors[op.residual].channels, s[0]);
            if (number(op.residualResample) > number(Resample::AverageDown2))
                return bad("residual_resample: found %u, expected 0 to 2", number(op.residualResample));
        }
        if (!std::isfinite(op.outputScale))
            return bad("output_scale: found %g, expected a finite number", double(op.outputScale));
        if (!op.outputScales.empty() && op.outputScales.size() != model_.timesteps.size())
            return bad("output_scales: found %zu, expected none or %zu, one per timestep",
                       op.outputScales.size(), model_.timesteps.size());
        for (size_t i = 0; i < op.outputScales.size(); ++i)
            if (!std::isfinite(op.outputScales[i]))
                return bad("output_scales[%zu]: found %g, expected a finite number", i,
                           double(op.outputScales[i]));
        channels = s[0];
        return {};
    }

    Status groupNorm(const Op &op, uint32_t channels) const {
        MOTE_TRY(table(op.affine, true, channels));
        MOTE_TRY(projection(op, op.affine, uint64_t{2} * channels));
        if (op.groups == 0 || channels % op.groups != 0)
            return bad("groups: found %u, expected a divisor of %u channels", op.groups, channels);
        if (!std::isfinite(op.epsilon) || !(op.epsilon > 0))
            return bad("epsilon: found %g, expected a finite number above 0", double(op.epsilon));
        if (number(op.activation) > number(ActivationFunction::Relu))
            return bad("activation: found %u, expected 0 (none) to 4 (ReLU)", number(op.activation));
        if (op.outputResample != Resample::None && op.outputResample != Resample::AverageDown2)
            return bad("output_resample: found %u, expected 0 (none) or 2 (average 2x2)",
                       number(op.outputResample));
        return {};
    }

    Status pointwise(const Op &op, uint32_t channels) {
        if (op.affine < model_.weights.size() && model_.weights[op.affine].shape.size() == 4) {
            const Weight &weight = model_.weights[op.affine];
            if (weight.type != DataType::F32 || weight.shape[0] != 2 || weight.shape[1] != channels)
                return bad("affine: found %s, expected F32 [2][%u][H][W]", shapeText(weight).c_str(),
                           channels);
            if (graph_.ports.empty() || graph_.ports[0].shape[2].symbol != DimensionSymbol::One)
                return bad("affine: found %s, one of each per element, expected ports of one size",
                           shapeText(weight).c_str());
        } else if (op.affine != kNone) {
            MOTE_TRY(table(op.affine, true, channels));
        }
        if (op.residual != kNone) {
            MOTE_TRY(readable(op.residual, TensorKind::Activation, "residual"));
            if (graph_.tensors[op.residual].channels != channels)
                return bad("residual: found %s of %u channels, expected %u, the output's",
                           nameOf(op.residual).c_str(), graph_.tensors[op.residual].channels, channels);
        }
        if (number(op.activation) > number(ActivationFunction::Relu))
            return bad("activation: found %u, expected 0 to 4", number(op.activation));
        return {};
    }

    Status attention(const Op &op, uint32_t &channels) const {
        if (channels % 3 != 0 || op.heads == 0 || (channels / 3) % op.heads != 0)
            return bad(
                "heads: found %u for %u input channels, expected three times C channels and a divisor of C",
                op.heads, channels);
        channels /= 3;
        return {};
    }

    Status output(const Op &op, uint32_t channels) {
        if (op.output >= graph_.tensors.size())
            return bad("output: found %u, expected less than %zu", op.output, graph_.tensors.size());
        const Tensor &tensor = graph_.tensors[op.output];
        const std::string name = quoted(tensor.name);
        if (made_[op.output])
            return bad("output: found %s, which is made already, expected a tensor made once", name.c_str());
        if (tensor.kind == TensorKind::Port && op.kind != OpKind::Conv2d)
            return bad("output: found %s, a port's tensor, expected an activation", name.c_str());
        if (tensor.channels != channels)
            return bad("output: found %s of %u channels, expected %u", name.c_str(), tensor.channels,
                       channels);
        made_[op.output] = true;
        return {};
    }

    const Model &model_;
    const Graph &graph_;
    const std::string &file_;
    const uint32_t index_;
    std::string where_; // "graphs[0].ops[3] 'conv'."
    std::vector<bool> made_, used_;
    uint32_t embedding_ = 0; // E of the conditioning, 0: there is none
};

} // namespace

Status validateGraph(const Model &model, uint32_t index, const std::string &file) {
    return GraphRules(model, index, file).check();
}

} // namespace mote
