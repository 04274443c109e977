// The rules for one graph: tensors, ports, and each op with the fields that its kind uses.
#include "model/describe.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mote {

namespace {

class GraphRules {
public:
    GraphRules(const Model &model, uint32_t index, const std::string &file)
        : model_(model), graph_(model.graphs[index]), file_(file), prefix_(item("graphs", index)) {}

    Status check() {
        MOTE_TRY(checkName(file_, prefix_ + ".name", graph_.name));
        if (static_cast<uint8_t>(graph_.phase) > static_cast<uint8_t>(Phase::Final))
            return bad("phase", text(uint64_t{static_cast<uint8_t>(graph_.phase)}), "0 to 3");
        if (graph_.sizeMultiple == 0 || graph_.sizeMultiple > kMaxSizeMultiple)
            return bad("size_multiple", text(uint64_t{graph_.sizeMultiple}),
                       "1 to " + text(uint64_t{kMaxSizeMultiple}));
        if (graph_.tensors.size() > kMaxTensors || graph_.ops.size() > kMaxOps || graph_.ops.empty() ||
            graph_.ports.size() > kMaxPorts)
            return bad("ops",
                       text(uint64_t{graph_.ops.size()}) + " on " + text(uint64_t{graph_.tensors.size()}) +
                           " tensors with " + text(uint64_t{graph_.ports.size()}) + " ports",
                       "1 to " + text(uint64_t{kMaxOps}) + ", at most " + text(uint64_t{kMaxTensors}) +
                           " and " + text(uint64_t{kMaxPorts}));
        MOTE_TRY(tensors());
        MOTE_TRY(ports());
        MOTE_TRY(differing(graph_.ops, "ops"));
        for (size_t i = 0; i < graph_.ops.size(); ++i)
            MOTE_TRY(op(graph_.ops[i], i));
        for (size_t i = 0; i < graph_.tensors.size(); ++i) {
            const std::string where = item("tensors", i) + " " + quoted(graph_.tensors[i].name);
            if (!made_[i])
                return bad(where, "no op that makes it", "one, or an input port");
            if (!used_[i])
                return bad(where, "no op that uses it", "one, or an output port");
        }
        return {};
    }

private:
    Status bad(const std::string &field, const std::string &found, const std::string &expected) const {
        return wrong(file_, prefix_ + "." + field, found, expected);
    }

    // Names must differ; sorted, equal ones are neighbours.
    template <typename T> Status differing(const std::vector<T> &list, const char *what) const {
        std::vector<uint32_t> order(list.size());
        std::iota(order.begin(), order.end(), 0u);
        std::stable_sort(order.begin(), order.end(),
                         [&list](uint32_t a, uint32_t b) { return list[a].name < list[b].name; });
        for (size_t i = 1; i < order.size(); ++i)
            if (list[order[i]].name == list[order[i - 1]].name)
                return bad(item(what, order[i]) + ".name", quoted(list[order[i]].name) + " again",
                           "names that differ");
        return {};
    }

    Status tensors() {
        for (size_t i = 0; i < graph_.tensors.size(); ++i) {
            const Tensor &tensor = graph_.tensors[i];
            const std::string where = item("tensors", i);
            MOTE_TRY(checkName(file_, prefix_ + "." + where + ".name", tensor.name));
            if (static_cast<uint8_t>(tensor.kind) > static_cast<uint8_t>(TensorKind::Port))
                return bad(where + ".kind", text(uint64_t{static_cast<uint8_t>(tensor.kind)}), "0 or 1");
            if (tensor.channels == 0 || tensor.channels > kMaxChannels)
                return bad(where + " " + quoted(tensor.name) + ".channels", text(uint64_t{tensor.channels}),
                           "1 to " + text(uint64_t{kMaxChannels}));
        }
        made_.assign(graph_.tensors.size(), false);
        used_.assign(graph_.tensors.size(), false);
        return differing(graph_.tensors, "tensors");
    }

