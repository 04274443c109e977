// table[m][k] = row[k] + sum over e of matrix[e][k] * vectors[m][e]: an op's bias or affine rows for each
// image, m counting images of all steps.
//
//   row      [quads] vec4, the op's static row, padded to whole vec4 as its kernel has it
//   matrix   [length][quads] uvec2 of four halves
//   vectors  [count][length] float
//   table    [count][quads] vec4
//
// Workgroup: 64 vec4 of one m; quads fastest. All sums in fp32, in the order of e. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint quads, length_;
    uint groupsOfQuads; // ceil(quads / 64)
}
pc;

layout(binding = 0, std430) readonly buffer Row {
    vec4 row[];
};
layout(binding = 1, std430) readonly buffer Matrix {
    uvec2 matrix[];
};
layout(binding = 2, std430) readonly buffer Vectors {
    float vectors[];
};
layout(binding = 3, std430) writeonly buffer Table {
    vec4 table[];
};

void main() {
    uint number = dispatchGroup();
    uint group = pc.firstGroup + number;
    uint m = group / pc.groupsOfQuads;
    uint quad = (group - m * pc.groupsOfQuads) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && quad < pc.quads) {
        vec4 sum = row[quad];
        for (uint e = 0; e < pc.length_; ++e) {
            uvec2 halves = matrix[e * pc.quads + quad];
            sum += vec4(unpackHalf2x16(halves.x), unpackHalf2x16(halves.y)) * vectors[m * pc.length_ + e];
        }
        table[m * pc.quads + quad] = sum;
    }
}
