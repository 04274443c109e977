// byte = clamp(floor(p + 1/2), 0, 255): planar fp32 becomes 8-bit interleaved pixels, of each row the first
// imageWidth. With v the state, or (ESTIMATE) x0 = min(max(stateFactor * state + outputFactor * m, low), high), the
// sampler's present estimate:
//   SIDE=0   p = scale * v + offset
//   SIDE=1   v holds Cb and Cr, side luma:  p = the RGB of (sideScale * side + sideOffset, scale * v + offset),
//            ITU-R BT.601 with all of 0 .. 255, as JPEG has it; 127.5 is no colour
//   SIDE=2   side is a mask:  p = mask * (as above) + (1 - mask) * (sideScale * known + sideOffset)
//
//   planes, modelOutput  [C][H][W] float; rows firstRow .. firstRow + rows - 1 are read
//   side                 [1][H][W] float, known [C][H][W] float
//   pixels               words of four bytes, little endian; rows rowWords apart; bytes after a row's last pixel
//                        become 0
//
// Workgroup: 64 words. Features: none. SIDE and ESTIMATE are specialisation constants; what a variant does not read
// may be bound to anything.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const uint SIDE = 0;
layout(constant_id = 1) const uint ESTIMATE = 0;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint height, width;
    uint channels;
    uint firstRow, sideFirstRow; // counted over the planes of all images
    uint rows;
    uint imageWidth;
    uint bytesPerPixel, rowWords;
    float scale, offset;
    float sideScale, sideOffset;
    float stateFactor, outputFactor, low, high;
} pc;

layout(binding = 0, std430) readonly buffer Planes { float planes[]; };
layout(binding = 1, std430) writeonly buffer Pixels { uint pixels[]; };
layout(binding = 2, std430) readonly buffer ModelOutput { float modelOutput[]; };
layout(binding = 3, std430) readonly buffer Side { float side[]; };
layout(binding = 4, std430) readonly buffer Known { float known[]; };

float valueOf(uint channel, uint y, uint x) {
    uint at = (channel * pc.height + pc.firstRow + y) * pc.width + x;
    float v = planes[at];
    if (ESTIMATE != 0)
        v = min(max(pc.stateFactor * v + pc.outputFactor * modelOutput[at], pc.low), pc.high);
    v = pc.scale * v + pc.offset;
    if (SIDE == 2) {
        float fill = side[(pc.sideFirstRow + y) * pc.width + x];
        float given = pc.sideScale * known[at] + pc.sideOffset;
        v = fill == 0.0 ? given : fill == 1.0 ? v : fill * v + (1.0 - fill) * given;
    }
    return v;
}

float redGreenBlue(uint colour, uint y, uint x) {
    float luma = pc.sideScale * side[(pc.sideFirstRow + y) * pc.width + x] + pc.sideOffset;
    float blue = valueOf(0, y, x) - 127.5, red = valueOf(1, y, x) - 127.5;
    if (colour == 0)
        return luma + 1.402 * red;
    if (colour == 1)
        return luma - 0.344136 * blue - 0.714136 * red;
    return luma + 1.772 * blue;
}

void main() {
    uint number = dispatchGroup();
    uint word = (pc.firstGroup + number) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && word < pc.rows * pc.rowWords) {
        uint y = word / pc.rowWords, byte_ = 4 * (word - y * pc.rowWords);
        uint bits = 0;
        for (uint i = 0; i < 4; ++i) {
            uint x = (byte_ + i) / pc.bytesPerPixel, part = byte_ + i - x * pc.bytesPerPixel;
            if (x < pc.imageWidth) {
                uint value = 255; // the fourth byte: opaque
                if (part < 3) {
                    float v = SIDE == 1 ? redGreenBlue(part, y, x) : valueOf(min(part, pc.channels - 1), y, x);
                    value = uint(clamp(floor(v + 0.5), 0.0, 255.0));
                }
                bits |= value << (8 * i);
            }
        }
        pixels[word] = bits;
    }
}
