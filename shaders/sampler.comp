// One row of a step table over a band of rows of the whole image:
//   x0  = N(p x + q m)                                              N: nothing or clamp
//   x'  = a x + b m + g x0 + h0 r0 + h1 r1 + h2 r2 + h3 r3 + e y + c z
//   r_s = u x + v m + w x0                                          with the old x
// and, as rows with other terms absent: the start, a plain noise fill, a clear.
//
// FLAGGED 1 has the operations that depend on data beside them; s and rho were measured before
// (row_results.glsl):
//   x0  = clamp(x0, -s, s) / s                                      dynamic threshold
//   b rho^2, c rho, rho = |z| / |m|                                 Langevin step
//   c exp(exponent (v + 1) / 2), c sqrt(v)                          learned variance v
//   x'  = mask x' + (1 - mask) (e y + knownNoise z)                 known region
//
//   state, modelOutput, condition, noise   [N][C][H][W] floats, H the band's rows
//   registers                              [register][registerStride] floats
//   session                                seed; a non-finite m lowers the error code there
//   mask, variance                         FLAGGED: [N][1][H][W], [N][C][H][W]
//
// A term whose coefficient is 0 is not formed, and what no term needs is not read (flags), so that what is
// not there may hold anything. Terms are added pairwise: the error stays within 4 * 2^-24 * sum |terms|.
// Workgroup: 256 elements. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "made_noise.glsl"
#include "numeric.glsl"
#if FLAGGED
#include "pair.glsl"
#include "row_results.glsl"
#endif
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define READ_STATE 1
#define READ_MODEL_OUTPUT 2
#define READ_CONDITION 4
#define READ_REGISTER 8 // << k
#define READ_NOISE 128
#define MAKE_NOISE 256
#define FORM_X0 512
#define CLAMP 1024
#define STORE 2048
#define CHECK 4096
#define THRESHOLD 8192
#define LANGEVIN 16384
#define INTERPOLATED 32768
#define DIRECT 65536
#define KNOWN 131072
#define ELEMENTS 4 // an invocation

// The flags that a row may have. What none has costs nothing on devices that walk through both sides of any branch; but a
// pipeline for each row's flags would be too many.
layout(constant_id = 0) const uint MAY = 0xffffffffu;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint elements; // N * C * H * W
    uint firstRow; // of the band in the whole image
    uint height, width, channels;
    uint registerStride;
    uint flags;
    uint store;
    uint draw, stream;
    uint errorCode;
    float p, q, low, high;
    float a, b, g, e, c;
    float h0, h1, h2, h3;
    float u, v, w;
#if FLAGGED
    float exponent, knownNoise;
#endif
}
pc;

layout(binding = 0, std430) buffer State {
    float state[];
};
layout(binding = 1, std430) readonly buffer ModelOutput {
    float modelOutput[];
};
layout(binding = 2, std430) readonly buffer Condition {
    float condition[];
};
layout(binding = 3, std430) readonly buffer Noise {
    float noise[];
};
layout(binding = 4, std430) buffer Registers {
    float registers[];
};
layout(binding = 5, std430) buffer Session {
    uint session[];
};
#if FLAGGED
layout(binding = 6, std430) readonly buffer Mask {
    float mask[];
};
layout(binding = 7, std430) readonly buffer Variance {
    float variance[];
};
#endif

bool has(uint flag) {
    return (pc.flags & MAY & flag) != 0;
}

float term(float coefficient, float value) {
    return coefficient == 0.0 ? 0.0 : coefficient * value;
}

float registerTerm(uint k, float coefficient, uint i) {
    float value = 0;
    if (has(READ_REGISTER << k))
        value = coefficient * registers[k * pc.registerStride + i];
    return value;
}

float madeNoise(uint i) {
    uint row = i / pc.width, x = i - row * pc.width;
    uint plane = row / pc.height, y = pc.firstRow + row - plane * pc.height;
    uint image = plane / pc.channels, channel = plane - image * pc.channels;
    return noiseAt(SESSION_SEED(session), SESSION_OTHER_SEED(session), image,
                   y * session[SESSION_NOISE_WIDTH] + x, channel, pc.draw, pc.stream);
}

