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
layout(constant_id = 2) const int SIDE = 6; // of a tile as stored, and of V: 4 where the input is doubled
layout(constant_id = 3) const int SOURCES = 1;
layout(constant_id = 4) const int TILES = 1; // of a unit; 2 where a row of them is even
#if NORMALISE
layout(constant_id = 5) const int ACTIVATION = 0; // mote::ActivationFunction
layout(constant_id = 6) const int GATHER = 1; // 0: affine holds what groupnorm_coefficients.comp made
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
#if NORMALISE
    uvec2 affineAddress;
#endif
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

#define MOST_WIDTH 10
const int BETWEEN = UPSAMPLE != 0 ? 2 : 4; // columns from one tile to the next
const int WIDTH = SIDE + (TILES - 1) * BETWEEN;
#include "winograd_source.glsl"

// A row of a tile of a doubled source times B.
void timesDoubledB(inout float s0, inout float s1, inout float s2, inout float s3) {
    float sum = s1 + s2, difference = s2 - s1;
    s0 = s0 - s2;
    s3 = s3 - s1;
    s1 = sum;
    s2 = difference;
}

void transformDoubled(inout float s[6][6]) {
    [[unroll]] for (int i = 0; i < SIDE; ++i) timesDoubledB(s[i][0], s[i][1], s[i][2], s[i][3]);
    [[unroll]] for (int j = 0; j < SIDE; ++j) timesDoubledB(s[0][j], s[1][j], s[2][j], s[3][j]);
}

void main() {
    uint number = min(dispatchGroup(), pc.groupCount - 1);
    uint blocks = pc.blocks0 + pc.blocks1;
    uint units = pc.columns / TILES; // of a block
    uint unit = min((pc.firstGroup + number) * 8 + gl_SubgroupID, units * blocks - 1);
#if NORMALISE
    Eight scales, offsets;
    if (GATHER != 0) {
        uint block = quotient(unit, units);
        uint image = quotient(pc.firstColumn + (unit - block * units) * TILES, pc.columnsPerImage);
        coefficients(true, image, block, blocks, scales, offsets);
    }
#endif
    unit = uniformNumber(unit);
    uint block = quotient(unit, units);
    uint bandColumn = (unit - block * units) * TILES, column = pc.firstColumn + bandColumn;
    uint image = quotient(column, pc.columnsPerImage);
    uint tile = min(column - image * pc.columnsPerImage, pc.tilesPerImage - TILES);
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
    float h[6][MOST_WIDTH];
#if NORMALISE
    if (GATHER == 0) {
        Floats made = Floats(packed(pc.affineAddress) + uint64_t((image * blocks + block) * 64));
        scales = Eight(made.at[0], made.at[1]);
        offsets = Eight(made.at[2], made.at[3]);
    }
    readTile(source, top, left, ofChannel(scales), ofChannel(offsets), h);
#else
    readTile(source, top, left, 1, 0, h);
#endif
    uint apart = blockStep(pc.columns), step = positionStep(blocks, apart);
    [[unroll]] for (int t = 0; t < TILES; ++t) {
        float d[6][6];
        [[unroll]] for (int i = 0; i < SIDE; ++i)
            [[unroll]] for (int j = 0; j < SIDE; ++j) d[i][j] = h[i][BETWEEN * t + j];
        if (UPSAMPLE != 0)
            transformDoubled(d);
        else
            transformTile(d);
        uint place = block * apart + bandColumn + t;
        [[unroll]] for (int i = 0; i < SIDE; ++i) {
            [[unroll]] for (int j = 0; j < SIDE; ++j) {
                target8[place] = eightOfLanes(d[i][j]);
                place += step;
            }
        }
    }
}
