// What normalises a concatenation of two sources: its bindings, and the way from their statistics to a group's.
// groupnorm.comp says what each binding holds. Include after numeric.glsl and tensor.glsl and declare before: constants
// SOURCES and SHIFT as for concatenation.glsl; push constants channels0, channels (of both), blocks0, blocks1,
// groupChannels (channels / groups), tiles0, tiles1 (statistics entries per channel).
#ifndef MOTE_GROUP_STATISTICS_GLSL
#define MOTE_GROUP_STATISTICS_GLSL

TENSOR(0, source0)
TENSOR(1, source1)
TENSOR(2, affine)      // fp32 bits
TENSOR(3, statistics0) // fp32 bits
TENSOR(4, statistics1)
layout(binding = 5, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 6, std430) buffer Session { uint session[]; };

vec4 affineAt(uint index) { return uintBitsToFloat(FETCH(affine, index)); }

vec4 statisticsAt(bool second, uint index) {
    if (second)
        return uintBitsToFloat(FETCH(statistics1, index));
    return uintBitsToFloat(FETCH(statistics0, index));
}

// What the entries of a group say about a pivot near their means: how many values, the sums of their differences from it
// and of the squares. Sums are combined without the divisions that combining means takes, and the mean of one of the
// entries as a pivot keeps the squares from cancelling.
struct GroupSums {
    float count, differences, squares;
};

float pivotOf(uint image, uint first) {
    bool second = SOURCES == 2 && first >= pc.channels0;
    uint c = second ? first - pc.channels0 : first;
    uint block = (second ? image * pc.blocks1 : image * pc.blocks0) + (c >> 3);
    return statisticsAt(second, block * (second ? pc.tiles1 : pc.tiles0) * 8 + (c & 7)).y;
}

// Adds every `lanes`-th entry, from number `lane` on, of `channels` channels from `first` on of one source.
// Entries are numbered channel first, so that neighbouring lanes read neighbouring vec4.
void gather(inout GroupSums sums, float pivot, bool second, uint image, uint first, uint channels, uint lane,
            uint lanes) {
    uint blocks = second ? pc.blocks1 : pc.blocks0;
    uint tiles = channels == 0 ? 0 : second ? pc.tiles1 : pc.tiles0;
    uint divisor = max(channels, 1);
    uint tile = quotient(lane, divisor), channel = lane - tile * divisor;
    uint tileStep = quotient(lanes, divisor), channelStep = lanes - tileStep * divisor;
    do {
        bool inside = tile < tiles;
        uint c = first + channel;
        uint index = ((image * blocks + (c >> 3)) * (second ? pc.tiles1 : pc.tiles0) + tile) * 8 + (c & 7);
        vec4 entry = statisticsAt(second, inside ? index : 0);
        float count = inside ? entry.x : 0, delta = entry.y - pivot, product = count * delta;
        sums.count += count;
        sums.differences += inside ? product : 0;
        sums.squares += inside ? product * delta + entry.z : 0;
        tile += tileStep;
        channel += channelStep;
        uint carry = channel >= channels ? 1 : 0;
        channel -= carry * channels;
        tile += carry;
    } while (tile < tiles);
}

// Both sources' entries of a group that this lane adds.
GroupSums gatherGroup(float pivot, uint image, uint first, uint lane, uint lanes) {
    GroupSums sums = GroupSums(0, 0, 0);
    uint end = first + pc.groupChannels;
    uint in0 = min(end, pc.channels0) - min(first, pc.channels0);
    gather(sums, pivot, false, image, first, in0, lane, lanes);
    if (SOURCES == 2)
        gather(sums, pivot, true, image, max(first, pc.channels0) - pc.channels0, pc.groupChannels - in0, lane, lanes);
    return sums;
}

float meanOf(GroupSums sums, float pivot) { return pivot + sums.differences / max(sums.count, 1.0); }

float varianceOf(GroupSums sums) {
    float count = max(sums.count, 1.0), difference = sums.differences / count;
    return max(sums.squares / count - difference * difference, 0.0);
}

#include "concatenation.glsl"

#endif
