// Winograd convolution of few channels in one dispatch, on software devices: when it suits, weight transform,
// dispatch. See shaders/winograd_whole.comp.
#include "kernels/conv2d.h"
#include "kernels/group_norm.h"
#include "kernels/half.h"
#include "kernels/winograd_transform.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kSubgroups = 12, kLanes = 8, kSharedBytes = (36 * kSubgroups * 2 + kSubgroups * 4) * 16;
constexpr uint32_t kFewestBlocks = 2, kMostBlocks = 6;
// In two parts: with more the three dispatches are as fast.
constexpr uint32_t kMostBlocksInParts = 4;
constexpr size_t kScatterConstant = 8;
constexpr uint32_t kBindings = 8, kPushWords = 32, kAddressBindings = 0x3f;
constexpr uint64_t kMaxGroups = 1u << 18, kMaxTiles = 1u << 22; // what groups and tiles are numbered up to

// Of the outputs: M takes V's place, so each has no more blocks than there are of inputs.
uint32_t partsOf(const ConvFacts &facts) {
    return static_cast<uint32_t>(divideUp(facts.outputBlocks, facts.blocks0 + facts.blocks1));
}

struct Grid {
    uint32_t tiles; // of a workgroup
    uint32_t tilesPerRow, tilesPerImage, groupsPerImage;
};

Grid gridOf(const ConvFacts &facts) {
    Grid grid;
    grid.tiles = kSubgroups / (facts.blocks0 + facts.blocks1);
    grid.tilesPerRow = static_cast<uint32_t>(divideUp(facts.output.w, 4));
    grid.tilesPerImage = static_cast<uint32_t>(divideUp(facts.output.h, 4)) * grid.tilesPerRow;
    grid.groupsPerImage = static_cast<uint32_t>(divideUp(grid.tilesPerImage, grid.tiles));
    return grid;
}

// norm: null where the source is read as it is.
gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, const Op *norm,
                                     bool scatters) {
    const size_t sources = norm ? norm->inputs.size() : view.op.inputs.size();
    std::vector<uint32_t> constants = {facts.blocks0 + facts.blocks1,
                                       facts.outputBlocks / partsOf(facts),
                                       gridOf(facts).tiles,
                                       static_cast<uint32_t>(sources),
                                       6,
                                       4,
                                       3,
                                       partsOf(facts),
                                       scatters ? 1u : 0u};
    if (norm)
        constants.push_back(static_cast<uint32_t>(norm->activation));
    return pipelineOf(norm ? ShaderId::WinogradWholeNormalised : ShaderId::WinogradWhole,
                      std::move(constants), kBindings, kPushWords, 0, kAddressBindings);
}

// Workgroups whose statistics become one entry.
uint32_t combinedGroups(const Grid &grid) {
    return grid.groupsPerImage > kManyEntries
               ? static_cast<uint32_t>(divideUp(grid.groupsPerImage, kStatisticsTiles))
               : 1;
}

// Of the statistics that are to be combined, or that nobody reads; else 0.
uint64_t entryBytes(const ConvFacts &facts, bool statistics) {
    const Grid grid = gridOf(facts);
    return statistics && combinedGroups(grid) == 1 ? 0
                                                   : uint64_t{facts.output.n} * facts.outputBlocks *
                                                         grid.groupsPerImage * kLanes * 4 * sizeof(float);
}

gpu::PipelineDescription combinePipeline() {
    return pipelineOf(ShaderId::StatisticsCombine, {}, 2, 5, 1);
}

// norm: null where the source is read as it is. Scratch: entryBytes(), then the norm's coefficients.
void complete(const OpView &view, const ConvFacts &facts, const OpView *norm, bool statistics, bool scatters,
              OpKernel &kernel) {
    kernel.pipelines = {pipelineFor(view, facts, norm ? &norm->op : nullptr, scatters)};
    kernel.scratchBytes = entryBytes(facts, statistics);
    if (statistics && kernel.scratchBytes != 0)
        kernel.pipelines.push_back(combinePipeline());
    if (norm) {
        kernel.pipelines.push_back(coefficientsPipeline(*norm));
        kernel.scratchBytes = divideUp(kernel.scratchBytes, 256) * 256 + coefficientBytes(norm->output());
    }
}

} // namespace

