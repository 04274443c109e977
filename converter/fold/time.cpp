#include "fold/editor.h"
#include "fold/fold.h"
#include "fold/known.h"

#include "read/text.h"

#include <stdexcept>

namespace mote::convert {

size_t foldTime(Network &network, const std::vector<double> &timesteps) {
    if (timesteps.empty())
        throw std::logic_error("folding time needs at least one timestep");
    const auto rows = static_cast<uint32_t>(timesteps.size());
    std::vector<reference::Step> steps(timesteps.size());
    for (size_t row = 0; row < timesteps.size(); ++row) {
        steps[row].timestep = timesteps[row];
        steps[row].features = network.timestepFeatures;
    }
    const KnownValues time(network, OpKind::TimestepEmbedding, steps);
    Editor editor(network);
    size_t tables = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i)
        if (editor.op(i).kind == OpKind::DivideByTimestep) {
            Op scale = editor.op(i);
            scale.kind = OpKind::Scale;
            scale.inputScale = {1};
            scale.inputOffset = {0};
            for (double timestep : timesteps)
                scale.outputScales.push_back(static_cast<float>(1 / timestep));
            editor.update(i, std::move(scale));
        }
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        if (op.inputs.size() != 2 || time.known(op.inputs[0]) || !time.known(op.inputs[1]))
            continue;
        const Op *before = editor.readOnce(op.inputs[0]) ? editor.maker(op.inputs[0]) : nullptr;
        const uint32_t vector = op.inputs[1];
        const uint32_t channels = editor.tensor(op.output).channels;
        Op fused = before != nullptr ? *before : Op();
        if (before != nullptr && op.kind == OpKind::Add && before->kind == OpKind::Conv2d &&
            before->residual == kNone) {
            const Constant &fixed = editor.constant(before->bias);
            Constant table{before->name + ".bias", {rows, channels}, {}};
            for (uint32_t row = 0; row < rows; ++row)
                for (uint32_t c = 0; c < channels; ++c)
                    table.values.push_back(fixed.values[c] + time.at(row, vector)[c]);
            fused.bias = editor.addConstant(std::move(table));
        } else if (before != nullptr && op.kind == OpKind::Modulate && before->kind == OpKind::GroupNorm &&
                   before->activation == ActivationFunction::None) {
            const Constant &fixed = editor.constant(before->affine);
            Constant table{before->name + ".affine", {rows, 2, channels}, {}};
            for (uint32_t row = 0; row < rows; ++row) {
                const std::vector<double> &scaleShift = time.at(row, vector); // [scale, shift]
                for (uint32_t c = 0; c < channels; ++c)
                    table.values.push_back(fixed.values[c] * (1 + scaleShift[c]));
                for (uint32_t c = 0; c < channels; ++c)
                    table.values.push_back(fixed.values[channels + c] * (1 + scaleShift[c]) +
                                           scaleShift[channels + c]);
            }
            fused.affine = editor.addConstant(std::move(table));
        } else if (op.kind == OpKind::Add || op.kind == OpKind::Modulate) { // a row of factors and offsets
            Op table = op;
            table.kind = OpKind::Pointwise;
            table.inputs.pop_back();
            Constant affine{op.name + ".affine", {rows, 2, channels}, {}};
            for (uint32_t row = 0; row < rows; ++row) {
                const std::vector<double> &values = time.at(row, vector);
                for (uint32_t c = 0; c < channels; ++c)
                    affine.values.push_back(op.kind == OpKind::Add ? 1 : 1 + values[c]);
                const uint32_t shift = op.kind == OpKind::Add ? 0 : channels;
                for (uint32_t c = 0; c < channels; ++c)
                    affine.values.push_back(values[shift + c]);
            }
            table.affine = editor.addConstant(std::move(affine));
            editor.update(i, std::move(table));
            ++tables;
            continue;
        } else {
            continue;
        }
        editor.rename(op.output, fused.name);
        editor.fuse(editor.makerIndex(op.inputs[0]), i, std::move(fused));
        ++tables;
    }
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        if (!editor.alive(i))
            continue;
        const Op &op = editor.op(i);
        if (time.known(op.output)) {
            editor.remove(i);
            continue;
        }
        for (uint32_t input : op.inputs)
            if (time.known(input))
                throw std::logic_error(text("op ", op.name, " uses ", editor.tensor(input).name,
                                            ", which depends on time alone, in a way that cannot be folded"));
    }
    editor.finish();
    network.timestepFeatures = {};
    return tables;
}

} // namespace mote::convert
