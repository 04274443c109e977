// mask = mask >= 1/2 ? 1 : 0, known *= 1 - mask: what is to be filled is hidden from the network.
//
//   mask   [N][1][H][W] float
//   known  [N][C][H][W] float
//
// Workgroup: 64 pixels. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint pixels; // N * H * W
    uint plane;  // H * W
    uint channels;
} pc;

layout(binding = 0, std430) buffer Mask { float mask[]; };
layout(binding = 1, std430) buffer Known { float known[]; };

void main() {
    uint number = dispatchGroup();
    uint i = (pc.firstGroup + number) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && i < pc.pixels) {
        bool fill = mask[i] >= 0.5;
        mask[i] = fill ? 1.0 : 0.0;
        uint image = i / pc.plane, pixel = i - image * pc.plane;
        if (fill) {
            for (uint c = 0; c < pc.channels; ++c)
                known[(image * pc.channels + c) * pc.plane + pixel] = 0;
        }
    }
}
