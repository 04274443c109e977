// out[channel] = scale[i] * in[i] + offset[i]: planar fp32 inputs, one after the other, become an activation.
//
//   input0..3  [N][channels][H][W] float
//   target     [N][outputBlocks][H][W] uvec4
//
// Up to four inputs a dispatch. Channels firstChannel .. endChannel-1 are written; where firstChannel is in the
// middle of a block, the block's earlier channels are kept (a further dispatch of an op with more inputs). The last
// block's channels from endChannel on become zero.
// Workgroup: 64 pixels of one block of one image; pixel tile fastest, then block. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint height, width;
    uint outputBlocks;
    uint firstBlock, blocks; // that this dispatch writes
    uint firstChannel;
    uint tiles;              // of 64 pixels
    uint inputImages;        // of each input; image n reads image n modulo this
    uint channels[4];        // 0: no such input
    float scale[4], offset[4];
} pc;

layout(binding = 0, std430) readonly buffer Input0 { float input0[]; };
layout(binding = 1, std430) readonly buffer Input1 { float input1[]; };
layout(binding = 2, std430) readonly buffer Input2 { float input2[]; };
layout(binding = 3, std430) readonly buffer Input3 { float input3[]; };
layout(binding = 4, std430) buffer Target { uvec4 target[]; };

void main() {
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint imageBlock = group / pc.tiles;
    uint pixel = (group - imageBlock * pc.tiles) * LOCAL_SIZE + gl_LocalInvocationID.x;
    uint image = imageBlock / pc.blocks;
    uint block = pc.firstBlock + imageBlock - image * pc.blocks;
    if (groupLive && pixel < pc.height * pc.width) {
        uint plane = pc.height * pc.width;
        uint index = (image * pc.outputBlocks + block) * plane + pixel;
        Eight value = Eight(vec4(0), vec4(0));
        if (8 * block < pc.firstChannel)
            value = unpackEight(target[index]);
        uint inputImage = image % pc.inputImages;
        uint first = pc.firstChannel; // of the input, in the output
        for (int i = 0; i < 4; ++i) {
            uint end = first + pc.channels[i];
            for (uint j = 0; j < 8; ++j) {
                uint channel = 8 * block + j;
                if (channel >= first && channel < end) {
                    uint at = (inputImage * pc.channels[i] + channel - first) * plane + pixel;
                    float v = 0;
                    switch (i) {
                    case 0: v = input0[at]; break;
                    case 1: v = input1[at]; break;
                    case 2: v = input2[at]; break;
                    case 3: v = input3[at]; break;
                    }
                    v = v * pc.scale[i] + pc.offset[i];
                    if (j < 4)
                        value.low[j] = v;
                    else
                        value.high[j - 4] = v;
                }
            }
            first = end;
        }
        target[index] = packEight(value);
    }
}
