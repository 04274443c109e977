// target[i] = source[i] * factor + kOffset for i < count; source, target: fp32.
// One invocation an element, workgroups of kWidth in x. No feature needed. TEXEL: source is a texel buffer.
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kOffset = 0;

#if TEXEL
layout(set = 0, binding = 0) uniform utextureBuffer source;
float sourceAt(uint i) { return uintBitsToFloat(texelFetch(source, int(i >> 2))[i & 3]); }
#else
layout(set = 0, binding = 0) readonly buffer Source { float source[]; };
float sourceAt(uint i) { return source[i]; }
#endif
layout(set = 0, binding = 1) writeonly buffer Target { float target[]; };
layout(push_constant) uniform Push {
    uint count;
    float factor;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    if (i < count) {
        target[i] = sourceAt(i) * factor + float(kOffset);
    }
}
