// The normal of an image's pixel: image n of a batch takes seed + n.
#ifndef MOTE_MADE_NOISE_GLSL
#define MOTE_MADE_NOISE_GLSL

#include "noise.glsl"
#include "session.glsl"

float noiseAt(uint seedLow, uint seedHigh, uint image, uint pixel, uint channel, uint draw, uint stream) {
    uint carry;
    uint keyLow = uaddCarry(seedLow, image, carry);
    return noiseNormalOf(pixel, channel, draw, stream, keyLow, seedHigh + carry);
}

#endif
