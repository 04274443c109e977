// The convolution of few input channels on software devices: when it pays, weight packing, dispatch. See
// shaders/conv2d_few.comp.
#include "kernels/conv2d.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kPixels = 4; // of an invocation
constexpr uint32_t kMostTerms = 72, kMostQuads = 16;
constexpr uint32_t kBindings = 7, kPushWords = 20, kTexelBindings = 0x1f;

uint32_t termsOf(const ConvFacts &facts) {
    return facts.kernelHeight * facts.kernelWidth * facts.input.c;
}

uint32_t quadsOf(const ConvFacts &facts) {
    return std::min(2 * facts.outputBlocks, kMostQuads);
}

uint32_t tilesOf(const ConvFacts &facts, uint32_t tileLoops) {
    return static_cast<uint32_t>(divideUp(divideUp(planeOf(facts.output), 8 * kPixels), tileLoops));
}

gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, bool statistics) {
    return pipelineOf(ShaderId::Conv2dFew,
                      {facts.kernelHeight, facts.kernelWidth, view.op.stride,
                       view.op.inputResample == Resample::NearestUp2 ? 1u : 0u, 1, 0, 0, statistics ? 1u : 0u,
                       facts.input.c, kPixels, quadsOf(facts)},
                      kBindings, kPushWords, kTexelBindings);
}

} // namespace

uint64_t secondWeightOffset(const ConvFacts &facts) {
    return divideUp(directWeightBytes(facts), 256) * 256;
}

uint64_t fewWeightBytes(const ConvFacts &facts) {
    return uint64_t{2} * facts.outputBlocks * divideUp(termsOf(facts), 16) * 8 * kActivationBlockBytes;
}

bool fewSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    return traits.cpu && canShuffle(traits.caps) && facts.blocks0 == 1 && facts.blocks1 == 0 && !facts.port &&
           view.op.residual == kNone && termsOf(facts) <= kMostTerms &&
           fitsTexels(traits, secondWeightOffset(facts) + fewWeightBytes(facts));
}

void fewKernel(const OpView &view, const ConvFacts &facts, bool statistics, OpKernel &kernel) {
    const uint64_t iterations = quadsOf(facts) + 2;
    const uint64_t wanted = statistics ? divideUp(tilesOf(facts, 1), kStatisticsTiles) : 1;
    kernel.tileLoops =
        static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
    kernel.pipelines = {pipelineFor(view, facts, statistics)};
}

uint32_t fewStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel) {
    return tilesOf(facts, kernel.tileLoops);
}

Result<std::vector<Dispatch>> buildFew(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                       const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const uint32_t tiles = tilesOf(facts, kernel.tileLoops);
    const TableRow bias = tableRow(rowsOf(view, view.op.bias), buffers, 2 * facts.outputBlocks);
    PushWords push;
    push.add({facts.input.h, facts.input.w, facts.output.h, facts.output.w, facts.output.c,
              facts.outputBlocks, facts.blocks0, facts.blocks1, tiles, kernel.tileLoops, 0, view.op.padTop,
              view.op.padLeft, bias.index, bias.stride});
    push.addFloat(outputFactor(view.op, buffers.row));
    push.add({0, 0});
    BufferRange weights = buffers.weights;
    weights.begin += secondWeightOffset(facts);
    const Binding none = unused(weights);
    const uint64_t groups =
        facts.output.n * divideUp(tiles, kLocalSize / 8) * divideUp(2 * facts.outputBlocks, quadsOf(facts));
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(view.op.name + " (" + kernel.name + ")",
                                 pipelineFor(view, facts, statistics),
                                 {{buffers.inputs[0], Access::Read},
                                  none,
                                  {weights, Access::Read},
                                  {buffers.bias, Access::Read},
                                  none,
                                  {buffers.output, Access::Write},
                                  statistics ? Binding{buffers.outputStatistics, Access::Write} : none},
                                 std::move(push), groups, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

// [output quad][16 terms][8 lanes][2 terms][4 outputs]: term 16 g + 8 t + lane
void packFew(const std::vector<uint32_t> &shape, const uint16_t *canonical, uint16_t *packed) {
    const size_t outputs = shape[0], terms = size_t{shape[1]} * shape[2] * shape[3];
    const size_t sets = divideUp(terms, 16);
    for (size_t o = 0; o < outputs; ++o)
        for (size_t k = 0; k < terms; ++k)
            packed[(((o / 4 * sets + k / 16) * 8 + k % 8) * 2 + k / 8 % 2) * 4 + o % 4] =
                canonical[o * terms + k];
}

} // namespace mote::kernels
