// Per-channel statistics of a block of eight channels, gathered by the invocations of a workgroup.
// Include after numeric.glsl and tensor.glsl. Uses 4352 bytes of shared memory where reduceStatistics is
// called.
//
// A statistics buffer is [N][blocks][tiles][8 channels] vec4 (count, mean, sum of squared deviations, 0), of
// the values as stored in fp16.
#ifndef MOTE_STATISTICS_GLSL
#define MOTE_STATISTICS_GLSL

struct EightStatistics {
    float count;
    vec4 mean[2];
    vec4 deviations[2]; // sums of squared deviations from the mean
};

shared float sharedCount[LOCAL_SIZE];
shared vec4 sharedMean[LOCAL_SIZE][2];
shared vec4 sharedDeviations[LOCAL_SIZE][2];

EightStatistics noStatistics() {
    EightStatistics none;
    none.count = 0;
    none.mean[0] = none.mean[1] = vec4(0);
    none.deviations[0] = none.deviations[1] = vec4(0);
    return none;
}

// As combineStatistics in numeric.glsl, for eight channels of one count.
void combineEight(inout EightStatistics total, EightStatistics other) {
    float count = total.count + other.count;
    float share = other.count / max(count, 1.0);
    [[unroll]] for (int i = 0; i < 2; ++i) {
        vec4 delta = other.mean[i] - total.mean[i];
        total.mean[i] += delta * share;
        total.deviations[i] += other.deviations[i] + delta * delta * (total.count * share);
    }
    total.count = count;
}

// Welford's update with one value a channel: combineEight with a set of one.
void addValue(inout EightStatistics total, Eight value) {
    total.count += 1;
    float share = 1.0 / total.count;
    vec4 low = value.low - total.mean[0], high = value.high - total.mean[1];
    total.mean[0] += low * share;
    total.mean[1] += high * share;
    total.deviations[0] += low * (value.low - total.mean[0]);
    total.deviations[1] += high * (value.high - total.mean[1]);
}

void shareStatistics(uint slot, EightStatistics own) {
    sharedCount[slot] = own.count;
    sharedMean[slot] = own.mean;
    sharedDeviations[slot] = own.deviations;
}

EightStatistics sharedStatistics(uint slot) {
    EightStatistics one;
    one.count = sharedCount[slot];
    one.mean = sharedMean[slot];
    one.deviations = sharedDeviations[slot];
    return one;
}

// Combines the statistics of each `span` neighbouring invocations in a fixed order, a binary tree. All
// invocations call it; afterwards invocations 0..7 get the entry of their channel of the first span, the next
// eight of the second, ...
vec4 reduceStatistics(uint local, EightStatistics own, uint span) {
    shareStatistics(local, own);
    for (uint reach = span / 2; reach > 0; reach /= 2) {
        barrier();
        if (local % span < reach) {
            combineEight(own, sharedStatistics(local + reach));
            shareStatistics(local, own);
        }
    }
    barrier();
    uint slot = min(local / 8 * span, LOCAL_SIZE - 1), channel = local & 7;
    return vec4(sharedCount[slot], sharedMean[slot][channel >> 2][channel & 3],
                sharedDeviations[slot][channel >> 2][channel & 3], 0);
}

#endif
