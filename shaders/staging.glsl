// What eight invocations have, side by side in shared memory. Mesa's software driver stores such a vector in eight pieces at
// one address each up to 25.0; later ones (seen on 26.1) make a scatter of all invocations of each piece, and one of all
// eight is an eighth of that. Include after uniform_addresses.glsl and declare before: shared vec4 staged[], a constant SCATTER,
// 1 on the later ones.
#ifndef MOTE_STAGING_GLSL
#define MOTE_STAGING_GLSL

void stage(uint place, float value) {
    if (SCATTER != 0) {
        staged[place + (gl_SubgroupInvocationID >> 2)][gl_SubgroupInvocationID & 3] = value;
    } else {
        staged[place] = lowOfLanes(value);
        staged[place + 1] = highOfLanes(value);
    }
}

#endif
