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

layout(constant_id = 0) const int INPUTS = 4; // of this dispatch
layout(constant_id = 1) const int KEPT = 0;   // 1: firstChannel is in the middle of a block

layout(binding = 0, std430) readonly buffer Input0 { float input0[]; };
layout(binding = 1, std430) readonly buffer Input1 { float input1[]; };
layout(binding = 2, std430) readonly buffer Input2 { float input2[]; };
layout(binding = 3, std430) readonly buffer Input3 { float input3[]; };
layout(binding = 4, std430) buffer Target { uvec4 target[]; };

// Only loads of a channel that is there: on software devices each is a loop over invocations, live or not, and so is each
// case of a switch.
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
        if (KEPT != 0 && 8 * block < pc.firstChannel)
            value = unpackEight(target[index]);
        uint inputImage = image % pc.inputImages;
        uint first = pc.firstChannel; // of the input, in the output
        [[unroll]] for (int i = 0; i < INPUTS; ++i) {
            uint channel = max(first, 8 * block), end = min(first + pc.channels[i], 8 * block + 8);
            if (channel < end) do {
                uint at = (inputImage * pc.channels[i] + channel - first) * plane + pixel;
                float v = i == 0 ? input0[at] : i == 1 ? input1[at] : i == 2 ? input2[at] : input3[at];
                v = v * pc.scale[i] + pc.offset[i];
                uvec4 place = uvec4(channel - 8 * block);
                value.low = mix(value.low, vec4(v), equal(place, uvec4(0, 1, 2, 3)));
                value.high = mix(value.high, vec4(v), equal(place, uvec4(4, 5, 6, 7)));
            } while (++channel < end);
            first += pc.channels[i];
        }
        target[index] = packEight(value);
    }
}
