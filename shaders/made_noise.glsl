// The normal of an image's pixel: image n of a batch takes seed + n. Between two seeds it is a weighted sum.
#ifndef MOTE_MADE_NOISE_GLSL
#define MOTE_MADE_NOISE_GLSL

#include "noise.glsl"
#include "session.glsl"

float noiseOfSeed(uvec2 seed, uint image, uint pixel, uint channel, uint draw, uint stream) {
    uint carry;
    uint keyLow = uaddCarry(seed.x, image, carry);
    return noiseNormalOf(pixel, channel, draw, stream, keyLow, seed.y + carry);
}

// Words of the session buffer from SESSION_OTHER_SEED_LOW on.
float noiseAt(uvec2 seed, uvec4 other, uint image, uint pixel, uint channel, uint draw, uint stream) {
    float z = noiseOfSeed(seed, image, pixel, channel, draw, stream);
    float otherWeight = uintBitsToFloat(other.w);
    if (otherWeight != 0.0) {
        precise float own = uintBitsToFloat(other.z) * z;
        precise float theirs = otherWeight * noiseOfSeed(other.xy, image, pixel, channel, draw, stream);
        precise float sum = own + theirs;
        z = sum;
    }
    return z;
}

#define SESSION_SEED(session) uvec2(session[SESSION_SEED_LOW], session[SESSION_SEED_HIGH])
#define SESSION_OTHER_SEED(session)                                                                          \
    uvec4(session[SESSION_OTHER_SEED_LOW], session[SESSION_OTHER_SEED_HIGH], session[SESSION_SEED_WEIGHT],   \
          session[SESSION_OTHER_SEED_WEIGHT])

#endif
