// |z|^2 and |m|^2 of each image, in two passes whose sums have one order, whatever the bands:
//   FINISH 0  of a row of a plane: partial[image][channel][y] = (|z|^2, |m|^2), each a Pair
//   FINISH 1  of an image: rho^2 = |z|^2 / |m|^2 and rho go to the image's results
//
//   modelOutput  [N][C][H][W] of a band
//   noise        the same, or made from the counter
//   partial      [N][C][whole H] vec4
//   session      seed; results (row_results.glsl)
//
// Workgroup: FINISH 0 a row of W elements, FINISH 1 an image. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "made_noise.glsl"
#include "pair.glsl"
#include "row_results.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define READ_NOISE 128

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint firstRow, wholeRows;
    uint height, width, channels;
    uint flags;
    uint draw, stream;
}
pc;

#if FINISH
layout(binding = 0, std430) readonly buffer Partial {
    vec4 partial[];
};
layout(binding = 1, std430) buffer Session {
    uint session[];
};
#else
layout(binding = 0, std430) readonly buffer ModelOutput {
    float modelOutput[];
};
layout(binding = 1, std430) readonly buffer Noise {
    float noise[];
};
layout(binding = 2, std430) writeonly buffer Partial {
    vec4 partial[];
};
layout(binding = 3, std430) readonly buffer Session {
    uint session[];
};
#endif

shared vec4 sums[LOCAL_SIZE];

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool live = number < pc.groupCount;
    uint group = pc.firstGroup + min(number, pc.groupCount - 1);
    Pair z2 = Pair(0, 0), m2 = Pair(0, 0);
#if FINISH
    uint count = live ? pc.channels * pc.wholeRows : 0;
    for (uint i = local; i < count; i += LOCAL_SIZE) {
        vec4 ofRow = partial[group * pc.channels * pc.wholeRows + i];
        z2 = plus(z2, Pair(ofRow.x, ofRow.y));
        m2 = plus(m2, Pair(ofRow.z, ofRow.w));
    }
#else
    uint plane = group / pc.height, y = group - plane * pc.height;
    uint image = plane / pc.channels, channel = plane - image * pc.channels;
    uint count = live ? pc.width : 0;
    for (uint x = local; x < count; x += LOCAL_SIZE) {
        uint i = group * pc.width + x;
        float z = 0;
        if ((pc.flags & READ_NOISE) != 0)
            z = noise[i];
        else
            z = noiseAt(SESSION_SEED(session), SESSION_OTHER_SEED(session), image,
                        (pc.firstRow + y) * session[SESSION_NOISE_WIDTH] + x, channel, pc.draw, pc.stream);
        float m = modelOutput[i];
        z2 = plus(z2, productOf(z, z));
        m2 = plus(m2, productOf(m, m));
    }
#endif
    sums[local] = vec4(z2.high, z2.low, m2.high, m2.low);
    barrier();
    for (uint width = LOCAL_SIZE / 2; width > 0; width /= 2) {
        if (local < width) {
            vec4 a = sums[local], b = sums[local + width];
            Pair z = plus(Pair(a.x, a.y), Pair(b.x, b.y)), m = plus(Pair(a.z, a.w), Pair(b.z, b.w));
            sums[local] = vec4(z.high, z.low, m.high, m.low);
        }
        barrier();
    }
    if (live && local == 0) {
#if FINISH
        Pair square = quotient(Pair(sums[0].x, sums[0].y), Pair(sums[0].z, sums[0].w));
        Pair ratio = squareRoot(square);
        uint result = SESSION_RESULTS + group * RESULT_WORDS;
        session[result + RESULT_RATIO] = floatBitsToUint(ratio.high);
        session[result + RESULT_RATIO + 1] = floatBitsToUint(ratio.low);
        session[result + RESULT_SQUARE] = floatBitsToUint(square.high);
        session[result + RESULT_SQUARE + 1] = floatBitsToUint(square.low);
#else
        partial[plane * pc.wholeRows + pc.firstRow + y] = sums[0];
#endif
    }
}
