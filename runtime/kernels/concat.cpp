// Concat: ports to an activation, up to four inputs a dispatch. See shaders/concat.comp.
#include "kernels/ops.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 5, kPushWords = 22, kInputs = 4;

// The inputs of one dispatch.
struct Part {
    size_t first, count;
    uint32_t firstChannel, endChannel; // in the output

    gpu::PipelineDescription pipeline() const {
        return pipelineOf(ShaderId::Concat, {static_cast<uint32_t>(count), firstChannel % 8 != 0 ? 1u : 0u},
                          kBindings, kPushWords);
    }
};

std::vector<Part> partsOf(const OpView &view) {
    std::vector<Part> parts;
    uint32_t channel = 0;
    const size_t inputs = view.op.inputs.size();
    for (size_t first = 0; first < inputs; first += kInputs) {
        Part part{first, std::min<size_t>(kInputs, inputs - first), channel, channel};
        for (size_t i = 0; i < part.count; ++i)
            part.endChannel += view.input(first + i).c;
        channel = part.endChannel;
        parts.push_back(part);
    }
    return parts;
}

} // namespace

Result<std::vector<OpKernel>> concatKernels(const OpView &view, const Traits &) {
    const Op &op = view.op;
    if (op.inputs.empty() || op.inputScale.size() != op.inputs.size() ||
        op.inputOffset.size() != op.inputs.size())
        return makeStatus(StatusCode::InvalidModel, "%s: found %zu inputs, %zu scales and %zu offsets",
                          view.where().c_str(), op.inputs.size(), op.inputScale.size(),
                          op.inputOffset.size());
    for (uint32_t input : op.inputs)
        if (view.kind(input) != TensorKind::Port)
            return makeStatus(StatusCode::Unsupported, "%s: input '%s' is an activation, expected a port",
                              view.where().c_str(), view.graph.tensors[input].name.c_str());
    MOTE_TRY(requireActivation(view, op.output, "output"));
    OpKernel kernel;
    kernel.name = "concat";
    for (const Part &part : partsOf(view))
        kernel.pipelines.push_back(part.pipeline());
    return std::vector<OpKernel>{std::move(kernel)};
}

Result<std::vector<Dispatch>> buildConcat(const OpView &view, const OpBuffers &buffers,
                                          const Traits &traits) {
    const Op &op = view.op;
    const TensorShape &output = view.output();
    std::vector<Dispatch> dispatches;
    for (const Part &part : partsOf(view)) {
        const auto [first, count, firstChannel, endChannel] = part;
        const uint32_t firstBlock = firstChannel / 8, blocks = blocksOf(endChannel) - firstBlock;
        const uint64_t tiles = divideUp(planeOf(output), kLocalSize);

        PushWords push;
        push.add({output.h, output.w, blocksOf(output.c), firstBlock, blocks, firstChannel, tiles,
                  buffers.inputImages != 0 ? buffers.inputImages : output.n});
        for (size_t i = 0; i < kInputs; ++i)
            push.add(i < count ? view.input(first + i).c : 0);
        for (size_t i = 0; i < kInputs; ++i)
            push.addFloat(i < count ? op.inputScale[first + i] : 0);
        for (size_t i = 0; i < kInputs; ++i)
            push.addFloat(i < count ? op.inputOffset[first + i] : 0);

        std::vector<Binding> bindings;
        for (size_t i = 0; i < kInputs; ++i)
            bindings.push_back(i < count ? Binding{buffers.inputs[first + i], Access::Read}
                                         : unused(buffers.output));
        bindings.push_back({buffers.output, firstChannel % 8 != 0 ? Access::ReadWrite : Access::Write});
        MOTE_TRY_ASSIGN(Dispatch dispatch,
                        makeDispatch(op.name + " (concat)", part.pipeline(), std::move(bindings),
                                     std::move(push), uint64_t{output.n} * blocks * tiles, traits));
        dispatch.pointwise = true;
        dispatch.operations = 2 * uint64_t{output.n} * (endChannel - firstChannel) * planeOf(output);
        dispatch.bytes = 6 * uint64_t{output.n} * (endChannel - firstChannel) * planeOf(output);
        dispatches.push_back(std::move(dispatch));
    }
    return dispatches;
}

} // namespace mote::kernels
