// Bias and affine tables that depend on an image's class or vector: planned, and made before the first step.
// See Conditioning in model.h.
#pragma once

#include "pipeline/commands.h"
#include "pipeline/weights.h"

#include <cstdint>
#include <vector>

namespace mote::pipeline {

// Memory beside the weights; BufferRange::buffer is the index of a chunk. Empty without conditioning.
struct ConditioningPlan {
    uint32_t images = 0, length = 0;  // of vectors
    std::vector<uint32_t> rows;       // timestep indices that tables have rows for, each once
    std::vector<BufferRange> tables;  // per Graph::ops: [rows][images][...]; end = 0: no projection
    BufferRange chosen;               // [images] uint: a label, or with vectors the number of one
    BufferRange given;                // [images][length]: the app's vectors; end = 0: labels
    BufferRange vectors;              // [rows][images][length]
    std::vector<uint64_t> chunkBytes; // each at most the limit
    uint64_t totalBytes = 0;
};

// `rows`: timestep indices, with repeats.
Result<ConditioningPlan> planConditioning(const Model &model, const Graph &graph, const WeightPlan &weights,
                                          const std::vector<uint32_t> &rows, uint32_t images,
                                          uint64_t maxChunkBytes);

// The same range with `firstChunk` added to its buffer, or empty.
BufferRange inChunks(BufferRange range, uint32_t firstChunk);

// Makes all tables from what `chosen` and `given` hold. Weight chunks are numbered from firstWeightChunk.
Result<std::vector<Command>> buildConditioning(const Graph &graph, const ConditioningPlan &plan,
                                               const WeightPlan &weights, uint32_t firstChunk,
                                               uint32_t firstWeightChunk, const Traits &traits);

} // namespace mote::pipeline
