// Statistics of the pixels that an invocation of a convolution stores. Include after statistics.glsl; PIXELS
// says how many at a time.
#ifndef MOTE_PIXEL_STATISTICS_GLSL
#define MOTE_PIXEL_STATISTICS_GLSL

// Adds the first `count` of the pixels, as stored, to what an invocation has gathered. In shared memory, and
// half of the channels at a time: it would take registers from the loop over the taps.
void gatherStatistics(uint local, uvec4 stored[PIXELS], uint count) {
    // Mesa 25.0 takes the second half of a word that was packed right before for the number as it was before rounding. It
    // does not look through this zero, which no compiler knows.
    if (PIXELS == 1)
        stored[0] ^= pc.tileLoops >> 31;
    float before = sharedCount[local], total = before + float(count);
    float share = float(count) / total;
    [[unroll]] for (int part = 0; part < 2; ++part) {
        vec4 values[PIXELS];
        vec4 mean = vec4(0), deviations = vec4(0);
        [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
            values[p] = vec4(unpackHalf2x16(stored[p][2 * part]), unpackHalf2x16(stored[p][2 * part + 1]));
            mean += values[p];
        }
        mean /= float(count);
        [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
            vec4 deviation = p < count ? values[p] - mean : vec4(0);
            deviations += deviation * deviation;
        }
        vec4 delta = mean - sharedMean[local][part];
        sharedMean[local][part] += delta * share;
        sharedDeviations[local][part] += deviations + delta * delta * (before * share);
    }
    sharedCount[local] = total;
}

#endif
