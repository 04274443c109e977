// v[n][e] = f(s[e] + c[e]): the vector of image n at one step, from the step's embedding s and its
// condition c.
//
//   steps       [rows][length] float; the step's row is bound through stepIndex
//   conditions  [classes or images][length] float
//   chosen      [images] uint: which of the conditions an image has
//   target      [rows][images][length] float
//
// f: an ActivationFunction. Workgroup: 64 elements of one step's images x length. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int FUNCTION = 1;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint images, length_;
    uint stepIndex;   // of the step's first element
    uint targetIndex; // likewise
}
pc;

layout(binding = 0, std430) readonly buffer Steps {
    float steps[];
};
layout(binding = 1, std430) readonly buffer Conditions {
    float conditions[];
};
layout(binding = 2, std430) readonly buffer Chosen {
    uint chosen[];
};
layout(binding = 3, std430) writeonly buffer Target {
    float target[];
};

void main() {
    uint number = dispatchGroup();
    uint i = (pc.firstGroup + number) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (number < pc.groupCount && i < pc.images * pc.length_) {
        uint image = i / pc.length_, e = i - image * pc.length_;
        float sum = steps[pc.stepIndex + e] + conditions[chosen[image] * pc.length_ + e];
        target[pc.targetIndex + i] = activated(FUNCTION, vec4(sum)).x;
    }
}
