// What a session will be, decided before anything is allocated: recipe, padded size, tiles, memory. The
// estimate and the session are made from the same plan.
#pragma once

#include "pipeline/conditioning.h"
#include "pipeline/forward.h"
#include "pipeline/loaded_model.h"
#include "pipeline/tiling.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote::pipeline {

// The readback buffer's first bytes, for small things; an image comes after them.
constexpr uint64_t kReadbackHeaderBytes = kBindingAlignment;

struct SessionOptions {
    uint32_t width = 0, height = 0;
    uint32_t steps = 0; // 0: not given
    const char *recipe = nullptr;
    uint64_t memoryBudget = 0; // bytes; 0: what the device has
    uint32_t tileWidth = 0, tileHeight = 0;
    uint32_t submissionMilliseconds = 0; // 0: 50
    uint32_t batch = 0;                  // images of a run; 0: 1
};

constexpr uint32_t kMaxBatch = 4096;

// The side below which no tile is proposed: its statistics and its context would be worth little. A smaller
// one can be asked for.
constexpr uint32_t kSmallestTile = 64;

// A buffer of a session beside weights and arena.
struct SessionBuffer {
    std::string what; // for messages
    uint64_t bytes = 0;
    gpu::MemoryKind kind = gpu::MemoryKind::DeviceLocal;
};

// Rows [first, first + count) of the padded image. Whatever is as large as the image lies in bands, so that
// each can be allocated and bound: an allocation [N][C][count][W] of floats for each.
struct RowBand {
    uint32_t first = 0, count = 0;
};

struct SessionPlan {
    uint32_t recipe = 0; // of Model::recipes
    uint32_t width = 0, height = 0, paddedWidth = 0, paddedHeight = 0;
    // Images of a run, and forward passes of a step at most: 2 where a row is guided. A forward pass has both
    // as one batch: the images with their class, then again without.
    uint32_t batch = 1, passes = 1;
    std::vector<RowBand> bands;
    TileAxis columns, rows;
    ForwardPlan forward;    // of one tile of images()
    GraphShapes passShapes; // of one pass, where there can be two
    ConditioningPlan conditioning;

    // BufferRange::buffer numbers: weight chunks from 0, then the arena's chunks, then `buffers`.
    uint32_t firstArenaChunk = 0, firstBuffer = 0;
    std::vector<SessionBuffer> buffers;
    // Numbers of buffers, kNone: not needed. Planes: of the first band, the others follow.
    uint32_t state = kNone, modelOutput = kNone, noise = kNone, registers = kNone;
    uint32_t mask = kNone, known = kNone; // inputs of a recipe with known regions
    std::vector<uint32_t> portPlanes;     // per Graph::ports; outputs to the app have none
    uint32_t feather = kNone, session = kNone, upload = kNone, readback = kNone;
    uint32_t measures = kNone;                                   // memory in which rows are measured
    uint32_t firstConditioning = kNone;                          // of its chunks
    uint32_t guidanceScales = kNone, guidanceStatistics = kNone; // [rows] floats; see GuidanceBuffers
    std::vector<uint32_t> guidanceEntries; // where each band's statistics begin, and their end

    uint64_t weightBytes = 0, activationBytes = 0, imageBytes = 0, stagingBytes = 0;
    uint64_t peakBytes = 0;  // the sum of the four
    uint64_t operations = 0; // of a whole run

    bool tiled() const { return columns.origins.size() > 1 || rows.origins.size() > 1; }
    uint32_t tileCount() const { return static_cast<uint32_t>(columns.origins.size() * rows.origins.size()); }
    // Whether the forward pass has planes of its own in the arena, read from the whole image before each tile
    // and added to it afterwards; otherwise it works on the whole image's.
    bool copiesTiles() const { return tiled() || bands.size() > 1; }
    BufferRange all(uint32_t buffer) const { return {buffer, 0, buffers[buffer - firstBuffer].bytes}; }
    // A band of planes whose first band is buffer `planes`; planeCount: images times channels.
    BufferRange band(uint32_t planes, size_t band, uint64_t planeCount) const;
    uint32_t images() const { return batch * passes; }
};

// The plan, and whether it keeps the budget: `fits` is ok, or OutOfMemory with the figure needed (then the
// plan is that of the smallest tile). Other failures: no such recipe, sizes that the device cannot hold.
struct PlannedSession {
    SessionPlan plan;
    Status fits;
};
Result<PlannedSession> planSession(const LoadedModel &model, const SessionOptions &options);

// Whether a run reads the inputs "mask" and "known".
bool hasKnownRegion(const Recipe &recipe);

// Reads the port that the graph takes its state from.
const Port &statePort(const Graph &graph);

} // namespace mote::pipeline
