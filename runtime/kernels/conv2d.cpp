// Convolution: variants, weight packing, dispatch. The shader's header (shaders/conv2d.comp) states the
// layouts.
#include "kernels/conv2d.h"

#include <algorithm>
#include <cstring>

namespace mote {
namespace kernels {

namespace {

constexpr uint32_t kBindings = 7, kPushWords = 20;

struct Variant {
    const char *name;
    ShaderId shader;
    uint32_t pixels; // of an invocation
    bool row3;       // only kernels 3 wide with stride 1
    bool shuffle;    // needs subgroups; pixels are counted over the map, not by rows
    bool texels;     // sources and weights are texel buffers
};
constexpr Variant kVariants[] = {
    {"conv2d row3 4x8", ShaderId::Conv2dRow3, 4, true, false, false},
    {"conv2d row3 8x8", ShaderId::Conv2dRow3Wide, 8, true, false, false},
    {"conv2d 4x8", ShaderId::Conv2dAny, 4, false, false, false},
    {"conv2d 8x8", ShaderId::Conv2dAnyWide, 8, false, false, false},
    {"conv2d shuffle", ShaderId::Conv2dShuffle, 8, false, true, false},
    {"conv2d texels", ShaderId::Conv2dTexels, 8, false, true, true},
};
constexpr uint32_t kShuffle = 4, kTexels = 5, kWinograd = 6, kHeld = 7, kFewOutputs = 8,
                   kTiles = 9;            // the last three elsewhere
constexpr uint32_t kTexelBindings = 0x1f; // all that is read

struct Geometry {
    uint32_t segmentsPerRow = 0;
    uint64_t walks = 0;  // per image: of a workgroup over 64 segments, of eight invocations
    uint32_t tiles = 0;  // sets of walks with one set of statistics, per image and group of output blocks
    uint64_t groups = 0; // workgroups, likewise
};

Geometry geometryOf(const ConvFacts &facts, const Variant &variant, uint32_t tileLoops) {
    Geometry geometry;
    geometry.segmentsPerRow = static_cast<uint32_t>(divideUp(facts.output.w, variant.pixels));
    geometry.walks = variant.shuffle
                         ? divideUp(planeOf(facts.output),
                                    8 * laneShapeOf(planeOf(facts.output), facts.outputBlocks).columns)
                         : divideUp(uint64_t{facts.output.h} * geometry.segmentsPerRow, kLocalSize);
    geometry.tiles = static_cast<uint32_t>(divideUp(geometry.walks, tileLoops));
    geometry.groups = variant.shuffle ? divideUp(geometry.tiles, kLocalSize / 8) : geometry.tiles;
    return geometry;
}

uint32_t residualConstant(const Op &op) {
    if (op.residual == kNone)
        return 0;
    return op.residualResample == Resample::None ? 1u : op.residualResample == Resample::NearestUp2 ? 2u : 3u;
}

gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, const Variant &variant,
                                     bool statistics) {
    const Op &op = view.op;
    std::vector<uint32_t> constants = {facts.kernelHeight,
                                       facts.kernelWidth,
                                       op.stride,
                                       op.inputResample == Resample::NearestUp2 ? 1u : 0u,
                                       facts.blocks1 != 0 ? 2u : 1u,
                                       residualConstant(op),
                                       facts.port ? 1u : 0u,
                                       statistics ? 1u : 0u};
    if (variant.shuffle) {
        const LaneShape shape = laneShapeOf(planeOf(facts.output), facts.outputBlocks);
        constants.push_back(shape.blocks);
        constants.push_back(shape.columns);
    }
    return pipelineOf(variant.shader, std::move(constants), kBindings, kPushWords,
                      variant.texels ? kTexelBindings : 0);
}

// Loop iterations of one walk; the headroom of kMaxLoopIterations covers the statistics.
uint64_t iterationsOf(const ConvFacts &facts, const Variant &variant) {
    const uint64_t blocks = facts.blocks0 + facts.blocks1;
    if (variant.shuffle)
        return facts.kernelHeight * (facts.kernelWidth * (blocks + 2) + 2) + 30;
    return facts.kernelHeight * (blocks * (facts.kernelWidth + 2u) + 3) + 2;
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
    const bool pointwise = facts.kernelHeight == 1 && facts.kernelWidth == 1 && op.stride == 1 &&
                           op.padTop + op.padLeft + op.padBottom + op.padRight == 0 &&
                           op.inputResample == Resample::None &&
                           (op.residual == kNone || op.residualResample == Resample::None);
    if (pointwise) {
        for (TensorShape *map : {&facts.input, &facts.output, &facts.residual}) {
            map->w *= map->h;
            map->h = 1;
        }
    }
    return facts;
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

// In order. On software devices, whose loads cost more than anything: Winograd where it pays (where it does
// not, last of all), the kernels that hold their tiles or, likewise, their sources, the shuffle variants
// where there are subgroups, through texel buffers where they fit, then the wide tile, unless rows are so
// short that it would idle. The row kernel before the general one where it applies.
Result<std::vector<OpKernel>> conv2dKernels(const OpView &view, const Traits &traits, bool statistics) {
    MOTE_TRY(check(view));
    const ConvFacts facts = factsOf(view);
    const bool row3 = facts.kernelWidth == 3 && view.op.stride == 1;
    const uint64_t wideWork = divideUp(facts.output.w, 8) * 8, narrowWork = divideUp(facts.output.w, 4) * 4;
    const bool inTiles = tilesSuits(view, facts, traits);
    const bool winograd = !inTiles && winogradSuits(view, facts, traits);
    const bool held = heldSuits(view, facts, traits), fewOutputs = fewOutputsSuits(view, facts, traits);
    const uint64_t directBytes = directWeightBytes(facts);
    std::vector<uint32_t> order;
    if (traits.cpu && canShuffle(traits.caps))
        order = {kTexels, kShuffle};
    if (traits.cpu && 4 * wideWork <= 5 * narrowWork)
        order.insert(order.end(), {1, 0, 3, 2});
    else
        order.insert(order.end(), {0, 2, 1, 3});
    bool texelsFit = fitsTexels(traits, directBytes);
    for (uint32_t input : view.op.inputs)
        texelsFit =
            texelsFit && fitsTexels(traits, tensorBytes(TensorKind::Activation, view.shapes.tensors[input]));
    std::vector<OpKernel> kernels;
    OpKernel common;
    common.weightBytes = inTiles      ? secondWeightOffset(facts) + tilesWeightBytes(view)
                         : winograd   ? winogradWeightOffset(facts) + winogradWeightBytes(facts)
                         : held       ? secondWeightOffset(facts) + heldWeightBytes(facts)
                         : fewOutputs ? secondWeightOffset(facts) + fewOutputsWeightBytes(facts)
                                      : directBytes;
    common.biasBytes = uint64_t{rowsOf(view, view.op.bias)} * facts.outputBlocks * 8 * sizeof(float);
    common.projectionBytes = projectionBytesOf(view, common.biasBytes);
    OpKernel transformed = common;
    const bool canTransform =
        winograd && texelsFit && winogradKernel(view, facts, traits, statistics, transformed);
    transformed.name = "conv2d winograd";
    transformed.variant = kWinograd;
    if (canTransform && winogradIsFaster(facts))
        kernels.push_back(transformed);
    if (fewOutputs && texelsFit) {
        OpKernel kernel = common;
        kernel.name = "conv2d few outputs";
        kernel.variant = kFewOutputs;
        fewOutputsKernel(facts, kernel);
        kernels.push_back(std::move(kernel));
    }
    if (inTiles && texelsFit) {
        OpKernel kernel = common;
        kernel.name = "conv2d tiles";
        kernel.variant = kTiles;
        tilesKernel(view, facts, statistics, kernel);
        kernels.push_back(std::move(kernel));
    }
    OpKernel holding = common;
    holding.name = "conv2d held";
    holding.variant = kHeld;
    if (held && texelsFit) {
        heldKernel(view, facts, statistics, holding);
        if (heldIsFaster(facts))
            kernels.push_back(holding);
    }
    for (uint32_t index : order) {
        const Variant &variant = kVariants[index];
        if ((variant.row3 && !row3) || (variant.texels && !texelsFit))
            continue;
        const uint64_t iterations = iterationsOf(facts, variant);
        if (iterations > kMaxLoopIterations)
            continue;
        OpKernel kernel = common;
        kernel.name = variant.name;
        kernel.variant = index;
        const uint64_t walks = geometryOf(facts, variant, 1).walks;
        const uint64_t wanted = statistics ? divideUp(walks, kStatisticsTiles) : 1;
        kernel.tileLoops =
            static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
        kernel.pipelines = {pipelineFor(view, facts, variant, statistics)};
        kernels.push_back(std::move(kernel));
    }
    if (held && texelsFit && !heldIsFaster(facts))
        kernels.push_back(holding);
    if (canTransform && !winogradIsFaster(facts))
        kernels.push_back(transformed);
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
           : kernel.variant == kTiles  ? tilesStatisticsTiles(view, facts, kernel)
           : kernel.variant == kHeld   ? heldStatisticsTiles(facts, kernel)
                                       : geometryOf(facts, kVariants[kernel.variant], kernel.tileLoops).tiles;
}

Result<std::vector<Dispatch>> buildConv2d(const OpView &view, const GraphKernels &kernels,
                                          const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const Op &op = view.op;
    const OpKernel &kernel = kernels.ops[view.index];
    const ConvFacts facts = factsOf(view);
    if (kernel.variant == kWinograd)
        return buildWinograd(view, facts, kernels, buffers, statistics, traits);
    if (kernel.variant == kFewOutputs)
        return buildFewOutputs(view, facts, kernel, buffers, traits);
    if (kernel.variant == kTiles)
        return buildTiles(view, facts, kernel, buffers, statistics, traits);
    if (kernel.variant == kHeld)
        return buildHeld(view, facts, kernel, buffers, statistics, traits);
    const Variant &variant = kVariants[kernel.variant];
    const Geometry geometry = geometryOf(facts, variant, kernel.tileLoops);
    const TableRow bias = tableRow(rowsOf(view, op.bias), buffers, 2 * facts.outputBlocks);
    const uint64_t outputGroups =
        variant.shuffle
            ? divideUp(facts.outputBlocks, laneShapeOf(planeOf(facts.output), facts.outputBlocks).blocks)
            : facts.outputBlocks;

    PushWords push;
    push.add({facts.input.h, facts.input.w, facts.output.h, facts.output.w, facts.output.c,
              facts.outputBlocks, facts.blocks0, facts.blocks1, geometry.tiles, kernel.tileLoops,
              geometry.segmentsPerRow, op.padTop, op.padLeft, bias.index, bias.stride});
    push.addFloat(outputFactor(op, buffers.row));
    push.add({facts.residual.h, facts.residual.w});

    BufferRange weights = buffers.weights;
    weights.end = weights.begin + directWeightBytes(facts);
    const Binding none = unused(weights);
    std::vector<Binding> bindings = {
        {buffers.inputs[0], Access::Read},
        facts.blocks1 != 0 ? Binding{buffers.inputs[1], Access::Read} : none,
        {weights, Access::Read},
        {buffers.bias, Access::Read},
        op.residual != kNone ? Binding{buffers.residual, Access::Read} : none,
        {buffers.output, Access::Write},
        statistics ? Binding{buffers.outputStatistics, Access::Write} : none,
    };
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (" + kernel.name + ")",
                                 pipelineFor(view, facts, variant, statistics), std::move(bindings),
                                 std::move(push), facts.output.n * geometry.groups * outputGroups, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

} // namespace kernels

// [outputBlock][ky][source, block][kx][8 inputs][8 outputs], and where there is room for it Winograd's U or
// the terms of conv2d_held.comp
void packWeights(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t opIndex,
                 const uint16_t *canonical, void *packed) {
    using namespace kernels;
    const Op &op = graph.ops[opIndex];
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    const size_t outputs = shape[0], height = shape[1], width = shape[2], inputs = shape[3];
    std::memset(packed, 0, kernel.weightBytes);
    auto *halfs = static_cast<uint16_t *>(packed);
    size_t position = 0;
    for (size_t outputBlock = 0; outputBlock < divideUp(outputs, 8); ++outputBlock) {
        for (size_t ky = 0; ky < height; ++ky) {
            size_t firstInput = 0;
            for (uint32_t source : op.inputs) {
                const size_t channels = graph.tensors[source].channels;
                for (size_t block = 0; block < divideUp(channels, 8); ++block) {
                    for (size_t kx = 0; kx < width; ++kx, position += 64) {
                        const size_t inputEnd = std::min<size_t>(8, channels - 8 * block);
                        const size_t outputEnd = std::min<size_t>(8, outputs - 8 * outputBlock);
                        for (size_t o = 0; o < outputEnd; ++o) {
                            const uint16_t *from =
                                canonical + (((8 * outputBlock + o) * height + ky) * width + kx) * inputs +
                                firstInput + 8 * block;
                            for (size_t i = 0; i < inputEnd; ++i)
                                halfs[position + 8 * i + o] = from[i];
                        }
                    }
                }
                firstInput += channels;
            }
        }
    }
    const size_t directBytes = position * sizeof(uint16_t);
    if (kernel.weightBytes == directBytes)
        return;
    uint16_t *second = halfs + divideUp(directBytes, 256) * 128;
    if (graph.tensors[op.output].kind == TensorKind::Port)
        packFewOutputs(shape, canonical, second);
    else if (maybeTiles(model, graph, op))
        packTiles(model, graph, op, canonical, second);
    else if (maybeHeld(model, op))
        packHeld(model, graph, op, canonical, second);
    else
        packWinograd(model, graph, op, canonical, second);
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
