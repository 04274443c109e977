// The arithmetic of a matrix product without its loads and stores: 32 x 4 sums that a loop carries, each
// grown by 8 products a loop. Some drivers do more of these than of multiply_add.comp's chains.
//
//   target  one float an invocation, so that nothing is optimised away
//
// Workgroup: 64 invocations, 1-D; any number of groups. Features: none.
#version 450
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x = 64) in;

layout(push_constant) uniform Push {
    float factor, offset;
    uint loops; // below 65,535; kTileSteps (bench/ceilings.cpp) multiply-adds each
    uint wrap;
}
pc;

layout(binding = 0, std430) writeonly buffer Target {
    float target[];
};

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 0) const int OUTPUTS = 32;
layout(constant_id = 1) const int EIGHT = 8;

void main() {
    float own = float(gl_LocalInvocationID.x);
    float sums[32][4];
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) [[unroll]] for (int t = 0; t < 4; ++t) sums[o][t] = 0;
    uint i = 0;
    do {
        float moving = own + float(i) * pc.factor;
        float inputs[8][4];
        [[unroll]] for (int k = 0; k < EIGHT; ++k) [[unroll]] for (int t = 0; t < 4; ++t) inputs[k][t] =
            moving + float(4 * k + t);
        [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
            float weight = moving * float(o);
            [[unroll]] for (int k = 0; k < EIGHT; ++k) [[unroll]] for (int t = 0; t < 4; ++t) sums[o][t] +=
                weight * inputs[k][t];
        }
    } while (++i < pc.loops);
    float all = 0;
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) [[unroll]] for (int t = 0; t < 4; ++t) all += sums[o][t];
    target[gl_GlobalInvocationID.x] = all;
}
