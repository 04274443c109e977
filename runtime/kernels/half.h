// Private to runtime/kernels: weights in fp16 bit patterns that are computed with while they are packed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace mote::kernels {

// Infinity and NaN do not occur in weights of a valid file; both become infinity, which results then show.
inline float floatFromHalf(uint16_t half) {
    const uint32_t bits = uint32_t{half & 0x7fffu} << 13;
    float magnitude = 0;
    std::memcpy(&magnitude, &bits, sizeof bits);
    magnitude *= 0x1p112f; // the exponents differ by 112
    magnitude = magnitude < 65536 ? magnitude : HUGE_VALF;
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// As halfBits in shaders/lanes.glsl.
inline uint16_t halfFromFloat(float value) {
    uint32_t bits = 0, subnormal = 0;
    std::memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    const float shifted = std::fabs(value) + 0.5f;
    std::memcpy(&subnormal, &shifted, sizeof subnormal);
    subnormal -= 0x3f000000;
    const uint32_t normal = std::min((bits + 0xc8000fff + (bits >> 13 & 1)) >> 13, 0x7c00u);
    return static_cast<uint16_t>((bits < 0x38800000 ? subnormal : normal) | sign);
}

} // namespace mote::kernels
