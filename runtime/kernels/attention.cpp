// Self-attention: variants and dispatches. See shaders/attention.comp and shaders/attention_interface.glsl.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 2, kPushWords = 11;
constexpr uint32_t kAligned = 0, kAny = 1, kBands = 2; // variants
constexpr uint32_t kLanes = 8, kBandPush = 13;
// What scores and weights of a band may take: about the caches of two cores.
constexpr uint64_t kBandBytes = 8u << 20;

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

// The variant in three dispatches: what it works on at a time.
struct Band {
    uint32_t keyGroups = 0;          // of 16 keys
    uint32_t slots = 0, columns = 0; // pairs of image and head; queries of each
    uint64_t scoreBytes = 0, weightBytes = 0, sumBytes = 0;

    uint64_t weightOffset() const { return divideUp(scoreBytes, 256) * 256; }
    uint64_t sumOffset() const { return weightOffset() + divideUp(weightBytes, 256) * 256; }
};

Band bandOf(const OpView &view) {
    const auto tokens = static_cast<uint32_t>(planeOf(view.output()));
    Band band;
    band.keyGroups = static_cast<uint32_t>(divideUp(tokens, 16));
    const uint64_t columnBytes = uint64_t{band.keyGroups} * 6 * 16;
    const uint64_t fitting = kBandBytes / columnBytes;
    band.columns = fitting >= tokens ? tokens : std::max(static_cast<uint32_t>(fitting / 64 * 64), 64u);
    band.slots = static_cast<uint32_t>(
        std::clamp<uint64_t>(fitting / tokens, 1, uint64_t{view.output().n} * view.op.heads));
    const uint64_t columns = uint64_t{band.slots} * band.columns;
    band.scoreBytes = columns * band.keyGroups * 4 * 16;
    band.weightBytes = columns * band.keyGroups * 2 * 16;
    band.sumBytes = columns * 4;
    return band;
}

gpu::PipelineDescription scoresPipeline() {
    return pipelineOf(ShaderId::AttentionScores, {kLanes}, 2, kBandPush, 1);
}
gpu::PipelineDescription softmaxPipeline() {
    return pipelineOf(ShaderId::AttentionSoftmax, {kLanes}, 3, kBandPush, 1);
}
gpu::PipelineDescription valuesPipeline() {
    return pipelineOf(ShaderId::AttentionValues, {kLanes}, 4, kBandPush, 3);
}

bool canBand(const OpView &view, const Traits &traits) {
    const uint64_t input = tensorBytes(TensorKind::Activation, view.input(0));
    const Band band = bandOf(view);
    const uint64_t scratch = band.sumOffset() + band.sumBytes;
    return traits.cpu && canShuffle(traits.caps) && traits.caps.subgroupSize == kLanes &&
           headChannels(view) % 8 == 0 && fitsTexels(traits, std::max(input, scratch)) &&
           scratch <= std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes) &&
           4 * (uint64_t{band.keyGroups} + 1) + headChannels(view) / 8 <= kMaxLoopIterations;
}

Result<std::vector<Dispatch>> buildBands(const OpView &view, const OpBuffers &buffers, const Traits &traits) {
    const Op &op = view.op;
    const Band band = bandOf(view);
    const auto tokens = static_cast<uint32_t>(planeOf(view.output()));
    const uint32_t d = headChannels(view), slots = view.output().n * op.heads;
    BufferRange scores = buffers.scratch, weights = buffers.scratch, sums = buffers.scratch;
    scores.end = scores.begin + band.scoreBytes;
    weights.begin += band.weightOffset();
    weights.end = weights.begin + band.weightBytes;
    sums.begin += band.sumOffset();
    sums.end = sums.begin + band.sumBytes;

    std::vector<Dispatch> dispatches;
    for (uint32_t slot = 0; slot < slots; slot += band.slots) {
        for (uint32_t query = 0; query < tokens; query += band.columns) {
            const uint32_t slotCount = std::min(band.slots, slots - slot);
            const uint32_t columns = std::min(band.columns, tokens - query);
            // The shares are those measured on lavapipe.
            const auto add = [&](const char *part, gpu::PipelineDescription pipeline,
                                 std::vector<Binding> bindings, uint64_t units, double share) -> Status {
                PushWords push;
                push.add({tokens, d / 8, op.heads, blocksOf(view.input(0).c), blocksOf(view.output().c),
                          band.keyGroups, slot, slotCount, query, columns});
                push.addFloat(static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))));
                MOTE_TRY_ASSIGN(Dispatch dispatch,
                                makeDispatch(op.name + " (attention " + part + ")", std::move(pipeline),
                                             std::move(bindings), std::move(push),
                                             divideUp(slotCount * units, kLocalSize / kLanes), traits));
                const OpCost &whole = view.shapes.costs[view.index];
                share *= static_cast<double>(slotCount) * columns / (static_cast<double>(slots) * tokens);
                dispatch.operations = static_cast<uint64_t>(static_cast<double>(whole.operations) * share);
                dispatch.bytes = static_cast<uint64_t>(static_cast<double>(whole.bytes) * share);
                dispatches.push_back(std::move(dispatch));
                return {};
            };
            MOTE_TRY(add("scores", scoresPipeline(),
                         {{buffers.inputs[0], Access::Read}, {scores, Access::Write}},
                         divideUp(columns, 64) * band.keyGroups, 0.45));
            MOTE_TRY(add("softmax", softmaxPipeline(),
                         {{scores, Access::Read}, {weights, Access::Write}, {sums, Access::Write}},
                         divideUp(columns, 8), 0.25));
            MOTE_TRY(add("values", valuesPipeline(),
                         {{buffers.inputs[0], Access::Read},
                          {weights, Access::Read},
                          {sums, Access::Read},
                          {buffers.output, Access::Write}},
                         divideUp(columns, 64) * divideUp(d / 8, 2), 0.3));
        }
    }
    return dispatches;
}

} // namespace

Result<std::vector<OpKernel>> attentionKernels(const OpView &view, const Traits &traits) {
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
    if (canBand(view, traits)) {
        OpKernel kernel;
        kernel.name = "attention bands";
        kernel.variant = kBands;
        kernel.pipelines = {scoresPipeline(), softmaxPipeline(), valuesPipeline()};
        const Band band = bandOf(view);
        kernel.scratchBytes = band.sumOffset() + band.sumBytes;
        kernels.push_back(std::move(kernel));
    }
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
    if (kernel.variant == kBands)
        return buildBands(view, buffers, traits);
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