    Status ports() {
        std::vector<bool> taken(graph_.tensors.size(), false);
        for (size_t i = 0; i < graph_.ports.size(); ++i) {
            const Port &port = graph_.ports[i];
            MOTE_TRY(checkName(file_, prefix_ + "." + item("ports", i) + ".name", port.name));
            const std::string where = item("ports", i) + " " + quoted(port.name);
            MOTE_TRY(
                checkText(file_, prefix_ + "." + where + ".description", port.description, kMaxTextBytes));
            if (port.kind != PortKind::Image && port.kind != PortKind::Tensor)
                return makeStatus(StatusCode::Unsupported,
                                  "%s: %s.%s.kind: found %u, expected 0 (image) or 1 (tensor)", file_.c_str(),
                                  prefix_.c_str(), where.c_str(), static_cast<unsigned>(port.kind));
            if (port.tensor >= graph_.tensors.size() || graph_.tensors[port.tensor].kind != TensorKind::Port)
                return bad(where + ".tensor", text(uint64_t{port.tensor}), "a tensor of kind 1 (port)");
            if (taken[port.tensor])
                return bad(where + ".tensor", text(uint64_t{port.tensor}) + " again", "one port per tensor");
            taken[port.tensor] = true;
            MOTE_TRY(portShape(port, where));
            MOTE_TRY(portSource(port, where));
            if (!std::isfinite(port.valueLow) || !std::isfinite(port.valueHigh) ||
                !(port.valueLow < port.valueHigh))
                return bad(where + ".value_low",
                           text(port.valueLow) + " with value_high " + text(port.valueHigh),
                           "finite numbers, the low one lower");
            // The app may give a port that the sampler alone reads; an output port is a use.
            used_[port.tensor] = true;
            made_[port.tensor] = !port.output;
        }
        for (size_t i = 0; i < graph_.tensors.size(); ++i)
            if (graph_.tensors[i].kind == TensorKind::Port && !taken[i])
                return bad(item("tensors", i) + " " + quoted(graph_.tensors[i].name), "no port",
                           "a port of it");
        return differing(graph_.ports, "ports");
    }

    Status portShape(const Port &port, const std::string &where) const {
        if (port.shape.size() != 4)
            return bad(where + ".shape", text(uint64_t{port.shape.size()}) + " dimensions", "4: N, C, H, W");
        const DimensionSymbol symbols[4] = {DimensionSymbol::N, DimensionSymbol::One, DimensionSymbol::H,
                                            DimensionSymbol::W};
        for (size_t i = 0; i < 4; ++i) {
            const Dimension &dimension = port.shape[i];
            const std::string field = where + "." + item("shape", i);
            if (dimension.symbol != symbols[i])
                return bad(field + ".symbol", text(uint64_t{static_cast<uint8_t>(dimension.symbol)}),
                           text(uint64_t{static_cast<uint8_t>(symbols[i])}));
            const bool spatial = i >= 2;
            const uint32_t most = spatial ? kMaxSizeMultiple : i == 1 ? kMaxChannels : 1;
            if (dimension.numerator == 0 || dimension.numerator > most || dimension.denominator == 0 ||
                dimension.denominator > (spatial ? kMaxSizeMultiple : 1))
                return bad(field,
                           text(uint64_t{dimension.numerator}) + "/" + text(uint64_t{dimension.denominator}),
                           "factors from 1 to " + text(uint64_t{most}) + (spatial ? "" : ", over 1"));
        }
        if (port.shape[1].numerator != graph_.tensors[port.tensor].channels)
            return bad(where + ".shape[1]", text(uint64_t{port.shape[1].numerator}),
                       "the tensor's " + text(uint64_t{graph_.tensors[port.tensor].channels}) + " channels");
        return {};
    }

