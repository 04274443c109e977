// Numbers: fp16 pairs, activation functions, non-finite bits, and the combination of partial statistics.
#ifndef MOTE_NUMERIC_GLSL
#define MOTE_NUMERIC_GLSL

// a / b of a < 2^22, for software devices, which divide integers one invocation after the other.
uint quotient(uint a, uint b) { return uint((float(a) + 0.5) / float(b)); }

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

// x tanh(ln(1 + e)) with e = exp(x): (1 + e)^2 - 1 = e (e + 2) = n gives n / (n + 2). Beyond 20 that is 1.
vec4 mish(vec4 x) {
    vec4 e = exp(min(x, vec4(20.0)));
    vec4 n = e * (e + 2.0);
    return x * (n / (n + 2.0));
}

// x (1 + erf(x / sqrt(2))) / 2. erf: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26, within
// 1.5e-7; that its rational part is 1 - erf keeps the small values of negative x.
vec4 gelu(vec4 x) {
    vec4 z = abs(x) * 0.70710678118654752;
    vec4 t = 1.0 / (1.0 + 0.3275911 * z);
    vec4 p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    vec4 tail = 0.5 * p * exp(-z * z);
    return x * mix(tail, 1.0 - tail, greaterThanEqual(x, vec4(0)));
}

// By mote::ActivationFunction.
vec4 activated(int which, vec4 x) {
    switch (which) {
    case 1: return silu(x);
    case 2: return mish(x);
    case 3: return gelu(x);
    case 4: return max(x, vec4(0));
    }
    return x;
}

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
