// The session buffer: what changes from run to run, read by the shaders, so that recorded commands never
// change. The same words are named for GLSL in shaders/session.glsl; sampler.cpp
// asserts that the two agree.
#pragma once

#include <cstdint>

namespace mote {

struct SessionWords {
    uint32_t seedLow = 0, seedHigh = 0; // image n of a batch takes seed + n
    uint32_t noiseWidth = 0; // pixels a row for the noise counters: the photo's own width, before padding
    uint32_t nonFinite = 0xffffffffu; // atomicMin of the error codes; all ones: nothing was found
    // z = seedWeight z(seed) + otherSeedWeight z(other seed); the squares of the weights sum to 1.
    uint32_t otherSeedLow = 0, otherSeedHigh = 0;
    float seedWeight = 1, otherSeedWeight = 0;
};

constexpr uint32_t kNothingFound = 0xffffffffu;

} // namespace mote
