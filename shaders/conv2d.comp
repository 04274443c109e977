// out = (conv(resample(concat(source0, source1))) + bias + resample(residual)) * outputScale
//
// Register-tiled direct convolution: an invocation makes 8 output channels of LIVE neighbouring pixels of one
// row (a segment). No subgroups; shared memory only to reduce the statistics.
//
//   source0, source1  [N][blocks][H][W] uvec4      each source is padded to its own blocks of 8 channels
//   weights           [outputBlock][ky][source, block][kx][8 inputs] uvec4 of 8 outputs
//   bias              [rows][images or 1][outputBlocks] two vec4
//   residual          activation, of the output's size, half of it (nearest x2) or double (average 2x2)
//   target            activation, or planar fp32 when OUTPUT_PORT
//   statistics        [N][outputBlocks][tiles][8] vec4 (count, mean, sum of squared deviations, 0), of stored
//   values
//
// Workgroup: 64 segments x tileLoops of one image for one output block; groups = N * tiles * outputBlocks,
// output block fastest. Dead segments run no loop iteration. Features: none.
//
// Variants, by constants:
//   LIVE          pixels of an invocation, at most PIXELS. Nothing depends on the others, so compilers drop
//                 them, with their loads: 2 of 4 on Mali. (v3dv keeps an array of those it stores.)
//   EVERY_OUTPUT  1: a workgroup makes all output blocks (and phases) in turn; groups = N * tiles of a phase.
//                 Addresses of weights depend on push constants and loops alone: then VideoCore reads them
//                 once for sixteen invocations. (It takes workgroups' numbers for different ones.)
//
// by defines:
//   PIXELS        4 (default), 8 (wide: software devices) or 1 (single: VideoCore)
//   ROW           3 or 2: the kernel's columns, stride 1: pixels of a kernel row are loaded once for all its
//                 taps, LIVE is PIXELS. 0: any kernel and stride
//   FOLDED        a 3x3 kernel on a map doubled by nearest neighbour, as four kernels of 2x2 on the map
//                 itself. Output row y reads rows y - padTop + (0, 1, 2) of the doubled map, which are rows
//                 r = floor((y - padTop) / 2) and r + 1 of the map: the sums of taps (0+1, 2) where
//                 y - padTop is even, (0, 1+2) where it is odd. Columns alike. A row of the doubled map is
//                 inside exactly where its row of the map is, so borders are the same. A phase is one parity
//                 of rows and columns: 2 (y & 1) + (x & 1). A segment's pixels are every second one of a row;
//                 a tile is in one phase: tiles = 4 * tiles of a phase, phase fastest.
//                 weights: [parity][outputBlock]... with a parity's number as a phase's
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

#include "conv2d_interface.glsl"
#include "statistics.glsl"

#include "pixel_statistics.glsl"

layout(constant_id = 8) const int LIVE = PIXELS;
layout(constant_id = 9) const int EVERY_OUTPUT = 0;

#ifndef FOLDED
#define FOLDED 0
#endif
#if FOLDED
#define PHASES 4
#else
#define PHASES 1
#endif

// A tile of one phase for one output block.
void makeTile(uint local, bool groupLive, uint image, uint tile, uint phase, uint outputBlock) {
    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint blocks = pc.blocks0 + pc.blocks1;
    uint weightIndex0 = outputBlock * blocks * KERNEL_HEIGHT * KERNEL_WIDTH * 8;
#if FOLDED
    uint inputRows = pc.inputHeight;
    uint inputColumns = pc.inputWidth;
    int top = int(phase >> 1) - pc.padTop, left = int(phase & 1) - pc.padLeft;
    weightIndex0 +=
        uint((top & 1) * 2 + (left & 1)) * pc.outputBlocks * blocks * KERNEL_HEIGHT * KERNEL_WIDTH * 8;
    uint phaseRows = (pc.outputHeight + 1 - (phase >> 1)) >> 1;
    uint phaseColumns = (pc.outputWidth + 1 - (phase & 1)) >> 1;
    top >>= 1;
    left >>= 1;
#else
    uint inputRows = pc.inputHeight << UPSAMPLE;
    uint inputColumns = pc.inputWidth << UPSAMPLE;
    uint phaseRows = pc.outputHeight;
    uint phaseColumns = pc.outputWidth;
    int top = -pc.padTop, left = -pc.padLeft;
#endif
    uint segments = groupLive ? phaseRows * pc.segmentsPerRow : 0;

    if (STATISTICS != 0)
        shareStatistics(local, noStatistics());
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint segment = (tile * pc.tileLoops + tileLoop) * LOCAL_SIZE + local;
        uint y = segment / pc.segmentsPerRow;
        uint x0 = (segment - y * pc.segmentsPerRow) * LIVE;
        bool live = segment < segments && (FOLDED == 0 || x0 < phaseColumns);

        Eight sums[PIXELS];
        {
            Eight start = biasOf(image, outputBlock);
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                sums[p] = start;
            }
        }

