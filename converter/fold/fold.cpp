#include "fold/fold.h"

#include "fold/editor.h"
#include "read/text.h"

#include <algorithm>
#include <stdexcept>

namespace mote::convert {

namespace {

uint64_t parametersOf(const Network &network) {
    uint64_t count = 0;
    for (const Constant &constant : network.constants)
        count += constant.values.size();
    return count;
}

size_t opsOfTimeAlone(const Network &network) {
    std::vector<bool> known(network.graph.tensors.size(), false);
    size_t count = 0;
    for (const Op &op : network.graph.ops)
        if (op.kind == OpKind::TimestepEmbedding ||
            (!op.inputs.empty() &&
             std::all_of(op.inputs.begin(), op.inputs.end(), [&](uint32_t input) { return known[input]; }))) {
            known[op.output] = true;
            ++count;
        }
    return count;
}

bool readsAsOnlyInput(const Op &op, uint32_t tensor) {
    return op.inputs.size() == 1 && op.inputs[0] == tensor && op.residual != tensor;
}

} // namespace

size_t foldLinear(Network &network) {
    size_t count = 0;
    for (Op &op : network.graph.ops)
        if (op.kind == OpKind::Linear) {
            op.kind = OpKind::Conv2d;
            ++count;
        }
    return count;
}

size_t foldActivation(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        const Op *before = op.inputs.empty() ? nullptr : editor.maker(op.inputs[0]);
        if (op.kind != OpKind::Activation || before == nullptr || before->kind != OpKind::GroupNorm ||
            before->activation != ActivationFunction::None || !editor.readOnce(op.inputs[0]))
            continue;
        Op fused = *before;
        fused.activation = op.activation;
        editor.fuse(editor.makerIndex(op.inputs[0]), i, std::move(fused));
        ++count;
    }
    editor.finish();
    return count;
}

size_t foldResidual(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        if (op.kind != OpKind::Add || op.inputs[0] == op.inputs[1])
            continue;
        for (const size_t which : {size_t(1), size_t(0)}) { // the branch, else the shortcut
            const uint32_t sum = op.inputs[which];
            const Op *before = editor.maker(sum);
            if (before == nullptr || before->kind != OpKind::Conv2d || before->residual != kNone ||
                before->outputScale != 1.0f || !editor.readOnce(sum))
                continue;
            Op fused = *before;
            fused.residual = op.inputs[1 - which];
            editor.fuse(editor.makerIndex(sum), i, std::move(fused));
            ++count;
            break;
        }
    }
    editor.finish();
    return count;
}

size_t foldScale(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        const Op *before = op.inputs.empty() ? nullptr : editor.maker(op.inputs[0]);
        if (op.kind != OpKind::Scale || before == nullptr || !editor.readOnce(op.inputs[0]))
            continue;
        Op fused = *before;
        if (before->kind == OpKind::Conv2d && op.inputOffset[0] == 0.0f &&
            (op.outputScales.empty() || before->outputScales.empty())) {
            fused.outputScale *= op.inputScale[0];
            if (!op.outputScales.empty())
                fused.outputScales = op.outputScales;
        } else if (before->kind == OpKind::Concat && op.outputScales.empty() &&
                   editor.tensor(before->inputs[0]).kind == TensorKind::Port) {
            for (size_t k = 0; k < fused.inputs.size(); ++k) { // s (a x + b) + o
                fused.inputScale[k] *= op.inputScale[0];
                fused.inputOffset[k] = fused.inputOffset[k] * op.inputScale[0] + op.inputOffset[0];
            }
        } else {
            continue;
        }
        editor.fuse(editor.makerIndex(op.inputs[0]), i, std::move(fused));
        ++count;
    }
    editor.finish();
    return count;
}

