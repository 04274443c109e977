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

    // Channels beyond the last stay zero.
    Eight centre = Eight(vec4(0), vec4(0)), scale = centre, beta = centre;
    uint firstNorm = 8 * block / pc.groupChannels;
    uint endNorm = live ? min(8 * block + 7, pc.channels - 1) / pc.groupChannels + 1 : firstNorm;
    uint gamma = pc.affineIndex + min(image, pc.images - 1) * pc.affineStride + 2 * min(block, pc.outputBlocks - 1);
    Eight gammas = Eight(affineAt(gamma), affineAt(gamma + 1));
    Eight betas = Eight(affineAt(gamma + 2 * pc.outputBlocks), affineAt(gamma + 2 * pc.outputBlocks + 1));
    for (uint norm = firstNorm; norm < endNorm; ++norm) {
        float count = 0, mean = 0, deviations = 0;
        uint first = norm * pc.groupChannels;
        uint end = first + pc.groupChannels;
        uint in0 = min(end, pc.channels0) - min(first, pc.channels0);
        gather(count, mean, deviations, false, image, first, in0, lane, 8);
        if (SOURCES == 2)
            gather(count, mean, deviations, true, image, max(first, pc.channels0) - pc.channels0,
                   pc.groupChannels - in0, lane, 8);
        [[unroll]] for (uint reach = 1; reach < 8; reach *= 2) {
            uint other = gl_SubgroupInvocationID ^ reach;
            combineStatistics(count, mean, deviations, subgroupShuffle(count, other), subgroupShuffle(mean, other),
                              subgroupShuffle(deviations, other));
        }
        // The bits of lane 0 for all: a + b and b + a round differently here.
        uint lead = gl_SubgroupInvocationID & ~7;
        mean = subgroupShuffle(mean, lead);
        float variance = subgroupShuffle(deviations, lead) / max(count, 1.0);
        if (chunk == 0 && lane == 0 && (nonFinite(mean) || nonFinite(variance)))
            atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
        float inverse = inversesqrt(variance + pc.epsilon);
        uvec4 channel = 8 * block + uvec4(0, 1, 2, 3);
        bvec4 low = lessThan(channel - first, uvec4(pc.groupChannels));
        bvec4 high = lessThan(channel + 4 - first, uvec4(pc.groupChannels));
        centre.low = mix(centre.low, vec4(mean), low);
        centre.high = mix(centre.high, vec4(mean), high);
        scale.low = mix(scale.low, gammas.low * inverse, low);
        scale.high = mix(scale.high, gammas.high * inverse, high);
        beta.low = mix(beta.low, betas.low, low);
        beta.high = mix(beta.high, betas.high, high);
    }

    uint pixels = live ? pc.outputHeight * pc.outputWidth : 0;
    uint outputBase = imageBlock * pc.outputHeight * pc.outputWidth;
    uint start = chunk * pc.chunkLoops * 32;
    uint chunkEnd = min(start + pc.chunkLoops * 32, pixels);
    for (uint pixel = start + lane; pixel < chunkEnd; pixel += 32) {
        [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
            uint here = pixel + 8 * p;
            uvec4 words =
                packEightInSteps(normalised(image, block, min(here, pixels - 1), centre, scale, beta));
            if (here < chunkEnd)
                target[outputBase + here] = words;
        }
    }
}
