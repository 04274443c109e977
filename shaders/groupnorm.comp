// h = (x - mean_g) / sqrt(var_g + epsilon) * gamma + beta; h = silu(h); h = average 2x2 of h
// over the channel-concatenated sources; statistics over the group's channels and all pixels.
//
//   source0, source1          [N][blocks][H][W] uvec4; source1's channels follow source0's without padding between
//   affine                    [rows][gamma, beta][outputBlocks] two vec4
//   statistics0, statistics1  of the sources, see statistics.glsl
//   target                    [N][outputBlocks][H or H/2][W or W/2] uvec4
//   session                   a non-finite mean or variance lowers the error code there
//
// Each workgroup combines the entries of the one to eight groups that its block of eight channels touches, in a
// fixed order, then makes chunkLoops x 64 output pixels; the caller chooses chunkLoops so that the first part stays
// small beside the second. Groups = N * outputBlocks * chunks, chunk fastest. Shared memory: 928 bytes.
// Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "session.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int SILU = 0;
layout(constant_id = 1) const int AVERAGE = 0; // 1: average 2x2 of the result
layout(constant_id = 2) const int SOURCES = 1;
layout(constant_id = 3) const int SHIFT = 0; // channels0 % 8: source1 starts in the middle of a block

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint channels0, channels;   // of source0; of both
    uint blocks0, blocks1;
    uint outputBlocks;
    uint groupChannels;         // channels / groups
    uint tiles0, tiles1;        // statistics entries per channel
    uint inputHeight, inputWidth;
    uint outputHeight, outputWidth;
    uint chunks, chunkLoops;
    uint affineIndex;           // of the row's first vec4
    float epsilon;
    uint errorCode;
} pc;

layout(binding = 0, std430) readonly buffer Source0 { uvec4 source0[]; };
layout(binding = 1, std430) readonly buffer Source1 { uvec4 source1[]; };
layout(binding = 2, std430) readonly buffer Affine { vec4 affine[]; };
layout(binding = 3, std430) readonly buffer Statistics0 { vec4 statistics0[]; };
layout(binding = 4, std430) readonly buffer Statistics1 { vec4 statistics1[]; };
layout(binding = 5, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 6, std430) buffer Session { uint session[]; };

shared float sharedCount[LOCAL_SIZE];
shared float sharedMean[LOCAL_SIZE];
shared float sharedDeviations[LOCAL_SIZE];
shared float channelMean[8], channelScale[8], channelBeta[8];

// Combines every `lanes`-th entry, from number `lane` on, of `channels` channels from `first` on of one source.
// Entries are numbered channel first, so that neighbouring lanes read neighbouring vec4.
void gather(inout float count, inout float mean, inout float deviations, bool second, uint image, uint first,
            uint channels, uint lane, uint lanes) {
    uint blocks = second ? pc.blocks1 : pc.blocks0;
    uint tiles = channels == 0 ? 0 : second ? pc.tiles1 : pc.tiles0;
    uint divisor = max(channels, 1);
    uint tile = lane / divisor, channel = lane - tile * divisor;
    uint tileStep = lanes / divisor, channelStep = lanes - tileStep * divisor;
    while (tile < tiles) {
        uint c = first + channel;
        uint index = ((image * blocks + (c >> 3)) * tiles + tile) * 8 + (c & 7);
        vec4 entry = second ? statistics1[index] : statistics0[index];
        combineStatistics(count, mean, deviations, entry.x, entry.y, entry.z);
        tile += tileStep;
        channel += channelStep;
        if (channel >= channels) {
            channel -= channels;
            ++tile;
        }
    }
}

uint halfAt(uvec4 words, int i) { return (words[i >> 1] >> (16 * (i & 1))) & 0xffff; }

// Eight channels of the concatenation at a pixel.
Eight load(uint image, uint block, uint pixel) {
    uint plane = pc.inputHeight * pc.inputWidth;
    uint whole = pc.channels0 >> 3; // blocks that are all source0's
    if (SOURCES == 1 || block < whole)
        return unpackEight(source0[(image * pc.blocks0 + block) * plane + pixel]);
    uint base1 = image * pc.blocks1;
    if (SHIFT == 0)
        return unpackEight(source1[(base1 + block - whole) * plane + pixel]);
    // Channels before SHIFT come from the block before, the others from source1's block `next`.
    uint next = block - whole;
    bool mixed = next == 0;
    uvec4 before, after = uvec4(0), words = uvec4(0);
    if (mixed)
        before = source0[(image * pc.blocks0 + whole) * plane + pixel];
    else
        before = source1[(base1 + next - 1) * plane + pixel];
    if (next < pc.blocks1)
        after = source1[(base1 + next) * plane + pixel];
    [[unroll]] for (int i = 0; i < 8; ++i) {
        uint bits = i < SHIFT ? halfAt(before, mixed ? i : i + 8 - SHIFT) : halfAt(after, max(i - SHIFT, 0));
        words[i >> 1] |= bits << (16 * (i & 1));
    }
    return unpackEight(words);
}

