// plane[c][y][x] = offset + scale * byte: 8-bit interleaved pixels become planar fp32, reflected at the right edge
// up to the padded width (without repeating the edge pixel; a single column is repeated).
//
//   pixels  words of four bytes, little endian; `rows` rows, rowBytes apart, any number
//   planes  [C][H][W] float; rows firstRow .. firstRow + rows - 1 are written
//
// Workgroup: 256 elements of the planes. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define ELEMENTS 4 // an invocation
#define LUMA 3

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint elements; // C * rows * W
    uint height, width;
    uint firstRow, rows;
    uint imageWidth;
    uint bytesPerPixel, rowBytes;
    uint lastColour; // the byte of a pixel that channels from lastColour on read; LUMA: all three make one
    float scale, offset;
} pc;

layout(binding = 0, std430) readonly buffer Pixels { uint pixels[]; };
layout(binding = 1, std430) writeonly buffer Planes { float planes[]; };

// ... 2 1 0 1 2 ... n-2 n-1 n-2 ... 1 0 1 ...
uint reflected(uint i, uint n) {
    uint period = max(2 * n - 2, 1);
    uint phase = i % period;
    return phase < n ? phase : period - phase;
}

float byteAt(uint at) { return float((pixels[at >> 2] >> (8 * (at & 3))) & 0xff); }

void main() {
    uint number = dispatchGroup();
    uint elements = number < pc.groupCount ? pc.elements : 0;
    uint first = (pc.firstGroup + number) * (LOCAL_SIZE * ELEMENTS) + gl_LocalInvocationID.x;
    for (uint k = 0; k < ELEMENTS; ++k) {
        uint i = first + k * LOCAL_SIZE;
        if (i < elements) {
            uint row = i / pc.width, x = i - row * pc.width;
            uint channel = row / pc.rows, y = row - channel * pc.rows;
            uint at = y * pc.rowBytes + reflected(x, pc.imageWidth) * pc.bytesPerPixel;
            float value;
            if (pc.lastColour == LUMA) // ITU-R BT.601
                value = 0.299 * byteAt(at) + 0.587 * byteAt(at + 1) + 0.114 * byteAt(at + 2);
            else
                value = byteAt(at + min(channel, pc.lastColour));
            planes[(channel * pc.height + pc.firstRow + y) * pc.width + x] = pc.offset + pc.scale * value;
        }
    }
}
