// Models of one op, lowered, folded and written as any other, so that what is measured is what ships: the
// shapes on which Mote is held against its peers.
#pragma once

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

// Of what stands around the op: picture to channels, and channels to the model's output.
inline constexpr const char *kStem = "stem", *kHead = "head", *kInput = "input";

// Throws std::runtime_error.
std::vector<MadeOp> makeOps();

} // namespace mote::bench