Eight eightOf(float values[8]) {
    return Eight(vec4(values[0], values[1], values[2], values[3]), vec4(values[4], values[5], values[6], values[7]));
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint imageBlock = group / pc.chunks;
    uint chunk = group - imageBlock * pc.chunks;
    uint image = imageBlock / pc.outputBlocks;
    uint block = imageBlock - image * pc.outputBlocks;

    // The normalisation groups of this block share the invocations: 64, 32, 16 or 8 lanes each.
    uint firstNorm = 8 * block / pc.groupChannels;
    uint norms = min(8 * block + 7, pc.channels - 1) / pc.groupChannels - firstNorm + 1;
    uint lanesLog = norms == 1 ? 6 : norms == 2 ? 5 : norms <= 4 ? 4 : 3;
    uint lanes = 1 << lanesLog;
    uint slot = local >> lanesLog, lane = local & (lanes - 1);

    float count = 0, mean = 0, deviations = 0;
    if (groupLive && slot < norms) {
        uint first = (firstNorm + slot) * pc.groupChannels;
        uint end = first + pc.groupChannels;
        uint in0 = min(end, pc.channels0) - min(first, pc.channels0);
        gather(count, mean, deviations, false, image, first, in0, lane, lanes);
        if (SOURCES == 2)
            gather(count, mean, deviations, true, image, max(first, pc.channels0) - pc.channels0,
                   pc.groupChannels - in0, lane, lanes);
    }
    sharedCount[local] = count;
    sharedMean[local] = mean;
    sharedDeviations[local] = deviations;
    for (uint reach = LOCAL_SIZE / 2; reach > 0; reach /= 2) {
        barrier();
        if (lane < reach && 2 * reach <= lanes) {
            combineStatistics(count, mean, deviations, sharedCount[local + reach], sharedMean[local + reach],
                              sharedDeviations[local + reach]);
            sharedCount[local] = count;
            sharedMean[local] = mean;
            sharedDeviations[local] = deviations;
        }
    }
    barrier();
    if (groupLive && chunk == 0 && lane == 0 && slot < norms && (nonFinite(mean) || nonFinite(deviations)))
        atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
    if (local < 8) {
        uint channel = 8 * block + local;
        bool real = channel < pc.channels;
        uint entry = real ? (channel / pc.groupChannels - firstNorm) << lanesLog : 0;
        float variance = sharedDeviations[entry] / max(sharedCount[entry], 1.0);
        uint gamma = pc.affineIndex + 2 * block + (local >> 2);
        float scale = affine[gamma][local & 3] * inversesqrt(variance + pc.epsilon);
        float beta = affine[gamma + 2 * pc.outputBlocks][local & 3];
        channelMean[local] = real ? sharedMean[entry] : 0;
        channelScale[local] = real ? scale : 0;
        channelBeta[local] = real ? beta : 0;
    }
    barrier();
    Eight centre = eightOf(channelMean), scale = eightOf(channelScale), beta = eightOf(channelBeta);

    uint pixels = groupLive ? pc.outputHeight * pc.outputWidth : 0;
    uint outputBase = (image * pc.outputBlocks + block) * pc.outputHeight * pc.outputWidth;
    for (uint chunkLoop = 0; chunkLoop < pc.chunkLoops; ++chunkLoop) {
        uint pixel = (chunk * pc.chunkLoops + chunkLoop) * LOCAL_SIZE + local;
        if (pixel < pixels) {
            uint y = 0, x = pixel;
            if (AVERAGE != 0) {
                y = pixel / pc.outputWidth;
                x = 2 * (pixel - y * pc.outputWidth);
            }
            Eight result = Eight(vec4(0), vec4(0));
            for (uint part = 0; part < (AVERAGE != 0 ? 4 : 1); ++part) {
                Eight h = load(image, block, (2 * y + (part >> 1)) * pc.inputWidth + x + (part & 1));
                h.low = (h.low - centre.low) * scale.low + beta.low;
                h.high = (h.high - centre.high) * scale.high + beta.high;
                if (SILU != 0) {
                    h.low = silu(h.low);
                    h.high = silu(h.high);
                }
                result.low += h.low;
                result.high += h.high;
            }
            if (AVERAGE != 0) {
                result.low *= 0.25;
                result.high *= 0.25;
            }
            target[outputBase + pixel] = packEight(result);
        }
    }
}
