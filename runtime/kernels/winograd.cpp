// Winograd convolution: when it pays, weight transform, dispatches. shaders/winograd.glsl states the
// algorithm and the layouts.
#include "kernels/conv2d.h"
#include "kernels/group_norm.h"
#include "kernels/winograd_transform.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace mote::kernels {

namespace {

constexpr uint32_t kLanes = 8;
constexpr uint64_t kTexelBytes = 16;
// What V and M of a band may take: of the last cache of a processor. With 2 MiB, in the second cache, three
// times as many dispatches take a tenth longer.
constexpr uint64_t kStagingBytes = 8u << 20;

// Words, with the table of digits and the addresses (see shaders/uniform_addresses.glsl).
constexpr uint32_t kInputPush = 20, kNormalisedPush = 32, kProductPush = 30, kOutputPush = 16;
// What units and columns are numbered up to there.
constexpr uint64_t kMaxUnits = 1u << 18, kMaxColumns = 1u << 22;
constexpr uint32_t kGatheringTiles = 128; // of all blocks, see gathers()

// Of shaders/winograd.glsl: rows of M, and of V.
uint32_t pointsOf(const ConvFacts &facts) {
    return facts.doubled ? 5 : 6;
}
uint32_t sideOf(const ConvFacts &facts) {
    return facts.doubled ? 4 : 6;
}
uint32_t positionsOf(const ConvFacts &facts) {
    return pointsOf(facts) * pointsOf(facts);
}

struct Bands {
    uint32_t tilesPerRow = 0, tilesPerImage = 0;
    uint32_t entriesPerImage = 0; // of tileLoops times eight tiles
    uint32_t entries = 0;         // of all images
    uint32_t entriesPerBand = 0;
    uint32_t columns = 0; // of a whole band
    uint64_t vBytes = 0, mBytes = 0;
};

// Blocks times tiles that a unit of the product makes: as many multiplications as the cache of instructions
// can hold. More tiles than sixteen would not stay in registers.
constexpr uint32_t kProductPlaces = 320, kProductOutputs = 4;

// Of sums over so many blocks; 0: too many.
uint32_t tilesOfUnit(uint32_t blocks) {
    for (const uint32_t tiles : {16u, 8u, 4u})
        if (blocks * tiles <= kProductPlaces)
            return tiles;
    return 0;
}

// Into how many parts, all alike, the sum over all channels is cut: so that a unit makes as many tiles as
// the number of blocks can be divided for. 0: there is no such number.
uint32_t partsOf(uint32_t blocks) {
    uint32_t most = 0, best = 0;
    for (uint32_t parts = 1; parts <= std::max(blocks / 8, 1u); ++parts)
        if (blocks % parts == 0 && tilesOfUnit(blocks / parts) > most) {
            most = tilesOfUnit(blocks / parts);
            best = parts;
        }
    return best;
}

Bands bandsOf(const ConvFacts &facts, uint32_t tileLoops) {
    Bands bands;
    bands.tilesPerRow = static_cast<uint32_t>(divideUp(facts.output.w, 4));
    bands.tilesPerImage = static_cast<uint32_t>(divideUp(facts.output.h, 4)) * bands.tilesPerRow;
    bands.entriesPerImage = static_cast<uint32_t>(divideUp(bands.tilesPerImage, kLanes * tileLoops));
    bands.entries = facts.output.n * bands.entriesPerImage;
    const uint32_t blocks = facts.blocks0 + facts.blocks1;
    const uint32_t sources = sideOf(facts) * sideOf(facts);
    const uint64_t columnBytes =
        2 * kTexelBytes * (sources * blocks + positionsOf(facts) * partsOf(blocks) * facts.outputBlocks);
    // Whole groups of 64 tiles, as the product takes them.
    const uint32_t step = kLanes / std::gcd(kLanes, tileLoops);
    const uint64_t fitting = kStagingBytes / (columnBytes * kLanes * tileLoops) / step * step;
    bands.entriesPerBand =
        static_cast<uint32_t>(std::min<uint64_t>(std::max<uint64_t>(fitting, step), bands.entries));
    bands.columns = bands.entriesPerBand * tileLoops * kLanes;
    // positionStep and blockStep in shaders/winograd.glsl; the last band may be one that is padded more.
    const auto staged = [&](uint64_t positions, uint64_t count, uint64_t padding) {
        return positions * (count * (bands.columns + padding) + 4) * 2 * kTexelBytes;
    };
    bands.vBytes = staged(sources, blocks, 16);
    bands.mBytes = partsOf(blocks) * staged(positionsOf(facts), facts.outputBlocks, 0);
    return bands;
}

// Two tiles side by side share two of six columns, but need to be in one row.
uint32_t tilesOfInput(const ConvFacts &facts) {
    return divideUp(facts.output.w, 4) % 2 == 0 ? 2 : 1;
}

gpu::PipelineDescription inputPipeline(const ConvFacts &facts) {
    return pipelineOf(
        ShaderId::WinogradInput,
        {facts.doubled ? 1u : 0u, 6, sideOf(facts), facts.blocks1 != 0 ? 2u : 1u, tilesOfInput(facts)}, 3,
        kInputPush, 0, 3);
}

// gather: each unit combines the statistics itself.
gpu::PipelineDescription normalisedPipeline(const ConvFacts &facts, const OpView &norm, bool gather) {
    return pipelineOf(ShaderId::WinogradInputNormalised,
                      {facts.doubled ? 1u : 0u, 6, sideOf(facts), norm.op.inputs.size() > 1 ? 2u : 1u,
                       tilesOfInput(facts), static_cast<uint32_t>(norm.op.activation), gather ? 1u : 0u},
                      7, kNormalisedPush, 0x1f, 7);
}

// Whether each unit of the input combines the statistics of a norm itself, which takes it as long again:
// where a dispatch for the coefficients, some ten microseconds, would take longer than that.
bool gathers(const Bands &bands, uint32_t blocks) {
    return bands.entriesPerBand == bands.entries && bands.columns * blocks <= kGatheringTiles;
}

struct Product {
    gpu::PipelineDescription pipeline;
    PushWords push;
    uint64_t units = 0;
};

// Of so many columns of a band; whatever tiles a unit makes, their bits are the same.
Product productOf(const ConvFacts &facts, const Bands &bands, uint32_t columns) {
    const uint32_t blocks = facts.blocks0 + facts.blocks1, parts = partsOf(blocks);
    const uint32_t tiles = std::min({tilesOfUnit(blocks / parts), columns, bands.tilesPerImage});
    // A small image is followed by padding, which nobody reads.
    const uint32_t read = columns == kLanes ? std::min(kLanes, bands.tilesPerImage) : columns;
    const uint64_t tileGroups = divideUp(read, tiles);
    Product product;
    const uint32_t outputs = std::clamp(kProductPlaces / (blocks / parts * tiles), 1u,
                                        std::min(facts.outputBlocks, kProductOutputs));
    const uint64_t outputGroups = divideUp(facts.outputBlocks, outputs);
    product.pipeline =
        pipelineOf(ShaderId::WinogradProduct, {blocks / parts, tiles, outputs}, 3, kProductPush, 0, 3);
    product.push.add({columns, tileGroups, blocks, parts, facts.outputBlocks, outputGroups, pointsOf(facts),
                      sideOf(facts)});
    product.push.addAddressing(16, 2);
    product.units = positionsOf(facts) * parts * tileGroups * outputGroups;
    return product;
}

gpu::PipelineDescription outputPipeline(const OpView &view, const ConvFacts &facts, bool statistics) {
    const Op &op = view.op;
    const uint32_t residual = op.residual == kNone ? 0 : op.residualResample == Resample::None ? 1 : 2;
    return pipelineOf(
        ShaderId::WinogradOutput,
        {residual, statistics ? 1u : 0u, pointsOf(facts), 4, partsOf(facts.blocks0 + facts.blocks1)}, 5,
        kOutputPush, 7);
}

// Core time of the parts for one image in nanoseconds, measured on lavapipe with 256-bit vectors at about 2.9
// GHz, of the kernels before these. Only their ratios matter. Not of the whole batch: an
// image of it has the bits of a single run, so the choice must not depend on how many there are.
struct Costs {
    uint64_t direct = 0;
    uint64_t input = 0, product = 0, output = 0;
};

Costs costsOf(const ConvFacts &facts) {
    const uint64_t k = facts.blocks0 + facts.blocks1, n = facts.outputBlocks;
    const uint64_t tiles = divideUp(facts.output.h, 4) * divideUp(facts.output.w, 4);
    const uint64_t columns = divideUp(tiles, kLanes) * kLanes;
    Costs costs;
    costs.direct = laneShapeOf(planeOf(facts.output), facts.outputBlocks).padded * n * (38 * k + 13);
    const uint64_t sources = sideOf(facts) * sideOf(facts), positions = positionsOf(facts);
    costs.input = columns * 16 * 34 * k * sources / 36;
    costs.product =
        (tiles <= 16 ? n * k * (500 + 100 * tiles) : columns * 16 * n * (9 * k + 32)) * positions / 36;
    costs.output = columns * 16 * 22 * n * positions / 36;
    return costs;
}

// U of an output block at a position.
uint64_t outputBlockBytes(uint64_t blocks) {
    return 8 * sizeof(float) + blocks * 8 * kActivationBlockBytes;
}

// Rounded to the nearest integer, even of two, in the lower bits; of numbers below 2^22.
uint32_t nearestInteger(float value) {
    const float shifted = value + 0x1.8p23f;
    uint32_t bits = 0;
    std::memcpy(&bits, &shifted, sizeof bits);
    return bits;
}

void packPosition(const std::vector<TransformedWeights> &u, size_t position, uint8_t *packed) {
    float most[8] = {}, sum[8] = {}, scales[8], inverses[8];
    for (const TransformedWeights &block : u)
        for (size_t e = 0; e < 64; ++e) {
            most[e % 8] = std::max(most[e % 8], std::fabs(block.at[position][e]));
            sum[e % 8] += block.at[position][e];
        }
    for (size_t o = 0; o < 8; ++o) {
        // Infinities and NaNs, which are in the sum at least, make all results of this output such.
        const bool finite = std::isfinite(sum[o]) && std::isfinite(most[o]);
        scales[o] = finite ? most[o] / 32767 * 0x1p-16f : HUGE_VALF;
        inverses[o] = finite && most[o] > 0 ? 32767 / most[o] : 0;
    }
    std::memcpy(packed, scales, sizeof scales);
    packed += sizeof scales;
    for (const TransformedWeights &block : u) {
        uint32_t words[4][8]; // of inputs 0 2, 4 6, 1 3, 5 7
        for (size_t i = 0; i < 4; ++i) {
            const float *first = block.at[position] + (i / 2 + i % 2 * 4) * 8, *second = first + 16;
            for (size_t o = 0; o < 8; ++o) {
                const uint32_t lower = nearestInteger(first[o] * inverses[o]) & 0xffff;
                const float rest = static_cast<float>(lower) * 0x1p-16f;
                words[i][o] = lower | nearestInteger(second[o] * inverses[o] - rest) << 16;
            }
        }
        std::memcpy(packed, words, sizeof words);
        packed += sizeof words;
    }
}

// A gain of less than an eighth is not worth the larger error.
bool worthwhile(uint64_t winograd, uint64_t direct) {
    return 8 * winograd < 7 * direct;
}

} // namespace

