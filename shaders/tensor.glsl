// Layouts and indices shared by all kernels.
//
// Activation: [N][ceil(C/8)][H][W] uvec4; each uvec4 holds eight channels of a pixel as halfs, channel 0 in the low
// half of x. Channels beyond C are zero. Port and whole image: [N][C][H][W] float.
//
// Workgroups have 64 invocations in one dimension; the grid is one-dimensional too and folded into y and z by the
// caller. Push constants of every kernel start with firstGroup and groupCount: workgroups are numbered over the
// whole op, and a dispatch runs groupCount of them from firstGroup on.
#ifndef MOTE_TENSOR_GLSL
#define MOTE_TENSOR_GLSL

#extension GL_EXT_control_flow_attributes : require

#define LOCAL_SIZE 64

// A read-only tensor of uvec4: a storage buffer, or with TEXELS a texel buffer, which software devices gather at half
// of the cost: a storage buffer they read invocation by invocation.
#if TEXELS
#define TENSOR(place, name) layout(binding = place) uniform utextureBuffer name;
#define FETCH(name, index) texelFetch(name, int(index))
#else
#define TENSOR(place, name) layout(binding = place, std430) readonly buffer Tensor##place { uvec4 name[]; };
#define FETCH(name, index) name[index]
#endif

// Number of this workgroup within the dispatch; numbers from groupCount on have nothing to do.
uint dispatchGroup() {
    return gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);
}

#endif
