// out[channel] = scale[i] * in[i] + offset[i]: planar fp32 inputs, one after the other, become an activation.
//
//   input0..3  [N][channels][H][W] float
//   target     [N][outputBlocks][H][W] uvec4
//
// A dispatch writes one block, from up to four inputs: channels FIRST .. END3 - 1 of it. Those before FIRST are kept (a
// further dispatch of a block of more inputs), those from END3 on become zero.
// Workgroup: 64 pixels of one image; pixel tile fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int FIRST = 0;
// Where each input's channels end in the block; which they are is known before, since a software device walks through each
// side of a branch, and through each load invocation by invocation.
layout(constant_id = 1) const int END0 = 0;
layout(constant_id = 2) const int END1 = 0;
layout(constant_id = 3) const int END2 = 0;
layout(constant_id = 4) const int END3 = 0;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint plane; // H * W
    uint outputBlocks, block;
    uint tiles;       // of 64 pixels
    uint inputImages; // of each input; image n reads image n modulo this
    uint channels[4];
    int shift[4]; // from a channel of the block to the input's
    float scale[4], offset[4];
} pc;

layout(binding = 0, std430) readonly buffer Input0 { float input0[]; };
layout(binding = 1, std430) readonly buffer Input1 { float input1[]; };
layout(binding = 2, std430) readonly buffer Input2 { float input2[]; };
layout(binding = 3, std430) readonly buffer Input3 { float input3[]; };
layout(binding = 4, std430) buffer Target { uvec4 target[]; };

void main() {
    uint number = dispatchGroup();
    uint group = pc.firstGroup + number;
    uint image = group / pc.tiles;
    uint pixel = (group - image * pc.tiles) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && pixel < pc.plane) {
        uint index = (image * pc.outputBlocks + pc.block) * pc.plane + pixel;
        float values[8];
        if (FIRST != 0) {
            Eight kept = unpackEight(target[index]);
            [[unroll]] for (int c = 0; c < 8; ++c) values[c] = c < 4 ? kept.low[c & 3] : kept.high[c & 3];
        }
        uint inputImage = image % pc.inputImages;
        [[unroll]] for (int c = 0; c < 8; ++c) {
            if (c >= FIRST) {
                int i = c < END0 ? 0 : c < END1 ? 1 : c < END2 ? 2 : 3;
                uint at = (inputImage * pc.channels[i] + c + pc.shift[i]) * pc.plane + pixel;
                float value = 0;
                if (c < END0)
                    value = input0[at];
                else if (c < END1)
                    value = input1[at];
                else if (c < END2)
                    value = input2[at];
                else if (c < END3)
                    value = input3[at];
                values[c] = c < END3 ? value * pc.scale[i] + pc.offset[i] : 0;
            }
        }
        target[index] = packEight(Eight(vec4(values[0], values[1], values[2], values[3]),
                                        vec4(values[4], values[5], values[6], values[7])));
    }
}
