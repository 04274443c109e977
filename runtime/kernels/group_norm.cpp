// GroupNorm, and statistics of activations whose maker does not write them. See shaders/groupnorm.comp.
#include "kernels/group_norm.h"

#include <algorithm>
#include <cstring>

namespace mote {
namespace kernels {

namespace {

constexpr uint32_t kBindings = 7, kPushWords = 21;
constexpr uint32_t kLanes = 0, kDefault = 1; // variants
constexpr uint32_t kTexelBindings = 0x1f;    // of the first: all that is read
constexpr uint32_t kLanePixels = 4;          // of an invocation in a loop

gpu::PipelineDescription pipelineFor(const OpView &view, uint32_t variant) {
    const Op &op = view.op;
    std::vector<uint32_t> constants = {
        static_cast<uint32_t>(op.activation), op.outputResample == Resample::AverageDown2 ? 1u : 0u,
        static_cast<uint32_t>(op.inputs.size()), op.inputs.size() > 1 ? view.input(0).c % 8 : 0};
    if (variant == kDefault)
        return pipelineOf(ShaderId::GroupNorm, std::move(constants), kBindings, kPushWords);
    constants.push_back(kLanePixels);
    return pipelineOf(ShaderId::GroupNormLanes, std::move(constants), kBindings, kPushWords, kTexelBindings);
}

uint32_t separateTileLoops(const TensorShape &shape) {
    const uint64_t walks = divideUp(planeOf(shape), kLocalSize);
    return static_cast<uint32_t>(std::max(divideUp(walks, kStatisticsTiles), std::min<uint64_t>(walks, 8)));
}

} // namespace

NormFacts normFactsOf(const OpView &view, const GraphKernels &kernels) {
    const Op &op = view.op;
    NormFacts facts;
    facts.channels = facts.channels0 = view.input(0).c;
    facts.blocks0 = blocksOf(facts.channels0);
    facts.tiles0 = kernels.statistics[op.inputs[0]].tiles;
    if (op.inputs.size() > 1) {
        facts.channels += view.input(1).c;
        facts.blocks1 = blocksOf(view.input(1).c);
        facts.tiles1 = kernels.statistics[op.inputs[1]].tiles;
    }
    facts.groupChannels = facts.channels / op.groups;
    for (uint32_t first = 0; first < facts.channels; first += 8) {
        const uint32_t last = std::min(first + 7, facts.channels - 1);
        facts.norms = std::max(facts.norms, last / facts.groupChannels - first / facts.groupChannels + 1);
    }
    return facts;
}

std::vector<Binding> normBindings(const NormFacts &facts, const OpBuffers &buffers, const Binding &target) {
    const Binding none = unused(buffers.affine);
    return {
        {buffers.inputs[0], Access::Read},
        facts.two() ? Binding{buffers.inputs[1], Access::Read} : none,
        {buffers.affine, Access::Read},
        {buffers.inputStatistics[0], Access::Read},
        facts.two() ? Binding{buffers.inputStatistics[1], Access::Read} : none,
        target,
        {buffers.session, Access::Atomic},
    };
}

bool lanesCanNormalise(const OpView &norm, const NormFacts &facts) {
    return (norm.op.inputs.size() == 1 || norm.input(0).c % 8 == 0) &&
           2 * facts.norms * (facts.entries(8) + 2) + 100 <= kMaxLoopIterations;
}

uint64_t coefficientBytes(const TensorShape &shape) {
    return uint64_t{shape.n} * blocksOf(shape.c) * 4 * 4 * sizeof(float);
}

gpu::PipelineDescription coefficientsPipeline(const OpView &norm) {
    return pipelineOf(ShaderId::GroupNormCoefficients, {static_cast<uint32_t>(norm.op.inputs.size())},
                      kBindings, 15, kTexelBindings);
}

Result<Dispatch> buildCoefficients(const OpView &norm, const NormFacts &facts, const OpBuffers &buffers,
                                   const BufferRange &target, const Traits &traits) {
    const uint32_t blocks = blocksOf(facts.channels), images = norm.output().n;
    const TableRow affine = tableRow(rowsOf(norm, norm.op.affine), buffers, 4 * blocks);
    PushWords push;
    push.add({blocks, facts.channels0, facts.channels, facts.blocks0, facts.blocks1, facts.groupChannels,
              facts.tiles0, facts.tiles1, affine.index, affine.stride});
    push.addFloat(norm.op.epsilon);
    push.add({buffers.errorCode, images});
    std::vector<Binding> bindings = normBindings(facts, buffers, {target, Access::Write});
    bindings[0] = bindings[1] = unused(buffers.affine);
    return makeDispatch(norm.op.name + " (coefficients)", coefficientsPipeline(norm), std::move(bindings),
                        std::move(push), divideUp(uint64_t{images} * blocks, kLocalSize / 8), traits);
}

bool isLanesNorm(const OpKernel &kernel) {
    return kernel.variant == kLanes;
}

Result<std::vector<OpKernel>> groupNormKernels(const OpView &view, const Traits &traits) {
    const Op &op = view.op;
    if (op.inputs.empty() || op.inputs.size() > 2)
        return makeStatus(StatusCode::Unsupported, "%s: found %zu inputs, expected 1 or 2",
                          view.where().c_str(), op.inputs.size());
    uint64_t channels = 0;
    for (uint32_t input : op.inputs) {
        MOTE_TRY(requireActivation(view, input, "input"));
        channels += view.graph.tensors[input].channels;
    }
    MOTE_TRY(requireActivation(view, op.output, "output"));
    if (op.groups == 0 || channels % op.groups != 0)
        return makeStatus(StatusCode::InvalidModel,
                          "%s: found %u groups, expected a divisor of %llu channels", view.where().c_str(),
                          op.groups, static_cast<unsigned long long>(channels));
    if (op.outputResample == Resample::NearestUp2)
        return makeStatus(StatusCode::Unsupported, "%s: found a doubled output, expected none or average 2x2",
                          view.where().c_str());
    if (op.affine == kNone)
        return makeStatus(StatusCode::InvalidModel, "%s: found no affine table", view.where().c_str());
    MOTE_TRY(requireShape(view, op.affine, {rowsOf(view, op.affine), 2, channels}, "affine table"));
    OpKernel kernel;
    kernel.affineBytes = uint64_t{rowsOf(view, op.affine)} * 2 * divideUp(channels, 8) * 8 * sizeof(float);
    kernel.projectionBytes = projectionBytesOf(view, kernel.affineBytes);
    // A source, or its statistics: eight entries of 16 bytes for 16 pixels of a block at the most.
    bool texelsFit = fitsTexels(traits, kernel.affineBytes);
    for (uint32_t input : op.inputs) {
        const TensorShape &shape = view.shapes.tensors[input];
        const uint64_t entries = uint64_t{shape.n} * blocksOf(shape.c) * 8 * divideUp(planeOf(shape), 16);
        texelsFit = texelsFit && fitsTexels(traits, tensorBytes(TensorKind::Activation, shape)) &&
                    fitsTexels(traits, 16 * entries);
    }
    std::vector<OpKernel> kernels;
    if (traits.cpu && canShuffle(traits.caps) && texelsFit) {
        kernel.name = "groupnorm lanes";
        kernel.variant = kLanes;
        kernel.pipelines = {pipelineFor(view, kLanes)};
        kernels.push_back(kernel);
    }
    kernel.name = "groupnorm";
    kernel.variant = kDefault;
    kernel.pipelines = {pipelineFor(view, kDefault)};
    kernels.push_back(std::move(kernel));
    return kernels;
}

Result<std::vector<Dispatch>> buildGroupNorm(const OpView &view, const GraphKernels &kernels,
                                             const OpBuffers &buffers, const Traits &traits) {
    const Op &op = view.op;
    const TensorShape &input = view.input(0), &output = view.output();
    const NormFacts facts = normFactsOf(view, kernels);
    const uint32_t channels = facts.channels;

    // A workgroup, or eight invocations, reads its groups' entries anew: give it at least four pixels an
    // invocation for each entry that an invocation reads, and at least eight.
    const bool eights = kernels.ops[view.index].variant == kLanes;
    const uint32_t lanes = eights             ? 8
                           : facts.norms == 1 ? 64
                           : facts.norms == 2 ? 32
                           : facts.norms <= 4 ? 16
                                              : 8;
    const uint64_t entries = facts.entries(lanes);
    if (2 * entries + 100 > kMaxLoopIterations)
        return makeStatus(StatusCode::Unsupported,
                          "%s: found %llu statistics entries to combine, expected at most %llu",
                          view.where().c_str(), static_cast<unsigned long long>(entries),
                          static_cast<unsigned long long>(kMaxLoopIterations / 2));
    const bool average = op.outputResample == Resample::AverageDown2;
    const uint64_t loopLimit = (kMaxLoopIterations - 2 * entries - 64) / (average ? 6 : 3);
    const uint64_t walks = divideUp(planeOf(output), eights ? kLanePixels * 8 : kLocalSize);
    // Four workgroups at least, for the cores of a software device: one alone would do what two could.
    const uint64_t spread =
        eights ? divideUp(walks, divideUp(4 * kLocalSize / 8, blocksOf(channels))) : walks;
    const uint64_t chunkLoops =
        std::max<uint64_t>(std::min({std::max<uint64_t>(8, 4 * entries), spread, loopLimit}), 1);
    const uint64_t chunks = divideUp(walks, chunkLoops);
    const uint64_t units = output.n * blocksOf(channels) * chunks;

    const TableRow affine = tableRow(rowsOf(view, op.affine), buffers, 4 * blocksOf(channels));
    PushWords push;
    push.add({facts.channels0, channels, facts.blocks0, facts.blocks1, blocksOf(channels),
              facts.groupChannels, facts.tiles0, facts.tiles1, input.h, input.w, output.h, output.w, chunks,
              chunkLoops, affine.index, affine.stride});
    push.addFloat(op.epsilon);
    push.add({buffers.errorCode, output.n});

    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op.name + " (" + kernels.ops[view.index].name + ")",
                                 pipelineFor(view, kernels.ops[view.index].variant),
                                 normBindings(facts, buffers, {buffers.output, Access::Write}),
                                 std::move(push), eights ? divideUp(units, kLocalSize / 8) : units, traits));
    dispatch.operations = view.shapes.costs[view.index].operations;
    dispatch.bytes = view.shapes.costs[view.index].bytes;
    return std::vector<Dispatch>{std::move(dispatch)};
}

