// The group norm of groupnorm.comp (same formula, bindings, push constants, specialisation) for software devices: eight
// neighbouring invocations combine the statistics of a block of eight channels by shuffles and make chunkLoops x 32
// output pixels of it; nothing is shared between them and others.
//
// Workgroup: eight chunks; groups = ceil(N * outputBlocks * chunks / 8), chunk fastest.
// Features: subgroup operations basic and shuffle, subgroups of 8 or more. All that is read comes through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "session.glsl"
#include "tensor.glsl"
#include "groupnorm_interface.glsl"
#include "lanes.glsl"
#include "group_lanes.glsl"

layout(constant_id = 4) const int PIXELS = 4; // of an invocation together; unrolled by the driver

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint imageBlock = unit / pc.chunks;
    uint chunk = unit - imageBlock * pc.chunks;
    uint image = imageBlock / pc.outputBlocks;
    uint block = imageBlock - image * pc.outputBlocks;
    bool live = number < pc.groupCount && image < pc.images;

    Eight scale, offset;
    coefficients(live, image, block, pc.outputBlocks, scale, offset);

    uint pixels = live ? pc.outputHeight * pc.outputWidth : 0;
    uint outputBase = imageBlock * pc.outputHeight * pc.outputWidth;
    uint start = chunk * pc.chunkLoops * 32;
    uint chunkEnd = min(start + pc.chunkLoops * 32, pixels);
    for (uint pixel = start + lane; pixel < chunkEnd; pixel += 32) {
        [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
            uint here = pixel + 8 * p;
            uvec4 words = packEightInSteps(normalised(image, block, min(here, pixels - 1), scale, offset));
            if (here < chunkEnd)
                target[outputBase + here] = words;
        }
    }
}
