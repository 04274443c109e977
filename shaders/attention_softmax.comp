// The softmax of a band, not yet divided by its sums, see attention_interface.glsl. A unit makes all keys of eight
// queries; groups = ceil(slots * ceil(columns / 8) / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

TENSOR(0, scores) // fp32 bits
layout(binding = 1, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 2, std430) writeonly buffer Sums { float sums[]; };

void main() {
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint queryEights = (pc.columns + 7) >> 3;
    uint slot = unit / queryEights;
    uint column = (unit - slot * queryEights) * 8 + laneNumber();
    bool live = number < pc.groupCount && slot < pc.slots && column < pc.columns;
    uint keyEights = live ? 2 * pc.keyGroups : 0;
    uint base = live ? slot * pc.keyGroups * 4 * pc.columns + column : 0;

    vec4 highestOfFour = vec4(-3.0e38);
    for (uint i = 0; i < keyEights; ++i) {
        vec4 low = uintBitsToFloat(FETCH(scores, base + 2 * i * pc.columns));
        vec4 high = uintBitsToFloat(FETCH(scores, base + (2 * i + 1) * pc.columns));
        highestOfFour = max(highestOfFour, max(low, high));
    }
    float highest = max(max(highestOfFour.x, highestOfFour.y), max(highestOfFour.z, highestOfFour.w));
    vec4 sumOfFour = vec4(0);
    for (uint i = 0; i < keyEights; ++i) {
        vec4 low = exp(uintBitsToFloat(FETCH(scores, base + 2 * i * pc.columns)) - highest);
        vec4 high = exp(uintBitsToFloat(FETCH(scores, base + (2 * i + 1) * pc.columns)) - highest);
        uvec4 words = packEightInSteps(Eight(low, high));
        Eight stored = unpackEight(words);
        sumOfFour += stored.low + stored.high;
        target[(slot * 2 * pc.keyGroups + i) * pc.columns + column] = words;
    }
    if (live)
        sums[slot * pc.columns + column] = sumOfFour.x + sumOfFour.y + sumOfFour.z + sumOfFour.w;
}
