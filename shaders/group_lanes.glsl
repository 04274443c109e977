// The coefficients of a group norm, made by eight neighbouring invocations. Include after group_statistics.glsl,
// session.glsl and lanes.glsl and declare before, beyond what they need: push constants affineIndex (of the row's first
// vec4), affineStride (vec4 from an image's row to the next one's; 0: one row for all), epsilon, errorCode, images (N).
#ifndef MOTE_GROUP_LANES_GLSL
#define MOTE_GROUP_LANES_GLSL

// Of a block of eight channels among `blocks`: h = x * scale + offset. What is not live reads nothing but
// tables. Infinities and NaNs are reported.
void coefficients(bool live, uint image, uint block, uint blocks, out Eight scale, out Eight offset) {
    uint lane = laneNumber();
    // Channels beyond the last stay zero.
    scale = offset = Eight(vec4(0), vec4(0));
    uint firstNorm = quotient(8 * block, pc.groupChannels);
    uint endNorm = live ? quotient(min(8 * block + 7, pc.channels - 1), pc.groupChannels) + 1 : firstNorm;
    uint gamma = pc.affineIndex + min(image, pc.images - 1) * pc.affineStride + 2 * min(block, blocks - 1);
    Eight gammas = Eight(affineAt(gamma), affineAt(gamma + 1));
    Eight betas = Eight(affineAt(gamma + 2 * blocks), affineAt(gamma + 2 * blocks + 1));
    for (uint norm = firstNorm; norm < endNorm; ++norm) {
        uint first = norm * pc.groupChannels;
        float pivot = pivotOf(image, first);
        GroupSums sums = gatherGroup(pivot, image, first, lane, 8);
        sums = GroupSums(sumOfLanes(sums.count), sumOfLanes(sums.differences), sumOfLanes(sums.squares));
        float mean = meanOf(sums, pivot), variance = varianceOf(sums);
        if (lane == 0 && (nonFinite(mean) || nonFinite(variance)))
            atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
        float inverse = inversesqrt(variance + pc.epsilon);
        uvec4 channel = 8 * block + uvec4(0, 1, 2, 3);
        bvec4 low = lessThan(channel - first, uvec4(pc.groupChannels));
        bvec4 high = lessThan(channel + 4 - first, uvec4(pc.groupChannels));
        scale.low = mix(scale.low, gammas.low * inverse, low);
        scale.high = mix(scale.high, gammas.high * inverse, high);
        offset.low = mix(offset.low, betas.low - mean * (gammas.low * inverse), low);
        offset.high = mix(offset.high, betas.high - mean * (gammas.high * inverse), high);
    }
}

#endif
