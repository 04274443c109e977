// M = U V at each position, see winograd.glsl; each part of the sums by itself.
//
//   source   V
//   weights  U, [POINTS^2][outputBlock] of eight floats, a scale for each output, and [block][4][8 outputs] words, two numbers
//            each, of inputs side by side in V: the first is the scale times the word's lower half, as a signed number,
//            times 2^16, the second the scale times the whole word, whose upper half is rounded with the lower one in
//            mind. So each is one conversion, in which no bits need to be taken apart, and at most half of 2^16 scales off: with
//            the largest of an output at a position at 32767, less than halfs are, unless that is 16 times their rms
//   target   M
//
// The eight invocations of a subgroup are eight outputs, and V comes as the operand of a multiplication that has one
// address for all of them. Such a unit makes TILES tiles of OUTPUT_BLOCKS blocks of outputs of one part at one position.
// Workgroup: eight units; groups = ceil(positions * parts * tileGroups * outputGroups / 8), outputs fastest. The last group of
// tiles or outputs may repeat some of the one before, and what is numbered beyond the last unit repeats that.
// Features: subgroup operations basic and shuffle, subgroups of exactly 8; device addresses, 64-bit integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

// The product of all three is at most 320: more would overflow the cache of instructions.
layout(constant_id = 0) const int BLOCKS = 4;        // of a part
layout(constant_id = 1) const int TILES = 16;        // at most 16, so that sums stay in registers, and pc.columns
layout(constant_id = 2) const int OUTPUT_BLOCKS = 4; // at most pc.outputBlocks

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint columns, tileGroups;
    uint blocks, parts, outputBlocks, outputGroups;
    uint points, side; // 6 and 6, or 5 and 4
    uint digits[16];
    uvec2 sourceAddress, weightsAddress;
}
pc;

#define DIGIT_BITS 4
#include "uniform_addresses.glsl"

layout(binding = 2, std430) writeonly buffer Target {
    u64vec4 target[];
};

void main() {
    uint number = min(dispatchGroup(), pc.groupCount - 1);
    uint columnUnits = pc.outputGroups * pc.tileGroups, positions = pc.points * pc.points;
    uint unit =
        uniformNumber(min((pc.firstGroup + number) * 8 + gl_SubgroupID, positions * pc.parts * columnUnits - 1));
    uint positionPart = quotient(unit, columnUnits);
    uint columnUnit = unit - positionPart * columnUnits;
    uint group = quotient(columnUnit, pc.outputGroups);
    uint firstOutput = columnUnit - group * pc.outputGroups;
    firstOutput = min(firstOutput * OUTPUT_BLOCKS, pc.outputBlocks - OUTPUT_BLOCKS);
    uint first = min(group * TILES, pc.columns - TILES);
    uint position = quotient(positionPart, pc.parts);
    uint part = positionPart - position * pc.parts;

    // Of a doubled source the third row and column of V have two positions each.
    uint row = quotient(position, pc.points), column = position - row * pc.points, twice = pc.points - pc.side;
    uint sourcePosition = (row - twice * (row * 11 >> 5)) * pc.side + column - twice * (column * 11 >> 5);
    uint apart = blockStep(pc.columns);
    uint sourcePlace = sourcePosition * positionStep(pc.blocks, apart) + part * BLOCKS * apart + first;
    uint64_t source = packed(pc.sourceAddress) + uint64_t(sourcePlace * 32);
    uint weightBytes = pc.blocks * 128 + 32; // of an output block
    uint64_t scales = packed(pc.weightsAddress) + uint64_t((position * pc.outputBlocks + firstOutput) * weightBytes);
    uint place = (part * positions + position) * positionStep(pc.outputBlocks, pc.columns);
    uint between = place + pc.outputBlocks * pc.columns;
    place += firstOutput * pc.columns + first;
    [[unroll]] for (int o = 0; o < OUTPUT_BLOCKS; ++o) {
        Words weights = Words(scales + uint64_t(o * weightBytes + part * BLOCKS * 128 + 32));
        float sums[16];
        [[unroll]] for (int t = 0; t < TILES; ++t) sums[t] = 0;
        [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
            float own[8];
            [[unroll]] for (int i = 0; i < 4; ++i) {
                uint pair = wordOfLane(weights.at[8 * b + 2 * i], weights.at[8 * b + 2 * i + 1]);
                own[2 * i] = float(int(pair << 16));
                own[2 * i + 1] = float(int(pair));
            }
            Floats tiles = Floats(source + uint64_t(b * apart * 32));
            [[unroll]] for (int t = 0; t < TILES; ++t) {
                vec4 low = tiles.at[2 * t], high = tiles.at[2 * t + 1];
                [[unroll]] for (int i = 0; i < 4; ++i) sums[t] += own[i] * low[i];
                [[unroll]] for (int i = 0; i < 4; ++i) sums[t] += own[4 + i] * high[i];
            }
        }
        Floats scale = Floats(scales + uint64_t(o * weightBytes));
        float ownScale = floatOfLane(scale.at[0], scale.at[1]);
        [[unroll]] for (int t = 0; t < TILES; ++t) sums[t] *= ownScale;
        // Each store is a branch, into which the compiler would move what makes a sum, keeping all products until then.
        // So something else needs all sums before: what is stored here, between two positions, nobody reads.
        float all = 0;
        [[unroll]] for (int t = 0; t < TILES; ++t) all += sums[t];
        target[between].x = uint64_t(floatBitsToUint(all));
        [[unroll]] for (int t = 0; t < TILES; ++t) target[place + o * pc.columns + t] = eightOfLanes(sums[t]);
    }
}