uint32_t separateStatisticsTiles(const TensorShape &shape) {
    return static_cast<uint32_t>(divideUp(divideUp(planeOf(shape), kLocalSize), separateTileLoops(shape)));
}

gpu::PipelineDescription separateStatisticsPipeline() {
    return pipelineOf(ShaderId::Statistics, {}, 2, 5);
}

Result<Dispatch> buildSeparateStatistics(const OpView &view, const OpBuffers &buffers, const Traits &traits) {
    const TensorShape &shape = view.output();
    const uint64_t tiles = separateStatisticsTiles(shape);
    PushWords push;
    push.add({planeOf(shape), tiles, separateTileLoops(shape)});
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(view.op.name + " (statistics)", separateStatisticsPipeline(),
                                 {{buffers.output, Access::Read}, {buffers.outputStatistics, Access::Write}},
                                 std::move(push), uint64_t{shape.n} * blocksOf(shape.c) * tiles, traits));
    dispatch.bytes = tensorBytes(TensorKind::Activation, shape);
    dispatch.operations = 4 * uint64_t{shape.n} * shape.c * planeOf(shape);
    return dispatch;
}

} // namespace kernels

void packAffine(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t opIndex,
                const float *canonical, void *packed) {
    using namespace kernels;
    std::memset(packed, 0, kernel.affineBytes);
    const std::vector<uint32_t> &shape = model.weights[graph.ops[opIndex].affine].shape;
    if (shape.size() == 4) { // [2][C][H][W] to [2][blocks][H][W][8]
        const size_t channels = shape[1], plane = size_t{shape[2]} * shape[3], blocks = divideUp(channels, 8);
        auto *to = static_cast<float *>(packed);
        for (size_t k = 0; k < 2; ++k)
            for (size_t c = 0; c < channels; ++c)
                for (size_t i = 0; i < plane; ++i)
                    to[((k * blocks + c / 8) * plane + i) * 8 + c % 8] =
                        canonical[(k * channels + c) * plane + i];
        return;
    }
    const size_t rows = size_t{shape[0]} * shape[1], channels = shape[2];
    for (size_t row = 0; row < rows; ++row)
        std::memcpy(static_cast<float *>(packed) + row * divideUp(channels, 8) * 8,
                    canonical + row * channels, channels * sizeof(float));
}

} // namespace mote