uint64_t wholeWeightBytes(const ConvFacts &facts) {
    return uint64_t{36} * 64 * sizeof(float) * (facts.blocks0 + facts.blocks1) * facts.outputBlocks;
}

bool wholeSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    const Op &op = view.op;
    const uint32_t blocks = facts.blocks0 + facts.blocks1;
    return canStage(traits, kSubgroups, kSharedBytes) && facts.kernelHeight == 3 && facts.kernelWidth == 3 &&
           op.stride == 1 && !facts.port && facts.output.h == facts.input.h &&
           facts.output.w == facts.input.w && op.inputResample == Resample::None &&
           (op.residual == kNone || op.residualResample == Resample::None) && blocks >= kFewestBlocks &&
           (facts.outputBlocks <= blocks ? blocks <= kMostBlocks
                                         : facts.outputBlocks <= 2 * blocks && facts.outputBlocks % 2 == 0 &&
                                               blocks <= kMostBlocksInParts) &&
           fitsBothWeights(traits, secondWeightOffset(facts) + wholeWeightBytes(facts));
}

bool wholeKernel(const OpView &view, const ConvFacts &facts, const Traits &traits, bool statistics,
                 OpKernel &kernel) {
    const Grid grid = gridOf(facts);
    if (uint64_t{facts.output.n} * grid.groupsPerImage * partsOf(facts) > kMaxGroups ||
        grid.tilesPerImage > kMaxTiles)
        return false;
    complete(view, facts, nullptr, statistics, traits.scatters, kernel);
    return fitsTexels(traits, kernel.scratchBytes);
}

uint32_t wholeStatisticsTiles(const ConvFacts &facts) {
    const Grid grid = gridOf(facts);
    return static_cast<uint32_t>(divideUp(grid.groupsPerImage, combinedGroups(grid)));
}

bool wholeTakesNorm(const OpView &view, const OpView &norm, const GraphKernels &kernels, OpKernel &kernel) {
    if (kernel.pipelines.front().shader.id != static_cast<uint32_t>(ShaderId::WinogradWhole) ||
        !lanesCanNormalise(norm, normFactsOf(norm, kernels)))
        return false;
    kernel.norm = norm.index;
    const bool scatters = kernel.pipelines.front().constants[kScatterConstant] != 0;
    complete(view, factsOf(view), &norm, kernels.statistics[view.op.output].tiles != 0, scatters, kernel);
    return true;
}

