// The memory ceilings: every invocation moves UNROLL times 16 bytes.
//
//   source  uvec4; TEXELS 1: through a texel buffer, which some drivers read faster
//   target  uvec4
//
// MOVE: 0 copies, 1 loads, 2 stores. Workgroups wrap around after `wrap` of them, so that what is moved may
// stay in a cache.
//
// Workgroup: 64 invocations, 1-D; neighbours move neighbours. wrap * 64 * UNROLL elements. Features: none.
#version 450

#define UNROLL 8

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    uint wrap;
}
pc;

#if TEXELS
layout(binding = 0) uniform utextureBuffer source;
#define LOAD(i) texelFetch(source, int(i))
#else
layout(binding = 0, std430) readonly buffer Source {
    uvec4 source[];
};
#define LOAD(i) source[i]
#endif
layout(binding = 1, std430) writeonly buffer Target {
    uvec4 target[];
};

void main() {
    uint first = gl_WorkGroupID.x % pc.wrap * 64 * UNROLL + gl_LocalInvocationID.x;
#if MOVE == 0
    for (uint i = 0; i < UNROLL; ++i)
        target[first + i * 64] = LOAD(first + i * 64);
#elif MOVE == 1
    uvec4 seen = uvec4(0);
    for (uint i = 0; i < UNROLL; ++i)
        seen |= LOAD(first + i * 64);
    if (seen.x + seen.y + seen.z + seen.w == 1) // never: the source is all zeros
        target[first] = seen;
#else
    uvec4 made = uvec4(first);
    for (uint i = 0; i < UNROLL; ++i)
        target[first + i * 64] = made + i;
#endif
}
