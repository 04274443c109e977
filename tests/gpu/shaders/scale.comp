// target[i] = source[i] * factor + kOffset for i < count; source, target: fp32.
// One invocation an element, workgroups of kWidth in x. No feature needed.
#version 450

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint kOffset = 0;

layout(set = 0, binding = 0) readonly buffer Source { float source[]; };
layout(set = 0, binding = 1) writeonly buffer Target { float target[]; };
layout(push_constant) uniform Push {
    uint count;
    float factor;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    if (i < count) {
        target[i] = source[i] * factor + float(kOffset);
    }
}