size_t foldResample(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        const bool up = op.outputResample == Resample::NearestUp2;
        if (op.kind != OpKind::Resample || (!up && op.outputResample != Resample::AverageDown2))
            continue;
        const Op *before = editor.maker(op.inputs[0]);
        if (!up && before != nullptr && before->kind == OpKind::GroupNorm &&
            before->outputResample == Resample::None && editor.readOnce(op.inputs[0])) {
            Op fused = *before;
            fused.outputResample = Resample::AverageDown2;
            editor.fuse(editor.makerIndex(op.inputs[0]), i, std::move(fused));
            ++count;
            continue;
        }
        const std::vector<uint32_t> readers = editor.readers(op.output);
        const auto canJoin = [&](uint32_t index) {
            const Op &reader = editor.op(index);
            if (reader.kind != OpKind::Conv2d)
                return false;
            if (reader.residual == op.output)
                return reader.residualResample == Resample::None &&
                       std::find(reader.inputs.begin(), reader.inputs.end(), op.output) ==
                           reader.inputs.end();
            return up && readsAsOnlyInput(reader, op.output) && reader.inputResample == Resample::None;
        };
        if (readers.empty() || !std::all_of(readers.begin(), readers.end(), canJoin))
            continue;
        for (uint32_t index : readers) {
            Op reader = editor.op(index);
            if (reader.residual == op.output) {
                reader.residual = op.inputs[0];
                reader.residualResample = op.outputResample;
            } else {
                reader.inputs = op.inputs;
                reader.inputResample = Resample::NearestUp2;
            }
            editor.update(index, std::move(reader));
        }
        editor.remove(i);
        ++count;
    }
    editor.finish();
    return count;
}

size_t foldConcat(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op op = editor.op(i);
        const bool ofActivations =
            op.kind == OpKind::Concat && std::all_of(op.inputs.begin(), op.inputs.end(), [&](uint32_t input) {
                return editor.tensor(input).kind == TensorKind::Activation;
            });
        const bool plain = std::all_of(op.inputScale.begin(), op.inputScale.end(),
                                       [](float scale) { return scale == 1.0f; }) &&
                           std::all_of(op.inputOffset.begin(), op.inputOffset.end(),
                                       [](float offset) { return offset == 0.0f; });
        if (!ofActivations || !plain || op.inputs.size() != 2)
            continue;
        const std::vector<uint32_t> readers = editor.readers(op.output);
        const bool readable = std::all_of(readers.begin(), readers.end(), [&](uint32_t index) {
            const Op &reader = editor.op(index);
            return (reader.kind == OpKind::Conv2d || reader.kind == OpKind::GroupNorm) &&
                   readsAsOnlyInput(reader, op.output);
        });
        if (!readable)
            continue;
        for (uint32_t index : readers) {
            Op reader = editor.op(index);
            reader.inputs = op.inputs;
            editor.update(index, std::move(reader));
        }
        editor.remove(i);
        ++count;
    }
    editor.finish();
    return count;
}

FoldReport fold(Network &network, const std::vector<double> &timesteps, uint32_t nullClass) {
    FoldReport report;
    report.opsBefore = network.graph.ops.size();
    report.tensorsBefore = network.constants.size();
    report.parametersBefore = parametersOf(network);
    report.rows = timesteps.size();
    report.timeOps = opsOfTimeAlone(network);
    report.projections = foldConditioning(network, timesteps, nullClass);
    report.tables = foldTime(network, timesteps);
    report.qkv = foldQkv(network);
    report.heads = foldHeads(network);
    report.linears = foldLinear(network);
    report.activations = foldActivation(network);
    report.residuals = foldResidual(network);
    report.scales = foldScale(network);
    report.resamples = foldResample(network);
    report.concats = foldConcat(network);
    report.pointwise = foldPointwise(network);
    report.opsAfter = network.graph.ops.size();
    report.tensorsAfter = network.constants.size();
    report.parametersAfter = parametersOf(network);
    for (const Op &op : network.graph.ops)
        if (op.kind != OpKind::Concat && op.kind != OpKind::Conv2d && op.kind != OpKind::GroupNorm &&
            op.kind != OpKind::Attention && op.kind != OpKind::Resample && op.kind != OpKind::Pointwise)
            throw std::logic_error(
                text("op ", op.name, " of kind ", unsigned(op.kind), " could not be folded"));
    return report;
}

} // namespace mote::convert
