// total = sum of source[0 .. 63]; fp32. One workgroup of 64; kLength floats of shared memory, at least 64, and a pair
// of structures for the size arithmetic of the reader. No feature needed.
#version 450

layout(local_size_x = 64) in;
layout(constant_id = 0) const uint kLength = 64;

struct Pair {
    vec4 first;
    mat2 second;
};

layout(set = 0, binding = 0) readonly buffer Source { float source[]; };
layout(set = 0, binding = 1) writeonly buffer Target { float total; };

shared float partial[kLength];
shared float twice[kLength * 2];
shared Pair pairs[3];

void main() {
    const uint i = gl_LocalInvocationID.x;
    partial[i] = source[i];
    twice[2 * i] = source[i];
    if (i < 3) {
        pairs[i].first = vec4(source[i]);
        pairs[i].second = mat2(source[i]);
    }
    barrier();
    if (i == 0) {
        float sum = 0.0;
        for (uint k = 0; k < 64; ++k) {
            sum += partial[k] + twice[2 * k] - partial[(k + 1) % 64];
        }
        total = sum + pairs[0].first.x - pairs[1].second[0][0] - source[0] + source[1];
    }
}
