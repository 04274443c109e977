// target[i] = first[i] * factor - second[i] for i < count; fp32. first and second are read through the addresses of
// bindings 0 and 2. One invocation an element, workgroups of 64. Needs buffer addresses.
#version 450
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

layout(local_size_x = 64) in;

layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Float { float value; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer Floats { float values[]; };

layout(set = 0, binding = 1) writeonly buffer Target { float target[]; };
layout(push_constant) uniform Push {
    uint count;
    float factor;
    Floats first;
    uint64_t second;
};

void main() {
    const uint i = gl_GlobalInvocationID.x;
    if (i < count) {
        target[i] = first.values[i] * factor - Float(second + 4 * i).value;
    }
}
