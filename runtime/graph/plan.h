// Where buffers go: a placement of sized, aligned, timed buffers into as few bytes as the greedy rule finds.
// Knows no Vulkan and no op: activations, statistics buffers and ports are all names, sizes and intervals.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote {

// Alive from the start of position firstUse to the end of position lastUse of some execution order, both
// included. Two buffers that share a position never share memory.
struct PlanBuffer {
    std::string name; // for messages
    uint64_t bytes = 0;
    uint64_t alignment = 1; // a power of two
    uint32_t firstUse = 0, lastUse = 0;
};

struct Placement {
    uint32_t chunk = 0;
    uint64_t offset = 0; // bytes from the chunk's start
};

struct MemoryPlan {
    std::vector<Placement> placements; // per buffer, in the order given
    std::vector<uint64_t> chunkBytes;  // each at most the limit
    uint64_t peakBytes = 0;            // sum of chunkBytes: what will be allocated
    uint64_t lowerBound = 0;           // most bytes alive at one position: no plan can need less
};

// Places every buffer. maxChunkBytes is the least of the device's limits on one allocation and one binding; a
// buffer larger than it is refused by name, with both numbers. The same input gives the same plan.
Result<MemoryPlan> planMemory(const std::vector<PlanBuffer> &buffers, uint64_t maxChunkBytes);

// First and last op that touches each tensor of a graph; input ports live from op 0, output ports to the last
// op. A tensor that nothing touches has firstUse = kNone.
struct Liveness {
    uint32_t firstUse = kNone, lastUse = 0;
};
std::vector<Liveness> tensorLiveness(const Graph &graph);

} // namespace mote
