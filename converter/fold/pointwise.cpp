// What is left when the other passes are done.
#include "fold/editor.h"
#include "fold/fold.h"

#include <algorithm>

namespace mote::convert {

namespace {

// A factor and an offset, as an affine table; a row for each timestep where the factor has them.
Constant affineOf(const Op &scale, uint32_t channels) {
    const auto rows = std::max<uint32_t>(1, static_cast<uint32_t>(scale.outputScales.size()));
    Constant table{scale.name + ".affine", {rows, 2, channels}, {}};
    for (uint32_t row = 0; row < rows; ++row)
        for (const float part : {scale.inputScale[0], scale.inputOffset[0]})
            for (uint32_t c = 0; c < channels; ++c)
                table.values.push_back(double(part) *
                                       (scale.outputScales.empty() ? 1.0 : double(scale.outputScales[row])));
    return table;
}

bool joinsOnly(const Op &op) { // puts its inputs one after the other and does nothing else
    return op.kind == OpKind::Pointwise && op.affine == kNone && op.residual == kNone &&
           op.activation == ActivationFunction::None;
}

} // namespace

size_t foldPointwise(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        Op op = editor.op(i);
        if (op.kind == OpKind::Concat && editor.tensor(op.inputs[0]).kind == TensorKind::Activation) {
            op.inputScale.clear();
            op.inputOffset.clear();
        } else if (op.kind == OpKind::Scale) {
            op.affine = editor.addConstant(affineOf(op, editor.tensor(op.output).channels));
            op.inputScale.clear();
            op.inputOffset.clear();
            op.outputScales.clear();
        } else if (op.kind == OpKind::Add) {
            op.residual = op.inputs[1];
            op.inputs.pop_back();
        } else if (op.kind != OpKind::Activation && op.kind != OpKind::Pointwise) {
            continue;
        }
        op.kind = OpKind::Pointwise;
        editor.update(i, op);
        ++count;
        const Op *before = editor.maker(op.inputs[0]);
        if (op.inputs.size() > 1 || before == nullptr || before->kind != OpKind::Pointwise ||
            !editor.readOnce(op.inputs[0]))
            continue;
        Op fused = op;
        if (joinsOnly(*before)) {
            fused.inputs = before->inputs;
        } else if (op.affine == kNone && op.residual == kNone &&
                   before->activation == ActivationFunction::None) {
            fused = *before; // an activation
            fused.activation = op.activation;
        } else if (op.affine == kNone && before->residual == kNone &&
                   before->activation == ActivationFunction::None) {
            fused = *before; // an addition
            fused.residual = op.residual;
            fused.activation = op.activation;
        } else {
            continue;
        }
        fused.name = op.name;
        editor.fuse(editor.makerIndex(op.inputs[0]), i, std::move(fused));
        --count;
    }
    editor.finish();
    return count;
}

} // namespace mote::convert
