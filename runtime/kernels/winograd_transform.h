// Private to runtime/kernels: U = G g G^T of Winograd F(4x4, 3x3), see shaders/winograd.glsl.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mote::kernels {

struct TransformedWeights {
    float at[36][64]; // [position][input][output]
};

// Of `channels` inputs (at most 8) for the outputs firstOutput .. firstOutput + 7, what is beyond `outputs`
// zero. canonical: [outputs][3][3][inputs] fp16 bit patterns, from the first of these inputs on.
TransformedWeights transformedWeights(const uint16_t *canonical, size_t channels, size_t inputs,
                                      size_t firstOutput, size_t outputs);
// Of a doubled source; the first 25 positions.
TransformedWeights transformedDoubledWeights(const uint16_t *canonical, size_t channels, size_t inputs,
                                             size_t firstOutput, size_t outputs);

} // namespace mote::kernels
