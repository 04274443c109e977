// Winograd convolution F(4x4, 3x3) (Lavin, Gray, "Fast algorithms for convolutional neural networks", 2015) in three
// dispatches: winograd_input.comp (V = B^T d B of each tile of 6x6 pixels), winograd_product.comp (at each of the 36
// positions a matrix product over channels, M = U V) and winograd_output.comp (Y = A^T M A, 4x4 pixels a tile).
//
// Interpolation points 0, +-sqrt(1/2), +-sqrt(2), infinity: with U in 16 bits, V and M in fp32 the result is off by half of
// what it is with the usual 0, +-1, +-2. Polynomials as in Toom-Cook:
//
//   B^T = 1    0     -5/2  0    1  0      G =  1     0     0      A^T = 1  1    1    1/2   1/2  0
//         0   -2a    -2    a    1  0          -2/3  -2a/3 -1/3          0  a   -a    b/2  -b/2  0
//         0    2a    -2   -a    1  0          -2/3   2a/3 -1/3          0  1/2  1/2  1     1    0
//         0   -b/2   -1/2  b    1  0           1/3   b/3   2/3          0  a/2 -a/2  b    -b    1
//         0    b/2   -1/2 -b    1  0           1/3  -b/3   2/3
//         0    1      0   -5/2  0  1           0     0     1            a = sqrt(1/2), b = sqrt(2)
//
// Where the source is doubled by nearest neighbour, its 6x6 pixels are 4x4 of the source itself, and 25 products do for
// 16 outputs (four kernels of 2x2 need 64, F(2x2) on the doubled map 36). Of one dimension: with weights a, b, c and
// S = a + b + c the outputs of s0 .. s3 are
//
//   a s0 + (b + c) s1 = a (s0 - s2) + S (s1 + s2) / 2 - (S / 2 - a) (s2 - s1)
//   (a + b) s1 + c s2 =               S (s1 + s2) / 2 + (c - S / 2) (s2 - s1)
//   a s1 + (b + c) s2 =               S (s1 + s2) / 2 + (S / 2 - a) (s2 - s1)
//   (a + b) s2 + c s3 = c (s3 - s1) + S (s1 + s2) / 2 - (c - S / 2) (s2 - s1)
//
// five products of four elements, the third of which is in two of them:
//
//   B^T = 1  0 -1  0      G =  1    0    0        A^T = 1  1  0 -1  0
//         0  1  1  0           1/2  1/2  1/2            0  1  1  0  0
//         0 -1  1  0          -1/2 -1/2  1/2            0  1  0  1  0
//         0 -1  0  1          -1/2  1/2  1/2            0  1 -1  0  1
//                              0    0    1
//
// The tables below are of POINTS = 5 there, SIDE = 4; else both are 6.
//
// Tiles are numbered along rows over the output map of an image, each image padded so that eight invocations, one
// tile each, never see two images: an `entry` is tileLoops such eights, the unit of statistics; an image has
// entriesPerImage of them. The dispatches work on a band: `columns` tiles, those of some consecutive entries.
//
//   staging V  [SIDE^2][blocks][blockStep][8] float, of a block first its even channels, then its odd ones
//           M  [parts][POINTS^2][outputBlocks][columns][8] float; the parts, of a sum each, are added by the output's
//              transform
//
// From one of the positions to the next there are positionStep() times eight floats, some more than in the
// brackets, and from one block of V to the next blockStep(): columns is often a power of two, and then what one tile has at all
// positions, or what a unit of the product reads of all blocks, would fall into the same few sets of a cache.
//
// Features of all three: subgroup operations basic and shuffle, subgroups of exactly 8.
#ifndef MOTE_WINOGRAD_GLSL
#define MOTE_WINOGRAD_GLSL

const float kA = 0.70710678118654752, kB = 1.4142135623730950; // a and b

uint blockStep(uint columns) { return columns % 32 == 0 ? columns + 16 : columns; }
uint positionStep(uint blocks, uint columns) { return blocks * columns + 4; }

// void timesA(...) for T of float or vec4: a row of a 6x6 tile times A.
#define TIMES_A(T) \
    void timesA(T m0, T m1, T m2, T m3, T m4, T m5, out T y0, out T y1, out T y2, out T y3) { \
        T sumA = m1 + m2, differenceA = kA * (m1 - m2); \
        T sumB = m3 + m4, differenceB = kB * (m3 - m4); \
        y0 = m0 + sumA + 0.5 * sumB; \
        y1 = differenceA + 0.5 * differenceB; \
        y2 = 0.5 * sumA + sumB; \
        y3 = 0.5 * differenceA + differenceB + m5; \
    }

#endif
