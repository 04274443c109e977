// The arithmetic ceiling of straight code: sixteen sums grow by 128 products each of a value that an invocation has and one
// that eight invocations read at one address, as the operand of the multiplication (shaders/uniform_addresses.glsl). In
// the order of the values, so that sixteen additions are between two of one sum. A loop would carry the sums, which
// some drivers blend with a mask at each turn.
//
//   source  float, zeros; read through its address; 128 values, of them 16 at a time
//   target  float
//
// Workgroup: 64 invocations, 1-D. Features: those of uniform_addresses.glsl.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    uint step, pad; // bytes from one sixteen values to the next
    uint digits[4];
    uvec2 sourceAddress;
}
pc;

#include "uniform_addresses.glsl"

layout(binding = 1, std430) writeonly buffer Target {
    float target[];
};

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 0) const int SUMS = 16;
layout(constant_id = 1) const int BLOCKS = 16; // of eight values

void main() {
    float own = float(gl_LocalInvocationID.x);
    float sums[16];
    [[unroll]] for (int t = 0; t < SUMS; ++t) sums[t] = own;
    [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
        Floats source = Floats(packed(pc.sourceAddress) + uint64_t(b * pc.step));
        vec4 values[16][2];
        [[unroll]] for (int t = 0; t < SUMS; ++t) [[unroll]] for (int h = 0; h < 2; ++h) values[t][h] = source.at[2 * t + h];
        [[unroll]] for (int h = 0; h < 2; ++h) {
            [[unroll]] for (int i = 0; i < 4; ++i) {
                float factor = own + float(8 * b + 4 * h + i);
                [[unroll]] for (int t = 0; t < SUMS; ++t) sums[t] += factor * values[t][h][i];
            }
        }
    }
    float all = 0;
    [[unroll]] for (int t = 0; t < SUMS; ++t) all += sums[t];
    if (all == 1) // never: sixteen times a whole number
        target[gl_GlobalInvocationID.x] = all;
}
