// V = B^T d B, see winograd.glsl; with NORMALISE d is the output of a group norm that has no dispatch of its own.
//
//   source0, source1  as in conv2d.comp; with NORMALISE as in groupnorm.comp, and so are affine and statistics, and
//                     source1 begins with a block
//   target            V
//
// The eight invocations of a subgroup are the channels of a block. Such a unit makes one tile; padding of an image repeats
// its last tile. Workgroup: eight units; groups = ceil(columns * blocks / 8), tiles fastest. What is numbered beyond the
// last unit repeats that. With NORMALISE each unit combines the statistics of its block, unless the coefficients are there
// already; pixels beyond the map are zero after the norm.
// Features: subgroup operations basic and shuffle, subgroups of exactly 8; device addresses, 64-bit integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "session.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int UPSAMPLE = 0; // 1: the input is doubled by nearest neighbour
// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 1) const int SIX = 6;
layout(constant_id = 2) const int SIDE = 6; // of a tile as stored: 4 where the input is doubled, padded by 1
layout(constant_id = 3) const int SOURCES = 1;
#if NORMALISE
layout(constant_id = 4) const int ACTIVATION = 0; // mote::ActivationFunction
layout(constant_id = 5) const int GATHER = 1; // 0: affine holds what groupnorm_coefficients.comp made
const int SHIFT = 0;                          // see concatenation.glsl
#endif

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // as stored
    uint blocks0, blocks1;
    uint tilesPerRow, tilesPerImage, columnsPerImage;
    uint firstColumn, columns; // of the band
    int padding;               // top, left in the high half
#if NORMALISE
    uint channels0, channels; // of source0; of both
    uint groupChannels;       // channels / groups
    uint tiles0, tiles1;      // statistics entries per channel
    uint affineIndex, affineStride;
    float epsilon;
    uint errorCode;
    uint images; // N
#endif
    uint digits[4];
    uvec2 source0Address, source1Address;
}
pc;

#include "uniform_addresses.glsl"

#if NORMALISE
// The same binding for eight floats at a time.
layout(binding = 5, std430) writeonly buffer Target8 {
    u64vec4 target8[];
};
#include "group_statistics.glsl"
#include "group_lanes.glsl"
#else
layout(binding = 2, std430) writeonly buffer Target8 {
    u64vec4 target8[];
};
#endif

#if NORMALISE
// x / (1 + exp(-x)) with the exponential within 8e-5: a driver's exp takes half as long again. 2^t = 2^n 2^f, where
// adding 1.5 * 2^23 leaves the integer n next to t in the last bits; 2^f by the minimax polynomial on [-1/2, 1/2].
float quickSilu(float x) {
    float t = -1.44269504 * clamp(x, -87.0, 87.0);
    precise float shifted = t + 12582912.0;
    precise float f = t - (shifted - 12582912.0);
    float power = ((0.05517167 * f + 0.24261112) * f + 0.69326099) * f + 0.99992807;
    return x / (1.0 + uintBitsToFloat(floatBitsToUint(power) + (floatBitsToUint(shifted) << 23)));
}

// What this invocation has of a block.
float ofChannel(Eight values) {
    uint channel = channelOfLane();
    vec4 four = channel < 4 ? values.low : values.high;
    return (channel & 2) == 0 ? ((channel & 1) == 0 ? four.x : four.y) : ((channel & 1) == 0 ? four.z : four.w);
}
#endif

// A row of a tile times B.
void timesB(inout float d0, inout float d1, inout float d2, inout float d3, inout float d4, inout float d5) {
    float evenA = d4 - 2.0 * d2, oddA = kA * (d3 - 2.0 * d1);
    float evenB = d4 - 0.5 * d2, oddB = kB * (d3 - 0.5 * d1);
    d0 = d0 - 2.5 * d2 + d4;
    d5 = d1 - 2.5 * d3 + d5;
    d1 = evenA + oddA;
    d2 = evenA - oddA;
    d3 = evenB + oddB;
    d4 = evenB - oddB;
}

