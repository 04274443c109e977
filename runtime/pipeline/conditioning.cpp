#include "pipeline/conditioning.h"

#include "kernels/condition_kernels.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace mote::pipeline {

Result<ConditioningPlan> planConditioning(const Model &model, const Graph &graph, const WeightPlan &weights,
                                          const std::vector<uint32_t> &rows, uint32_t images,
                                          uint64_t maxChunkBytes) {
    ConditioningPlan plan;
    plan.tables.resize(graph.ops.size());
    if (graph.conditioning.kind == ConditioningKind::None)
        return plan;
    plan.images = images;
    plan.length = model.weights[graph.conditioning.stepEmbeddings].shape[1];
    for (const uint32_t row : rows)
        if (std::find(plan.rows.begin(), plan.rows.end(), row) == plan.rows.end())
            plan.rows.push_back(row);
    const uint64_t limit = maxChunkBytes / kPageBytes * kPageBytes;
    uint64_t used = 0; // of the chunk being filled
    const auto place = [&](const std::string &what, uint64_t bytes, BufferRange &range) -> Status {
        if (bytes > limit)
            return makeStatus(
                StatusCode::Unsupported,
                "%s for %zu steps of %u images: %llu bytes, a binding or allocation of this device has "
                "at most %llu",
                what.c_str(), plan.rows.size(), images, static_cast<unsigned long long>(bytes),
                static_cast<unsigned long long>(limit));
        used = (used + kBindingAlignment - 1) / kBindingAlignment * kBindingAlignment;
        if (plan.chunkBytes.empty() || used + bytes > limit) {
            plan.chunkBytes.push_back(0);
            used = 0;
        }
        range = {static_cast<uint32_t>(plan.chunkBytes.size() - 1), used, used + bytes};
        used += bytes;
        plan.chunkBytes.back() = (used + kPageBytes - 1) / kPageBytes * kPageBytes;
        return {};
    };
    // 2^12 rows, a batch, and vectors of at most 2^16 or packed rows that a binding holds: no overflow in 64
    // bits.
    const uint64_t count = uint64_t{plan.rows.size()} * images;
    MOTE_TRY(place("labels", sizeof(uint32_t) * uint64_t{images}, plan.chosen));
    if (graph.conditioning.kind == ConditioningKind::Vectors)
        MOTE_TRY(place("vectors", sizeof(float) * uint64_t{images} * plan.length, plan.given));
    MOTE_TRY(place("conditioning vectors", sizeof(float) * count * plan.length, plan.vectors));
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        if (graph.ops[i].projection == kNone)
            continue;
        const BufferRange &row =
            graph.ops[i].kind == OpKind::Conv2d ? weights.ops[i].bias : weights.ops[i].affine;
        MOTE_TRY(
            place("op '" + graph.ops[i].name + "': its rows", count * (row.end - row.begin), plan.tables[i]));
    }
    plan.totalBytes = std::accumulate(plan.chunkBytes.begin(), plan.chunkBytes.end(), uint64_t{0});
    return plan;
}

BufferRange inChunks(BufferRange range, uint32_t firstChunk) {
    if (range.end != 0)
        range.buffer += firstChunk;
    return range;
}

Result<std::vector<Command>> buildConditioning(const Graph &graph, const ConditioningPlan &plan,
                                               const WeightPlan &weights, uint32_t firstChunk,
                                               uint32_t firstWeightChunk, const Traits &traits) {
    std::vector<Command> commands;
    ConditionBuffers buffers;
    buffers.steps = inChunks(weights.stepEmbeddings, firstWeightChunk);
    buffers.conditions =
        plan.given.end != 0 ? inChunks(plan.given, firstChunk) : inChunks(weights.classes, firstWeightChunk);
    buffers.chosen = inChunks(plan.chosen, firstChunk);
    buffers.vectors = inChunks(plan.vectors, firstChunk);
    for (uint32_t row = 0; row < plan.rows.size(); ++row) {
        MOTE_TRY_ASSIGN(Dispatch vector,
                        buildConditionVector(buffers, graph.conditioning.activation, plan.images, plan.length,
                                             plan.rows[row], row, traits));
        commands.push_back(dispatchCommand(std::move(vector)));
    }
    const uint32_t count = static_cast<uint32_t>(plan.rows.size()) * plan.images;
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        if (plan.tables[i].end == 0)
            continue;
        const OpConstants &constants = weights.ops[i];
        const BufferRange &row = graph.ops[i].kind == OpKind::Conv2d ? constants.bias : constants.affine;
        MOTE_TRY_ASSIGN(Dispatch project,
                        buildConditionProject(graph.ops[i].name, inChunks(row, firstWeightChunk),
                                              inChunks(constants.projection, firstWeightChunk),
                                              buffers.vectors, inChunks(plan.tables[i], firstChunk), count,
                                              plan.length, traits));
        commands.push_back(dispatchCommand(std::move(project), i));
    }
    return commands;
}

} // namespace mote::pipeline
