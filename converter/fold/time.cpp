#include "fold/editor.h"
#include "fold/fold.h"

#include "read/text.h"
#include "reference/reference.h"

#include <optional>
#include <stdexcept>

namespace mote::convert {

namespace {

using reference::Array;

// Per timestep, the value of every tensor that depends on time alone; none for the others.
class TimeValues {
public:
    TimeValues(const Network &network, const std::vector<double> &timesteps) {
        // Filled for the ops that are evaluated, a small part of all.
        reference::Tables<double> tables(network.constants.size());
        for (double timestep : timesteps)
            values_.push_back(evaluate(network, tables, timestep));
    }

    bool dependsOnTimeAlone(uint32_t tensor) const { return values_[0][tensor].has_value(); }
    const std::vector<double> &at(size_t row, uint32_t tensor) const { return values_[row][tensor]->values; }

private:
    static std::vector<std::optional<Array<double>>>
    evaluate(const Network &network, reference::Tables<double> &tables, double timestep) {
        const auto need = [&](uint32_t constant) {
            if (constant != kNone && tables[constant].values.empty())
                tables[constant] = {network.constants[constant].shape, network.constants[constant].values};
        };
        reference::Step step;
        step.timestep = timestep;
        step.features = network.timestepFeatures;
        std::vector<std::optional<Array<double>>> values(network.graph.tensors.size());
        for (const Op &op : network.graph.ops) {
            bool known = true;
            std::vector<const Array<double> *> inputs;
            for (uint32_t input : op.inputs) {
                known = known && values[input].has_value();
                if (known)
                    inputs.push_back(&*values[input]);
            }
            if (!known)
                continue;
            need(op.weight);
            need(op.bias);
            values[op.output] = reference::runOp<double>(op, inputs, nullptr, tables, step);
        }
        return values;
    }

    std::vector<std::vector<std::optional<Array<double>>>> values_; // [row][tensor]
};

} // namespace

size_t foldTime(Network &network, const std::vector<double> &timesteps) {
    if (timesteps.empty())
        throw std::logic_error("folding time needs at least one timestep");
    const auto rows = static_cast<uint32_t>(timesteps.size());
    const TimeValues time(network, timesteps);
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
        if (op.inputs.size() != 2 || time.dependsOnTimeAlone(op.inputs[0]) ||
            !time.dependsOnTimeAlone(op.inputs[1]))
            continue;
        const Op *before = editor.maker(op.inputs[0]);
        if (before == nullptr || !editor.readOnce(op.inputs[0]))
            continue;
        const uint32_t vector = op.inputs[1];
        const uint32_t channels = editor.tensor(op.output).channels;
        Op fused = *before;
        if (op.kind == OpKind::Add && before->kind == OpKind::Conv2d && before->residual == kNone) {
            const Constant &fixed = editor.constant(before->bias);
            Constant table{before->name + ".bias", {rows, channels}, {}};
            for (uint32_t row = 0; row < rows; ++row)
                for (uint32_t c = 0; c < channels; ++c)
                    table.values.push_back(fixed.values[c] + time.at(row, vector)[c]);
            fused.bias = editor.addConstant(std::move(table));
        } else if (op.kind == OpKind::Modulate && before->kind == OpKind::GroupNorm &&
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
        if (time.dependsOnTimeAlone(op.output)) {
            editor.remove(i);
            continue;
        }
        for (uint32_t input : op.inputs)
            if (time.dependsOnTimeAlone(input))
                throw std::logic_error(text("op ", op.name, " uses ", editor.tensor(input).name,
                                            ", which depends on time alone, in a way that cannot be folded"));
    }
    editor.finish();
    network.timestepFeatures = {};
    return tables;
}

} // namespace mote::convert