void main() {
    uint number = min(dispatchGroup(), pc.groupCount - 1);
    uint blocks = pc.blocks0 + pc.blocks1;
    uint unit = min((pc.firstGroup + number) * 8 + gl_SubgroupID, pc.columns * blocks - 1);
#if NORMALISE
    float scale, offset;
    {
        uint block = quotient(unit, pc.columns);
        uint image = quotient(pc.firstColumn + unit - block * pc.columns, pc.columnsPerImage);
        Eight scales, offsets;
        if (GATHER != 0) {
            coefficients(true, image, block, blocks, scales, offsets);
        } else {
            uint place = (image * blocks + block) * 4;
            scales = Eight(affineAt(place), affineAt(place + 1));
            offsets = Eight(affineAt(place + 2), affineAt(place + 3));
        }
        scale = ofChannel(scales);
        offset = ofChannel(offsets);
    }
#endif
    unit = uniformNumber(unit);
    uint block = quotient(unit, pc.columns);
    uint column = pc.firstColumn + unit - block * pc.columns;
    uint image = quotient(column, pc.columnsPerImage);
    uint tile = min(column - image * pc.columnsPerImage, pc.tilesPerImage - 1);
    uint tileY = quotient(tile, pc.tilesPerRow);
    int top = (int(4 * tileY) - (pc.padding & 0xffff)) >> UPSAMPLE;
    int left = (int(4 * (tile - tileY * pc.tilesPerRow)) - (pc.padding >> 16)) >> UPSAMPLE;

    uint64_t source = packed(pc.source0Address);
    uint ownBlocks = pc.blocks0, ownBlock = block;
    if (SOURCES == 2) {
        bool second = block >= pc.blocks0;
        source = packed(mix(pc.source0Address, pc.source1Address, bvec2(second)));
        ownBlocks = mix(pc.blocks0, pc.blocks1, second);
        ownBlock = mix(block, block - pc.blocks0, second);
    }
    source += uint64_t(image * ownBlocks + ownBlock) * uint64_t(pc.inputHeight * pc.inputWidth * 16);
    uint64_t columnBytes[6];
    uint columnInside[6];
    [[unroll]] for (int j = 0; j < SIDE; ++j) {
        int x = left + j;
        columnInside[j] = uint(x) < pc.inputWidth ? 0xffffffffu : 0;
        columnBytes[j] = uint64_t(uint(clamp(x, 0, int(pc.inputWidth) - 1)) * 16);
    }
    float h[6][6], d[6][6];
    [[unroll]] for (int i = 0; i < SIDE; ++i) {
        int y = top + i;
        uint rowInside = uint(y) < pc.inputHeight ? 0xffffffffu : 0;
        uint64_t rowBytes = uint64_t(uint(clamp(y, 0, int(pc.inputHeight) - 1)) * pc.inputWidth * 16);
        [[unroll]] for (int j = 0; j < SIDE; ++j) {
            float value = valueOfLane(Words(source + rowBytes + columnBytes[j]).at[0]);
#if NORMALISE
            value = value * scale + offset;
            value = ACTIVATION == 1 ? quickSilu(value) : activated(ACTIVATION, vec4(value)).x;
#else // infinities and NaNs of halfs; a norm has met them in its statistics
            value = uintBitsToFloat(mix(floatBitsToUint(value), 0x7f800000u, abs(value) >= 65536.0));
#endif
            h[i][j] = uintBitsToFloat(floatBitsToUint(value) & rowInside & columnInside[j]);
        }
    }
    [[unroll]] for (int i = 0; i < SIX; ++i)
        [[unroll]] for (int j = 0; j < SIX; ++j)
            d[i][j] = UPSAMPLE != 0 ? h[(i + 1) >> 1][(j + 1) >> 1] : h[i][j];
    [[unroll]] for (int i = 0; i < SIX; ++i)
        timesB(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
    [[unroll]] for (int j = 0; j < SIX; ++j)
        timesB(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
    [[unroll]] for (int i = 0; i < SIX; ++i)
        [[unroll]] for (int j = 0; j < SIX; ++j)
            target8[(6 * i + j) * positionStep(blocks, pc.columns) + unit] = eightOfLanes(d[i][j]);
}
