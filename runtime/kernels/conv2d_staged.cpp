// The 1x1 convolution that stages its sources as floats in shared memory, on software devices: when it suits,
// weight packing, dispatch. See shaders/conv2d_staged.comp.
#include "kernels/conv2d.h"
#include "kernels/half.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kMostSubgroups = 16, kLanes = 8, kMostBlocks = 64, kSharedBytes = 256 * kLanes * 4;
// With fewer what stages and stores is most of the work.
constexpr uint32_t kFewestBlocks = 8;
constexpr uint32_t kFewestPixels = 4, kMostPixels = 16;
// What a pixel adds to the machine code, for each block that is multiplied, for each that is staged, and for
// what is stored, and what is left for all of it in 32 KiB of instruction cache: code beyond that is loaded
// again by each subgroup.
constexpr uint32_t kBlockBytes = 120, kStageBytes = 120, kStoreBytes = 200, kBodyBytes = 26000;
static_assert(kMostBlocks * kFewestPixels * kLanes * 4 <= kSharedBytes &&
              kBodyBytes / kBlockBytes * kLanes * 4 <= kSharedBytes);
constexpr uint32_t kBindings = 7, kPushWords = 30, kAddressBindings = 0x1f;
constexpr uint64_t kMaxGroups = 1u << 18; // what groups are numbered up to

struct Grid {
    uint32_t blocks, pixels, subgroups; // of a workgroup
    uint32_t pixelGroups, outputGroups; // per image
};

Grid gridOf(const ConvFacts &facts) {
    Grid grid;
    grid.blocks = facts.blocks0 + facts.blocks1;
    grid.outputGroups = static_cast<uint32_t>(divideUp(facts.outputBlocks, kMostSubgroups));
    grid.subgroups = static_cast<uint32_t>(divideUp(facts.outputBlocks, grid.outputGroups));
    const uint32_t each = static_cast<uint32_t>(divideUp(grid.blocks, grid.subgroups));
    grid.pixels = std::clamp(kBodyBytes / (kBlockBytes * grid.blocks + kStageBytes * each + kStoreBytes),
                             kFewestPixels, kMostPixels);
    grid.pixelGroups = static_cast<uint32_t>(divideUp(planeOf(facts.output), grid.pixels));
    return grid;
}

} // namespace

uint64_t stagedWeightBytes(const ConvFacts &facts) {
    return uint64_t{64} * sizeof(float) * (facts.blocks0 + facts.blocks1) * facts.outputBlocks;
}

bool stagedSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    return canStage(traits, kMostSubgroups, kSharedBytes) && isPointwise(view) && !facts.port &&
           facts.blocks0 + facts.blocks1 <= kMostBlocks && facts.outputBlocks >= kFewestBlocks &&
           facts.blocks0 + facts.blocks1 >= kFewestBlocks &&
           fitsBothWeights(traits, secondWeightOffset(facts) + stagedWeightBytes(facts));
}

bool stagedKernel(const ConvFacts &facts, const Traits &traits, bool statistics, OpKernel &kernel) {
    const Grid grid = gridOf(facts);
    kernel.pipelines = {pipelineOf(ShaderId::Conv2dStaged,
                                   {grid.subgroups * kLanes, grid.blocks, grid.pixels, statistics ? 1u : 0u,
                                    traits.scatters ? 1u : 0u, 4},
                                   kBindings, kPushWords, 0, kAddressBindings)};
    return planeOf(facts.output) >= grid.pixels &&
           uint64_t{facts.output.n} * grid.pixelGroups * grid.outputGroups <= kMaxGroups &&
           (!statistics || grid.pixelGroups <= kManyEntries);
}

uint32_t stagedStatisticsTiles(const ConvFacts &facts) {
    return gridOf(facts).pixelGroups;
}

Result<std::vector<Dispatch>> buildStaged(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                          const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const Op &op = view.op;
    const Grid grid = gridOf(facts);
    const TableRow bias = tableRow(rowsOf(view, op.bias), buffers, 2 * facts.outputBlocks);
    BufferRange weights = buffers.weights;
    weights.begin += secondWeightOffset(facts);
    weights.end = weights.begin + stagedWeightBytes(facts);
    const Binding none = unused(weights);
    PushWords push;
    push.add({planeOf(facts.output), facts.blocks0, facts.outputBlocks, grid.pixelGroups, grid.outputGroups,
              bias.index, bias.stride, op.residual != kNone ? ~0u : 0u});
    push.addFloat(outputFactor(op, buffers.row));
    push.addAddressing(8, 5);
    MOTE_TRY_ASSIGN(
        Dispatch dispatch,
        makeDispatch(op.name + " (" + kernel.name + ")", kernel.pipelines.front(),
                     {{buffers.inputs[0], Access::Read},
                      facts.blocks1 != 0 ? Binding{buffers.inputs[1], Access::Read} : none,
                      {weights, Access::Read},
                      {buffers.bias, Access::Read},
                      op.residual != kNone ? Binding{buffers.residual, Access::Read} : unused(buffers.output),
                      {buffers.output, Access::Write},
                      statistics ? Binding{buffers.outputStatistics, Access::Write} : none},
                     std::move(push), uint64_t{facts.output.n} * grid.pixelGroups * grid.outputGroups,
                     traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

// [outputBlock][source, block][8 inputs][8 outputs]; of a block first the even channels, then the odd ones.
void packStaged(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, float *packed) {
    const size_t outputs = shape[0], inputs = shape[3];
    for (size_t firstOutput = 0; firstOutput < outputs; firstOutput += 8) {
        size_t firstInput = 0;
        for (uint32_t source : op.inputs) {
            const size_t channels = graph.tensors[source].channels;
            for (size_t first = 0; first < channels; first += 8, packed += 64)
                for (size_t i = 0; i < std::min<size_t>(8, channels - first); ++i)
                    for (size_t o = 0; o < std::min<size_t>(8, outputs - firstOutput); ++o)
                        packed[8 * laneOf(i) + laneOf(o)] =
                            floatFromHalf(canonical[(firstOutput + o) * inputs + firstInput + first + i]);
            firstInput += channels;
        }
    }
}

} // namespace mote::kernels