#if FLAGGED
Pair measured(uint image, uint what) {
    uint word = SESSION_RESULTS + image * RESULT_WORDS + what;
    return Pair(uintBitsToFloat(session[word]), uintBitsToFloat(session[word + 1]));
}

// c z's coefficient from the network's variance output.
Pair deviation(Pair c, float v) {
    if (has(INTERPOLATED)) {
        Pair exponent = times(sumOf(v, 1.0), 0.5 * pc.exponent);
        exponent.high = min(max(exponent.high, -87.0), 87.0);
        c = times(c, exponential(exponent));
    }
    if (has(DIRECT))
        c = times(c, squareRoot(Pair(v, 0)));
    return c;
}
#endif

void main() {
    uint number = dispatchGroup();
    uint elements = number < pc.groupCount ? pc.elements : 0;
    uint first = (pc.firstGroup + number) * (LOCAL_SIZE * ELEMENTS) + gl_LocalInvocationID.x;
    for (uint k = 0; k < ELEMENTS; ++k) {
        uint i = first + k * LOCAL_SIZE;
        if (i < elements) {
            float x = 0, m = 0, y = 0, z = 0;
            if (has(READ_STATE))
                x = state[i];
            if (has(READ_MODEL_OUTPUT))
                m = modelOutput[i];
            if (has(READ_CONDITION))
                y = condition[i];
            if (has(READ_NOISE))
                z = noise[i];
            if (has(MAKE_NOISE))
                z = madeNoise(i);
            if (has(CHECK) && nonFinite(m))
                atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
            float x0 = 0;
            if (has(FORM_X0)) {
                x0 = term(pc.p, x) + term(pc.q, m);
                if (has(CLAMP))
                    x0 = min(max(x0, pc.low), pc.high);
            }
            float bm = term(pc.b, m), cz = term(pc.c, z), ey = term(pc.e, y);
#if FLAGGED
            uint plane = i / (pc.width * pc.height), image = plane / pc.channels;
            if (has(THRESHOLD)) {
                Pair s = measured(image, RESULT_THRESHOLD);
                x0 = quotient(Pair(min(max(x0, -s.high), s.high), 0), s).high;
            }
            float rest = 0; // of the products below
            if (has(LANGEVIN | INTERPOLATED | DIRECT)) {
                Pair b = Pair(pc.b, 0), c = Pair(pc.c, 0);
                if (has(LANGEVIN)) {
                    b = times(measured(image, RESULT_SQUARE), pc.b);
                    c = times(measured(image, RESULT_RATIO), pc.c);
                }
                if (has(INTERPOLATED | DIRECT)) {
                    float v = variance[i];
                    if (nonFinite(v) || (has(DIRECT) && v < 0.0))
                        atomicMin(session[SESSION_NON_FINITE], pc.errorCode);
                    c = deviation(c, v);
                }
                if (pc.b != 0.0) {
                    b = times(b, m);
                    bm = b.high;
                    rest += b.low;
                }
                if (pc.c != 0.0) {
                    c = times(c, z);
                    cz = c.high;
                    rest += c.low;
                }
            }
            float knownPart = ey + term(pc.knownNoise, z);
            if (has(KNOWN))
                ey = 0;
#endif
            float next = ((term(pc.a, x) + bm) + (term(pc.g, x0) + ey)) +
                         (((registerTerm(0, pc.h0, i) + registerTerm(1, pc.h1, i)) +
                           (registerTerm(2, pc.h2, i) + registerTerm(3, pc.h3, i))) +
                          cz);
#if FLAGGED
            next += rest;
            if (has(KNOWN)) {
                float fill = mask[image * pc.width * pc.height + i - plane * pc.width * pc.height];
                next = fill == 0.0 ? knownPart : fill == 1.0 ? next : fill * next + (1.0 - fill) * knownPart;
            }
#endif
            if (has(STORE))
                registers[pc.store * pc.registerStride + i] =
                    (term(pc.u, x) + term(pc.v, m)) + term(pc.w, x0);
            state[i] = next;
        }
    }
}
