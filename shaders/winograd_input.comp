// V = B^T d B, see winograd.glsl; with NORMALISE d is the output of a group norm that has no dispatch of its own.
//
//   source0, source1  as in conv2d.comp; with NORMALISE as in groupnorm.comp, and so are affine and statistics
//   target            V
//
// Eight neighbouring invocations make eight neighbouring tiles of one block of channels; beyond the last tile of an image
// nothing is stored. Workgroup: eight such units;
// groups = ceil(columns / 8 * blocks / 8), tiles fastest. With NORMALISE each of them combines the statistics of its
// block, unless the coefficients are there already; pixels beyond the map are zero after the norm.
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
layout(constant_id = 1) const int SOURCES = 1;
// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 2) const int SIX = 6;
#if NORMALISE
layout(constant_id = 3) const int ACTIVATION = 0; // mote::ActivationFunction
layout(constant_id = 4) const int SHIFT = 0;      // see concatenation.glsl
layout(constant_id = 5) const int SIDE = 6;       // of a tile as stored: 4 where the input is doubled, padded by 1
layout(constant_id = 6) const int GATHER = 1;     // 0: affine holds what groupnorm_coefficients.comp made
#endif

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // as stored
    uint blocks0, blocks1;
    uint tilesPerRow, tilesPerImage;
    uint entriesPerImage, tileLoops;
    uint firstEntry; // of the band
    uint columns;
    int padTop, padLeft;
#if NORMALISE
    uint blocks;              // of all channels
    uint channels0, channels; // of source0; of both
    uint groupChannels;       // channels / groups
    uint tiles0, tiles1;      // statistics entries per channel
    uint affineIndex, affineStride;
    float epsilon;
    uint errorCode;
    uint images; // N
#endif
} pc;

#if NORMALISE
#include "group_statistics.glsl"
#include "group_lanes.glsl"
#else
TENSOR(0, source0)
TENSOR(1, source1)
layout(binding = 2, std430) writeonly buffer Target { uvec4 target[]; };
#endif

struct Tile {
    uint image;
    int row, column; // of the doubled map, where it is doubled
    bool real;
};

// Of this lane in an eight of the band.
Tile tileOf(uint eight) {
    uint bandEntry = eight / pc.tileLoops;
    uint entry = pc.firstEntry + bandEntry;
    Tile tile;
    tile.image = entry / pc.entriesPerImage;
    uint imageEight =
        (entry - tile.image * pc.entriesPerImage) * pc.tileLoops + eight - bandEntry * pc.tileLoops;
    uint number = imageEight * 8 + laneNumber();
    uint tileY = number / pc.tilesPerRow;
    tile.row = int(tileY * 4) - pc.padTop;
    tile.column = int((number - tileY * pc.tilesPerRow) * 4) - pc.padLeft;
    tile.real = number < pc.tilesPerImage;
    return tile;
}

