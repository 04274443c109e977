// The product of winograd_product.comp (same bindings) where an invocation holds all channels of its tiles, as
// conv2d_held.comp does, and makes all outputs of a group one after the other.
//
// Eight neighbouring invocations make 8 * groupBlocks outputs of 8 x TILES tiles of one position. Workgroup: eight such
// units; groups = ceil(36 * ceil(columns / (8 TILES)) * ceil(outputBlocks / groupBlocks) / 8), outputs fastest.
// Features: subgroup operations basic and shuffle, subgroups of exactly 8.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 0) const int BLOCKS = 4;  // pc.blocks, at most 32
layout(constant_id = 1) const int TILES = 4;   // at most 8
layout(constant_id = 2) const int OUTPUTS = 4; // 1, 2 or 4: made at a time

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint columns;
    uint blocks, outputBlocks;
    uint groupBlocks;
}
pc;

TENSOR(0, source)
TENSOR(1, weights)
layout(binding = 2, std430) writeonly buffer Target {
    uvec4 target[];
};

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint outputGroups = (pc.outputBlocks + pc.groupBlocks - 1) / pc.groupBlocks;
    uint columnGroups = (pc.columns + 8 * TILES - 1) / (8 * TILES);
    uint positionColumn = unit / outputGroups;
    uint firstBlock = (unit - positionColumn * outputGroups) * pc.groupBlocks;
    uint position = positionColumn / columnGroups;
    uint first = (positionColumn - position * columnGroups) * (8 * TILES) + lane;
    bool live = number < pc.groupCount && position < 36;

    float inputs[256][8]; // [channel][tile]
    [[unroll]] for (int t = 0; t < TILES; ++t) {
        uint place = position * positionStep(pc.blocks, pc.columns) + min(first + 8 * t, pc.columns - 1);
        [[unroll]] for (int quad = 0; quad < 2 * BLOCKS; ++quad) {
            vec4 four = uintBitsToFloat(FETCH(source, live ? place + quad * pc.columns : 0));
            [[unroll]] for (int i = 0; i < 4; ++i) inputs[4 * quad + i][t] = four[i];
        }
    }
    uint block = 0;
    uint end = min(pc.groupBlocks, pc.outputBlocks - firstBlock);
    uint weightPlace = (position * pc.outputBlocks + firstBlock) * BLOCKS * 8 + lane;
    uint target0 = position * positionStep(pc.outputBlocks, pc.columns) + firstBlock * 2 * pc.columns + first;
    if (live)
        do {
            uvec4 own[32]; // of input `lane` of each block
            [[unroll]] for (int b = 0; b < BLOCKS; ++b) own[b] = FETCH(weights, weightPlace + b * 8);
            weightPlace += BLOCKS * 8;
            int quad = 0;
            do {
                float values[4][8]; // [output][tile]
                [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int t = 0; t < TILES; ++t)
                    values[o][t] = 0;
                int part = 0; // of the quad
                do {
                    float sums[4][8]; // [output][tile]
                    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) [[unroll]] for (int t = 0; t < TILES; ++t)
                        sums[o][t] = 0;
                    [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
                        uvec2 pair = quad == 0 ? own[b].xy : own[b].zw;
                        vec4 four;
                        if (OUTPUTS == 4) {
                            four = vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
                        } else {
                            vec2 two =
                                unpackHalf2x16((OUTPUTS == 2 ? part == 0 : part < 2) ? pair.x : pair.y);
                            four = vec4(OUTPUTS == 2 || (part & 1) == 0 ? two.x : two.y, two.y, 0, 0);
                        }
                        [[unroll]] for (int i = 0; i < 8; ++i) {
                            [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                                float weight = subgroupShuffle(four[o], i);
                                [[unroll]] for (int t = 0; t < TILES; ++t) sums[o][t] +=
                                    weight * inputs[8 * b + i][t];
                            }
                        }
                    }
                    [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int t = 0; t < TILES; ++t)
                        values[o][t] = o + OUTPUTS < 4 ? values[min(o + OUTPUTS, 3)][t]
                                                       : sums[max(o + OUTPUTS - 4, 0)][t];
                } while (++part < 4 / OUTPUTS);
                [[unroll]] for (int t = 0; t < TILES; ++t) if (first + 8 * t < pc.columns)
                    target[target0 + 8 * t] =
                        floatBitsToUint(vec4(values[0][t], values[1][t], values[2][t], values[3][t]));
                target0 += pc.columns;
            } while (++quad < 2);
        } while (++block < end);
}
