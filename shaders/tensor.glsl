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

// Number of this workgroup within the dispatch; numbers from groupCount on have nothing to do.
uint dispatchGroup() {
    return gl_WorkGroupID.x + gl_NumWorkGroups.x * (gl_WorkGroupID.y + gl_NumWorkGroups.y * gl_WorkGroupID.z);
}

#endif
