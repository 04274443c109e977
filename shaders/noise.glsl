// Counter-based normals: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and
// Box-Muller, written in additions, multiplications and bit operations that every conforming device rounds alike.
// This one text is compiled as GLSL and as C++ (runtime/kernels/noise.cpp), equal to the bit; so no division, no
// square root, no library function, no fused multiply-add (`precise`; -ffp-contract=off), no denormal number.
//
// C++ defines NOISE_FUNCTION, NOISE_INOUT and the GLSL functions used, and `precise` as nothing.
#ifndef MOTE_NOISE_GLSL
#define MOTE_NOISE_GLSL

#ifndef __cplusplus
#define NOISE_FUNCTION
#define NOISE_INOUT(type, name) inout type name
#endif

// The counter (c0..c3) becomes four random words.
NOISE_FUNCTION void noisePhilox(NOISE_INOUT(uint, c0), NOISE_INOUT(uint, c1), NOISE_INOUT(uint, c2),
                                NOISE_INOUT(uint, c3), uint k0, uint k1) {
    for (int round = 0; round < 10; ++round) {
        uint high0, low0, high1, low1;
        umulExtended(0xD2511F53u, c0, high0, low0);
        umulExtended(0xCD9E8D57u, c2, high1, low1);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// ln(u) for u in (0, 1], within 2^-23 of it. u = 2^e m with m in [sqrt(1/2), sqrt(2)), f = m - 1;
// ln(1 + f) = f - f^2/2 + f^3 P(f), P interpolated at the Chebyshev points; ln 2 in two parts, of which the first is
// exact in 15 bits.
NOISE_FUNCTION float noiseLog(float u) {
    uint bits = floatBitsToUint(u);
    int exponent = int(bits >> 23) - 127;
    uint mantissa = bits & 0x007fffffu;
    bool upper = mantissa >= 0x003504f3u; // sqrt(2)
    exponent = upper ? exponent + 1 : exponent;
    precise float f = uintBitsToFloat(mantissa | (upper ? 0x3f000000u : 0x3f800000u)) - 1.0f;
    precise float e = float(exponent);
    precise float p = 0.06971611827611923f;
    p = p * f - 0.11479733884334564f;
    p = p * f + 0.11685419827699661f;
    p = p * f - 0.12425687164068222f;
    p = p * f + 0.14249058067798615f;
    p = p * f - 0.1666780263185501f;
    p = p * f + 0.20000715553760529f;
    p = p * f - 0.2499999701976776f;
    p = p * f + 0.3333333134651184f;
    precise float square = f * f;
    precise float small = square * f * p - 0.5f * square;
    small = e * -2.12194440e-4f + small;
    precise float result = e * 0.693359375f + (f + small);
    return result;
}

// sqrt(x) for x = 0 or 2^-30 <= x < 2^30: Newton's iteration for 1/sqrt(x) from the well-known bit pattern.
NOISE_FUNCTION float noiseSqrt(float x) {
    precise float y = uintBitsToFloat(0x5f375a86u - (floatBitsToUint(x) >> 1));
    precise float halved = 0.5f * x;
    for (int i = 0; i < 4; ++i)
        y = y * (1.5f - (halved * y) * y);
    precise float result = x * y;
    return result;
}

// cos(2 pi turn / 2^24) for turn < 2^24: quarter turns, then a polynomial on an eighth either side.
NOISE_FUNCTION float noiseCosine(uint turn) {
    uint quarter = (turn + 0x00200000u) >> 22;
    precise float t = float(int(turn) - int(quarter << 22)) * 2.384185791015625e-7f; // 2^-22; -1/2 <= t < 1/2
    precise float s = t * t;
    precise float sine = 0.00015820629778318107f;
    sine = sine * s - 0.004681266378611326f;
    sine = sine * s + 0.07969257980585098f;
    sine = sine * s - 0.6459640860557556f;
    sine = sine * s + 1.5707963705062866f;
    sine = sine * t;
    precise float cosine = 0.0009036280680447817f;
    cosine = cosine * s - 0.02086007036268711f;
    cosine = cosine * s + 0.25366920232772827f;
    cosine = cosine * s - 1.2337005138397217f;
    cosine = cosine * s + 1.0f;
    precise float value = (quarter & 1u) == 0u ? cosine : sine;
    return (((quarter + 1u) & 2u) == 0u) ? value : -value;
}

// A standard normal from two random words; |z| <= 5.77.
NOISE_FUNCTION float noiseBoxMuller(uint first, uint second) {
    precise float u = float((first >> 8) + 1u) * 5.9604644775390625e-8f; // 2^-24: u in (0, 1]
    precise float radius = noiseSqrt(-2.0f * noiseLog(u));
    precise float z = radius * noiseCosine(second >> 8);
    return z;
}

// The normal of a counter under a key of two words.
NOISE_FUNCTION float noiseNormalOf(uint pixel, uint channel, uint draw, uint stream, uint keyLow, uint keyHigh) {
    uint c0 = pixel;
    uint c1 = channel;
    uint c2 = draw;
    uint c3 = stream;
    noisePhilox(c0, c1, c2, c3, keyLow, keyHigh);
    return noiseBoxMuller(c0, c1);
}

#endif