uint64_t winogradWeightOffset(const ConvFacts &facts) {
    return divideUp(directWeightBytes(facts), 256) * 256;
}

uint64_t winogradWeightBytes(const ConvFacts &facts) {
    return positionsOf(facts) * uint64_t{facts.outputBlocks} *
           outputBlockBytes(facts.blocks0 + facts.blocks1);
}

// At any size, so that weights are packed alike for all sizes.
bool winogradSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    const Op &op = view.op;
    if (!traits.cpu || !canShuffle(traits.caps) || traits.caps.subgroupSize != kLanes ||
        !traits.caps.bufferDeviceAddress || partsOf(facts.blocks0 + facts.blocks1) == 0 ||
        facts.kernelHeight != 3 || facts.kernelWidth != 3 || op.stride != 1 || facts.port ||
        (facts.doubled && (op.padTop != 1 || op.padLeft != 1 || op.padBottom != 1 || op.padRight != 1)) ||
        (op.residual != kNone && op.residualResample == Resample::AverageDown2))
        return false;
    const uint64_t bytes = winogradWeightOffset(facts) + winogradWeightBytes(facts);
    const uint64_t k = facts.blocks0 + facts.blocks1, n = facts.outputBlocks;
    return bytes <= std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes) / 2 &&
           fitsTexels(traits, bytes) && worthwhile(34 * k + n * (9 * k + 32) + 22 * n, n * (38 * k + 13));
}

