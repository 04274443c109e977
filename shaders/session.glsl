// The words of the session buffer. Included by GLSL and by C++ (runtime/kernels asserts that SessionWords in
// kernels/session.h has each field at this word).
#ifndef MOTE_SESSION_GLSL
#define MOTE_SESSION_GLSL

#define SESSION_SEED_LOW 0
#define SESSION_SEED_HIGH 1
#define SESSION_NOISE_WIDTH 2
#define SESSION_NON_FINITE 3
#define SESSION_OTHER_SEED_LOW 4
#define SESSION_OTHER_SEED_HIGH 5
#define SESSION_SEED_WEIGHT 6
#define SESSION_OTHER_SEED_WEIGHT 7
#define SESSION_WORDS 8

#endif
