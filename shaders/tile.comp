// A tile and the whole image, for the rows that a tile and a band of rows of the whole have in common:
//   ADD=0   tile[y][x] = whole[tileY + y][tileX + x]
//   ADD=1   whole[tileY + y][tileX + x] += tile[y][x] * columnWeight[x] * rowWeight[y]
//
//   tile     [N or more][C][H][W] float
//   whole    [N][C][bandHeight][wholeWidth] float
//   feather  weights, of columns from featherX on, of rows from featherY on
//
// Workgroup: 256 elements of the common rows of the tile. Features: none. Variants: ADD.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define ELEMENTS 4 // an invocation

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint elements;       // N * C * rows * W
    uint firstRow, rows; // of the tile: the common ones
    uint height, width;
    uint bandHeight, wholeWidth;
    uint tileX;
    uint tileY;       // from the band's first row; wraps where the tile begins above it
    uint wholePlanes; // images times channels of the whole; a tile of more images reads them again
#if ADD
    uint featherX, featherY;
#endif
}
pc;

#if ADD
layout(binding = 0, std430) readonly buffer Tile {
    float tile[];
};
layout(binding = 1, std430) buffer Whole {
    float whole[];
};
layout(binding = 2, std430) readonly buffer Feather {
    float feather[];
};
#else
layout(binding = 0, std430) writeonly buffer Tile {
    float tile[];
};
layout(binding = 1, std430) readonly buffer Whole {
    float whole[];
};
#endif

void main() {
    uint number = dispatchGroup();
    uint elements = number < pc.groupCount ? pc.elements : 0;
    uint first = (pc.firstGroup + number) * (LOCAL_SIZE * ELEMENTS) + gl_LocalInvocationID.x;
    for (uint k = 0; k < ELEMENTS; ++k) {
        uint i = first + k * LOCAL_SIZE;
        if (i < elements) {
            uint row = i / pc.width, x = i - row * pc.width;
            uint plane = row / pc.rows, y = pc.firstRow + row - plane * pc.rows;
            uint inTile = (plane * pc.height + y) * pc.width + x;
            uint inWhole = (plane % pc.wholePlanes * pc.bandHeight + pc.tileY + y) * pc.wholeWidth + pc.tileX + x;
#if ADD
            whole[inWhole] += tile[inTile] * (feather[pc.featherX + x] * feather[pc.featherY + y]);
#else
            tile[inTile] = whole[inWhole];
#endif
        }
    }
}
