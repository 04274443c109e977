// out = activation(concat(source0, source1) * gamma + beta + residual), element by element
//
//   source0, source1  [N][blocks][H][W] uvec4; source1's channels follow source0's without padding between
//   affine            AFFINE 1: [rows][gamma, beta][blocks] two vec4; AFFINE 2: [gamma, beta][blocks][H][W]
//   two vec4 residual, target  [N][blocks][H][W] uvec4
//
// Workgroup: 64 pixels of one block of one image; groups = N * blocks * tiles, tile fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int ACTIVATION = 0; // mote::ActivationFunction
layout(constant_id = 1) const int AFFINE = 0;     // 0: gamma 1, beta 0; 1: per channel; 2: per element
layout(constant_id = 2) const int SOURCES = 1;
layout(constant_id = 3) const int SHIFT = 0; // see concatenation.glsl
layout(constant_id = 4) const int RESIDUAL = 0;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint channels0, channels; // of source0; of both
    uint blocks0, blocks1, blocks;
    uint plane;       // pixels
    uint tiles;       // of 64
    uint affineIndex; // of the row's first vec4
}
pc;

layout(binding = 0, std430) readonly buffer Source0 {
    uvec4 source0[];
};
layout(binding = 1, std430) readonly buffer Source1 {
    uvec4 source1[];
};
layout(binding = 2, std430) readonly buffer Affine {
    vec4 affine[];
};
layout(binding = 3, std430) readonly buffer Residual {
    uvec4 residual[];
};
layout(binding = 4, std430) writeonly buffer Target {
    uvec4 target[];
};

#include "concatenation.glsl"

// Channels beyond the last are zero in memory, whatever the activation makes of beta.
vec4 kept(vec4 value, uint first) {
    return mix(vec4(0), value, lessThan(first + uvec4(0, 1, 2, 3), uvec4(pc.channels)));
}

void main() {
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint imageBlock = group / pc.tiles;
    uint pixel = (group - imageBlock * pc.tiles) * LOCAL_SIZE + gl_LocalInvocationID.x;
    uint image = imageBlock / pc.blocks;
    uint block = imageBlock - image * pc.blocks;
    if (groupLive && pixel < pc.plane) {
        Eight value = loadEight(image, block, pixel, pc.plane);
        if (AFFINE != 0) {
            uint gamma = pc.affineIndex + 2 * (AFFINE == 1 ? block : block * pc.plane + pixel);
            uint beta = gamma + 2 * pc.blocks * (AFFINE == 1 ? 1 : pc.plane);
            value.low = value.low * affine[gamma] + affine[beta];
            value.high = value.high * affine[gamma + 1] + affine[beta + 1];
        }
        uint place = imageBlock * pc.plane + pixel;
        if (RESIDUAL != 0) {
            Eight added = unpackEight(residual[place]);
            value.low += added.low;
            value.high += added.high;
        }
        value.low = kept(activated(ACTIVATION, value.low), 8 * block);
        value.high = kept(activated(ACTIVATION, value.high), 8 * block + 4);
        target[place] = packEight(value);
    }
}
