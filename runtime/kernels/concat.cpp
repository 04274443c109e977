// Concat: ports to an activation, a block of up to four inputs a dispatch. See shaders/concat.comp.
#include "kernels/ops.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 5, kPushWords = 23, kInputs = 4;

// What one dispatch makes: channels of one block, from up to four inputs.
struct Part {
    uint32_t block = 0, first = 0; // channels of the block before it are kept
    size_t firstInput = 0, inputs = 0;
    uint32_t ends[kInputs] = {};  // of each input's channels in the block
    int32_t shifts[kInputs] = {}; // from a channel of the block to the input's

    uint32_t channels() const { return ends[kInputs - 1] - first; }
    gpu::PipelineDescription pipeline() const {
        return pipelineOf(ShaderId::Concat, {first, ends[0], ends[1], ends[2], ends[3]}, kBindings,
                          kPushWords);
    }
};

std::vector<Part> partsOf(const OpView &view) {
    std::vector<Part> parts;
    uint32_t channel = 0; // of the output
    for (size_t i = 0; i < view.op.inputs.size(); ++i) {
        const uint32_t begin = channel, end = begin + view.input(i).c;
        while (channel < end) {
            if (channel % 8 == 0 || parts.back().inputs == kInputs) {
                Part part;
                part.block = channel / 8;
                part.first = channel % 8;
                part.firstInput = i;
                parts.push_back(part);
            }
            Part &part = parts.back();
            const uint32_t next = std::min(end, 8 * (part.block + 1));
            part.shifts[part.inputs] = static_cast<int32_t>(8 * part.block) - static_cast<int32_t>(begin);
            std::fill(part.ends + part.inputs, part.ends + kInputs, next - 8 * part.block);
            ++part.inputs;
            channel = next;
        }
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
        const uint64_t tiles = divideUp(planeOf(output), kLocalSize);
        PushWords push;
        push.add({planeOf(output), blocksOf(output.c), part.block, tiles,
                  buffers.inputImages != 0 ? buffers.inputImages : output.n});
        const auto inputOf = [&](size_t i) { return part.firstInput + std::min(i, part.inputs - 1); };
        for (size_t i = 0; i < kInputs; ++i)
            push.add(view.input(inputOf(i)).c);
        for (const int32_t shift : part.shifts)
            push.add(static_cast<uint32_t>(shift));
        for (size_t i = 0; i < kInputs; ++i)
            push.addFloat(op.inputScale[inputOf(i)]);
        for (size_t i = 0; i < kInputs; ++i)
            push.addFloat(op.inputOffset[inputOf(i)]);

        std::vector<Binding> bindings;
        for (size_t i = 0; i < kInputs; ++i)
            bindings.push_back(i < part.inputs ? Binding{buffers.inputs[part.firstInput + i], Access::Read}
                                               : unused(buffers.output));
        bindings.push_back({buffers.output, part.first != 0 ? Access::ReadWrite : Access::Write});
        MOTE_TRY_ASSIGN(Dispatch dispatch,
                        makeDispatch(op.name + " (concat)", part.pipeline(), std::move(bindings),
                                     std::move(push), uint64_t{output.n} * tiles, traits));
        dispatch.pointwise = true;
        dispatch.operations = 2 * uint64_t{output.n} * part.channels() * planeOf(output);
        dispatch.bytes = 6 * uint64_t{output.n} * part.channels() * planeOf(output);
        dispatches.push_back(std::move(dispatch));
    }
    return dispatches;
}

} // namespace mote::kernels
