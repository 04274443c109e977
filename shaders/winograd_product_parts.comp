// The product of winograd_product.comp (same bindings) in parts: the eight invocations are not eight tiles but eight input
// channels of each block. Each makes its part of a sum, with no shuffle, and in the end the eight parts are added. One fetch
// of weights serves as few tiles as there are; where there are many, 4 * QUADS.
//
// Eight neighbouring invocations make 8 * groupBlocks outputs of QUADS * TILES tiles of one position, `columnStep` columns from those
// of the next eight. Workgroup: eight such units; groups = ceil(36 * ceil(columns / columnStep) *
// ceil(outputBlocks / groupBlocks) / 8), outputs fastest.
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
layout(constant_id = 0) const int BLOCKS = 4; // pc.blocks, at most 64
layout(constant_id = 1) const int QUADS = 1;  // of tiles, at most 8
layout(constant_id = 2) const int TILES = 4;  // of a quad
layout(constant_id = 3) const int PAIRS = 4;  // 1, 2 or 4: of outputs, n and n + 4, made at a time

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint columns;
    uint blocks, outputBlocks;
    uint groupBlocks, columnStep;
}
pc;

TENSOR(0, source)
TENSOR(1, weights)
layout(binding = 2, std430) writeonly buffer Target {
    uvec4 target[];
};

// Of `here` in the lanes whose bit `bit` is 0, of `there` in the others, the sum over both values of that bit.
float folded(float here, float there, uint bit) {
    bool second = (laneNumber() & bit) != 0;
    float kept = second ? there : here, given = second ? here : there;
    return kept + subgroupShuffle(given, gl_SubgroupInvocationID ^ bit);
}

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint outputGroups = (pc.outputBlocks + pc.groupBlocks - 1) / pc.groupBlocks;
    uint columnGroups = (pc.columns + pc.columnStep - 1) / pc.columnStep;
    uint positionColumn = unit / outputGroups;
    uint firstBlock = (unit - positionColumn * outputGroups) * pc.groupBlocks;
    uint position = positionColumn / columnGroups;
    // Fetched and stored: of tile `lane & 3` of a quad the low or high four channels of a block. Quads beyond the last make
    // the last again.
    uint first = (positionColumn - position * columnGroups) * pc.columnStep;
    uint places[8];
    [[unroll]] for (int q = 0; q < QUADS; ++q) places[q] =
        min(first + 4 * q, pc.columns - 4) + (lane >> 2) * pc.columns + (lane & 3);
    bool live = number < pc.groupCount && position < 36;

    float inputs[64][32]; // [block][tile], of channel `lane`
    [[unroll]] for (int q = 0; q < QUADS; ++q) {
        uint place = live ? position * positionStep(pc.blocks, pc.columns) + places[q] : 0;
        [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
            vec4 four = uintBitsToFloat(FETCH(source, place + 2 * b * pc.columns));
            [[unroll]] for (int t = 0; t < TILES; ++t) {
                vec4 own = subgroupShuffle(four, (gl_SubgroupInvocationID & ~3u) + t);
                inputs[b][4 * q + t] =
                    (lane & 2) == 0 ? ((lane & 1) == 0 ? own.x : own.y) : ((lane & 1) == 0 ? own.z : own.w);
            }
        }
    }
    uint block = 0;
    uint end = min(pc.groupBlocks, pc.outputBlocks - firstBlock);
    uint weightPlace = (position * pc.outputBlocks + firstBlock) * BLOCKS * 8 + lane;
    uint target0 = position * positionStep(pc.outputBlocks, pc.columns) + firstBlock * 2 * pc.columns;
    if (live)
        do {
            uvec4 own[64]; // of input `lane` of each block
            [[unroll]] for (int b = 0; b < BLOCKS; ++b) own[b] = FETCH(weights, weightPlace + b * 8);
            weightPlace += BLOCKS * 8;
            float values[4][8]; // [output & 3][quad]
            [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int q = 0; q < QUADS; ++q) values[o][q] =
                0;
            int part = 0;
            do {
                float made[4][8];
                [[unroll]] for (int q = 0; q < QUADS; ++q) {
                    [[unroll]] for (int o = 0; o < PAIRS; ++o) {
                        float sums[2][4]; // [output / 4][tile]
                        [[unroll]] for (int t = 0; t < 4; ++t) sums[0][t] = sums[1][t] = 0;
                        [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
                            uint low, high;
                            if (PAIRS == 4) {
                                low = o < 2 ? own[b].x : own[b].y;
                                high = o < 2 ? own[b].z : own[b].w;
                            } else {
                                bool front = PAIRS == 2 ? part == 0 : part < 2;
                                low = front ? own[b].x : own[b].y;
                                high = front ? own[b].z : own[b].w;
                            }
                            vec2 lows = unpackHalf2x16(low), highs = unpackHalf2x16(high);
                            bool odd = PAIRS == 1 ? (part & 1) != 0 : (o & 1) != 0;
                            float lowWeight = odd ? lows.y : lows.x, highWeight = odd ? highs.y : highs.x;
                            [[unroll]] for (int t = 0; t < TILES; ++t) {
                                sums[0][t] += lowWeight * inputs[b][4 * q + t];
                                sums[1][t] += highWeight * inputs[b][4 * q + t];
                            }
                        }
                        float halves[2];
                        [[unroll]] for (int h = 0; h < 2; ++h) halves[h] =
                            folded(folded(sums[h][0], sums[h][1], 1), folded(sums[h][2], sums[h][3], 1), 2);
                        made[o][q] = folded(halves[0], halves[1], 4);
                    }
                }
                [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int q = 0; q < QUADS; ++q)
                    values[o][q] =
                        o + PAIRS < 4 ? values[min(o + PAIRS, 3)][q] : made[max(o + PAIRS - 4, 0)][q];
            } while (++part < 4 / PAIRS);
            if ((lane & 3) < TILES) [[unroll]]
                for (int q = 0; q < QUADS; ++q)
                    target[target0 + places[q]] =
                        floatBitsToUint(vec4(values[0][q], values[1][q], values[2][q], values[3][q]));
            target0 += 2 * pc.columns;
        } while (++block < end);
}
