// A module without unpackHalf2x16, for drivers whose compiler fails at it (Caps::noUnpackHalf).
#pragma once

#include <cstdint>
#include <vector>

namespace mote::gpu {

// The SPIR-V module (which inspectSpirv has accepted) with each UnpackHalf2x16 of GLSL.std.450 replaced by a
// call of a function that makes the same floats of the same bits, infinities, subnormals and zeros included.
std::vector<uint32_t> withoutUnpackHalf(const std::vector<uint32_t> &words);

} // namespace mote::gpu
