// Statistics of an activation whose maker does not write them itself (anything but a convolution).
//
//   source      [N][blocks][H][W] uvec4
//   statistics  see statistics.glsl; padding channels get mean 0
//
// Workgroup: 64 x tileLoops pixels of one block of one image; groups = N * blocks * tiles, tile fastest.
// Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

#include "statistics.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint pixels; // H * W
    uint tiles, tileLoops;
}
pc;

layout(binding = 0, std430) readonly buffer Source {
    uvec4 source[];
};
layout(binding = 1, std430) writeonly buffer Statistics {
    vec4 statistics[];
};

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint imageBlock = group / pc.tiles;
    uint tile = group - imageBlock * pc.tiles;
    uint pixels = groupLive ? pc.pixels : 0;

    EightStatistics gathered = noStatistics();
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint pixel = (tile * pc.tileLoops + tileLoop) * LOCAL_SIZE + local;
        if (pixel < pixels)
            addValue(gathered, unpackEight(source[imageBlock * pc.pixels + pixel]));
    }
    vec4 entry = reduceStatistics(local, gathered, LOCAL_SIZE);
    if (groupLive && local < 8)
        statistics[group * 8 + local] = entry;
}
