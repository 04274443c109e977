// What the two kernels of guidance share. A band's planes are cut into `chunks` runs of `chunkElements` for
// each image.
#ifndef MOTE_GUIDANCE_GLSL
#define MOTE_GUIDANCE_GLSL

#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint images;        // N
    uint imageElements; // of the band
    uint chunks, chunkElements;
    uint firstEntry, entries; // of this band in an image's statistics, and of all bands
    uint row;                 // of the step table
    float rescale;
}
pc;

// [2N][imageElements] float: the outputs with the class, then those without.
layout(binding = 0, std430) buffer Outputs {
    float outputs[];
};
// [N][entries][2] vec4 (count, mean, sum of squared deviations, 0): of the output with the class, of the
// guided one.
layout(binding = 1, std430) buffer Statistics {
    vec4 statistics[];
};

shared vec3 sharedSets[2][LOCAL_SIZE];

// Combines the sets of all invocations in a fixed order, a binary tree; all invocations call it and get the
// result.
vec3 reduceSet(uint which, uint local, vec3 set) {
    sharedSets[which][local] = set;
    for (uint reach = LOCAL_SIZE / 2; reach > 0; reach /= 2) {
        barrier();
        if (local < reach) {
            vec3 other = sharedSets[which][local + reach];
            combineStatistics(set.x, set.y, set.z, other.x, other.y, other.z);
            sharedSets[which][local] = set;
        }
    }
    barrier();
    return sharedSets[which][0];
}

#endif
