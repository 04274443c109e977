// One pass of a radix selection over |x0|, x0 = p x + q m: counts the values that begin with the known prefix
// by their next bits. Floats of one sign order as their bits do, so the selection is exact. In the last pass
// also the least value above all that begin so.
//
//   state, modelOutput  [N][C][H][W] of a band
//   selection           see row_results.glsl; counts are added to
//
// Counts are gathered in shared memory and added with integers: their order does not matter.
// Workgroup: 4096 elements of one image; groups = N * imageGroups. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "row_results.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define READ_STATE 1
#define READ_MODEL_OUTPUT 2
#define ELEMENTS 64 // an invocation

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint imageElements, imageGroups;
    uint flags;
    uint shift, width; // the bits to count by: `width` from bit `shift` on
    uint last;
    float p, q;
}
pc;

layout(binding = 0, std430) readonly buffer State {
    float state[];
};
layout(binding = 1, std430) readonly buffer ModelOutput {
    float modelOutput[];
};
layout(binding = 2, std430) buffer Selection {
    uint selection[];
};

shared uint counts[SELECTION_BINS];

uint magnitudeOf(uint i) {
    precise float x0 = 0;
    if ((pc.flags & READ_STATE) != 0)
        x0 = pc.p * state[i];
    if ((pc.flags & READ_MODEL_OUTPUT) != 0)
        x0 = x0 + pc.q * modelOutput[i];
    return floatBitsToUint(x0) & 0x7fffffffu;
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    uint imageElements = number < pc.groupCount ? pc.imageElements : 0;
    uint group = pc.firstGroup + min(number, pc.groupCount - 1);
    uint image = group / pc.imageGroups;
    uint first = (group - image * pc.imageGroups) * (LOCAL_SIZE * ELEMENTS) + local;
    uint base = image * SELECTION_WORDS;
    uint prefix = selection[base + SELECTION_PREFIX];
    for (uint bin = local; bin < SELECTION_BINS; bin += LOCAL_SIZE)
        counts[bin] = 0;
    barrier();
    uint above = 0xffffffffu;
    for (uint k = 0; k < ELEMENTS; ++k) {
        uint i = first + k * LOCAL_SIZE;
        if (i < imageElements) {
            uint bits = magnitudeOf(image * imageElements + i);
            uint begins = bits >> (pc.shift + pc.width);
            if (begins == prefix)
                atomicAdd(counts[(bits >> pc.shift) & ((1u << pc.width) - 1)], 1);
            if (begins > prefix)
                above = min(above, bits);
        }
    }
    barrier();
    for (uint bin = local; bin < SELECTION_BINS; bin += LOCAL_SIZE)
        if (counts[bin] != 0)
            atomicAdd(selection[base + SELECTION_COUNTS + bin], counts[bin]);
    if (pc.last != 0 && above != 0xffffffffu)
        atomicMin(selection[base + SELECTION_ABOVE], above);
}