Result<std::vector<Dispatch>> buildWhole(const OpView &view, const ConvFacts &facts,
                                         const GraphKernels &kernels, const OpBuffers &buffers,
                                         bool statistics, const Traits &traits) {
    const Op &op = view.op;
    const OpKernel &kernel = kernels.ops[view.index];
    const Grid grid = gridOf(facts);
    const TableRow bias = tableRow(rowsOf(view, op.bias), buffers, 2 * facts.outputBlocks);
    BufferRange weights = buffers.weights;
    weights.begin += secondWeightOffset(facts);
    weights.end = weights.begin + wholeWeightBytes(facts);
    const Binding none = unused(weights);
    const uint64_t entries = entryBytes(facts, statistics);
    const BufferRange combining{buffers.scratch.buffer, buffers.scratch.begin,
                                buffers.scratch.begin + entries};
    std::vector<Dispatch> dispatches;
    std::vector<Binding> sources = {{buffers.inputs[0], Access::Read},
                                    facts.blocks1 != 0 ? Binding{buffers.inputs[1], Access::Read} : none};
    Binding coefficients = none;
    uint32_t blocks0 = facts.blocks0;
    if (kernel.norm != kNone) {
        const OpView norm{view.model, view.graph, view.shapes, view.graph.ops[kernel.norm], kernel.norm};
        const NormFacts from = normFactsOf(norm, kernels);
        const uint64_t begin = buffers.scratch.begin + divideUp(entries, 256) * 256;
        const BufferRange made{buffers.scratch.buffer, begin, begin + coefficientBytes(norm.output())};
        MOTE_TRY_ASSIGN(Dispatch dispatch, buildCoefficients(norm, from, *buffers.norm, made, traits));
        dispatches.push_back(std::move(dispatch));
        coefficients = {made, Access::Read};
        sources = normBindings(from, *buffers.norm, none);
        sources.resize(2);
        blocks0 = from.blocks0;
    }
    PushWords push;
    push.add({facts.input.h, facts.input.w, blocks0, grid.tilesPerRow, grid.tilesPerImage,
              grid.groupsPerImage, op.padTop | op.padLeft << 16 | (op.residual != kNone ? 1u << 31 : 0),
              bias.index, bias.stride});
    push.addFloat(outputFactor(op, buffers.row));
    push.addAddressing(8, 6);
    MOTE_TRY_ASSIGN(
        Dispatch dispatch,
        makeDispatch(op.name + " (" + kernel.name + ")", kernel.pipelines.front(),
                     {sources[0],
                      sources[1],
                      {weights, Access::Read},
                      {buffers.bias, Access::Read},
                      op.residual != kNone ? Binding{buffers.residual, Access::Read} : unused(buffers.output),
                      coefficients,
                      {buffers.output, Access::Write},
                      {entries != 0 ? combining : buffers.outputStatistics, Access::Write}},
                     std::move(push), uint64_t{facts.output.n} * grid.groupsPerImage * partsOf(facts),
                     traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    dispatches.push_back(std::move(dispatch));
    if (statistics && entries != 0) {
        const uint64_t results =
            uint64_t{facts.output.n} * facts.outputBlocks * wholeStatisticsTiles(facts) * 8;
        PushWords combine;
        combine.add({results, grid.groupsPerImage, combinedGroups(grid)});
        MOTE_TRY_ASSIGN(Dispatch last,
                        makeDispatch(op.name + " (statistics)", combinePipeline(),
                                     {{combining, Access::Read}, {buffers.outputStatistics, Access::Write}},
                                     std::move(combine), divideUp(results, kLocalSize), traits));
        dispatches.push_back(std::move(last));
    }
    return dispatches;
}

// [part][36][source, block, 8 inputs][outputBlock][8 outputs]; of a block first the even channels, then the
// odd ones.
void packWhole(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
               float *packed) {
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    const size_t outputs = shape[0], inputs = shape[3], outputBlocks = divideUp(outputs, 8);
    size_t blocks = 0;
    for (uint32_t source : op.inputs)
        blocks += divideUp(graph.tensors[source].channels, 8);
    const size_t partBlocks = outputBlocks / divideUp(outputBlocks, blocks);
    const size_t step = blocks * partBlocks * 64; // from one of the 36 positions to the next
    for (size_t outputBlock = 0; outputBlock < outputBlocks; ++outputBlock) {
        float *const part = packed + outputBlock / partBlocks * 36 * step;
        size_t block = 0, firstInput = 0;
        for (uint32_t source : op.inputs) {
            const size_t channels = graph.tensors[source].channels;
            for (size_t first = 0; first < channels; first += 8, ++block) {
                const TransformedWeights u =
                    transformedWeights(canonical + firstInput + first, std::min<size_t>(8, channels - first),
                                       inputs, 8 * outputBlock, outputs);
                for (size_t position = 0; position < 36; ++position)
                    for (size_t i = 0; i < 8; ++i)
                        for (size_t o = 0; o < 8; ++o)
                            part[position * step +
                                 ((8 * block + laneOf(i)) * partBlocks + outputBlock % partBlocks) * 8 +
                                 laneOf(o)] = u.at[position][8 * i + o];
            }
            firstInput += channels;
        }
    }
}

} // namespace mote::kernels
