// The arithmetic ceilings: twelve independent chains in each invocation, enough to hide the latency of one,
// few enough to stay in sixteen registers with the two operands. A step of a chain is
//
//   a = a * factor + offset     EXPONENTIALS 0
//   a = exp(a * factor)         EXPONENTIALS 1
//
//   target  one float an invocation, so that nothing is optimised away
//   stored  STORES 1: each loop ends with 16 bytes, 64 invocations beside each other
//
// Workgroup: 64 invocations, 1-D; any number of groups; stores wrap around after `wrap` of them. Features:
// none.
#version 450

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    float factor, offset;
    uint loops; // below 65,535; kSteps (bench/ceilings.cpp) steps each
    uint wrap;
}
pc;

layout(binding = 0, std430) writeonly buffer Target {
    float target[];
};
#if STORES
layout(binding = 1, std430) writeonly buffer Stored {
    vec4 stored[];
};
#endif

#if EXPONENTIALS
#define STEP(a) a = exp(a * pc.factor);
#else
#define STEP(a) a = a * pc.factor + pc.offset;
#endif
#define ALL                                                                                                  \
    STEP(a0)                                                                                                 \
    STEP(a1) STEP(a2) STEP(a3) STEP(a4) STEP(a5) STEP(a6) STEP(a7) STEP(a8) STEP(a9) STEP(a10) STEP(a11)
#if EXPONENTIALS
#define BODY ALL
#else
#define BODY ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL ALL
#endif

void main() {
    float a0 = float(gl_LocalInvocationID.x);
    float a1 = a0 + 1, a2 = a0 + 2, a3 = a0 + 3, a4 = a0 + 4, a5 = a0 + 5, a6 = a0 + 6, a7 = a0 + 7,
          a8 = a0 + 8, a9 = a0 + 9, a10 = a0 + 10, a11 = a0 + 11;
#if STORES
    uint place = gl_WorkGroupID.x % pc.wrap * 512 + gl_LocalInvocationID.x;
#endif
    for (uint i = 0; i < pc.loops; ++i) {
        BODY
#if STORES
            stored[place + (i & 7) * 64] = vec4(a0, a1, a2, a3);
#endif
    }
    target[gl_GlobalInvocationID.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
}
