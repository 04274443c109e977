// The 3x3 convolution by tiles held in registers, on software devices: when it suits, weight packing,
// dispatch. See shaders/conv2d_tiles.comp.
#include "kernels/conv2d.h"
#include "kernels/half.h"

#include <algorithm>

namespace mote::kernels {

namespace {

constexpr uint32_t kMostTerms = 576, kMostQuads = 16;

// Of the transformed tile.
uint32_t sideOf(const Op &op) {
    return op.inputResample == Resample::NearestUp2 ? 3 : 4;
}

// Channels as terms count them.
struct Channels {
    uint32_t first, second;
};
Channels channelsOf(uint32_t channels0, uint32_t channels1) {
    const bool several = channels1 != 0 || channels0 > 8;
    return {several ? (channels0 + 7) / 8 * 8 : channels0, (channels1 + 7) / 8 * 8};
}

struct TileShape {
    Channels channels;
    uint32_t side, terms;
    uint32_t tiles, outputs; // of an invocation; made at a time
    uint32_t quads;
};

TileShape shapeOf(const Op &op, Channels channels, uint32_t outputs) {
    TileShape shape;
    shape.channels = channels;
    shape.side = sideOf(op);
    shape.terms = shape.side * shape.side * (channels.first + channels.second);
    shape.tiles = shape.terms <= 128 ? 4 : 2;
    shape.outputs = shape.terms <= 256 ? 2 : 1;
    shape.quads = std::min(static_cast<uint32_t>(2 * divideUp(outputs, 8)), kMostQuads);
    return shape;
}

TileShape shapeOf(const Model &model, const Graph &graph, const Op &op) {
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    const uint32_t channels0 = graph.tensors[op.inputs[0]].channels;
    return shapeOf(op, channelsOf(channels0, shape[3] - channels0), shape[0]);
}

TileShape shapeOf(const OpView &view) {
    return shapeOf(view.model, view.graph, view.op);
}

uint32_t setsOf(const OpView &view, const ConvFacts &facts, uint32_t tileLoops) {
    const uint64_t tiles = divideUp(facts.output.h, 2) * divideUp(facts.output.w, 2);
    return static_cast<uint32_t>(divideUp(divideUp(tiles, 8 * shapeOf(view).tiles), tileLoops));
}

gpu::PipelineDescription pipelineFor(const OpView &view, const ConvFacts &facts, bool statistics) {
    const TileShape shape = shapeOf(view);
    return pipelineOf(ShaderId::Conv2dTiles,
                      {3, 3, 1, shape.side == 3 ? 1u : 0u, facts.blocks1 != 0 ? 2u : 1u,
                       view.op.residual != kNone ? 1u : 0u, 0, statistics ? 1u : 0u, shape.channels.first,
                       shape.channels.second, shape.tiles, shape.outputs, shape.quads, shape.side},
                      kConvBindings, kConvPushWords, kConvTexelBindings);
}

} // namespace

// Of the op alone, so that weights are packed alike for all sizes.
bool maybeTiles(const Model &model, const Graph &graph, const Op &op) {
    const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
    return shape[1] == 3 && shape[2] == 3 && op.stride == 1 &&
           graph.tensors[op.output].kind == TensorKind::Activation &&
           (op.residual == kNone || op.residualResample == Resample::None) &&
           (op.inputResample == Resample::None ||
            (op.padTop == 1 && op.padLeft == 1 && op.padBottom == 1 && op.padRight == 1)) &&
           shapeOf(model, graph, op).terms <= kMostTerms;
}

uint64_t tilesWeightBytes(const OpView &view) {
    const TileShape shape = shapeOf(view);
    return uint64_t{8} * blocksOf(view.output().c) / shape.outputs *
           divideUp(shape.terms, 64 / shape.outputs) * 8 * kActivationBlockBytes;
}

bool tilesSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    return traits.cpu && canShuffle(traits.caps) && maybeTiles(view.model, view.graph, view.op) &&
           fitsBothWeights(traits, secondWeightOffset(facts) + tilesWeightBytes(view));
}

void tilesKernel(const OpView &view, const ConvFacts &facts, bool statistics, OpKernel &kernel) {
    const uint64_t iterations = 5 * shapeOf(view).quads + 2;
    const uint64_t wanted = statistics ? divideUp(setsOf(view, facts, 1), kStatisticsTiles) : 1;
    kernel.tileLoops =
        static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMaxLoopIterations / iterations));
    kernel.pipelines = {pipelineFor(view, facts, statistics)};
}

uint32_t tilesStatisticsTiles(const OpView &view, const ConvFacts &facts, const OpKernel &kernel) {
    return setsOf(view, facts, kernel.tileLoops);
}

Result<std::vector<Dispatch>> buildTiles(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                         const OpBuffers &buffers, bool statistics, const Traits &traits) {
    const TileShape shape = shapeOf(view);
    const uint32_t sets = setsOf(view, facts, kernel.tileLoops);
    const uint64_t groups =
        facts.output.n * divideUp(sets, kLocalSize / 8) * divideUp(2 * facts.outputBlocks, shape.quads);
    return buildConvDispatch(view, facts, kernel, buffers,
                             {sets, static_cast<uint32_t>(divideUp(facts.output.w, 2)), groups,
                              secondWeightOffset(facts), tilesWeightBytes(view)},
                             statistics, traits);
}

// [outputs / O][sets][8 lanes][8 / O terms][O outputs]: term 64 / O * set + 8 t + lane
void packTiles(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
               uint16_t *packed) {
    const std::vector<uint32_t> &weight = model.weights[op.weight].shape;
    const size_t outputs = weight[0], inputs = weight[3];
    const size_t channels0 = graph.tensors[op.inputs[0]].channels;
    const TileShape shape = shapeOf(model, graph, op);
    const size_t padded = shape.channels.first + shape.channels.second;
    const size_t each = shape.outputs, sets = divideUp(shape.terms, 64 / each);
    // Rows of G; of a doubled source the third position has gone.
    constexpr float kRows[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
    const auto rowOf = [&](size_t at) { return kRows[shape.side == 3 && at == 2 ? 3 : at]; };
    for (size_t o = 0; o < outputs; ++o) {
        for (size_t i = 0; i < inputs; ++i) {
            float g[3][3];
            for (size_t tap = 0; tap < 9; ++tap)
                g[tap / 3][tap % 3] = floatFromHalf(canonical[(o * 9 + tap) * inputs + i]);
            for (size_t position = 0; position < size_t{shape.side} * shape.side; ++position) {
                const float *rows = rowOf(position / shape.side), *columns = rowOf(position % shape.side);
                float sum = 0;
                for (size_t y = 0; y < 3; ++y)
                    for (size_t x = 0; x < 3; ++x)
                        sum += rows[y] * columns[x] * g[y][x];
                const size_t channel = i < channels0 ? i : shape.channels.first + i - channels0;
                const size_t k = position * padded + channel;
                const size_t set = k * each / 64, within = k % (64 / each);
                packed[((o / each * sets + set) * 8 + within % 8) * 8 + within / 8 * each + o % each] =
                    halfFromFloat(sum);
            }
        }
    }
}

} // namespace mote::kernels
