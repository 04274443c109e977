// M = U V at each of the 36 positions, see winograd.glsl. The product of conv2d_shuffle.comp.
//
//   source   V
//   weights  U, [36][outputBlock][block][8 inputs] uvec4 of 8 outputs
//   target   M
//
// Eight neighbouring invocations make 8 x OUTPUT_BLOCKS outputs of 8 x TILES tiles of one position. Workgroup: eight
// such units; groups = ceil(36 * ceil(columns / (8 TILES)) * ceil(outputBlocks / OUTPUT_BLOCKS) / 8), output blocks
// fastest.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

// Loops end at constants that only the driver knows: unrolled there, the module stays small. 4 x 4 or, of few
// outputs, 8 x 2; 2 x 4 for the smallest maps.
layout(constant_id = 0) const int OUTPUT_BLOCKS = 2; // 1, 2 or 4
layout(constant_id = 1) const int TILES = 8;         // 2, 4 or 8

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint columns;
    uint blocks, outputBlocks;
} pc;

TENSOR(0, source)
TENSOR(1, weights)
layout(binding = 2, std430) writeonly buffer Target { uvec4 target[]; };

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint outputGroups = (pc.outputBlocks + OUTPUT_BLOCKS - 1) / OUTPUT_BLOCKS;
    uint columnGroups = (pc.columns + 8 * TILES - 1) / (8 * TILES);
    uint positionColumn = unit / outputGroups;
    uint firstBlock = (unit - positionColumn * outputGroups) * OUTPUT_BLOCKS;
    uint position = positionColumn / columnGroups;
    uint first = (positionColumn - position * columnGroups) * (8 * TILES) + lane;
    bool live = number < pc.groupCount && position < 36;

    float sums[4][8][8]; // [output block][output][tile]
    [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c)
        [[unroll]] for (int t = 0; t < TILES; ++t)
            [[unroll]] for (int o = 0; o < 8; ++o)
                sums[c][o][t] = 0;

    uint places[8];
    [[unroll]] for (int t = 0; t < TILES; ++t)
        places[t] = position * positionStep(pc.blocks, pc.columns) + min(first + 8 * t, pc.columns - 1);
    uint weightIndex[4]; // blocks that are not there make the last again
    [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c)
        weightIndex[c] =
            (position * pc.outputBlocks + min(firstBlock + c, pc.outputBlocks - 1)) * pc.blocks * 8 + lane;
    uint block = 0;
    if (live) do {
        uint offset = block * 2 * pc.columns;
        float inputs[8][8]; // [tile][channel]
        [[unroll]] for (int t = 0; t < TILES; ++t) {
            vec4 low = uintBitsToFloat(FETCH(source, places[t] + offset));
            vec4 high = uintBitsToFloat(FETCH(source, places[t] + offset + pc.columns));
            [[unroll]] for (int i = 0; i < 4; ++i) {
                inputs[t][i] = low[i];
                inputs[t][i + 4] = high[i];
            }
        }
        [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            Eight own = unpackEight(FETCH(weights, weightIndex[c] + block * 8)); // of input `lane`
            [[unroll]] for (int o = 0; o < 8; ++o) {
                float ownOutput = o < 4 ? own.low[o & 3] : own.high[o & 3];
                [[unroll]] for (int i = 0; i < 8; ++i) {
                    float weight = subgroupShuffle(ownOutput, i);
                    [[unroll]] for (int t = 0; t < TILES; ++t)
                        sums[c][o][t] += weight * inputs[t][i];
                }
            }
        }
    } while (++block < pc.blocks);

    [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
        uint outputBlock = firstBlock + c;
        uint place = position * positionStep(pc.outputBlocks, pc.columns) + outputBlock * 2 * pc.columns + first;
        [[unroll]] for (int t = 0; t < TILES; ++t) {
            if (live && outputBlock < pc.outputBlocks && first + 8 * t < pc.columns) {
                target[place + 8 * t] =
                    floatBitsToUint(vec4(sums[c][0][t], sums[c][1][t], sums[c][2][t], sums[c][3][t]));
                target[place + 8 * t + pc.columns] =
                    floatBitsToUint(vec4(sums[c][4][t], sums[c][5][t], sums[c][6][t], sums[c][7][t]));
            }
        }
    }
}
