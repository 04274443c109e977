#include "kernels/winograd_transform.h"

#include "kernels/half.h"

#include <algorithm>
#include <cmath>

namespace mote::kernels {

namespace {

// 64 weights, of 8 inputs for 8 outputs, transformed together.
struct Many {
    float at[64];
};

// G g, see shaders/winograd.glsl.
void transform(const Many &g0, const Many &g1, const Many &g2, Many out[6]) {
    const float a = std::sqrt(0.5f) * 2 / 3, b = std::sqrt(2.0f) / 3, c = 2.0f / 3, d = 1.0f / 3;
    for (size_t e = 0; e < 64; ++e) {
        const float evenA = -c * g0.at[e] - d * g2.at[e], oddA = a * g1.at[e];
        const float evenB = d * g0.at[e] + c * g2.at[e], oddB = b * g1.at[e];
        out[0].at[e] = g0.at[e];
        out[1].at[e] = evenA - oddA;
        out[2].at[e] = evenA + oddA;
        out[3].at[e] = evenB + oddB;
        out[4].at[e] = evenB - oddB;
        out[5].at[e] = g2.at[e];
    }
}

// The same of a doubled source.
void transformDoubled(const Many &g0, const Many &g1, const Many &g2, Many out[5]) {
    for (size_t e = 0; e < 64; ++e) {
        const float half = 0.5f * ((g0.at[e] + g1.at[e]) + g2.at[e]);
        out[0].at[e] = g0.at[e];
        out[1].at[e] = half;
        out[2].at[e] = g2.at[e] - half;
        out[3].at[e] = half - g0.at[e];
        out[4].at[e] = g2.at[e];
    }
}

template <size_t Points, void (*Transform)(const Many &, const Many &, const Many &, Many *)>
TransformedWeights transformed(const uint16_t *canonical, size_t channels, size_t inputs, size_t firstOutput,
                               size_t outputs) {
    Many g[9] = {}; // [input][output], padding zero
    for (size_t o = 0; o < std::min<size_t>(8, outputs - firstOutput); ++o)
        for (size_t tap = 0; tap < 9; ++tap)
            for (size_t i = 0; i < channels; ++i)
                g[tap].at[8 * i + o] = floatFromHalf(canonical[((firstOutput + o) * 9 + tap) * inputs + i]);
    Many rows[3][Points], columns[Points];
    for (size_t y = 0; y < 3; ++y)
        Transform(g[3 * y], g[3 * y + 1], g[3 * y + 2], rows[y]);
    TransformedWeights u;
    for (size_t x = 0; x < Points; ++x) {
        Transform(rows[0][x], rows[1][x], rows[2][x], columns);
        for (size_t y = 0; y < Points; ++y)
            std::copy_n(columns[y].at, 64, u.at[y * Points + x]);
    }
    return u;
}

} // namespace

TransformedWeights transformedWeights(const uint16_t *canonical, size_t channels, size_t inputs,
                                      size_t firstOutput, size_t outputs) {
    return transformed<6, transform>(canonical, channels, inputs, firstOutput, outputs);
}

TransformedWeights transformedDoubledWeights(const uint16_t *canonical, size_t channels, size_t inputs,
                                             size_t firstOutput, size_t outputs) {
    return transformed<5, transformDoubled>(canonical, channels, inputs, firstOutput, outputs);
}

} // namespace mote::kernels
