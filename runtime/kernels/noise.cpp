#include "kernels/noise.h"

#include <cstring>

namespace mote {

namespace {

// What shaders/noise.glsl needs of GLSL.
using uint = uint32_t;

uint floatBitsToUint(float value) {
    uint bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

float uintBitsToFloat(uint bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void umulExtended(uint a, uint b, uint &high, uint &low) {
    const uint64_t product = uint64_t{a} * b;
    high = static_cast<uint>(product >> 32);
    low = static_cast<uint>(product);
}

#define NOISE_FUNCTION static inline
#define NOISE_INOUT(type, name) type &name
#define precise
#include "shaders/noise.glsl"
#undef precise
#undef NOISE_INOUT
#undef NOISE_FUNCTION

} // namespace

void philox(const NoiseCounter &counter, uint64_t key, uint32_t words[4]) {
    uint32_t c0 = counter.pixel, c1 = counter.channel, c2 = counter.draw, c3 = counter.stream;
    noisePhilox(c0, c1, c2, c3, static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

float noiseNormal(const NoiseCounter &counter, uint64_t key) {
    return noiseNormalOf(counter.pixel, counter.channel, counter.draw, counter.stream,
                         static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
}

} // namespace mote
