// The least time that an op could take on this device: what it must compute and move by the best algorithm
// known here, at rates measured in the same run. Real kernels lie above it by what the ceilings leave out:
// loads repeated because registers are few, masks, addresses, caches.
#pragma once

#include "ceilings.h"
#include "graph/shapes.h"

#include <cstdint>
#include <vector>

namespace mote::bench {

struct Floor {
    double seconds = 0;
    // With what the best register tile costs besides: a matrix product's operands are loaded again for each
    // 64 outputs and each 4 pixels; scores of attention go through memory.
    double tileSeconds = 0;
    double arithmeticSeconds = 0, memorySeconds = 0; // of which it is made
};

// Of ops timed by themselves. `norms`: group norms that they make on the way.
Floor floorOf(const Model &model, const Graph &graph, const GraphShapes &shapes,
              const std::vector<uint32_t> &ops, const std::vector<uint32_t> &norms, const Ceilings &ceilings);

// Of a forward pass. A norm counts without its loads and stores, because a neighbour may do it on the way.
Floor floorOfPass(const Model &model, const Graph &graph, const GraphShapes &shapes,
                  const Ceilings &ceilings);

} // namespace mote::bench