    Status portSource(const Port &port, const std::string &where) const {
        const bool fits =
            port.output ? port.source == PortSource::App || port.source == PortSource::ModelOutput
                        : port.source != PortSource::ModelOutput &&
                              static_cast<uint8_t>(port.source) <= static_cast<uint8_t>(PortSource::Noise);
        if (!fits)
            return bad(where + ".source", text(uint64_t{static_cast<uint8_t>(port.source)}),
                       port.output ? "0 (app) or 2 (model output)" : "0, 1, 3, 4 or 5");
        if (port.source != PortSource::Graph && (port.sourceGraph != kNone || port.sourcePort != kNone))
            return bad(where + ".source_graph", text(uint64_t{port.sourceGraph}), "none for this source");
        if (port.source == PortSource::Constant ? port.sourceWeight >= model_.weights.size()
                                                : port.sourceWeight != kNone)
            return bad(where + ".source_weight", text(uint64_t{port.sourceWeight}),
                       port.source == PortSource::Constant
                           ? "less than " + text(uint64_t{model_.weights.size()})
                           : "none for this source");
        return {};
    }

    Status op(const Op &op, size_t index) {
        MOTE_TRY(checkName(file_, prefix_ + "." + item("ops", index) + ".name", op.name));
        const std::string where = item("ops", index) + " " + quoted(op.name);
        const auto kind = static_cast<uint8_t>(op.kind);
        if (kind > static_cast<uint8_t>(OpKind::Attention)) {
            return makeStatus(StatusCode::Unsupported,
                              "%s: %s.%s.kind: found %u (%s), expected a kind that this version runs, 0 to 3",
                              file_.c_str(), prefix_.c_str(), where.c_str(), static_cast<unsigned>(kind),
                              opKindName(op.kind));
        }
        MOTE_TRY(unusedFields(op, where));
        uint64_t channels = 0;
        MOTE_TRY(inputs(op, where, channels));
        switch (op.kind) {
        case OpKind::Concat:
            MOTE_TRY(concat(op, where));
            break;
        case OpKind::Conv2d:
            MOTE_TRY(conv2d(op, where, channels));
            break;
        case OpKind::GroupNorm:
            MOTE_TRY(groupNorm(op, where, channels));
            break;
        default:
            MOTE_TRY(attention(op, where, channels));
            break;
        }
        return output(op, where, channels);
    }

    // A field that the kind does not use and that is set means that writer and reader disagree about the
    // kind.
    Status unusedFields(const Op &op, const std::string &where) const {
        const bool conv = op.kind == OpKind::Conv2d, norm = op.kind == OpKind::GroupNorm;
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
            {"residual", conv, op.residual != plain.residual},
            {"residual_resample", conv && op.residual != kNone,
             op.residualResample != plain.residualResample},
            {"output_scale", conv, op.outputScale != plain.outputScale},
            {"affine", norm, op.affine != plain.affine},
            {"groups", norm, op.groups != plain.groups},
            {"epsilon", norm, op.epsilon != plain.epsilon},
            {"activation", norm, op.activation != plain.activation},
            {"output_resample", norm, op.outputResample != plain.outputResample},
            {"heads", op.kind == OpKind::Attention, op.heads != plain.heads},
        };
        for (const auto &field : fields)
            if (field.set && !field.used)
                return bad(where + "." + field.name, "a value",
                           std::string("none for ") + opKindName(op.kind));
        return {};
    }

    // Every input was made before, by a port or an earlier op.
    Status readable(uint32_t tensor, TensorKind kind, const std::string &field) {
        if (tensor >= graph_.tensors.size())
            return bad(field, text(uint64_t{tensor}), "less than " + text(uint64_t{graph_.tensors.size()}));
        const std::string name = quoted(graph_.tensors[tensor].name);
        if (graph_.tensors[tensor].kind != kind)
            return bad(field, name, kind == TensorKind::Port ? "a port's tensor" : "an activation");
        if (!made_[tensor])
            return bad(field, name + ", which no port or earlier op makes", "a tensor that exists");
        used_[tensor] = true;
        return {};
    }