bool winogradIsFaster(const ConvFacts &facts) {
    const Costs costs = costsOf(facts);
    const uint64_t winograd = costs.input + costs.product + costs.output;
    // Of the smallest maps all of it is little time: then half of that.
    const bool small = planeOf(facts.output) <= 64;
    return small ? 2 * winograd < costs.direct : worthwhile(winograd, costs.direct);
}

bool winogradKernel(const OpView &view, const ConvFacts &facts, const Traits &traits, bool statistics,
                    OpKernel &kernel) {
    const uint64_t eights = divideUp(divideUp(facts.output.h, 4) * divideUp(facts.output.w, 4), kLanes);
    if (statistics) // few entries, but in bands of 64 tiles where that is possible
        kernel.tileLoops = static_cast<uint32_t>(
            std::max(divideUp(eights, kStatisticsTiles), std::min<uint64_t>(divideUp(eights, 32), 8)));
    const Bands bands = bandsOf(facts, kernel.tileLoops);
    kernel.scratchBytes = divideUp(bands.vBytes, 256) * 256 + bands.mBytes;
    if (uint64_t{kernel.tileLoops} * 2 > kMaxLoopIterations || !fitsTexels(traits, kernel.scratchBytes) ||
        kernel.scratchBytes > std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes))
        return false;
    const Product product = productOf(facts, bands, bands.columns);
    if (product.units > kMaxUnits || uint64_t{bands.columns} * (facts.blocks0 + facts.blocks1) > kMaxUnits ||
        uint64_t{bands.entries} * kernel.tileLoops * kLanes > kMaxColumns)
        return false;
    kernel.pipelines = {inputPipeline(facts), product.pipeline, outputPipeline(view, facts, statistics)};
    // The last band, of any of the images, may be narrower than a unit.
    for (uint32_t image = 1; image <= facts.output.n; ++image)
        if (image * bands.entriesPerImage % bands.entriesPerBand * kernel.tileLoops == 1) {
            kernel.pipelines.push_back(productOf(facts, bands, kLanes).pipeline);
            break;
        }
    return true;
}

