// out = in at twice or half its size, channel by channel; the formulas are Resample's in runtime/model/model.h.
//
//   source, target  [N][blocks][H][W] uvec4
//
// The filter [1, 3, 3, 1] with pixels outside the map as zero. Doubling reads two pixels a side with weights 1/4 and
// 3/4, the nearer one the more; halving reads four with weights 1/8, 3/8, 3/8, 1/8.
// Workgroup: 64 output pixels of one block of one image; groups = N * blocks * tiles, tile fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define NEAREST_UP 1
#define AVERAGE_DOWN 2
#define FIR_UP 3
#define FIR_DOWN 4
#define ZEROS_UP 5
layout(constant_id = 0) const int HOW = NEAREST_UP; // mote::Resample

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth;
    uint outputHeight, outputWidth;
    uint tiles; // of 64 output pixels
} pc;

layout(binding = 0, std430) readonly buffer Source { uvec4 source[]; };
layout(binding = 1, std430) writeonly buffer Target { uvec4 target[]; };

// First source pixel along an axis; before the map: -1.
int firstTap(int at) {
    if (HOW == NEAREST_UP || HOW == ZEROS_UP)
        return at >> 1;
    if (HOW == FIR_UP)
        return (at - 1) >> 1;
    return HOW == AVERAGE_DOWN ? 2 * at : 2 * at - 1;
}

float tapWeight(int at, int tap) {
    if (HOW == NEAREST_UP)
        return 1;
    if (HOW == ZEROS_UP)
        return (at & 1) == 0 ? 1 : 0;
    if (HOW == AVERAGE_DOWN)
        return 0.5;
    if (HOW == FIR_UP) // of 2i: 1/4, 3/4; of 2i + 1: 3/4, 1/4
        return (at & 1) == tap ? 0.25 : 0.75;
    return tap == 0 || tap == 3 ? 0.125 : 0.375;
}

void main() {
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint imageBlock = group / pc.tiles;
    uint pixel = (group - imageBlock * pc.tiles) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (groupLive && pixel < pc.outputHeight * pc.outputWidth) {
        int y = int(pixel / pc.outputWidth), x = int(pixel - uint(y) * pc.outputWidth);
        const int taps = HOW == NEAREST_UP || HOW == ZEROS_UP ? 1 : HOW == FIR_DOWN ? 4 : 2;
        Eight sum = Eight(vec4(0), vec4(0));
        for (int ty = 0; ty < taps; ++ty) {
            int row = firstTap(y) + ty;
            for (int tx = 0; tx < taps; ++tx) {
                int column = firstTap(x) + tx;
                if (row >= 0 && row < int(pc.inputHeight) && column >= 0 && column < int(pc.inputWidth)) {
                    float weight = tapWeight(y, ty) * tapWeight(x, tx);
                    uint place = (imageBlock * pc.inputHeight + uint(row)) * pc.inputWidth + uint(column);
                    Eight value = unpackEight(source[place]);
                    sum.low += weight * value.low;
                    sum.high += weight * value.high;
                }
            }
        }
        target[imageBlock * pc.outputHeight * pc.outputWidth + pixel] = packEight(sum);
    }
}
