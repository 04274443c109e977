// Tiles of a convolution's source as Winograd's transform takes them, see winograd.glsl: read, with NORMALISE normalised
// and activated, transformed. The eight invocations of a subgroup are the channels of a block. Include after
// uniform_addresses.glsl and declare before: constants SIX, SIDE (of a tile as stored) and WIDTH (what is read of a row, at
// most MOST_WIDTH, of one tile or of neighbours), with NORMALISE ACTIVATION; push constants inputHeight, inputWidth.
#ifndef MOTE_WINOGRAD_SOURCE_GLSL
#define MOTE_WINOGRAD_SOURCE_GLSL

#if NORMALISE
// x / (1 + exp(-x)) of a row, with the exponential within 8e-5: a driver's exp takes half as long again. 2^t = 2^n 2^f,
// where adding 1.5 * 2^23 leaves the integer n next to t in the last bits; 2^f by the minimax polynomial on [-1/2, 1/2].
// A row step by step, not value by value, gives a processor what it can do side by side.
void quickSilu(inout float x[MOST_WIDTH]) {
    float f[MOST_WIDTH], power[MOST_WIDTH];
    uint exponents[MOST_WIDTH];
    [[unroll]] for (int j = 0; j < WIDTH; ++j) {
        float t = -1.44269504 * clamp(x[j], -87.0, 87.0);
        precise float shifted = t + 12582912.0;
        precise float rest = t - (shifted - 12582912.0);
        exponents[j] = floatBitsToUint(shifted) << 23;
        f[j] = rest;
    }
    [[unroll]] for (int j = 0; j < WIDTH; ++j) power[j] = 0.05517167 * f[j] + 0.24261112;
    [[unroll]] for (int j = 0; j < WIDTH; ++j) power[j] = power[j] * f[j] + 0.69326099;
    [[unroll]] for (int j = 0; j < WIDTH; ++j) power[j] = power[j] * f[j] + 0.99992807;
    [[unroll]] for (int j = 0; j < WIDTH; ++j)
        x[j] /= 1.0 + uintBitsToFloat(floatBitsToUint(power[j]) + exponents[j]);
}
#endif

// Of a map at `source`, from row `top` and column `left` on; zero outside of it. With NORMALISE x * scale + offset,
// activated.
void readTile(uint64_t source, int top, int left, float scale, float offset, out float h[6][MOST_WIDTH]) {
    uint64_t columnBytes[MOST_WIDTH];
    uint columnInside[MOST_WIDTH];
    [[unroll]] for (int j = 0; j < WIDTH; ++j) {
        int x = left + j;
        columnInside[j] = uint(x) < pc.inputWidth ? 0xffffffffu : 0;
        columnBytes[j] = uint64_t(uint(clamp(x, 0, int(pc.inputWidth) - 1)) * 16);
    }
    // All loads first: LLVM does not move them before what is made of others.
    uint rowInside[6];
    [[unroll]] for (int i = 0; i < SIDE; ++i) {
        int y = top + i;
        rowInside[i] = uint(y) < pc.inputHeight ? 0xffffffffu : 0;
        uint64_t rowBytes = uint64_t(uint(clamp(y, 0, int(pc.inputHeight) - 1)) * pc.inputWidth * 16);
        [[unroll]] for (int j = 0; j < WIDTH; ++j)
            h[i][j] = valueOfLane(Words(source + rowBytes + columnBytes[j]).at[0]);
    }
    [[unroll]] for (int i = 0; i < SIDE; ++i) {
#if NORMALISE
        [[unroll]] for (int j = 0; j < WIDTH; ++j) h[i][j] = h[i][j] * scale + offset;
        if (ACTIVATION == 1) {
            quickSilu(h[i]);
        } else {
            [[unroll]] for (int j = 0; j < WIDTH; ++j) h[i][j] = activated(ACTIVATION, vec4(h[i][j])).x;
        }
#else // infinities and NaNs of halfs; a norm has met them in its statistics
        [[unroll]] for (int j = 0; j < WIDTH; ++j)
            h[i][j] = uintBitsToFloat(mix(floatBitsToUint(h[i][j]), 0x7f800000u, abs(h[i][j]) >= 65536.0));
#endif
        [[unroll]] for (int j = 0; j < WIDTH; ++j)
            h[i][j] = uintBitsToFloat(floatBitsToUint(h[i][j]) & rowInside[i] & columnInside[j]);
    }
}

// A row of a tile times B.
void timesB(inout float d0, inout float d1, inout float d2, inout float d3, inout float d4, inout float d5) {
    float evenA = d4 - 2.0 * d2, oddA = kA * (d3 - 2.0 * d1);
    float evenB = d4 - 0.5 * d2, oddB = kB * (d3 - 0.5 * d1);
    d0 = d0 - 2.5 * d2 + d4;
    d5 = d1 - 2.5 * d3 + d5;
    d1 = evenA + oddA;
    d2 = evenA - oddA;
    d3 = evenB + oddB;
    d4 = evenB - oddB;
}

void transformTile(inout float d[6][6]) {
    [[unroll]] for (int i = 0; i < SIX; ++i)
        timesB(d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5]);
    [[unroll]] for (int j = 0; j < SIX; ++j)
        timesB(d[0][j], d[1][j], d[2][j], d[3][j], d[4][j], d[5][j]);
}

#endif