bool winogradTakesNorm(const OpView &view, const OpView &norm, const GraphKernels &kernels,
                       OpKernel &kernel) {
    if (kernel.pipelines.front().shader.id != static_cast<uint32_t>(ShaderId::WinogradInput) ||
        !lanesCanNormalise(norm, normFactsOf(norm, kernels)))
        return false;
    kernel.norm = norm.index;
    const uint32_t images = view.output().n;
    const ConvFacts conv = factsOf(view);
    const Bands bands = bandsOf(conv, kernel.tileLoops);
    const bool gather = gathers(bands, blocksOf(norm.output().c));
    kernel.pipelines.front() = normalisedPipeline(conv, norm, gather);
    if (!gather) {
        kernel.pipelines.push_back(coefficientsPipeline(norm));
        kernel.scratchBytes = divideUp(kernel.scratchBytes, 256) * 256 + coefficientBytes(norm.output());
        if (images > 1) // one of them alone may be so small
            kernel.pipelines.push_back(normalisedPipeline(conv, norm, true));
    }
    return true;
}

uint32_t winogradStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel) {
    return bandsOf(facts, kernel.tileLoops).entriesPerImage;
}

Result<std::vector<Dispatch>> buildWinograd(const OpView &view, const ConvFacts &facts,
                                            const GraphKernels &kernels, const OpBuffers &buffers,
                                            bool statistics, const Traits &traits) {
    const Op &op = view.op;
    const OpKernel &kernel = kernels.ops[view.index];
    const uint32_t blocks = facts.blocks0 + facts.blocks1;
    const Bands bands = bandsOf(facts, kernel.tileLoops);
    const Costs costs = costsOf(facts);
    const double sum = static_cast<double>(costs.input + costs.product + costs.output);
    const TableRow bias = tableRow(rowsOf(view, op.bias), buffers, 2 * facts.outputBlocks);
    BufferRange v = buffers.scratch, m = buffers.scratch, u = buffers.weights;
    v.end = v.begin + bands.vBytes;
    m.begin += divideUp(bands.vBytes, 256) * 256;
    m.end = m.begin + bands.mBytes;
    u.begin += winogradWeightOffset(facts);
    const Binding none = unused(u);

    std::vector<Dispatch> dispatches;
    for (uint32_t entry = 0; entry < bands.entries; entry += bands.entriesPerBand) {
        const uint32_t entries = std::min(bands.entriesPerBand, bands.entries - entry);
        const uint32_t columns = entries * kernel.tileLoops * kLanes;
        const auto add = [&](const char *part, gpu::PipelineDescription pipeline,
                             std::vector<Binding> bindings, PushWords push, uint64_t units,
                             uint64_t cost) -> Status {
            MOTE_TRY_ASSIGN(Dispatch dispatch,
                            makeDispatch(op.name + " (winograd " + part + ")", std::move(pipeline),
                                         std::move(bindings), std::move(push),
                                         divideUp(units, kLocalSize / kLanes), traits));
            const double share = static_cast<double>(cost) / sum * entries / bands.entries;
            const OpCost &whole = view.shapes.costs[view.index];
            dispatch.operations = static_cast<uint64_t>(static_cast<double>(whole.operations) * share);
            dispatch.bytes = static_cast<uint64_t>(static_cast<double>(whole.bytes) * share);
            dispatches.push_back(std::move(dispatch));
            return {};
        };
        PushWords input;
        const auto addTiles = [&](uint32_t blocks0, uint32_t blocks1) {
            input.add({facts.input.h, facts.input.w, blocks0, blocks1, bands.tilesPerRow, bands.tilesPerImage,
                       bands.entriesPerImage * kernel.tileLoops * kLanes, entry * kernel.tileLoops * kLanes,
                       columns, op.padTop | op.padLeft << 16});
        };
        if (kernel.norm == kNone) {
            addTiles(facts.blocks0, facts.blocks1);
            input.addAddressing(4, 2);
            MOTE_TRY(add("input", inputPipeline(facts),
                         {{buffers.inputs[0], Access::Read},
                          facts.blocks1 != 0 ? Binding{buffers.inputs[1], Access::Read} : none,
                          {v, Access::Write}},
                         std::move(input), uint64_t{columns} / tilesOfInput(facts) * blocks, costs.input));
        } else {
            const OpView norm{view.model, view.graph, view.shapes, view.graph.ops[kernel.norm], kernel.norm};
            const NormFacts from = normFactsOf(norm, kernels);
            const bool gather = gathers(bands, blocks);
            OpBuffers source = *buffers.norm;
            TableRow affine = tableRow(rowsOf(norm, norm.op.affine), source, 4 * blocks);
            if (!gather) {
                const uint64_t begin = divideUp(m.end, 256) * 256;
                const BufferRange made{m.buffer, begin, begin + coefficientBytes(norm.output())};
                if (entry == 0) {
                    MOTE_TRY_ASSIGN(Dispatch dispatch, buildCoefficients(norm, from, source, made, traits));
                    dispatches.push_back(std::move(dispatch));
                }
                source.affine = made;
                affine = {};
            }
            addTiles(from.blocks0, from.blocks1);
            input.add({from.channels0, from.channels, from.groupChannels, from.tiles0, from.tiles1,
                       affine.index, affine.stride});
            input.addFloat(norm.op.epsilon);
            input.add({source.errorCode, facts.output.n});
            input.addAddressing(4, 3);
            MOTE_TRY(add("input, normalised", normalisedPipeline(facts, norm, gather),
                         normBindings(from, source, {v, Access::Write}), std::move(input),
                         uint64_t{columns} / tilesOfInput(facts) * blocks, costs.input));
        }
        Product product = productOf(facts, bands, columns);
        MOTE_TRY(add("product", std::move(product.pipeline),
                     {{v, Access::Read}, {u, Access::Read}, {m, Access::Write}}, std::move(product.push),
                     product.units, costs.product));
        PushWords output;
        output.add({facts.output.h, facts.output.w, facts.outputBlocks, bands.tilesPerRow,
                    bands.tilesPerImage, bands.entriesPerImage, kernel.tileLoops, entry, columns, bias.index,
                    bias.stride});
        output.addFloat(outputFactor(op, buffers.row));
        output.add({facts.residual.h, facts.residual.w});
        MOTE_TRY(add("output", outputPipeline(view, facts, statistics),
                     {{m, Access::Read},
                      {buffers.bias, Access::Read},
                      op.residual != kNone ? Binding{buffers.residual, Access::Read} : none,
                      {buffers.output, Access::Write},
                      statistics ? Binding{buffers.outputStatistics, Access::Write} : unused(buffers.output)},
                     std::move(output), uint64_t{entries} * facts.outputBlocks, costs.output));
    }
    return dispatches;
}

// U = G g G^T, see shaders/winograd_product.comp.
void packWinograd(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
                  void *packed) {
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    const size_t outputs = shape[0], inputs = shape[3];
    const size_t outputBlocks = divideUp(outputs, 8);
    const bool doubled = op.inputResample == Resample::NearestUp2;
    const auto transformed = doubled ? transformedDoubledWeights : transformedWeights;
    const size_t positions = doubled ? 25 : 36;
    std::vector<TransformedWeights> u; // of one output block
    for (size_t outputBlock = 0; outputBlock < outputBlocks; ++outputBlock) {
        u.clear();
        size_t firstInput = 0;
        for (uint32_t source : op.inputs) {
            const size_t channels = graph.tensors[source].channels;
            for (size_t first = 0; first < channels; first += 8)
                u.push_back(transformed(canonical + firstInput + first, std::min<size_t>(8, channels - first),
                                        inputs, 8 * outputBlock, outputs));
            firstInput += channels;
        }
        for (size_t position = 0; position < positions; ++position)
            packPosition(u, position,
                         static_cast<uint8_t *>(packed) +
                             (position * outputBlocks + outputBlock) * outputBlockBytes(u.size()));
    }
}

} // namespace mote::kernels