    Status inputs(const Op &op, const std::string &where, uint64_t &channels) {
        const size_t most = op.kind == OpKind::Concat ? kMaxInputs : op.kind == OpKind::Attention ? 1 : 2;
        if (op.inputs.empty() || op.inputs.size() > most)
            return bad(where + ".inputs", text(uint64_t{op.inputs.size()}),
                       most == 1 ? "1" : "1 to " + text(uint64_t{most}));
        for (size_t i = 0; i < op.inputs.size(); ++i) {
            MOTE_TRY(readable(op.inputs[i],
                              op.kind == OpKind::Concat ? TensorKind::Port : TensorKind::Activation,
                              where + "." + item("inputs", i)));
            channels += graph_.tensors[op.inputs[i]].channels;
        }
        return {};
    }

    Status concat(const Op &op, const std::string &where) const {
        if (op.inputScale.size() != op.inputs.size() || op.inputOffset.size() != op.inputs.size())
            return bad(where + ".input_scale",
                       text(uint64_t{op.inputScale.size()}) + " and " +
                           text(uint64_t{op.inputOffset.size()}) + " offsets",
                       "one of each for its " + text(uint64_t{op.inputs.size()}) + " inputs");
        for (size_t i = 0; i < op.inputs.size(); ++i)
            if (!std::isfinite(op.inputScale[i]) || !std::isfinite(op.inputOffset[i]))
                return bad(where + "." + item("input_scale", i),
                           text(op.inputScale[i]) + " with offset " + text(op.inputOffset[i]),
                           "finite numbers");
        return {};
    }

    // A table with one row for all timesteps or one for each.
    Status table(uint32_t index, const std::string &field, bool affine, uint64_t channels) const {
        if (index >= model_.weights.size())
            return bad(field, text(uint64_t{index}), "less than " + text(uint64_t{model_.weights.size()}));
        const Weight &weight = model_.weights[index];
        const std::vector<uint32_t> &s = weight.shape;
        const bool shaped =
            affine ? s.size() == 3 && s[1] == 2 && s[2] == channels : s.size() == 2 && s[1] == channels;
        if (weight.type != DataType::F32 || !shaped || (s[0] != 1 && s[0] != model_.timesteps.size()))
            return bad(field, quoted(weight.name) + " of " + shapeText(weight),
                       std::string("F32 [R]") + (affine ? "[2][" : "[") + text(channels) + "], R = 1 or " +
                           text(uint64_t{model_.timesteps.size()}));
        return {};
    }

    static std::string shapeText(const Weight &weight) {
        std::string out = weight.type == DataType::F32 ? "F32 " : "F16 ";
        for (const uint32_t dimension : weight.shape)
            out += "[" + text(uint64_t{dimension}) + "]";
        return out;
    }

