// Resample: an activation at twice or half its size. See shaders/resample.comp.
#include "kernels/ops.h"

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 2, kPushWords = 7;

gpu::PipelineDescription pipelineFor(const Op &op) {
    return pipelineOf(ShaderId::Resample, {static_cast<uint32_t>(op.outputResample)}, kBindings, kPushWords);
}

} // namespace

Result<std::vector<OpKernel>> resampleKernels(const OpView &view, const Traits &) {
    if (view.op.inputs.size() != 1)
        return makeStatus(StatusCode::Unsupported, "%s: found %zu inputs, expected 1", view.where().c_str(),
                          view.op.inputs.size());
    MOTE_TRY(requireActivation(view, view.op.inputs[0], "input"));
    MOTE_TRY(requireActivation(view, view.op.output, "output"));
    OpKernel kernel;
    kernel.name = "resample";
    kernel.pipelines = {pipelineFor(view.op)};
    return std::vector<OpKernel>{std::move(kernel)};
}

Result<std::vector<Dispatch>> buildResample(const OpView &view, const OpBuffers &buffers,
                                            const Traits &traits) {
    const TensorShape &input = view.input(0), &output = view.output();
    const uint64_t tiles = divideUp(planeOf(output), kLocalSize);
    PushWords push;
    push.add({input.h, input.w, output.h, output.w, tiles});
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(view.op.name + " (resample)", pipelineFor(view.op),
                                 {{buffers.inputs[0], Access::Read}, {buffers.output, Access::Write}},
                                 std::move(push), uint64_t{output.n} * blocksOf(output.c) * tiles, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

} // namespace mote::kernels
