// V = B^T d B, see winograd.glsl.
//
//   source0, source1  as in conv2d.comp
//   target            V
//
// Eight neighbouring invocations make eight neighbouring tiles of one block of channels. Workgroup: eight such units;
// groups = ceil(columns / 8 * (blocks0 + blocks1) / 8), tiles fastest.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int UPSAMPLE = 0; // 1: the input is doubled by nearest neighbour
layout(constant_id = 1) const int SOURCES = 1;
// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 2) const int SIX = 6;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // as stored
    uint blocks0, blocks1;
    uint tilesPerRow, tilesPerImage;
    uint entriesPerImage, tileLoops;
    uint firstEntry; // of the band
    uint columns;
    int padTop, padLeft;
} pc;

TENSOR(0, source0)
TENSOR(1, source1)
layout(binding = 2, std430) writeonly buffer Target { uvec4 target[]; };

void main() {
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint units = pc.columns >> 3;
    uint blocks = pc.blocks0 + pc.blocks1;
    uint block = unit / units;
    uint eight = unit - block * units;
    bool live = groupLive && block < blocks;

    uint bandEntry = eight / pc.tileLoops;
    uint entry = pc.firstEntry + bandEntry;
    uint image = entry / pc.entriesPerImage;
    uint imageEight = (entry - image * pc.entriesPerImage) * pc.tileLoops + eight - bandEntry * pc.tileLoops;
    uint tile = imageEight * 8 + laneNumber();
    uint tileY = tile / pc.tilesPerRow;
    int row = int(tileY * 4) - pc.padTop, column = int((tile - tileY * pc.tilesPerRow) * 4) - pc.padLeft;
    bool real = live && tile < pc.tilesPerImage;

    uint inputRows = pc.inputHeight << UPSAMPLE, inputColumns = pc.inputWidth << UPSAMPLE;
    bool second = SOURCES == 2 && block >= pc.blocks0;
    uint base = (second ? image * pc.blocks1 + block - pc.blocks0 : image * pc.blocks0 + block) * pc.inputHeight *
                pc.inputWidth;
    uvec4 words[6][6];
    [[unroll]] for (int i = 0; i < SIX; ++i) {
        bool rowInside = real && uint(row + i) < inputRows;
        uint rowBase = base + (uint(row + i) >> UPSAMPLE) * pc.inputWidth;
        [[unroll]] for (int j = 0; j < SIX; ++j) {
            bool inside = rowInside && uint(column + j) < inputColumns;
            uint place = inside ? rowBase + (uint(column + j) >> UPSAMPLE) : 0;
            uvec4 loaded;
            if (second)
                loaded = FETCH(source1, place);
            else
                loaded = FETCH(source0, place);
            words[i][j] = inside ? loaded : uvec4(0);
        }
    }

    // Four channels at a time; the loop is not unrolled, to keep the code small.
    uint halfBlock = 0;
    do {
        vec4 d[6][6];
        [[unroll]] for (int i = 0; i < SIX; ++i)
            [[unroll]] for (int j = 0; j < SIX; ++j) {
                uvec2 pair = halfBlock == 0 ? words[i][j].xy : words[i][j].zw;
                d[i][j] = vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
            }
        [[unroll]] for (int i = 0; i < SIX; ++i)
            winogradInput(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
        [[unroll]] for (int j = 0; j < SIX; ++j)
            winogradInput(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
        if (live) {
            uint place = (2 * block + halfBlock) * pc.columns + eight * 8 + laneNumber();
            uint step = positionStep(blocks, pc.columns);
            [[unroll]] for (int i = 0; i < SIX; ++i)
                [[unroll]] for (int j = 0; j < SIX; ++j)
                    target[place + (6 * i + j) * step] = floatBitsToUint(d[i][j]);
        }
    } while (++halfBlock < 2);
}
