// Self-attention: variants and dispatches. See shaders/attention.comp and shaders/attention_interface.glsl.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 2, kPushWords = 11;
constexpr uint32_t kAligned = 0, kAny = 1, kBands = 2; // variants
constexpr uint32_t kLanes = 8, kBandPush = 14;
constexpr uint32_t kFewBlocks = 8,
                   kFewQueries = 4; // of attention_scores_few.comp: of a head; of an invocation
// What the scores of a band may take: well within the second caches of two cores. 4 MB take a twentieth
// longer, 8 a quarter.
constexpr uint64_t kBandBytes = 2u << 20;

uint32_t headChannels(const OpView &view) {
    return view.output().c / view.op.heads;
}

// Blocks of the output that one invocation makes: as even a cut of the head as four allow, or two where there
// are registers for no more.
uint32_t sliceOf(uint32_t channels, const Traits &traits) {
    const uint32_t blocks = channels / 8;
    const uint64_t slices = divideUp(blocks, traits.fewRegisters ? 2 : 4);
    return static_cast<uint32_t>(divideUp(blocks, slices));
}

gpu::PipelineDescription pipelineFor(uint32_t variant, uint32_t channels, const Traits &traits) {
    return variant == kAligned
               ? pipelineOf(ShaderId::Attention, {sliceOf(channels, traits)}, kBindings, kPushWords)
               : pipelineOf(ShaderId::AttentionAny, {}, kBindings, kPushWords);
}

// The variant in two dispatches: what it works on at a time.
struct Band {
    uint32_t keyGroups = 0;          // of 16 keys
    uint32_t slots = 0, columns = 0; // pairs of image and head; queries of each
    bool few = false;                // the kernel of the scores
    uint32_t ranges = 0;             // of keys with one highest score
    uint64_t scoreBytes = 0, highestBytes = 0;

    uint64_t highestOffset() const { return divideUp(scoreBytes, 256) * 256; }
    uint64_t scratchBytes() const { return highestOffset() + highestBytes; }
};

Band bandOf(const OpView &view) {
    const auto tokens = static_cast<uint32_t>(planeOf(view.output()));
    Band band;
    band.keyGroups = static_cast<uint32_t>(divideUp(tokens, 16));
    const uint64_t columnBytes = uint64_t{band.keyGroups} * 4 * 16;
    const uint64_t fitting = kBandBytes / columnBytes;
    band.columns = fitting >= tokens ? tokens : std::max(static_cast<uint32_t>(fitting / 64 * 64), 64u);
    band.slots = static_cast<uint32_t>(
        std::clamp<uint64_t>(fitting / tokens, 1, uint64_t{view.output().n} * view.op.heads));
    const uint64_t columns = uint64_t{band.slots} * band.columns;
    band.scoreBytes = columns * band.keyGroups * 4 * 16;
    band.few = headChannels(view) / 8 <= kFewBlocks;
    band.ranges = band.few ? static_cast<uint32_t>(divideUp(band.keyGroups, 8)) : band.keyGroups;
    band.highestBytes = columns * band.ranges * 4;
    return band;
}

gpu::PipelineDescription scoresPipeline(const OpView &view) {
    const uint32_t blocks = headChannels(view) / 8;
    if (blocks <= kFewBlocks)
        return pipelineOf(ShaderId::AttentionScoresFew, {kLanes, blocks, kFewQueries}, 3, kBandPush, 1);
    return pipelineOf(ShaderId::AttentionScores, {kLanes}, 3, kBandPush, 1);
}

// Of attention_values.comp: as even a cut of the head as eight blocks allow, and queries so that sums are 128
// at most.
struct ValueShape {
    uint32_t blocks = 0, queries = 0;
};
ValueShape valueShape(const OpView &view) {
    const uint32_t blocks = headChannels(view) / 8;
    ValueShape shape;
    shape.blocks = static_cast<uint32_t>(divideUp(blocks, divideUp(blocks, 8)));
    shape.queries = std::min(16 / shape.blocks, 8u);
    return shape;
}
gpu::PipelineDescription valuesPipeline(const OpView &view) {
    const ValueShape shape = valueShape(view);
    return pipelineOf(ShaderId::AttentionValues, {kLanes, shape.blocks, shape.queries}, 4, kBandPush, 3);
}

bool canBand(const OpView &view, const Traits &traits) {
    const uint64_t input = tensorBytes(TensorKind::Activation, view.input(0));
    const Band band = bandOf(view);
    const uint64_t scratch = band.scratchBytes();
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
    const ValueShape shape = valueShape(view);
    BufferRange scores = buffers.scratch, highest = scores;
    scores.end = scores.begin + band.scoreBytes;
    highest.begin += band.highestOffset();
    highest.end = highest.begin + band.highestBytes;

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
                          band.keyGroups, slot, slotCount, query, columns, band.ranges});
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
            MOTE_TRY(
                add("scores", scoresPipeline(view),
                    {{buffers.inputs[0], Access::Read}, {scores, Access::Write}, {highest, Access::Write}},
                    divideUp(columns, band.few ? kFewQueries * kLanes : 64) * band.ranges, 0.48));
            MOTE_TRY(add("values", valuesPipeline(view),
                         {{buffers.inputs[0], Access::Read},
                          {scores, Access::Read},
                          {highest, Access::Read},
                          {buffers.output, Access::Write}},
                         divideUp(columns, shape.queries * kLanes) * divideUp(d / 8, shape.blocks), 0.52));
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
        kernel.pipelines = {scoresPipeline(view), valuesPipeline(view)};
        kernel.scratchBytes = bandOf(view).scratchBytes();
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
        kernel.pipelines = {pipelineFor(variant, d, traits)};
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
    const uint64_t slices = aligned ? divideUp(d / 8, sliceOf(d, traits)) : 1;
    const uint64_t units = aligned ? slices * op.heads : blocksOf(output.c);

    PushWords push;
    push.add({tokens, tiles, output.c, d, slices, op.heads, blocksOf(view.input(0).c), blocksOf(output.c)});
    push.addFloat(static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))));
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (" + kernel.name + ")", pipelineFor(kernel.variant, d, traits),
                                 {{buffers.inputs[0], Access::Read}, {buffers.output, Access::Write}},
                                 std::move(push), output.n * units * tiles, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

} // namespace mote::kernels