#if ROW
        uint columns[PIXELS + ROW - 1];
        bool columnInside[PIXELS + ROW - 1];
        [[unroll]] for (int j = 0; j < PIXELS + ROW - 1; ++j) {
            int column = int(x0) + j + left;
            columnInside[j] = uint(column) < inputColumns;
            columns[j] = uint(column) >> UPSAMPLE;
        }
#endif
        uint weightIndex = weightIndex0;
        int rows = EVERY_OUTPUT != 0 || live ? KERNEL_HEIGHT : 0;
        for (int ky = 0; ky < rows; ++ky) {
            int row = int(y) * STRIDE + ky + top;
            bool rowInside = uint(row) < inputRows;
            uint rowBase = (uint(row) >> UPSAMPLE) * pc.inputWidth;
            for (uint block = 0; block < blocks; ++block) {
                bool second = SOURCES == 2 && block >= pc.blocks0;
                uint base = second ? (image * pc.blocks1 + block - pc.blocks0) * inputPlane
                                   : (image * pc.blocks0 + block) * inputPlane;
#if ROW
                uvec4 pixels[PIXELS + ROW - 1];
                [[unroll]] for (int j = 0; j < PIXELS + ROW - 1; ++j) {
                    pixels[j] = loadInput(second, rowInside && columnInside[j], base + rowBase + columns[j]);
                }
#if FOLDED
                [[dont_unroll]] // both taps at once are more than Adreno 6xx has registers for
#endif
                for (int kx = 0; kx < ROW; ++kx) {
#else
                for (int kx = 0; kx < KERNEL_WIDTH; ++kx) {
                    uvec4 pixels[PIXELS];
                    [[unroll]] for (int j = 0; j < PIXELS; ++j) {
                        int column = (int(x0) + j) * STRIDE + kx + left;
                        pixels[j] = loadInput(second, rowInside && uint(column) < inputColumns,
                                              base + rowBase + (uint(column) >> UPSAMPLE));
                    }
#endif
                    [[unroll]] for (int i = 0; i < 8; ++i) {
                        Eight weight = unpackEight(weights[weightIndex + i]);
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            float x = unpackHalf2x16(pixels[p][i / 2])[i % 2];
                            sums[p].low += x * weight.low;
                            sums[p].high += x * weight.high;
                        }
                    }
                    weightIndex += 8;
#if ROW
                    [[unroll]] for (int j = 0; j < PIXELS + ROW - 2; ++j) {
                        pixels[j] = pixels[j + 1];
                    }
#endif
                }
            }
        }

        if (live) {
#if FOLDED
            y = 2 * y + (phase >> 1);
#endif
            uvec4 stored[PIXELS];
            uint count = LIVE == 1 ? 1 : min(LIVE, phaseColumns - x0);
            [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                uint x = x0 + p;
#if FOLDED
                x = 2 * x + (phase & 1);
#endif
                stored[p] = uvec4(0);
                if (p < LIVE && p < count)
                    stored[p] = storeOutput(image, outputBlock, y, x, sums[p]);
            }
            if (STATISTICS != 0)
                gatherStatistics(local, stored, count);
        }
    }

    if (STATISTICS != 0) {
        vec4 entry = reduceStatistics(local, sharedStatistics(local), LOCAL_SIZE);
        uint place = (image * pc.outputBlocks + outputBlock) * pc.tiles + tile * PHASES + phase;
        if (groupLive && local < 8)
            statistics[place * 8 + local] = entry;
    }
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    // All phases and output blocks, or those of the workgroup.
    uint tiles = pc.tiles / PHASES, phase = 0, outputBlock = 0;
    if (EVERY_OUTPUT == 0) {
        uint phaseTile = group / pc.outputBlocks;
        outputBlock = group - phaseTile * pc.outputBlocks;
        phase = phaseTile % PHASES;
        group = phaseTile / PHASES;
    }
    uint image = group / tiles;
    for (; phase < PHASES; ++phase) {
        for (; outputBlock < pc.outputBlocks; ++outputBlock) {
            makeTile(local, groupLive, image, group - image * tiles, phase, outputBlock);
            if (EVERY_OUTPUT == 0)
                break;
            barrier(); // the statistics have been read
        }
        if (EVERY_OUTPUT == 0)
            break;
        outputBlock = 0;
    }
}
