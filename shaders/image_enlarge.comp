// plane[c][y][x] = offset + scale * value: 8-bit interleaved pixels, enlarged by `factor` in both directions with
// bicubic weights, become planar fp32, reflected at the right and at the bottom up to the padded size.
//
//   value(y, x) = sum over the 4 x 4 source pixels around ((y + 1/2) / factor - 1/2, (x + 1/2) / factor - 1/2) of
//                 w(dy) w(dx) byte / (sum of the weights), clamped to 0 .. 255
//   w           = Keys 1981, "Cubic convolution interpolation", equation 15, a = -1/2
//
// Source pixels beyond the edges do not count. This is what Pillow's BICUBIC does, without its rounding to bytes
// after each direction.
//
//   pixels  words of four bytes, little endian; source rows from sourceRow on, rowBytes apart, any number
//   planes  [C][H][W] float; rows firstRow .. firstRow + rows - 1 are written
//
// Workgroup: 64 elements of the planes. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define LUMA 3

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint elements; // C * rows * W
    uint height, width;
    uint firstRow, rows;
    uint absoluteRow;             // of row firstRow in the whole enlarged picture
    uint imageHeight, imageWidth; // of the source, all of it
    uint sourceRow;               // the first that is there
    uint factor;
    uint bytesPerPixel, rowBytes;
    uint lastColour; // as in image_import.comp
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

float weight(float distance) {
    float d = abs(distance);
    if (d < 1.0)
        return (1.5 * d - 2.5) * d * d + 1.0;
    if (d < 2.0)
        return ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    return 0.0;
}

// Of target i along one axis: the first of the four source positions, and the distance to it.
int firstSource(uint i, out float distance) {
    // (i + 1/2) / factor - 1/2 in units of 1 / (2 factor), exactly.
    int place = int(2 * i + 1) - int(pc.factor), unit = int(2 * pc.factor);
    int below = (place + unit) / unit - 1; // rounded down; place >= -unit
    distance = float(place - below * unit) / float(unit) + 1.0;
    return below - 1;
}

void main() {
    uint number = dispatchGroup();
    uint i = (pc.firstGroup + number) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && i < pc.elements) {
        uint row = i / pc.width, x = i - row * pc.width;
        uint channel = row / pc.rows, y = row - channel * pc.rows;
        float dx, dy;
        int left = firstSource(reflected(x, pc.imageWidth * pc.factor), dx);
        int top = firstSource(reflected(pc.absoluteRow + y, pc.imageHeight * pc.factor), dy);
        float sum = 0, weights = 0;
        for (int j = 0; j < 4; ++j) {
            for (int k = 0; k < 4; ++k) {
                int sourceY = top + j, sourceX = left + k;
                bool inside = sourceY >= 0 && sourceY < int(pc.imageHeight) && sourceX >= 0 &&
                              sourceX < int(pc.imageWidth);
                if (inside) {
                    float w = weight(dy - float(j)) * weight(dx - float(k));
                    uint at = (uint(sourceY) - pc.sourceRow) * pc.rowBytes + uint(sourceX) * pc.bytesPerPixel;
                    float value;
                    if (pc.lastColour == LUMA) // ITU-R BT.601
                        value = 0.299 * byteAt(at) + 0.587 * byteAt(at + 1) + 0.114 * byteAt(at + 2);
                    else
                        value = byteAt(at + min(channel, pc.lastColour));
                    sum += w * value;
                    weights += w;
                }
            }
        }
        float value = clamp(sum / weights, 0.0, 255.0);
        planes[(channel * pc.height + pc.firstRow + y) * pc.width + x] = pc.offset + pc.scale * value;
    }
}
