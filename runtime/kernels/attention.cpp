// Self-attention: variants and dispatches. See shaders/attention.comp and shaders/attention_interface.glsl.
#include "kernels/ops.h"

#include <algorithm>
#include <cmath>

namespace mote::kernels {

namespace {

constexpr uint32_t kBindings = 2, kPushWords = 11;
constexpr uint32_t kAligned = 0, kAny = 1, kBands = 2; // variants
constexpr uint32_t kLanes = 8, kBandPush = 15;
constexpr double kLog2E = 1.44269504088896340736;
constexpr uint32_t kGroup = 32, kRangeEights = 16; // of shaders/attention_interface.glsl
constexpr uint32_t kHeldBlocks = 64;               // of a head's channels, at most, in attention_scores.comp
// Groups of queries of a band come in fours, so that two cores share those of heads of 64 channels and more.
constexpr uint32_t kGroupsTogether = 4;
// What the weights of a band may take: two cores have them in their second caches, and 1024 or 4096 tokens of
// one head fill it evenly. Half of it and twice as much take 3 and 10 % longer at 4096 tokens.
constexpr uint64_t kBandBytes = 5u << 19;

uint32_t headChannels(const OpView &view) {
    return view.output().c / view.op.heads;
}

// Blocks of the output that one invocation makes: as even a cut of the head as four allow, or two where there
// are registers for no more.
uint32_t sliceOf(uint32_t channels, const Traits &traits) {
    const uint32_t blocks = channels / 8;
    const uint64_t slices = divideUp(blocks, traits.tiles == RegisterTiles::Large ? 4 : 2);
    return static_cast<uint32_t>(divideUp(blocks, slices));
}

gpu::PipelineDescription pipelineFor(uint32_t variant, uint32_t channels, const Traits &traits) {
    return variant == kAligned
               ? pipelineOf(ShaderId::Attention, {sliceOf(channels, traits)}, kBindings, kPushWords)
               : pipelineOf(ShaderId::AttentionAny, {}, kBindings, kPushWords);
}

// The variant in two dispatches: what it works on at a time.
struct Band {
    uint32_t eights = 0, ranges = 0; // of keys
    uint32_t slots = 0, columns = 0; // pairs of image and head; queries of each
    uint32_t groups = 0;             // of those queries
    uint64_t weightBytes = 0, highestBytes = 0;

    uint64_t highestOffset() const { return divideUp(weightBytes, 256) * 256; }
    uint64_t scratchBytes() const { return highestOffset() + highestBytes; }
};

Band bandOf(const OpView &view) {
    const auto tokens = static_cast<uint32_t>(planeOf(view.output()));
    const uint64_t slots = uint64_t{view.output().n} * view.op.heads;
    Band band;
    band.eights = static_cast<uint32_t>(divideUp(tokens, 8));
    band.ranges = static_cast<uint32_t>(divideUp(band.eights, kRangeEights));
    const uint64_t groupBytes = uint64_t{band.eights} * 5 * 8 * 16, all = divideUp(tokens, kGroup);
    const uint64_t fitting = std::max<uint64_t>(kBandBytes / groupBytes, 1);
    const uint64_t even = divideUp(divideUp(all, divideUp(all, fitting)), kGroupsTogether) * kGroupsTogether;
    band.groups = static_cast<uint32_t>(std::min(all, even));
    band.columns = std::min(band.groups * kGroup, tokens);
    band.slots = static_cast<uint32_t>(std::clamp<uint64_t>(fitting / all, 1, slots));
    band.weightBytes = uint64_t{band.slots} * band.groups * groupBytes;
    band.highestBytes = uint64_t{band.slots} * band.groups * band.ranges * 8 * 16;
    return band;
}

// Of attention_scores.comp: keys at a time, so that a turn has up to 1024 multiply-adds, which the cache of
// decoded instructions holds.
uint32_t keysOf(uint32_t channels) {
    return channels <= 32 ? 4 : channels <= 128 ? 2 : 1;
}
gpu::PipelineDescription scoresPipeline(const OpView &view) {
    const uint32_t d = headChannels(view);
    return pipelineOf(ShaderId::AttentionScores, {d / 8, keysOf(d), kGroup / kLanes}, 3, kBandPush, 1);
}

// Of attention_values.comp: as even a cut of the head as four blocks allow, and queries so that sums are 128
// at most.
struct ValueShape {
    uint32_t blocks = 0, queries = 0;
};
ValueShape valueShape(const OpView &view) {
    const uint32_t blocks = headChannels(view) / 8;
    ValueShape shape;
    shape.blocks = static_cast<uint32_t>(divideUp(blocks, divideUp(blocks, 4)));
    shape.queries = shape.blocks <= 2 ? 8 : 4;
    return shape;
}
gpu::PipelineDescription valuesPipeline(const OpView &view) {
    const ValueShape shape = valueShape(view);
    return pipelineOf(ShaderId::AttentionValues, {shape.blocks, shape.queries}, 4, kBandPush, 7);
}

bool canBand(const OpView &view, const Traits &traits) {
    const uint64_t input = tensorBytes(TensorKind::Activation, view.input(0));
    const Band band = bandOf(view);
    const uint64_t scratch = band.scratchBytes();
    return traits.cpu && canShuffle(traits.caps) && traits.caps.subgroupSize == kLanes &&
           headChannels(view) % 8 == 0 && headChannels(view) / 8 <= kHeldBlocks &&
           fitsTexels(traits, std::max(input, scratch)) &&
           scratch <= std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes) &&
           2 * (uint64_t{band.eights} + kRangeEights) <= kMaxLoopIterations;
}

Result<std::vector<Dispatch>> buildBands(const OpView &view, const OpBuffers &buffers, const Traits &traits) {
    const Op &op = view.op;
    const Band band = bandOf(view);
    const auto tokens = static_cast<uint32_t>(planeOf(view.output()));
    const uint32_t d = headChannels(view), slots = view.output().n * op.heads;
    const ValueShape shape = valueShape(view);
    BufferRange weights = buffers.scratch, highest = weights;
    weights.end = weights.begin + band.weightBytes;
    highest.begin += band.highestOffset();
    highest.end = highest.begin + band.highestBytes;

    std::vector<Dispatch> dispatches;
    for (uint32_t slot = 0; slot < slots; slot += band.slots) {
        for (uint32_t query = 0; query < tokens; query += band.columns) {
            const uint32_t slotCount = std::min(band.slots, slots - slot);
            const uint32_t columns = std::min(band.columns, tokens - query);
            const auto groups = static_cast<uint32_t>(divideUp(columns, kGroup));
            // The shares are those measured on lavapipe.
            const auto add = [&](const char *part, gpu::PipelineDescription pipeline,
                                 std::vector<Binding> bindings, uint64_t units, double share) -> Status {
                PushWords push;
                push.add({tokens, d / 8, op.heads, blocksOf(view.input(0).c), blocksOf(view.output().c),
                          band.eights, slot, slotCount, query, columns, groups, band.ranges});
                push.addFloat(static_cast<float>(kLog2E / std::sqrt(static_cast<double>(d))));
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
                    {{buffers.inputs[0], Access::Read}, {weights, Access::Write}, {highest, Access::Write}},
                    uint64_t{groups} * band.ranges, 0.48));
            MOTE_TRY(add("values", valuesPipeline(view),
                         {{buffers.inputs[0], Access::Read},
                          {weights, Access::Read},
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
