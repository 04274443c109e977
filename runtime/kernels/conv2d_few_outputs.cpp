// The convolution to a port of few channels on software devices: when it pays, weight packing, dispatch. See
// shaders/conv2d_few_outputs.comp.
#include "kernels/conv2d.h"

namespace mote::kernels {

namespace {

constexpr uint32_t kPixels = 62, kMostOutputs = 4;
constexpr uint32_t kBindings = 7, kPushWords = 20, kTexelBindings = 0x1f;

gpu::PipelineDescription pipelineFor(const ConvFacts &facts) {
    return pipelineOf(ShaderId::Conv2dFewOutputs, {3, 3, 1, 0, 1, 0, 1, 0, facts.output.c, 8}, kBindings,
                      kPushWords, kTexelBindings);
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
    const uint64_t tiles = divideUp(planeOf(facts.output), kPixels);
    const TableRow bias = tableRow(rowsOf(view, view.op.bias), buffers, 2 * facts.outputBlocks);
    PushWords push;
    push.add({facts.input.h, facts.input.w, facts.output.h, facts.output.w, facts.output.c,
              facts.outputBlocks, facts.blocks0, facts.blocks1, tiles, 1, 0, view.op.padTop, view.op.padLeft,
              bias.index, bias.stride});
    push.addFloat(outputFactor(view.op, buffers.row));
    push.add({0, 0});
    BufferRange weights = buffers.weights;
    weights.begin += secondWeightOffset(facts);
    const Binding none = unused(weights);
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(view.op.name + " (" + kernel.name + ")", pipelineFor(facts),
                                 {{buffers.inputs[0], Access::Read},
                                  none,
                                  {weights, Access::Read},
                                  {buffers.bias, Access::Read},
                                  none,
                                  {buffers.output, Access::Write},
                                  none},
                                 std::move(push), facts.output.n * divideUp(tiles, kLocalSize / 8), traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
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
