// whole[tileY + y][tileX + x] += tile[y][x] * columnWeight[x] * rowWeight[y]
//
//   tile     [N][C][H][W] float
//   whole    [N][C][wholeHeight][wholeWidth] float
//   feather  weights; the session says where this tile's columns and rows start
//
// Workgroup: 256 elements of the tile. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "session.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define ELEMENTS 4 // an invocation

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint elements; // N * C * H * W
    uint height, width;
    uint wholeHeight, wholeWidth;
} pc;

layout(binding = 0, std430) readonly buffer Tile { float tile[]; };
layout(binding = 1, std430) buffer Whole { float whole[]; };
layout(binding = 2, std430) readonly buffer Feather { float feather[]; };
layout(binding = 3, std430) readonly buffer Session { uint session[]; };

void main() {
    uint number = dispatchGroup();
    uint elements = number < pc.groupCount ? pc.elements : 0;
    uint first = (pc.firstGroup + number) * (LOCAL_SIZE * ELEMENTS) + gl_LocalInvocationID.x;
    for (uint k = 0; k < ELEMENTS; ++k) {
        uint i = first + k * LOCAL_SIZE;
        if (i < elements) {
            uint row = i / pc.width, x = i - row * pc.width;
            uint plane = row / pc.height, y = row - plane * pc.height;
            uint wholeX = x + session[SESSION_TILE_X], wholeY = y + session[SESSION_TILE_Y];
            if (wholeX < pc.wholeWidth && wholeY < pc.wholeHeight) {
                float weight = feather[session[SESSION_FEATHER_X] + x] * feather[session[SESSION_FEATHER_Y] + y];
                whole[(plane * pc.wholeHeight + wholeY) * pc.wholeWidth + wholeX] += tile[i] * weight;
            }
        }
    }
}
