// h = (x - mean_g) / sqrt(var_g + epsilon) * gamma + beta; h = activation(h); h = average 2x2 of h
// over the channel-concatenated sources; statistics over the group's channels and all pixels.
//
//   source0, source1          [N][blocks][H][W] uvec4; source1's channels follow source0's without padding between
//   affine                    [rows][images or 1][gamma, beta][outputBlocks] two vec4
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
#include "groupnorm_interface.glsl"

shared float sharedCount[LOCAL_SIZE];
shared float sharedMean[LOCAL_SIZE];
shared float sharedDeviations[LOCAL_SIZE];
shared float channelMean[8], channelScale[8], channelBeta[8];

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
        uint gamma = pc.affineIndex + image * pc.affineStride + 2 * block + (local >> 2);
        float scale = affineAt(gamma)[local & 3] * inversesqrt(variance + pc.epsilon);
        float beta = affineAt(gamma + 2 * pc.outputBlocks)[local & 3];
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
            Eight result = normalised(image, block, pixel, centre, scale, beta);
            target[outputBase + pixel] = packEight(result);
        }
    }
}
