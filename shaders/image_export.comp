// byte = clamp(floor(scale * value + offset + 1/2), 0, 255): planar fp32 becomes 8-bit interleaved pixels, of each
// row the first imageWidth.
//
//   planes  [C][H][W] float; rows firstRow .. firstRow + rows - 1 are read
//   pixels  words of four bytes, little endian; rows rowWords apart; bytes after a row's last pixel become 0
//
// Workgroup: 64 words. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint height, width;
    uint channels;
    uint firstRow, rows;
    uint imageWidth;
    uint bytesPerPixel, rowWords;
    float scale, offset;
} pc;

layout(binding = 0, std430) readonly buffer Planes { float planes[]; };
layout(binding = 1, std430) writeonly buffer Pixels { uint pixels[]; };

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
                    uint at = (min(part, pc.channels - 1) * pc.height + pc.firstRow + y) * pc.width + x;
                    value = uint(clamp(floor(pc.scale * planes[at] + pc.offset + 0.5), 0.0, 255.0));
                }
                bits |= value << (8 * i);
            }
        }
        pixels[word] = bits;
    }
}
