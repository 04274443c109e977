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
// small beside the second. Groups = N * outputBlocks * chunks, chunk fastest. Shared memory: 1088 bytes.
// Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "session.glsl"
#include "tensor.glsl"
#include "groupnorm_interface.glsl"

shared GroupSums sharedSums[LOCAL_SIZE];
shared float sharedPivot[LOCAL_SIZE];
shared float channelScale[8], channelOffset[8];

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

    GroupSums sums = GroupSums(0, 0, 0);
    float pivot = 0;
    if (groupLive && slot < norms) {
        uint first = (firstNorm + slot) * pc.groupChannels;
        pivot = pivotOf(image, first);
        sums = gatherGroup(pivot, image, first, lane, lanes);
    }
    sharedSums[local] = sums;
    sharedPivot[local] = pivot;
    for (uint reach = LOCAL_SIZE / 2; reach > 0; reach /= 2) {
        barrier();
        if (lane < reach && 2 * reach <= lanes) {
            sums.count += sharedSums[local + reach].count;
            sums.differences += sharedSums[local + reach].differences;
            sums.squares += sharedSums[local + reach].squares;
            sharedSums[local] = sums;
        }
    }
    barrier();
    if (groupLive && chunk == 0 && lane == 0 && slot < norms &&
        (nonFinite(meanOf(sums, pivot)) || nonFinite(varianceOf(sums))))
        atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
    if (local < 8) {
        uint channel = 8 * block + local;
        bool real = channel < pc.channels;
        uint entry = real ? (channel / pc.groupChannels - firstNorm) << lanesLog : 0;
        GroupSums own = sharedSums[entry];
        uint gamma = pc.affineIndex + image * pc.affineStride + 2 * block + (local >> 2);
        float scale = affineAt(gamma)[local & 3] * inversesqrt(varianceOf(own) + pc.epsilon);
        float beta = affineAt(gamma + 2 * pc.outputBlocks)[local & 3];
        channelScale[local] = real ? scale : 0;
        channelOffset[local] = real ? beta - meanOf(own, sharedPivot[entry]) * scale : 0;
    }
    barrier();
    Eight scale = eightOf(channelScale), offset = eightOf(channelOffset);

    uint pixels = groupLive ? pc.outputHeight * pc.outputWidth : 0;
    uint outputBase = (image * pc.outputBlocks + block) * pc.outputHeight * pc.outputWidth;
    for (uint chunkLoop = 0; chunkLoop < pc.chunkLoops; ++chunkLoop) {
        uint pixel = (chunk * pc.chunkLoops + chunkLoop) * LOCAL_SIZE + local;
        if (pixel < pixels) {
            Eight result = normalised(image, block, pixel, scale, offset);
            target[outputBase + pixel] = packEight(result);
        }
    }
}
