// The convolution through cooperative matrices: which product of the device's, when it suits, dispatch. See
// shaders/conv2d_matrix.comp.
#include "kernels/conv2d.h"

#include <algorithm>

namespace mote::kernels {

namespace {

// Of the shader: pixels and outputs of a workgroup's tile, input channels that every chunk is a multiple of,
// width and height of a tile of patches, bytes of shared memory.
constexpr uint32_t kPixels = 128, kOutputs = 32, kInputs = 16, kTileWidth = 16, kTileHeight = 8,
                   kSharedBytes = 17152;

uint32_t tilesOfRow(const ConvFacts &facts) {
    return static_cast<uint32_t>(divideUp(facts.output.w, kTileWidth));
}

uint64_t walksOf(const ConvFacts &facts, bool patches) {
    return patches ? divideUp(facts.output.h, kTileHeight) * tilesOfRow(facts)
                   : divideUp(planeOf(facts.output), kPixels);
}

// Loop iterations of one walk.
uint64_t iterationsOf(const ConvFacts &facts, const MatrixPlan &plan, bool patches) {
    const uint64_t blocks = facts.blocks0 + facts.blocks1, rows = plan.sums / plan.columns;
    const uint64_t product = plan.columns + 1 + (rows + 1) * (plan.columns + 2);
    const uint64_t stores = 2 * (2 + (rows + 1) * (plan.columns + 2)) + plan.sums + 3;
    if (patches) // chunks of two blocks, rows of three taps
        return divideUp(blocks, 2) * (3 * (10 + 3 * (16 / plan.shape.k + 2) * product) + 2) + stores;
    return divideUp(blocks, 4) *
               (facts.kernelHeight * (facts.kernelWidth * (7 + (32 / plan.shape.k + 2) * product) + 2) + 2) +
           stores;
}

} // namespace

MatrixPlan matrixPlanOf(const gpu::Caps &caps) {
    MatrixPlan plan;
    uint32_t subgroup = caps.subgroupSize;
    if (caps.subgroupSizeControl) {
        subgroup = std::min(subgroup, kLocalSize);
        if (subgroup < caps.minSubgroupSize)
            subgroup = 0;
        plan.requiredSubgroupSize = subgroup;
    }
    if (subgroup == 0 || kLocalSize % subgroup != 0 || caps.maxSharedBytes < kSharedBytes)
        return plan;
    const uint32_t pixels = kPixels * subgroup / kLocalSize; // of a subgroup
    uint64_t largest = 0;
    for (const gpu::MatrixShape &shape : caps.matrices) {
        const auto divides = [](uint32_t part, uint32_t whole) {
            return part != 0 && part % 8 == 0 && whole % part == 0; // rows begin at multiples of 16 bytes
        };
        const uint64_t size = uint64_t{shape.m} * shape.n * shape.k;
        if (!divides(shape.m, kTileWidth) || !divides(shape.m, pixels) || !divides(shape.n, kOutputs) ||
            !divides(shape.k, kInputs) || size <= largest)
            continue;
        largest = size;
        plan.shape = shape;
        plan.columns = kOutputs / shape.n;
        plan.sums = pixels / shape.m * plan.columns;
    }
    return plan;
}

bool matrixSuits(const OpView &view, const ConvFacts &facts, const MatrixPlan &plan, bool patches) {
    return plan.sums != 0 && iterationsOf(facts, plan, patches) <= kMaxLoopIterations &&
           (!patches || (facts.kernelHeight == 3 && facts.kernelWidth == 3 && view.op.stride == 1));
}

void matrixKernel(const OpView &view, const ConvFacts &facts, const MatrixPlan &plan, bool patches,
                  bool statistics, OpKernel &kernel) {
    const uint64_t iterations = iterationsOf(facts, plan, patches);
    const uint64_t wanted = statistics ? divideUp(walksOf(facts, patches), kStatisticsTiles) : 1;
    kernel.tileLoops =
        static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
    std::vector<uint32_t> constants = convConstants(view, facts, statistics);
    constants.insert(constants.end(), {plan.sums, plan.columns, plan.shape.m, plan.shape.n, plan.shape.k});
    kernel.pipelines = {pipelineOf(patches ? ShaderId::Conv2dMatrix3 : ShaderId::Conv2dMatrix,
                                   std::move(constants), kConvBindings, kConvPushWords)};
    kernel.pipelines.front().requiredSubgroupSize = plan.requiredSubgroupSize;
}

uint32_t matrixStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel, bool patches) {
    return static_cast<uint32_t>(divideUp(walksOf(facts, patches), kernel.tileLoops));
}

Result<std::vector<Dispatch>> buildMatrix(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                          bool patches, const OpBuffers &buffers, bool statistics,
                                          const Traits &traits) {
    const uint32_t tiles = matrixStatisticsTiles(facts, kernel, patches);
    const uint64_t groups = uint64_t{facts.output.n} * tiles * divideUp(facts.outputBlocks, kOutputs / 8);
    return buildConvDispatch(view, facts, kernel, buffers,
                             {tiles, tilesOfRow(facts), groups, 0, directWeightBytes(facts)}, statistics,
                             traits);
}

} // namespace mote::kernels
