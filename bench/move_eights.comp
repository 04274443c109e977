// The memory ceilings of copy.comp where eight invocations move 32 bytes side by side at one address, as some of the
// library's kernels do (shaders/uniform_addresses.glsl): each eight 128 times, so that to start one counts little.
//
//   source  float, zeros; read through its address
//   target  float
//
// MOVE: 1 loads, 2 stores. Workgroups wrap around after `wrap` of them, so that what is moved may stay in a cache.
// Workgroup: 64 invocations, 1-D. Features: those of uniform_addresses.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    uint wrap, pad;
    uint digits[4];
    uvec2 sourceAddress;
}
pc;

#include "uniform_addresses.glsl"

layout(binding = 1, std430) writeonly buffer Target {
    u64vec4 target[];
};

void main() {
    uint first = uniformNumber(gl_WorkGroupID.x % pc.wrap * 8 + gl_SubgroupID) * 128;
#if MOVE == 1
    Words source = Words(packed(pc.sourceAddress) + uint64_t(first * 32));
    float sums[4] = {0, 0, 0, 0};
    [[unroll]] for (int i = 0; i < 128; ++i) sums[i & 3] +=
        uintBitsToFloat(wordOfLane(source.at[2 * i], source.at[2 * i + 1]));
    if (sums[0] + sums[1] + sums[2] + sums[3] == 1) // never: the source is all zeros
        target[first] = u64vec4(1);
#else
    float made = float(gl_SubgroupInvocationID + first);
    [[unroll]] for (int i = 0; i < 128; ++i) target[first + i] = eightOfLanes(made + i);
#endif
}
