// The 1x1 convolution that holds its sources in registers, on software devices: when it suits, weight
// packing, dispatch. See shaders/conv2d_held.comp.
#include "kernels/conv2d.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kPixels = 4; // of an invocation
constexpr uint32_t kMostTerms = 288, kMostQuads = 16;

// Channels of the sources as terms count them.
uint32_t channels0Of(const ConvFacts &facts) {
    return facts.blocks0 == 1 && facts.blocks1 == 0 ? facts.input.c : 8 * facts.blocks0;
}

uint32_t termsOf(const ConvFacts &facts) {
    return channels0Of(facts) + 8 * facts.blocks1;
}

uint32_t quadsOf(const ConvFacts &facts) {
    return std::min(2 * facts.outputBlocks, kMostQuads);
}

uint32_t tilesOf(const ConvFacts &facts, uint32_t tileLoops) {
    return static_cast<uint32_t>(divideUp(divideUp(planeOf(facts.output), 8 * kPixels), tileLoops));
}

gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, bool statistics) {
    return pipelineOf(ShaderId::Conv2dHeld,
                      {facts.kernelHeight, facts.kernelWidth, view.op.stride,
                       view.op.inputResample == Resample::NearestUp2 ? 1u : 0u, facts.blocks1 != 0 ? 2u : 1u,
                       view.op.residual != kNone ? 1u : 0u, 0, statistics ? 1u : 0u, channels0Of(facts),
                       8 * facts.blocks1, kPixels, heldOutputs(termsOf(facts)), quadsOf(facts)},
                      kConvBindings, kConvPushWords, kConvTexelBindings);
}

} // namespace

uint32_t heldOutputs(uint32_t terms) {
    return terms <= 112 ? 4 : terms <= 224 ? 2 : 1;
}

uint64_t secondWeightOffset(const ConvFacts &facts) {
    return divideUp(directWeightBytes(facts), 256) * 256;
}

// At most half of what may be bound, as for Winograd: then the direct kernels' alone are tried.
bool fitsBothWeights(const Traits &traits, uint64_t bytes) {
    return bytes <= std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes) / 2 &&
           fitsTexels(traits, bytes);
}

bool heldIsFaster(const ConvFacts &facts) {
    constexpr uint64_t kLeastMultiplyAdds = 40'000'000; // a fifth of their time is then 0.3 ms or more
    return uint64_t{planeOf(facts.output)} * facts.outputBlocks * 8 * termsOf(facts) >= kLeastMultiplyAdds;
}

uint64_t heldWeightBytes(const ConvFacts &facts) {
    const uint32_t outputs = heldOutputs(termsOf(facts));
    return uint64_t{8} * facts.outputBlocks / outputs * divideUp(termsOf(facts), 64 / outputs) * 8 *
           kActivationBlockBytes;
}

bool heldSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    return isPointwise(view) && traits.cpu && canShuffle(traits.caps) && !facts.port &&
           termsOf(facts) <= kMostTerms &&
           fitsBothWeights(traits, secondWeightOffset(facts) + heldWeightBytes(facts));
}

void heldKernel(const OpView &view, const ConvFacts &facts, bool statistics, OpKernel &kernel) {
    const uint64_t iterations = 5 * quadsOf(facts) + 2;
    const uint64_t wanted = statistics ? divideUp(tilesOf(facts, 1), kStatisticsTiles) : 1;
    kernel.tileLoops =
        static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
    kernel.pipelines = {pipelineFor(view, facts, statistics)};
}

uint32_t heldStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel) {
    return tilesOf(facts, kernel.tileLoops);
}

Result<std::vector<Dispatch>> buildHeld(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                        const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const uint32_t tiles = tilesOf(facts, kernel.tileLoops);
    const uint64_t groups =
        facts.output.n * divideUp(tiles, kLocalSize / 8) * divideUp(2 * facts.outputBlocks, quadsOf(facts));
    return buildConvDispatch(view, facts, kernel, buffers,
                             {tiles, 0, groups, secondWeightOffset(facts), heldWeightBytes(facts)},
                             statistics, traits);
}

// [outputs / O][sets][8 lanes][8 / O terms][O outputs]: term 64 / O * set + 8 t + lane
void packHeld(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
              uint16_t *packed) {
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    const size_t outputs = shape[0], inputs = shape[3];
    const size_t channels0 = graph.tensors[op.inputs[0]].channels;
    const bool several = op.inputs.size() > 1 || channels0 > 8;
    const size_t padded0 = several ? divideUp(channels0, 8) * 8 : channels0;
    const size_t terms = padded0 + divideUp(inputs - channels0, 8) * 8;
    const size_t each = heldOutputs(static_cast<uint32_t>(terms)), sets = divideUp(terms, 64 / each);
    for (size_t o = 0; o < outputs; ++o) {
        for (size_t i = 0; i < inputs; ++i) {
            const size_t k = i < channels0 ? i : padded0 + i - channels0;
            const size_t set = k * each / 64, within = k % (64 / each);
            packed[((o / each * sets + set) * 8 + within % 8) * 8 + within / 8 * each + o % each] =
                canonical[o * inputs + i];
        }
    }
}

} // namespace mote::kernels
