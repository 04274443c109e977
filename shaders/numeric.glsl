// Numbers: fp16 pairs, activation functions, non-finite bits, and the combination of partial statistics.
#ifndef MOTE_NUMERIC_GLSL
#define MOTE_NUMERIC_GLSL

// Eight channels of one pixel as two vec4, from and to the stored form (see tensor.glsl).
struct Eight {
    vec4 low, high;
};

Eight unpackEight(uvec4 words) {
    return Eight(vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y)),
                 vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w)));
}

uvec4 packEight(Eight v) {
    return uvec4(packHalf2x16(v.low.xy), packHalf2x16(v.low.zw), packHalf2x16(v.high.xy),
                 packHalf2x16(v.high.zw));
}

// x * sigmoid(x). exp(-x) overflows to infinity below -88, where the quotient is -0: right.
vec4 silu(vec4 x) { return x / (1.0 + exp(-x)); }

// True for infinities and NaNs, by their bits: compilers may assume that isnan() is false.
bool nonFinite(float x) { return (floatBitsToUint(x) & 0x7f800000u) == 0x7f800000u; }

// Statistics of a set: how many, mean, sum of squared deviations from the mean. Chan, Golub, LeVeque,
// "Algorithms for computing the sample variance", 1983, (2.1): combines two sets. An empty set changes nothing.
void combineStatistics(inout float count, inout float mean, inout float deviations, float otherCount,
                       float otherMean, float otherDeviations) {
    float total = count + otherCount;
    float share = otherCount / max(total, 1.0);
    float delta = otherMean - mean;
    mean += delta * share;
    deviations += otherDeviations + delta * delta * (count * share);
    count = total;
}

#endif
