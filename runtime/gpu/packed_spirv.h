// SPIR-V as it is embedded: words of 32 bits in one to three units of 16, by shaders/cmake/pack.cmake. Half
// the bytes: ids and literals are small, and an instruction's first word has two small halves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mote::gpu {

// The module's words. A unit of highest digit (4 bits) t and rest v (12 bits) is the word
//   t = 0          v
//   t = 1 .. 13    t << 16 | v
//   t = 14         v << 16 | the next unit
//   t = 15         the next unit << 16 | the one after
// A word whose units are not all there is left out.
std::vector<uint32_t> unpackSpirv(const uint16_t *units, size_t count);

} // namespace mote::gpu
