// One forward pass of a graph at one size: shapes, kernels, memory, and the list of its dispatches.
#pragma once

#include "graph/plan.h"
#include "graph/shapes.h"
#include "kernels/kernels.h"
#include "pipeline/commands.h"
#include "pipeline/weights.h"

#include <cstdint>
#include <vector>

namespace mote::pipeline {

// Everything about a forward pass that is known before anything is allocated.
struct ForwardPlan {
    uint32_t images = 0, height = 0, width = 0;
    GraphShapes shapes;
    GraphKernels kernels;
    MemoryPlan memory; // the arena: chunkBytes are whole pages

    // Index into memory.placements, kNone: not in the arena. Ports where asked.
    std::vector<uint32_t> tensors, statistics; // per Graph::tensors
    std::vector<uint32_t> scratch;             // per Graph::ops
    std::vector<uint64_t> tensorBytes;         // per Graph::tensors, unrounded
};

// portsInArena: ports get a place in the arena, inputs alive from before the pass, outputs to after it;
// otherwise the caller has memory for them. maxChunkBytes as for planMemory. `usable` as for chooseKernels.
Result<ForwardPlan> planForward(const Model &model, const Graph &graph, uint32_t images, uint32_t height,
                                uint32_t width, bool portsInArena, const Traits &traits,
                                const std::function<Status(const gpu::PipelineDescription &)> &usable,
                                uint64_t maxChunkBytes);

// Where everything is, as BufferRange::buffer numbers of one BufferTable.
struct ForwardBuffers {
    uint32_t firstWeightChunk = 0, firstArenaChunk = 0;
    const WeightPlan *weights = nullptr;
    uint32_t inputImages = 0; // that input ports have, see OpBuffers
    // Of ops with a projection (per Graph::ops, or empty): tables made for each image, whose rows are those
    // of the timestep indices `madeRows`.
    std::vector<BufferRange> madeTables;
    std::vector<uint32_t> madeRows;
    std::vector<BufferRange> ports; // per Graph::tensors: planes of ports outside the arena; else end = 0
    BufferRange session;
    // Per Graph::tensors, end = 0: computed. Where given, the statistics that an op writes are replaced by
    // these right after it, so that every GroupNorm uses statistics that do not depend on the tile.
    std::vector<BufferRange> fixedStatistics;
};

// The place of a tensor, its statistics: in the arena or the caller's.
BufferRange tensorRange(const ForwardPlan &plan, const ForwardBuffers &buffers, uint32_t tensor);
BufferRange statisticsRange(const ForwardPlan &plan, const ForwardBuffers &buffers, uint32_t tensor);

// The dispatches of one op. row: of the tables that have several; step: for error
// codes (kernels report step << 16 | op). `shapes`: plan.shapes, or those of fewer images, which the same
// kernels and memory serve.
Result<std::vector<Dispatch>> buildOp(const Model &model, const Graph &graph, const ForwardPlan &plan,
                                      const GraphShapes &shapes, const ForwardBuffers &buffers, uint32_t op,
                                      uint32_t row, uint32_t step, const Traits &traits);

// All dispatches in order, uncut and without barriers. Command::whole counts from 0; milliseconds are 0.
Result<std::vector<Command>> buildForward(const Model &model, const Graph &graph, const ForwardPlan &plan,
                                          const GraphShapes &shapes, const ForwardBuffers &buffers,
                                          uint32_t row, uint32_t step, const Traits &traits);

// Estimated times from operation counts, for what was not measured.
void estimateTimes(std::vector<Command> &commands, double operationsPerMillisecond);

} // namespace mote::pipeline
