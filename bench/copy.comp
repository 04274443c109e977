// The memory ceiling: every invocation copies UNROLL times 16 bytes.
//
//   source  uvec4; TEXELS 1: through a texel buffer, which some drivers read faster
//   target  uvec4
//
// Workgroup: 64 invocations, 1-D; neighbours copy neighbours. groups * 64 * UNROLL elements. Features: none.
#version 450

#define UNROLL 8

layout(local_size_x = 64) in;

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
    uint first = gl_WorkGroupID.x * 64 * UNROLL + gl_LocalInvocationID.x;
    for (uint i = 0; i < UNROLL; ++i)
        target[first + i * 64] = LOAD(first + i * 64);
}
