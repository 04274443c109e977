// Pointwise: what no convolution or norm took in. See shaders/pointwise.comp.
#include "kernels/ops.h"

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 5, kPushWords = 10;

bool perElement(const OpView &view) {
    return view.op.affine != kNone && view.model.weights[view.op.affine].shape.size() == 4;
}

gpu::PipelineDescription pipelineFor(const OpView &view) {
    const Op &op = view.op;
    const uint32_t affine = op.affine == kNone ? 0 : perElement(view) ? 2 : 1;
    return pipelineOf(ShaderId::Pointwise,
                      {static_cast<uint32_t>(op.activation), affine, static_cast<uint32_t>(op.inputs.size()),
                       op.inputs.size() > 1 ? view.input(0).c % 8 : 0, op.residual != kNone ? 1u : 0u},
                      kBindings, kPushWords);
}

} // namespace

Result<std::vector<OpKernel>> pointwiseKernels(const OpView &view, const Traits &) {
    const Op &op = view.op;
    if (op.inputs.empty() || op.inputs.size() > 2)
        return makeStatus(StatusCode::Unsupported, "%s: found %zu inputs, expected 1 or 2",
                          view.where().c_str(), op.inputs.size());
    for (uint32_t input : op.inputs)
        MOTE_TRY(requireActivation(view, input, "input"));
    if (op.residual != kNone)
        MOTE_TRY(requireActivation(view, op.residual, "residual"));
    MOTE_TRY(requireActivation(view, op.output, "output"));
    const TensorShape &shape = view.output();
    OpKernel kernel;
    kernel.name = "pointwise";
    kernel.pipelines = {pipelineFor(view)};
    if (perElement(view)) {
        MOTE_TRY(requireShape(view, op.affine, {2, shape.c, shape.h, shape.w}, "affine map"));
        kernel.affineBytes = 2 * uint64_t{blocksOf(shape.c)} * planeOf(shape) * 8 * sizeof(float);
    } else if (op.affine != kNone) {
        MOTE_TRY(requireShape(view, op.affine, {rowsOf(view, op.affine), 2, shape.c}, "affine table"));
        kernel.affineBytes = uint64_t{rowsOf(view, op.affine)} * 2 * blocksOf(shape.c) * 8 * sizeof(float);
    }
    return std::vector<OpKernel>{std::move(kernel)};
}

Result<std::vector<Dispatch>> buildPointwise(const OpView &view, const OpBuffers &buffers,
                                             const Traits &traits) {
    const Op &op = view.op;
    const bool two = op.inputs.size() > 1;
    const TensorShape &input = view.input(0), &output = view.output();
    const uint64_t tiles = divideUp(planeOf(output), kLocalSize);
    const uint32_t row =
        op.affine != kNone && !perElement(view) && rowsOf(view, op.affine) > 1 ? buffers.row : 0;
    PushWords push;
    push.add({input.c, output.c, blocksOf(input.c), two ? blocksOf(view.input(1).c) : 0, blocksOf(output.c),
              planeOf(output), tiles, uint64_t{row} * 4 * blocksOf(output.c)});
    const Binding none = unused(buffers.inputs[0]);
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (pointwise)", pipelineFor(view),
                                 {{buffers.inputs[0], Access::Read},
                                  two ? Binding{buffers.inputs[1], Access::Read} : none,
                                  op.affine != kNone ? Binding{buffers.affine, Access::Read} : none,
                                  op.residual != kNone ? Binding{buffers.residual, Access::Read} : none,
                                  {buffers.output, Access::Write}},
                                 std::move(push), uint64_t{output.n} * blocksOf(output.c) * tiles, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

} // namespace mote::kernels