void transformAndStore(inout vec4 d[6][6], bool live, uint place, uint step) {
    [[unroll]] for (int i = 0; i < SIX; ++i)
        winogradInput(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
    [[unroll]] for (int j = 0; j < SIX; ++j)
        winogradInput(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
    if (live)
        [[unroll]] for (int i = 0; i < SIX; ++i)
            [[unroll]] for (int j = 0; j < SIX; ++j)
                target[place + (6 * i + j) * step] = floatBitsToUint(d[i][j]);
}

vec4 fourOf(uvec4 words, uint halfBlock) {
    uvec2 pair = halfBlock == 0 ? words.xy : words.zw;
    return vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
}

#if NORMALISE

// x / (1 + exp(-x)) with the exponential within 8e-5: a driver's exp takes half as long again. 2^t = 2^n 2^f, where
// adding 1.5 * 2^23 leaves the integer n next to t in the last bits; 2^f by the minimax polynomial on [-1/2, 1/2].
vec4 quickSilu(vec4 x) {
    vec4 t = -1.44269504 * clamp(x, -87.0, 87.0);
    precise vec4 shifted = t + 12582912.0;
    precise vec4 f = t - (shifted - 12582912.0);
    vec4 power = ((0.05517167 * f + 0.24261112) * f + 0.69326099) * f + 0.99992807;
    return x / (1.0 + uintBitsToFloat(floatBitsToUint(power) + (floatBitsToUint(shifted) << 23)));
}

void main() {
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint units = pc.columns >> 3;
    uint block = unit / units;
    uint eight = unit - block * units;
    bool live = number < pc.groupCount && block < pc.blocks;
    Tile tile = tileOf(eight);
    uint image = live ? tile.image : 0;

    Eight scale, offset;
    if (GATHER != 0) {
        coefficients(live, image, block, pc.blocks, scale, offset);
    } else {
        uint place = live ? (image * pc.blocks + block) * 4 : 0;
        scale = Eight(affineAt(place), affineAt(place + 1));
        offset = Eight(affineAt(place + 2), affineAt(place + 3));
    }

    uint plane = pc.inputHeight * pc.inputWidth;
    int row = tile.row >> UPSAMPLE, column = tile.column >> UPSAMPLE;
    bool inside[6][6];
    uvec4 words[6][6];
    [[unroll]] for (int i = 0; i < SIDE; ++i) {
        bool rowInside = live && tile.real && uint(row + i) < pc.inputHeight;
        [[unroll]] for (int j = 0; j < SIDE; ++j) {
            inside[i][j] = rowInside && uint(column + j) < pc.inputWidth;
            uint pixel = inside[i][j] ? uint(row + i) * pc.inputWidth + uint(column + j) : 0;
            words[i][j] = loadWords(image, live ? block : 0, pixel, plane);
        }
    }
    // Four channels at a time; the loop is not unrolled, to keep the code small.
    uint halfBlock = 0;
    do {
        vec4 factor = halfBlock == 0 ? scale.low : scale.high;
        vec4 summand = halfBlock == 0 ? offset.low : offset.high;
        vec4 h[6][6], d[6][6];
        [[unroll]] for (int i = 0; i < SIDE; ++i)
            [[unroll]] for (int j = 0; j < SIDE; ++j) {
                vec4 value = activated(ACTIVATION, fourOf(words[i][j], halfBlock) * factor + summand);
                h[i][j] = inside[i][j] ? value : vec4(0);
            }
        [[unroll]] for (int i = 0; i < SIX; ++i)
            [[unroll]] for (int j = 0; j < SIX; ++j)
                d[i][j] = UPSAMPLE != 0 ? h[(i + 1) >> 1][(j + 1) >> 1] : h[i][j];
        transformAndStore(d, live && tile.real, (2 * block + halfBlock) * pc.columns + eight * 8 + laneNumber(),
                          positionStep(pc.blocks, pc.columns));
    } while (++halfBlock < 2);
}

#else

void main() {
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint units = pc.columns >> 3;
    uint blocks = pc.blocks0 + pc.blocks1;
    uint block = unit / units;
    uint eight = unit - block * units;
    bool live = number < pc.groupCount && block < blocks;
    Tile tile = tileOf(eight);

    uint inputRows = pc.inputHeight << UPSAMPLE, inputColumns = pc.inputWidth << UPSAMPLE;
    bool second = SOURCES == 2 && block >= pc.blocks0;
    uint base = (second ? tile.image * pc.blocks1 + block - pc.blocks0 : tile.image * pc.blocks0 + block) *
                pc.inputHeight * pc.inputWidth;
    uvec4 words[6][6];
    [[unroll]] for (int i = 0; i < SIX; ++i) {
        bool rowInside = live && tile.real && uint(tile.row + i) < inputRows;
        uint rowBase = base + (uint(tile.row + i) >> UPSAMPLE) * pc.inputWidth;
        [[unroll]] for (int j = 0; j < SIX; ++j) {
            bool inside = rowInside && uint(tile.column + j) < inputColumns;
            uint place = inside ? rowBase + (uint(tile.column + j) >> UPSAMPLE) : 0;
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
        [[unroll]] for (int i = 0; i < SIX; ++i) [[unroll]] for (int j = 0; j < SIX; ++j) d[i][j] =
            fourOf(words[i][j], halfBlock);
        transformAndStore(d, live && tile.real, (2 * block + halfBlock) * pc.columns + eight * 8 + laneNumber(),
                          positionStep(blocks, pc.columns));
    } while (++halfBlock < 2);
}

#endif
