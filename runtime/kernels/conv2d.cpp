// Convolution: variants, weight packing, dispatch. The shader's header (shaders/conv2d.comp) states the
// layouts.
#include "kernels/conv2d.h"

#include <algorithm>
#include <cstring>

namespace mote {
namespace kernels {

namespace {

struct Variant {
    const char *name;
    ShaderId shader;
    uint32_t pixels;           // of an invocation
    bool row3 = false;         // only kernels 3 wide with stride 1
    bool shuffle = false;      // needs subgroups; pixels are counted over the map, not by rows
    bool texels = false;       // sources and weights are texel buffers
    bool folded = false;       // only 3x3 on a doubled map
    bool everyOutput = false;  // a workgroup makes all output blocks, and all phases where it is folded
    uint32_t sharedKernel = 0; // through shared memory: the only kernel's height and width, stride 1
    uint32_t tileRows = 0,
             tileColumns = 0; // sharedKernel: what a workgroup makes at a time, of 4 output blocks
};
constexpr Variant registerTiled(const char *name, ShaderId shader, uint32_t pixels, bool row3 = false) {
    return {name, shader, pixels, row3};
}
constexpr Variant shuffled(const char *name, ShaderId shader, bool texels) {
    return {name, shader, 8, false, true, texels};
}
constexpr Variant folded(const char *name, ShaderId shader, uint32_t pixels, bool everyOutput = false) {
    return {name, shader, pixels, false, false, false, true, everyOutput};
}
constexpr Variant kVariants[] = {
    registerTiled("conv2d row3 4x8", ShaderId::Conv2dRow3, 4, true),
    registerTiled("conv2d row3 8x8", ShaderId::Conv2dRow3Wide, 8, true),
    registerTiled("conv2d 4x8", ShaderId::Conv2dAny, 4),
    registerTiled("conv2d 8x8", ShaderId::Conv2dAnyWide, 8),
    shuffled("conv2d shuffle", ShaderId::Conv2dShuffle, false),
    shuffled("conv2d texels", ShaderId::Conv2dTexels, true),
    registerTiled("conv2d 2x8", ShaderId::Conv2dAny, 2),
    registerTiled("conv2d 1x8", ShaderId::Conv2dSingle, 1),
    {"conv2d 1x8 every output", ShaderId::Conv2dSingle, 1, false, false, false, false, true},
    folded("conv2d folded 4x8", ShaderId::Conv2dFolded, 4),
    folded("conv2d folded 1x8", ShaderId::Conv2dFoldedSingle, 1),
    folded("conv2d folded 1x8 every output", ShaderId::Conv2dFoldedSingle, 1, true),
    {"conv2d shared 3x3", ShaderId::Conv2dShared3, 4, false, false, false, false, false, 3, 8, 8},
    {"conv2d shared 1x1", ShaderId::Conv2dShared1, 4, false, false, false, false, false, 1, 1, 64},
};
constexpr uint32_t kRow3 = 0, kRow3Wide = 1, kAny = 2, kAnyWide = 3, kShuffle = 4, kTexels = 5, kTwo = 6,
                   kSingle = 7, kSingleEvery = 8, kFolded = 9, kFoldedSingle = 10, kFoldedEvery = 11,
                   kShared3 = 12, kShared1 = 13;
constexpr uint32_t kWinograd = 14, kHeld = 15, kFewOutputs = 16, kTiles = 17, kMatrix3 = 18, kMatrix = 19,
                   kWhole = 20, kStaged = 21; // elsewhere
constexpr uint32_t kSharedOutputs = 4;        // blocks of a workgroup, of sharedKernel
// A workgroup that makes every output keeps four subgroups of VideoCore busy; it has room for sixteen.
constexpr uint64_t kEveryOutputWalks = 4;

struct Geometry {
    uint32_t segmentsPerRow = 0; // through shared memory: tiles of a row
    uint64_t walks = 0;          // per image and phase: of a workgroup over 64 segments, of eight invocations
    uint32_t tiles = 0;  // sets of walks with one set of statistics, per image and group of output blocks
    uint64_t groups = 0; // workgroups, likewise
};

uint32_t phasesOf(const Variant &variant) {
    return variant.folded ? 4 : 1;
}

Geometry geometryOf(const ConvFacts &facts, const Variant &variant, uint32_t tileLoops) {
    const uint32_t rows = variant.folded ? (facts.output.h + 1) / 2 : facts.output.h;
    const uint32_t columns = variant.folded ? (facts.output.w + 1) / 2 : facts.output.w;
    Geometry geometry;
    const uint32_t width = variant.sharedKernel != 0 ? variant.tileColumns : variant.pixels;
    geometry.segmentsPerRow = static_cast<uint32_t>(divideUp(columns, width));
    geometry.walks =
        variant.shuffle             ? divideUp(planeOf(facts.output),
                                               8 * laneShapeOf(planeOf(facts.output), facts.outputBlocks).columns)
        : variant.sharedKernel != 0 ? divideUp(rows, variant.tileRows) * geometry.segmentsPerRow
                                    : divideUp(uint64_t{rows} * geometry.segmentsPerRow, kLocalSize);
    const uint64_t tiles = divideUp(geometry.walks, tileLoops);
    geometry.tiles = static_cast<uint32_t>(phasesOf(variant) * tiles);
    geometry.groups = variant.shuffle       ? divideUp(tiles, kLocalSize / 8)
                      : variant.everyOutput ? tiles
                                            : geometry.tiles;
    return geometry;
}

uint32_t residualConstant(const Op &op) {
    if (op.residual == kNone)
        return 0;
    return op.residualResample == Resample::None ? 1u : op.residualResample == Resample::NearestUp2 ? 2u : 3u;
}

gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, const Variant &variant,
                                     bool statistics) {
    std::vector<uint32_t> constants = convConstants(view, facts, statistics);
    if (variant.folded) { // 2x2 on the map itself
        constants[0] = constants[1] = 2;
        constants[3] = 0;
    }
    if (variant.shuffle) {
        const LaneShape shape = laneShapeOf(planeOf(facts.output), facts.outputBlocks);
        constants.push_back(shape.blocks);
        constants.push_back(shape.columns);
    } else if (variant.sharedKernel == 0) {
        constants.push_back(variant.pixels);
        constants.push_back(variant.everyOutput ? 1 : 0);
    }
    return pipelineOf(variant.shader, std::move(constants), kConvBindings, kConvPushWords,
                      variant.texels ? kConvTexelBindings : 0);
}

// Loop iterations of one walk; the headroom of kMaxLoopIterations covers the statistics.
uint64_t iterationsOf(const ConvFacts &facts, const Variant &variant) {
    const uint64_t blocks = facts.blocks0 + facts.blocks1;
    if (variant.shuffle)
        return facts.kernelHeight * (facts.kernelWidth * (blocks + 2) + 2) + 30;
    if (variant.sharedKernel != 0) // of chunks of one input block for 3x3, of four for 1x1
        return variant.sharedKernel == 3 ? blocks * 28 + 2 : divideUp(blocks, 4) * 24 + 2;
    const uint64_t height = variant.folded ? 2 : facts.kernelHeight,
                   width = variant.folded ? 2 : facts.kernelWidth;
    const uint64_t times = variant.everyOutput ? uint64_t{phasesOf(variant)} * facts.outputBlocks : 1;
    return times * (height * (blocks * (width + 2) + 3) + (variant.everyOutput ? 10 : 2));
}

Status check(const OpView &view) {
    const Op &op = view.op;
    if (op.weight == kNone || view.model.weights[op.weight].shape.size() != 4)
        return makeStatus(StatusCode::InvalidModel, "%s: found no weight of four dimensions",
                          view.where().c_str());
    if (op.inputs.empty() || op.inputs.size() > 2)
        return makeStatus(StatusCode::Unsupported, "%s: found %zu inputs, expected 1 or 2",
                          view.where().c_str(), op.inputs.size());
    uint64_t channels = 0;
    for (uint32_t input : op.inputs) {
        MOTE_TRY(requireActivation(view, input, "input"));
        channels += view.graph.tensors[input].channels;
    }
    const std::vector<uint32_t> &shape = view.model.weights[op.weight].shape;
    MOTE_TRY(requireShape(view, op.weight, {view.output().c, shape[1], shape[2], channels}, "weight"));
    if (op.bias != kNone)
        MOTE_TRY(requireShape(view, op.bias, {rowsOf(view, op.bias), view.output().c}, "bias"));
    if (op.residual != kNone)
        MOTE_TRY(requireActivation(view, op.residual, "residual"));
    if (op.stride != 1 && op.stride != 2)
        return makeStatus(StatusCode::Unsupported, "%s: found stride %u, expected 1 or 2",
                          view.where().c_str(), op.stride);
    if (op.inputResample == Resample::AverageDown2)
        return makeStatus(StatusCode::Unsupported, "%s: found an averaged input, expected none or nearest x2",
                          view.where().c_str());
    return {};
}

} // namespace

bool isPointwise(const OpView &view) {
    const Op &op = view.op;
    const std::vector<uint32_t> &shape = view.model.weights[op.weight].shape;
    return shape[1] == 1 && shape[2] == 1 && op.stride == 1 &&
           op.padTop + op.padLeft + op.padBottom + op.padRight == 0 && op.inputResample == Resample::None &&
           (op.residual == kNone || op.residualResample == Resample::None);
}

ConvFacts factsOf(const OpView &view) {
    const Op &op = view.op;
    const std::vector<uint32_t> &shape = view.model.weights[op.weight].shape;
    ConvFacts facts;
    facts.kernelHeight = shape[1];
    facts.kernelWidth = shape[2];
    facts.input = view.input(0);
    facts.output = view.output();
    facts.residual = op.residual == kNone ? TensorShape{1, 1, 1, 1} : view.shapes.tensors[op.residual];
    facts.blocks0 = blocksOf(view.input(0).c);
    facts.blocks1 = op.inputs.size() > 1 ? blocksOf(view.input(1).c) : 0;
    facts.outputBlocks = blocksOf(facts.output.c);
    facts.port = view.kind(op.output) == TensorKind::Port;
    facts.doubled = op.inputResample == Resample::NearestUp2;
    if (isPointwise(view)) {
        for (TensorShape *map : {&facts.input, &facts.output, &facts.residual}) {
            map->w *= map->h;
            map->h = 1;
        }
    }
    return facts;
}

std::vector<uint32_t> convConstants(const OpView &view, const ConvFacts &facts, bool statistics) {
    return {facts.kernelHeight,
            facts.kernelWidth,
            view.op.stride,
            view.op.inputResample == Resample::NearestUp2 ? 1u : 0u,
            facts.blocks1 != 0 ? 2u : 1u,
            residualConstant(view.op),
            facts.port ? 1u : 0u,
            statistics ? 1u : 0u};
}

bool canStage(const Traits &traits, uint32_t subgroups, uint32_t sharedBytes) {
    return traits.cpu && canShuffle(traits.caps) && traits.caps.subgroupSize == 8 &&
           traits.caps.bufferDeviceAddress && traits.caps.maxSharedBytes >= sharedBytes &&
           traits.caps.maxWorkgroupInvocations >= subgroups * 8;
}

LaneShape laneShapeOf(uint64_t columns, uint32_t outputBlocks) {
    const bool square = outputBlocks >= 4; // as many inputs to fetch as weights: 2 % faster than 8 x 2
    const uint64_t wide = divideUp(columns, square ? 32 : 64) * (square ? 32 : 64);
    const uint64_t narrow = divideUp(columns, 16) * 16 * 6 / 5;
    if (narrow < wide)
        return {2, outputBlocks > 2 ? 4 : outputBlocks, narrow};
    if (square)
        return {4, 4, wide};
    return {8, std::min(outputBlocks, 2u), wide};
}

uint64_t directWeightBytes(const ConvFacts &facts) {
    return uint64_t{facts.outputBlocks} * facts.kernelHeight * facts.kernelWidth *
           (facts.blocks0 + facts.blocks1) * 8 * kActivationBlockBytes;
}

namespace {

uint64_t secondWeightBytes(const OpView &view, const ConvFacts &facts, SecondWeights second) {
    switch (second) {
    case SecondWeights::None:
        return 0;
    case SecondWeights::Winograd:
        return winogradWeightBytes(facts);
    case SecondWeights::Held:
        return heldWeightBytes(facts);
    case SecondWeights::FewOutputs:
        return fewOutputsWeightBytes(facts);
    case SecondWeights::Tiles:
        return tilesWeightBytes(view);
    case SecondWeights::Folded:
        return foldedWeightBytes(facts);
    case SecondWeights::WinogradWhole:
        return wholeWeightBytes(facts);
    case SecondWeights::Staged:
        return stagedWeightBytes(facts);
    }
    return 0;
}

// In order. On software devices, whose loads cost more than anything: Winograd where it pays (where it does
// not, last of all), the kernels that hold their tiles or hold or stage their sources and for few outputs,
// the shuffle variants where there are subgroups, through texel buffers where they fit, then the wide tile,
// unless rows are so short that it would idle. On VideoCore one pixel an invocation, and every output where
// there are workgroups enough; on Mali two, or one of a folded kernel, loaded tap by tap. A folded kernel
// before those that it saves 5 of 9 multiplications of, the row kernel before the general one. After what the
// device prefers, everything else that could run.
std::vector<uint32_t> orderOf(const ConvFacts &facts, const Traits &traits) {
    const uint64_t wideWork = divideUp(facts.output.w, 8) * 8, narrowWork = divideUp(facts.output.w, 4) * 4;
    std::vector<uint32_t> order;
    if (traits.cpu && canShuffle(traits.caps))
        order = {kTexels, kShuffle};
    if (traits.tiles == RegisterTiles::VideoCore) {
        for (uint32_t every : {kFoldedEvery, kSingleEvery})
            if (geometryOf(facts, kVariants[every], 1).walks >= kEveryOutputWalks)
                order.push_back(every);
        order.push_back(kSingle);
    }
    if (traits.tiles == RegisterTiles::Mali)
        order = {kFoldedSingle, kTwo};
    if (traits.cpu && 4 * wideWork <= 5 * narrowWork)
        order.insert(order.end(), {kFolded, kRow3Wide, kRow3, kAnyWide, kAny});
    else
        order.insert(order.end(), {kFolded, kRow3, kAny, kRow3Wide, kAnyWide});
    for (uint32_t last : {kShared3, kShared1, kTwo, kSingle, kSingleEvery, kFoldedSingle, kFoldedEvery})
        if (std::find(order.begin(), order.end(), last) == order.end())
            order.push_back(last);
    return order;
}

} // namespace

Result<std::vector<OpKernel>> conv2dKernels(const OpView &view, const Traits &traits, bool statistics) {
    MOTE_TRY(check(view));
    const ConvFacts facts = factsOf(view);
    const bool row3 = facts.kernelWidth == 3 && view.op.stride == 1;
    const bool whole = wholeSuits(view, facts, traits);
    const bool byWinograd = !whole && winogradSuits(view, facts, traits);
    const bool inTiles = !whole && !(facts.doubled && byWinograd) && tilesSuits(view, facts, traits);
    const bool winograd = byWinograd && !inTiles;
    bool texelsFit = fitsTexels(traits, directWeightBytes(facts));
    for (uint32_t input : view.op.inputs)
        texelsFit =
            texelsFit && fitsTexels(traits, tensorBytes(TensorKind::Activation, view.shapes.tensors[input]));
    std::vector<OpKernel> kernels;
    OpKernel common;
    common.second = whole                                  ? SecondWeights::WinogradWhole
                    : inTiles                              ? SecondWeights::Tiles
                    : winograd                             ? SecondWeights::Winograd
                    : stagedSuits(view, facts, traits)     ? SecondWeights::Staged
                    : heldSuits(view, facts, traits)       ? SecondWeights::Held
                    : fewOutputsSuits(view, facts, traits) ? SecondWeights::FewOutputs
                    : foldedSuits(view, facts, traits)     ? SecondWeights::Folded
                                                           : SecondWeights::None;
    common.weightBytes = directWeightBytes(facts);
    if (common.second != SecondWeights::None)
        common.weightBytes = secondWeightOffset(facts) + secondWeightBytes(view, facts, common.second);
    common.biasBytes = uint64_t{rowsOf(view, view.op.bias)} * facts.outputBlocks * 8 * sizeof(float);
    common.projectionBytes = projectionBytesOf(view, common.biasBytes);
    OpKernel transformed = common;
    const bool canTransform =
        winograd && texelsFit && winogradKernel(view, facts, traits, statistics, transformed);
    transformed.name = "conv2d winograd";
    transformed.variant = kWinograd;
    if (canTransform && winogradIsFaster(facts))
        kernels.push_back(transformed);
    if (common.second == SecondWeights::FewOutputs && texelsFit) {
        OpKernel kernel = common;
        kernel.name = "conv2d few outputs";
        kernel.variant = kFewOutputs;
        fewOutputsKernel(facts, kernel);
        kernels.push_back(std::move(kernel));
    }
    if (common.second == SecondWeights::Tiles && texelsFit) {
        OpKernel kernel = common;
        kernel.name = "conv2d tiles";
        kernel.variant = kTiles;
        tilesKernel(view, facts, statistics, kernel);
        kernels.push_back(std::move(kernel));
    }
    if (whole) {
        OpKernel kernel = common;
        kernel.name = "conv2d winograd whole";
        kernel.variant = kWhole;
        if (wholeKernel(view, facts, traits, statistics, kernel))
            kernels.push_back(std::move(kernel));
    }
    if (common.second == SecondWeights::Staged) {
        OpKernel kernel = common;
        kernel.name = "conv2d staged";
        kernel.variant = kStaged;
        if (stagedKernel(facts, traits, statistics, kernel))
            kernels.push_back(std::move(kernel));
    }
    const bool canHold = common.second == SecondWeights::Held && texelsFit;
    OpKernel holding = common;
    holding.name = "conv2d held";
    holding.variant = kHeld;
    if (canHold) {
        heldKernel(view, facts, statistics, holding);
        if (heldIsFaster(facts))
            kernels.push_back(holding);
    }
    for (uint32_t index : orderOf(facts, traits)) {
        const Variant &variant = kVariants[index];
        const bool otherKernel =
            variant.sharedKernel != 0 && (facts.kernelHeight != variant.sharedKernel ||
                                          facts.kernelWidth != variant.sharedKernel || view.op.stride != 1);
        if ((variant.row3 && !row3) || (variant.texels && !texelsFit) || otherKernel ||
            (variant.folded && common.second != SecondWeights::Folded))
            continue;
        const uint64_t iterations = iterationsOf(facts, variant);
        if (iterations > kMaxLoopIterations)
            continue;
        OpKernel kernel = common;
        kernel.name = variant.name;
        kernel.variant = index;
        kernel.unlikely = traits.cpu && (variant.folded || variant.pixels < 4 || variant.sharedKernel != 0);
        const uint64_t walks = phasesOf(variant) * geometryOf(facts, variant, 1).walks;
        const uint64_t wanted = statistics ? divideUp(walks, kStatisticsTiles) : 1;
        kernel.tileLoops =
            static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
        kernel.pipelines = {pipelineFor(view, facts, variant, statistics)};
        kernels.push_back(std::move(kernel));
    }
    if (canHold && !heldIsFaster(facts))
        kernels.push_back(holding);
    if (canTransform && !winogradIsFaster(facts))
        kernels.push_back(transformed);
    const MatrixPlan matrices = matrixPlanOf(traits.caps);
    for (const bool patches : {true, false}) { // never before what needs no measurement
        if (!matrixSuits(view, facts, matrices, patches))
            continue;
        OpKernel kernel = common;
        kernel.name = patches ? "conv2d matrix 3x3" : "conv2d matrix";
        kernel.variant = patches ? kMatrix3 : kMatrix;
        kernel.unlikely = traits.cpu;
        matrixKernel(view, facts, matrices, patches, statistics, kernel);
        kernels.push_back(std::move(kernel));
    }
    if (kernels.empty())
        return makeStatus(
            StatusCode::Unsupported,
            "%s: found more than %llu loop iterations a pixel (kernel %ux%u, %u blocks of channels)",
            view.where().c_str(), static_cast<unsigned long long>(kMaxLoopIterations), facts.kernelHeight,
            facts.kernelWidth, facts.blocks0 + facts.blocks1);
    return kernels;
}

float outputFactor(const Op &op, uint32_t row) {
    return op.outputScales.empty() ? op.outputScale : op.outputScale * op.outputScales[row];
}

uint32_t conv2dStatisticsTiles(const OpView &view, const OpKernel &kernel) {
    const ConvFacts facts = factsOf(view);
    return kernel.variant == kWinograd ? winogradStatisticsTiles(facts, kernel)
           : kernel.variant == kWhole  ? wholeStatisticsTiles(facts)
           : kernel.variant == kStaged ? stagedStatisticsTiles(facts)
           : kernel.variant == kTiles  ? tilesStatisticsTiles(view, facts, kernel)
           : kernel.variant == kHeld   ? heldStatisticsTiles(facts, kernel)
           : kernel.variant == kMatrix3 || kernel.variant == kMatrix
               ? matrixStatisticsTiles(facts, kernel, kernel.variant == kMatrix3)
               : geometryOf(facts, kVariants[kernel.variant], kernel.tileLoops).tiles;
}

Result<std::vector<Dispatch>> buildConvDispatch(const OpView &view, const ConvFacts &facts,
                                                const OpKernel &kernel, const OpBuffers &buffers,
                                                const ConvGrid &grid, bool statistics, const Traits &traits) {
    const Op &op = view.op;
    const TableRow bias = tableRow(rowsOf(view, op.bias), buffers, 2 * facts.outputBlocks);
    PushWords push;
    push.add({facts.input.h, facts.input.w, facts.output.h, facts.output.w, facts.output.c,
              facts.outputBlocks, facts.blocks0, facts.blocks1, grid.tiles, kernel.tileLoops,
              grid.segmentsPerRow, op.padTop, op.padLeft, bias.index, bias.stride});
    push.addFloat(outputFactor(op, buffers.row));
    push.add({facts.residual.h, facts.residual.w});
    BufferRange weights = buffers.weights;
    weights.begin += grid.firstWeight;
    weights.end = weights.begin + grid.weightBytes;
    const Binding none = unused(weights);
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (" + kernel.name + ")", kernel.pipelines.front(),
                                 {{buffers.inputs[0], Access::Read},
                                  facts.blocks1 != 0 ? Binding{buffers.inputs[1], Access::Read} : none,
                                  {weights, Access::Read},
                                  {buffers.bias, Access::Read},
                                  op.residual != kNone ? Binding{buffers.residual, Access::Read} : none,
                                  {buffers.output, Access::Write},
                                  statistics ? Binding{buffers.outputStatistics, Access::Write} : none},
                                 std::move(push), grid.groups, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

Result<std::vector<Dispatch>> buildConv2d(const OpView &view, const GraphKernels &kernels,
                                          const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const OpKernel &kernel = kernels.ops[view.index];
    const ConvFacts facts = factsOf(view);
    if (kernel.variant == kWinograd)
        return buildWinograd(view, facts, kernels, buffers, statistics, traits);
    if (kernel.variant == kWhole)
        return buildWhole(view, facts, kernels, buffers, statistics, traits);
    if (kernel.variant == kStaged)
        return buildStaged(view, facts, kernel, buffers, statistics, traits);
    if (kernel.variant == kFewOutputs)
        return buildFewOutputs(view, facts, kernel, buffers, traits);
    if (kernel.variant == kTiles)
        return buildTiles(view, facts, kernel, buffers, statistics, traits);
    if (kernel.variant == kHeld)
        return buildHeld(view, facts, kernel, buffers, statistics, traits);
    if (kernel.variant == kMatrix3 || kernel.variant == kMatrix)
        return buildMatrix(view, facts, kernel, kernel.variant == kMatrix3, buffers, statistics, traits);
    const Variant &variant = kVariants[kernel.variant];
    const Geometry geometry = geometryOf(facts, variant, kernel.tileLoops);
    const uint64_t outputGroups =
        variant.shuffle
            ? divideUp(facts.outputBlocks, laneShapeOf(planeOf(facts.output), facts.outputBlocks).blocks)
        : variant.sharedKernel != 0 ? divideUp(facts.outputBlocks, kSharedOutputs)
        : variant.everyOutput       ? 1
                                    : facts.outputBlocks;

    return buildConvDispatch(view, facts, kernel, buffers,
                             {geometry.tiles, geometry.segmentsPerRow,
                              facts.output.n * geometry.groups * outputGroups,
                              variant.folded ? secondWeightOffset(facts) : 0,
                              variant.folded ? foldedWeightBytes(facts) : directWeightBytes(facts)},
                             statistics, traits);
}

void packDirect(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, uint16_t *packed) {
    const size_t outputs = shape[0], height = shape[1], width = shape[2], inputs = shape[3];
    for (size_t outputBlock = 0; outputBlock < divideUp(outputs, 8); ++outputBlock) {
        for (size_t ky = 0; ky < height; ++ky) {
            size_t firstInput = 0;
            for (uint32_t source : op.inputs) {
                const size_t channels = graph.tensors[source].channels;
                for (size_t block = 0; block < divideUp(channels, 8); ++block) {
                    for (size_t kx = 0; kx < width; ++kx, packed += 64) {
                        const size_t inputEnd = std::min<size_t>(8, channels - 8 * block);
                        const size_t outputEnd = std::min<size_t>(8, outputs - 8 * outputBlock);
                        for (size_t o = 0; o < outputEnd; ++o) {
                            const uint16_t *from =
                                canonical + (((8 * outputBlock + o) * height + ky) * width + kx) * inputs +
                                firstInput + 8 * block;
                            for (size_t i = 0; i < inputEnd; ++i)
                                packed[8 * i + o] = from[i];
                        }
                    }
                }
                firstInput += channels;
            }
        }
    }
}

} // namespace kernels

void packWeights(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t opIndex,
                 const uint16_t *canonical, void *packed) {
    using namespace kernels;
    const Op &op = graph.ops[opIndex];
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    std::memset(packed, 0, kernel.weightBytes);
    auto *halfs = static_cast<uint16_t *>(packed);
    packDirect(graph, op, shape, canonical, halfs);
    size_t blocks = 0;
    for (uint32_t source : op.inputs)
        blocks += blocksOf(graph.tensors[source].channels);
    const size_t directBytes = blocksOf(shape[0]) * shape[1] * shape[2] * blocks * 8 * kActivationBlockBytes;
    uint16_t *second = halfs + divideUp(directBytes, 256) * 128;
    switch (kernel.second) {
    case SecondWeights::None:
        break;
    case SecondWeights::Winograd:
        packWinograd(model, graph, op, canonical, second);
        break;
    case SecondWeights::Held:
        packHeld(model, graph, op, canonical, second);
        break;
    case SecondWeights::FewOutputs:
        packFewOutputs(shape, canonical, second);
        break;
    case SecondWeights::Tiles:
        packTiles(model, graph, op, canonical, second);
        break;
    case SecondWeights::WinogradWhole:
        packWhole(model, graph, op, canonical, reinterpret_cast<float *>(second));
        break;
    case SecondWeights::Staged:
        packStaged(graph, op, shape, canonical, reinterpret_cast<float *>(second));
        break;
    case SecondWeights::Folded:
        packFolded(graph, op, shape, canonical, second);
        break;
    }
}

void packBias(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t opIndex,
              const float *canonical, void *packed) {
    using namespace kernels;
    std::memset(packed, 0, kernel.biasBytes);
    const Op &op = graph.ops[opIndex];
    if (op.bias == kNone)
        return;
    const size_t rows = model.weights[op.bias].shape[0], outputs = model.weights[op.bias].shape[1];
    for (size_t row = 0; row < rows; ++row)
        std::memcpy(static_cast<float *>(packed) + row * divideUp(outputs, 8) * 8, canonical + row * outputs,
                    outputs * sizeof(float));
}

} // namespace mote
