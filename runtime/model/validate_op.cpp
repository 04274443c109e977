#include "model/graph_rules.h"

#include "model/describe.h"
#include "model/validate.h"

#include <cinttypes>
#include <cmath>

namespace mote {

Status GraphRules::op(const Op &op, size_t index) {
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

Status GraphRules::unusedFields(const Op &op) const {
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
        {"residual_resample", conv && op.residual != kNone, op.residualResample != plain.residualResample},
        {"output_scale", conv, op.outputScale != plain.outputScale},
        {"output_scales", conv, !op.outputScales.empty()},
        {"affine", norm || pointwise, op.affine != plain.affine},
        {"groups", norm, op.groups != plain.groups},
        {"epsilon", norm, op.epsilon != plain.epsilon},
        {"activation", norm || pointwise, op.activation != plain.activation},
        {"output_resample", norm || op.kind == OpKind::Resample, op.outputResample != plain.outputResample},
        {"heads", op.kind == OpKind::Attention, op.heads != plain.heads},
        {"projection", conv || norm, op.projection != plain.projection},
    };
    for (const auto &entry : fields)
        if (entry.set && !entry.used)
            return bad("%s: found a value, expected none for %s", entry.name, opKindName(op.kind));
    return {};
}

Status GraphRules::readable(uint32_t tensor, TensorKind kind, const char *name) {
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

Status GraphRules::inputs(const Op &op, uint32_t &channels) {
    const uint32_t most = op.kind == OpKind::Concat                                     ? kMaxInputs
                          : op.kind == OpKind::Attention || op.kind == OpKind::Resample ? 1
                                                                                        : 2;
    if (op.inputs.empty() || op.inputs.size() > most)
        return bad("inputs: found %zu, expected 1 to %u", op.inputs.size(), most);
    for (size_t i = 0; i < op.inputs.size(); ++i) {
        const char name[] = {'i', 'n', 'p', 'u', 't', 's', '[', static_cast<char>('0' + i), ']', '\0'};
        MOTE_TRY(readable(op.inputs[i], op.kind == OpKind::Concat ? TensorKind::Port : TensorKind::Activation,
                          name));
        channels += graph_.tensors[op.inputs[i]].channels; // at most 8 times 2^16
    }
    return {};
}

Status GraphRules::concat(const Op &op) const {
    if (op.inputScale.size() != op.inputs.size() || op.inputOffset.size() != op.inputs.size())
        return bad("input_scale: found %zu and %zu offsets, expected one of each for its %zu inputs",
                   op.inputScale.size(), op.inputOffset.size(), op.inputs.size());
    for (size_t i = 0; i < op.inputs.size(); ++i)
        if (!std::isfinite(op.inputScale[i]) || !std::isfinite(op.inputOffset[i]))
            return bad("input_scale[%zu]: found %g with offset %g, expected finite numbers", i,
                       double(op.inputScale[i]), double(op.inputOffset[i]));
    return {};
}

std::string GraphRules::shapeText(const Weight &weight) {
    std::string out = quoted(weight.name) + (weight.type == DataType::F32 ? " of F32 " : " of F16 ");
    for (const uint32_t dimension : weight.shape)
        out += "[" + std::to_string(dimension) + "]";
    return out;
}

Status GraphRules::projection(const Op &op, uint32_t table, uint64_t outputs) const {
    if (op.projection == kNone)
        return {};
    if (embedding_ == 0)
        return bad("projection: found %u, expected none in a graph without conditioning", op.projection);
    if (op.projection >= model_.weights.size())
        return bad("projection: found %u, expected less than %zu", op.projection, model_.weights.size());
    const Weight &weight = model_.weights[op.projection];
    const std::vector<uint32_t> &s = weight.shape;
    if (weight.type != DataType::F16 || s.size() != 2 || s[0] != outputs || s[1] != embedding_)
        return bad("projection: found %s, expected F16 [%" PRIu64 "][%u]", shapeText(weight).c_str(), outputs,
                   embedding_);
    if (model_.weights[table].shape[0] != 1)
        return bad("projection: found one beside a table of %u rows, expected one row",
                   model_.weights[table].shape[0]);
    return {};
}

Status GraphRules::table(uint32_t index, bool affine, uint32_t channels) const {
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

Status GraphRules::conv2d(const Op &op, uint32_t &channels) {
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
        return bad("input_resample: found %u, expected 0 (none) or 1 (nearest x2)", number(op.inputResample));
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
        return bad("output_scales: found %zu, expected none or %zu, one per timestep", op.outputScales.size(),
                   model_.timesteps.size());
    for (size_t i = 0; i < op.outputScales.size(); ++i)
        if (!std::isfinite(op.outputScales[i]))
            return bad("output_scales[%zu]: found %g, expected a finite number", i,
                       double(op.outputScales[i]));
    channels = s[0];
    return {};
}

Status GraphRules::groupNorm(const Op &op, uint32_t channels) const {
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

Status GraphRules::pointwise(const Op &op, uint32_t channels) {
    if (op.affine < model_.weights.size() && model_.weights[op.affine].shape.size() == 4) {
        const Weight &weight = model_.weights[op.affine];
        if (weight.type != DataType::F32 || weight.shape[0] != 2 || weight.shape[1] != channels)
            return bad("affine: found %s, expected F32 [2][%u][H][W]", shapeText(weight).c_str(), channels);
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

Status GraphRules::attention(const Op &op, uint32_t &channels) const {
    if (channels % 3 != 0 || op.heads == 0 || (channels / 3) % op.heads != 0)
        return bad(
            "heads: found %u for %u input channels, expected three times C channels and a divisor of C",
            op.heads, channels);
    channels /= 3;
    return {};
}

Status GraphRules::output(const Op &op, uint32_t channels) {
    if (op.output >= graph_.tensors.size())
        return bad("output: found %u, expected less than %zu", op.output, graph_.tensors.size());
    const Tensor &tensor = graph_.tensors[op.output];
    const std::string name = quoted(tensor.name);
    if (made_[op.output])
        return bad("output: found %s, which is made already, expected a tensor made once", name.c_str());
    if (tensor.kind == TensorKind::Port && op.kind != OpKind::Conv2d)
        return bad("output: found %s, a port's tensor, expected an activation", name.c_str());
    if (tensor.channels != channels)
        return bad("output: found %s of %u channels, expected %u", name.c_str(), tensor.channels, channels);
    made_[op.output] = true;
    return {};
}

} // namespace mote
