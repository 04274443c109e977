// Fewer statistics of an activation: each entry combines `each` of the source's, the last perhaps fewer.
//
//   source  [N][C/8][entries][8 channels] vec4 as in groupnorm.comp
//   target  [N][C/8][ceil(entries / each)][8 channels], likewise
//
// Workgroup: 64 results; groups = ceil(N * C/8 * ceil(entries / each) * 8 / 64). Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint results; // N * C/8 * ceil(entries / each) * 8
    uint entries, each;
} pc;

TENSOR(0, source) // fp32 bits
layout(binding = 1, std430) writeonly buffer Target { vec4 target[]; };

void main() {
    uint number = dispatchGroup();
    uint result = (pc.firstGroup + number) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number >= pc.groupCount || result >= pc.results)
        return;
    uint entries = (pc.entries + pc.each - 1) / pc.each; // of a block
    uint block = result / (8 * entries), within = result - block * 8 * entries;
    uint first = within / 8 * pc.each, last = min(first + pc.each, pc.entries) - 1;
    uint place = (block * pc.entries + first) * 8 + within % 8, end = place + (last - first) * 8;
    float count = 0, mean = 0, deviations = 0;
    do {
        vec4 entry = uintBitsToFloat(FETCH(source, place));
        combineStatistics(count, mean, deviations, entry.x, entry.y, entry.z);
        place += 8;
    } while (place <= end);
    target[result] = vec4(count, mean, deviations, 0);
}
