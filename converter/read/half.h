// IEEE 754 binary16 and bfloat16 to and from wider types. Rounding is to nearest, ties to even, and happens
// once: from double directly, never by way of float.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace mote::convert {

constexpr double kHalfMax = 65504.0;

inline float floatFromHalf(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1Fu;
    const uint32_t mantissa = half & 0x3FFu;
    if (exponent == 0x1F)
        return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
    if (exponent == 0) { // zero and subnormals: mantissa * 2^-24, exact in float
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
        return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

inline float floatFromBfloat16(uint16_t value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

// Above kHalfMax by half a unit in the last place or more the result is infinite, as the standard asks.
inline uint16_t halfFromDouble(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::fabs(value);
    if (std::isnan(value))
        return static_cast<uint16_t>(sign | 0x7E00);
    if (magnitude >= 65520.0)
        return static_cast<uint16_t>(sign | 0x7C00);
    if (magnitude < 0x1p-25)
        return sign;
    int exponent = std::ilogb(magnitude);
    if (exponent < -14)
        exponent = -14; // subnormals share the exponent of the smallest normal
    // Units in the last place: exact in double; nearbyint rounds ties to even in the default rounding mode.
    const auto units = static_cast<uint32_t>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
    // units is below 1024 for subnormals, 1024..2048 otherwise; a carry out of the mantissa lands in the
    // exponent.
    const auto biased = static_cast<uint32_t>(exponent + 14);
    return static_cast<uint16_t>(sign | ((biased << 10) + units));
}

inline float roundedToHalf(float value) {
    return floatFromHalf(halfFromDouble(static_cast<double>(value)));
}
inline double roundedToHalf(double value) {
    return static_cast<double>(floatFromHalf(halfFromDouble(value)));
}

} // namespace mote::convert
