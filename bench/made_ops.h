// Models of one op, lowered, folded and written as any other, so that what is measured is what ships: the
// shapes on which Mote is held against its peers.
#pragma once

#include "ops.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote::bench {

struct MadeOp {
    std::string name;             // "conv3x3 128->128 at 32x32"
    std::vector<std::string> ops; // which of the graph's ops are meant; empty: all but those around it
    std::string path;             // of the file, in a folder that goes when the program ends
    uint32_t width = 0, height = 0;
};

// Throws std::runtime_error.
std::vector<MadeOp> makeOps();

// What of the model is meant.
Unit unitOf(const MadeOp &made, const Subject &subject);

} // namespace mote::bench