    Status conv2d(const Op &op, const std::string &where, uint64_t &channels) {
        if (op.weight >= model_.weights.size())
            return bad(where + ".weight", text(uint64_t{op.weight}),
                       "less than " + text(uint64_t{model_.weights.size()}));
        const Weight &weight = model_.weights[op.weight];
        const std::vector<uint32_t> &s = weight.shape;
        if (weight.type != DataType::F16 || s.size() != 4 || s[3] != channels || s[1] > kMaxKernel ||
            s[2] > kMaxKernel)
            return bad(where + ".weight", quoted(weight.name) + " of " + shapeText(weight),
                       "F16 [out][kh][kw][" + text(channels) + "], kh and kw at most " +
                           text(uint64_t{kMaxKernel}));
        MOTE_TRY(table(op.bias, where + ".bias", false, s[0]));
        if (op.stride != 1 && op.stride != 2)
            return bad(where + ".stride", text(uint64_t{op.stride}), "1 or 2");
        const struct {
            const char *name;
            uint32_t pad, kernel;
        } pads[] = {{"pad_top", op.padTop, s[1]},
                    {"pad_bottom", op.padBottom, s[1]},
                    {"pad_left", op.padLeft, s[2]},
                    {"pad_right", op.padRight, s[2]}};
        for (const auto &pad : pads)
            if (pad.pad >= pad.kernel)
                return bad(where + "." + pad.name, text(uint64_t{pad.pad}),
                           "less than the kernel's " + text(uint64_t{pad.kernel}));
        if (op.inputResample != Resample::None && op.inputResample != Resample::NearestUp2)
            return bad(where + ".input_resample", text(uint64_t{static_cast<uint8_t>(op.inputResample)}),
                       "0 (none) or 1 (nearest x2)");
        if (op.residual != kNone) {
            MOTE_TRY(readable(op.residual, TensorKind::Activation, where + ".residual"));
            if (graph_.tensors[op.residual].channels != s[0])
                return bad(where + ".residual",
                           quoted(graph_.tensors[op.residual].name) + " of " +
                               text(uint64_t{graph_.tensors[op.residual].channels}) + " channels",
                           text(uint64_t{s[0]}) + ", the output's");
            if (static_cast<uint8_t>(op.residualResample) > static_cast<uint8_t>(Resample::AverageDown2))
                return bad(where + ".residual_resample",
                           text(uint64_t{static_cast<uint8_t>(op.residualResample)}), "0 to 2");
        }
        if (!std::isfinite(op.outputScale))
            return bad(where + ".output_scale", text(op.outputScale), "a finite number");
        channels = s[0];
        return {};
    }

    Status groupNorm(const Op &op, const std::string &where, uint64_t channels) const {
        MOTE_TRY(table(op.affine, where + ".affine", true, channels));
        if (op.groups == 0 || op.groups > channels || channels % op.groups != 0)
            return bad(where + ".groups", text(uint64_t{op.groups}),
                       "a divisor of " + text(channels) + " channels");
        if (!std::isfinite(op.epsilon) || !(op.epsilon > 0))
            return bad(where + ".epsilon", text(op.epsilon), "a finite number above 0");
        if (static_cast<uint8_t>(op.activation) > static_cast<uint8_t>(ActivationFunction::Silu))
            return bad(where + ".activation", text(uint64_t{static_cast<uint8_t>(op.activation)}),
                       "0 (none) or 1 (SiLU)");
        if (op.outputResample != Resample::None && op.outputResample != Resample::AverageDown2)
            return bad(where + ".output_resample", text(uint64_t{static_cast<uint8_t>(op.outputResample)}),
                       "0 (none) or 2 (average 2x2)");
        return {};
    }

    Status attention(const Op &op, const std::string &where, uint64_t &channels) const {
        const uint64_t out = channels / 3;
        if (channels % 3 != 0 || op.heads == 0 || op.heads > out || out % op.heads != 0)
            return bad(where + ".heads",
                       text(uint64_t{op.heads}) + " for " + text(channels) + " input channels",
                       "three times C channels and a divisor of C");
        channels = out;
        return {};
    }

    Status output(const Op &op, const std::string &where, uint64_t channels) {
        const std::string field = where + ".output";
        if (op.output >= graph_.tensors.size())
            return bad(field, text(uint64_t{op.output}),
                       "less than " + text(uint64_t{graph_.tensors.size()}));
        const Tensor &tensor = graph_.tensors[op.output];
        if (made_[op.output])
            return bad(field, quoted(tensor.name) + ", which is made already", "a tensor made once");
        if (tensor.kind == TensorKind::Port && op.kind != OpKind::Conv2d)
            return bad(field, quoted(tensor.name) + ", a port's tensor", "an activation");
        if (tensor.channels != channels)
            return bad(field, quoted(tensor.name) + " of " + text(uint64_t{tensor.channels}) + " channels",
                       text(channels));
        made_[op.output] = true;
        return {};
    }

    const Model &model_;
    const Graph &graph_;
    const std::string &file_;
    const std::string prefix_;
    std::vector<bool> made_, used_;
};

} // namespace

Status validateGraph(const Model &model, uint32_t index, const std::string &file) {
    return GraphRules(model, index, file).check();
}

} // namespace mote
