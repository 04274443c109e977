// See shaders/condition_vector.comp and condition_project.comp.
#include "kernels/condition_kernels.h"
#include "kernels/ops.h"

#include <cstring>

namespace mote {

using namespace kernels;

Result<Dispatch> buildConditionVector(const ConditionBuffers &buffers, ActivationFunction activation,
                                      uint32_t images, uint32_t length, uint32_t timestepIndex, uint32_t row,
                                      const Traits &traits) {
    const uint64_t elements = uint64_t{images} * length;
    PushWords push;
    push.add({images, length, uint64_t{timestepIndex} * length, row * elements});
    MOTE_TRY_ASSIGN(Dispatch dispatch, makeDispatch("condition vector",
                                                    pipelineOf(ShaderId::ConditionVector,
                                                               {static_cast<uint32_t>(activation)}, 4, 6),
                                                    {{buffers.steps, Access::Read},
                                                     {buffers.conditions, Access::Read},
                                                     {buffers.chosen, Access::Read},
                                                     {buffers.vectors, Access::Write}},
                                                    std::move(push), divideUp(elements, kLocalSize), traits));
    dispatch.operations = 6 * elements;
    dispatch.bytes = 12 * elements;
    return dispatch;
}

Result<Dispatch> buildConditionProject(const std::string &op, BufferRange staticRow, BufferRange projection,
                                       BufferRange vectors, BufferRange table, uint32_t count,
                                       uint32_t length, const Traits &traits) {
    if (length > kMaxLoopIterations)
        return makeStatus(StatusCode::Unsupported,
                          "op '%s': found a projection of vectors of %u numbers, expected at most %llu",
                          op.c_str(), length, static_cast<unsigned long long>(kMaxLoopIterations));
    const uint64_t quads = (staticRow.end - staticRow.begin) / (4 * sizeof(float));
    const uint64_t groupsOfQuads = divideUp(quads, kLocalSize);
    PushWords push;
    push.add({quads, length, groupsOfQuads});
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(op + " (projection)", pipelineOf(ShaderId::ConditionProject, {}, 4, 5),
                                 {{staticRow, Access::Read},
                                  {projection, Access::Read},
                                  {vectors, Access::Read},
                                  {table, Access::Write}},
                                 std::move(push), count * groupsOfQuads, traits));
    dispatch.operations = uint64_t{8} * quads * length * count;
    dispatch.bytes = count * (projection.end - projection.begin);
    return dispatch;
}

void packProjection(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t opIndex,
                    const uint16_t *canonical, void *packed) {
    const Op &op = graph.ops[opIndex];
    const std::vector<uint32_t> &shape = model.weights[op.projection].shape;
    const size_t outputs = shape[0], length = shape[1];
    const size_t padded = kernel.projectionBytes / sizeof(uint16_t) / length;
    // The row of a GroupNorm is two, gamma and beta, each padded.
    const size_t parts = op.kind == OpKind::GroupNorm ? 2 : 1, ofPart = outputs / parts;
    std::memset(packed, 0, kernel.projectionBytes);
    auto *halfs = static_cast<uint16_t *>(packed);
    for (size_t part = 0; part < parts; ++part)
        for (size_t o = 0; o < ofPart; ++o)
            for (size_t e = 0; e < length; ++e)
                halfs[e * padded + part * (padded / parts) + o] = canonical[(part * ofPart + o) * length + e];
}

} // namespace mote
