// The convolution to a port of few channels on software devices: when it pays, weight packing, dispatch. See
// shaders/conv2d_few_outputs.comp.
#include "kernels/conv2d.h"

namespace mote::kernels {

namespace {

constexpr uint32_t kPixels = 62, kMostOutputs = 4;

gpu::PipelineDescription pipelineFor(const ConvFacts &facts) {
    return pipelineOf(ShaderId::Conv2dFewOutputs, {3, 3, 1, 0, 1, 0, 1, 0, facts.output.c, 8}, kConvBindings,
                      kConvPushWords, kConvTexelBindings);
}

} // namespace

uint64_t fewOutputsWeightBytes(const ConvFacts &facts) {
    return uint64_t{3} * facts.blocks0 * 16 * kActivationBlockBytes;
}

bool fewOutputsSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    const Op &op = view.op;
    return traits.cpu && canShuffle(traits.caps) && facts.port && facts.blocks1 == 0 &&
           facts.output.c <= kMostOutputs && facts.kernelHeight == 3 && facts.kernelWidth == 3 &&
           op.stride == 1 && op.padLeft == 1 && op.padRight == 1 && op.inputResample == Resample::None &&
           op.residual == kNone && 3 * (uint64_t{facts.blocks0} + 1) <= kMaxLoopIterations &&
           fitsTexels(traits, secondWeightOffset(facts) + fewOutputsWeightBytes(facts));
}

void fewOutputsKernel(const ConvFacts &facts, OpKernel &kernel) {
    kernel.pipelines = {pipelineFor(facts)};
}

Result<std::vector<Dispatch>> buildFewOutputs(const OpView &view, const ConvFacts &facts,
                                              const OpKernel &kernel, const OpBuffers &buffers,
                                              const Traits &traits) {
    const auto tiles = static_cast<uint32_t>(divideUp(planeOf(facts.output), kPixels));
    return buildConvDispatch(view, facts, kernel, buffers,
                             {tiles, 0, facts.output.n * divideUp(tiles, kLocalSize / 8),
                              secondWeightOffset(facts), fewOutputsWeightBytes(facts)},
                             false, traits);
}

// [3 rows][block][columns 0 and 1, column 2][8 inputs][column][4 outputs]
void packFewOutputs(const std::vector<uint32_t> &shape, const uint16_t *canonical, uint16_t *packed) {
    const size_t inputs = shape[3], blocks = divideUp(inputs, 8);
    for (size_t o = 0; o < shape[0]; ++o)
        for (size_t ky = 0; ky < 3; ++ky)
            for (size_t kx = 0; kx < 3; ++kx)
                for (size_t i = 0; i < inputs; ++i)
                    packed[(((ky * blocks + i / 8) * 2 + kx / 2) * 8 + i % 8) * 8 + kx % 2 * 4 + o] =
                        canonical[((o * 3 + ky) * 3 + kx) * inputs + i];
}

} // namespace mote::kernels
