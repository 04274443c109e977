// The arithmetic ceiling: twelve independent chains of  a = a * factor + offset  in each invocation, enough
// to hide the latency of one, few enough to stay in sixteen registers with the two operands.
//
//   target  one float an invocation, so that nothing is optimised away
//
// Workgroup: 64 invocations, 1-D; any number of groups. Features: none.
#version 450

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    float factor, offset;
    uint loops; // below 65,535; kMultiplyAdds (bench/ceilings.cpp) multiply-adds each
}
pc;

layout(binding = 0, std430) writeonly buffer Target {
    float target[];
};

#define STEP(a) a = a * pc.factor + pc.offset;
#define ALL                                                                                                  \
    STEP(a0)                                                                                                 \
    STEP(a1) STEP(a2) STEP(a3) STEP(a4) STEP(a5) STEP(a6) STEP(a7) STEP(a8) STEP(a9) STEP(a10) STEP(a11)

void main() {
    float a0 = float(gl_LocalInvocationID.x), a1 = a0 + 1, a2 = a0 + 2, a3 = a0 + 3, a4 = a0 + 4, a5 = a0 + 5;
    float a6 = a0 + 6, a7 = a0 + 7, a8 = a0 + 8, a9 = a0 + 9, a10 = a0 + 10, a11 = a0 + 11;
    for (uint i = 0; i < pc.loops; ++i) {
        ALL ALL ALL ALL ALL ALL ALL ALL
    }
    target[gl_GlobalInvocationID.x] = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
}
