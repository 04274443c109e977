// What the variants of the group norm share: constants, push constants, the way from a source to a result.
// Include after numeric.glsl and tensor.glsl.
#ifndef MOTE_GROUPNORM_INTERFACE_GLSL
#define MOTE_GROUPNORM_INTERFACE_GLSL

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int ACTIVATION = 0; // mote::ActivationFunction
layout(constant_id = 1) const int AVERAGE = 0; // 1: average 2x2 of the result
layout(constant_id = 2) const int SOURCES = 1;
layout(constant_id = 3) const int SHIFT = 0; // see concatenation.glsl

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint channels0, channels;   // of source0; of both
    uint blocks0, blocks1;
    uint outputBlocks;
    uint groupChannels;         // channels / groups
    uint tiles0, tiles1;        // statistics entries per channel
    uint inputHeight, inputWidth;
    uint outputHeight, outputWidth;
    uint chunks, chunkLoops;
    uint affineIndex;           // of the row's first vec4
    uint affineStride;          // vec4 from an image's row to the next one's; 0: one row for all
    float epsilon;
    uint errorCode;
    uint images;                // N
} pc;

#include "group_statistics.glsl"

Eight eightOf(float values[8]) {
    return Eight(vec4(values[0], values[1], values[2], values[3]), vec4(values[4], values[5], values[6], values[7]));
}

// The output pixel of a block: normalised with the channels' scale and offset, activated, averaged.
Eight normalised(uint image, uint block, uint pixel, Eight scale, Eight offset) {
    uint y = 0, x = pixel;
    if (AVERAGE != 0) {
        y = pixel / pc.outputWidth;
        x = 2 * (pixel - y * pc.outputWidth);
    }
    uint plane = pc.inputHeight * pc.inputWidth;
    Eight result = Eight(vec4(0), vec4(0));
    for (uint part = 0; part < (AVERAGE != 0 ? 4 : 1); ++part) {
        Eight h = loadEight(image, block, (2 * y + (part >> 1)) * pc.inputWidth + x + (part & 1), plane);
        h.low = h.low * scale.low + offset.low;
        h.high = h.high * scale.high + offset.high;
        h.low = activated(ACTIVATION, h.low);
        h.high = activated(ACTIVATION, h.high);
        result.low += h.low;
        result.high += h.high;
    }
    if (AVERAGE != 0) {
        result.low *= 0.25;
        result.high *= 0.25;
    }
    return result;
}

#endif
