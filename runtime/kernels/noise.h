// The noise generator on the CPU: equal to the GPU's to the bit (both compile shaders/noise.glsl).
#pragma once

#include <cstdint>

namespace mote {

struct NoiseCounter {
    uint32_t pixel = 0; // absolute y * W + x, W the photo's own width
    uint32_t channel = 0;
    uint32_t draw = 0;
    uint32_t stream = 0;
};

// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
void philox(const NoiseCounter &counter, uint64_t key, uint32_t words[4]);

// A standard normal of the counter under the key (the seed): Box-Muller on the first two words.
float noiseNormal(const NoiseCounter &counter, uint64_t key);

} // namespace mote
