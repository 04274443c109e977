// Self-attention: variants and dispatch. See shaders/attention.comp.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 2, kPushWords = 11;
constexpr uint32_t kAligned = 0, kAny = 1; // variants

uint32_t headChannels(const OpView &view) {
    return view.output().c / view.op.heads;
}

// Blocks of the output that one invocation makes: as even a cut of the head as four allow.
uint32_t sliceOf(uint32_t channels) {
    const uint32_t blocks = channels / 8;
    const uint64_t slices = divideUp(blocks, 4);
    return static_cast<uint32_t>(divideUp(blocks, slices));
}

gpu::PipelineDescription pipelineFor(uint32_t variant, uint32_t channels) {
    return variant == kAligned ? pipelineOf(ShaderId::Attention, {sliceOf(channels)}, kBindings, kPushWords)
                               : pipelineOf(ShaderId::AttentionAny, {}, kBindings, kPushWords);
}

} // namespace

Result<std::vector<OpKernel>> attentionKernels(const OpView &view, const Traits &) {
    const Op &op = view.op;
    if (op.inputs.size() != 1)
        return makeStatus(StatusCode::Unsupported, "%s: found %zu inputs, expected 1", view.where().c_str(),
                          op.inputs.size());
    MOTE_TRY(requireActivation(view, op.inputs[0], "input"));
    MOTE_TRY(requireActivation(view, op.output, "output"));
    const uint32_t channels = view.output().c;
    if (op.heads == 0 || channels % op.heads != 0 || view.input(0).c != 3 * uint64_t{channels})
        return makeStatus(StatusCode::InvalidModel, "%s: found %u heads and %u input channels for %u outputs",
                          view.where().c_str(), op.heads, view.input(0).c, channels);
    const uint32_t d = headChannels(view);
    const uint64_t tokens = planeOf(view.output());
    std::vector<OpKernel> kernels;
    uint64_t iterations = 0;
    for (uint32_t variant : {kAligned, kAny}) {
        if (variant == kAligned && d % 8 != 0)
            continue;
        const uint64_t heads = variant == kAligned ? 1 : std::min<uint64_t>(divideUp(8, d) + 1, op.heads);
        iterations = 2 + heads * (2 + divideUp(tokens, variant == kAligned ? 4 : 1) * (2 + divideUp(d, 8)));
        if (iterations > kMaxLoopIterations)
            continue;
        OpKernel kernel;
        kernel.name = variant == kAligned ? "attention aligned" : "attention any";
        kernel.variant = variant;
        kernel.pipelines = {pipelineFor(variant, d)};
        kernels.push_back(std::move(kernel));
    }
    if (kernels.empty())
        return makeStatus(
            StatusCode::Unsupported,
            "%s: found %llu tokens of %u channels a head, %llu loop iterations, expected at most %llu",
            view.where().c_str(), static_cast<unsigned long long>(tokens), d,
            static_cast<unsigned long long>(iterations), static_cast<unsigned long long>(kMaxLoopIterations));
    return kernels;
}

Result<std::vector<Dispatch>> buildAttention(const OpView &view, const OpKernel &kernel,
                                             const OpBuffers &buffers, const Traits &traits) {
    const Op &op = view.op;
    const TensorShape &output = view.output();
    const uint32_t d = headChannels(view);
    const bool aligned = kernel.variant == kAligned;
    const uint64_t tokens = planeOf(output), tiles = divideUp(tokens, kLocalSize);
    const uint64_t slices = aligned ? divideUp(d / 8, sliceOf(d)) : 1;
    const uint64_t units = aligned ? slices * op.heads : blocksOf(output.c);

    PushWords push;
    push.add({tokens, tiles, output.c, d, slices, op.heads, blocksOf(view.input(0).c), blocksOf(output.c)});
    push.addFloat(static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))));
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (" + kernel.name + ")", pipelineFor(kernel.variant, d),
                                 {{buffers.inputs[0], Access::Read}, {buffers.output, Access::Write}},
                                 std::move(push), output.n * units * tiles, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

} // namespace mote::kernels
