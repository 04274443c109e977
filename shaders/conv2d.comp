// out = (conv(resample(concat(source0, source1))) + bias + resample(residual)) * outputScale
//
// Register-tiled direct convolution: an invocation makes 8 output channels of PIXELS neighbouring pixels of one row
// (a segment). No subgroups; shared memory only to reduce the statistics.
//
//   source0, source1  [N][blocks][H][W] uvec4      each source is padded to its own blocks of 8 channels
//   weights           [outputBlock][ky][source, block][kx][8 inputs] uvec4 of 8 outputs
//   bias              [rows][images or 1][outputBlocks] two vec4
//   residual          activation, of the output's size, half of it (nearest x2) or double (average 2x2)
//   target            activation, or planar fp32 when OUTPUT_PORT
//   statistics        [N][outputBlocks][tiles][8] vec4 (count, mean, sum of squared deviations, 0), of stored values
//
// Workgroup: 64 segments x tileLoops of one image for one output block; groups = N * tiles * outputBlocks, output
// block fastest. Dead segments run no loop iteration. Features: none.
//
// Variants: PIXELS 4 (default) or 8 (wide: software devices); ROW3: 3 columns, stride 1: pixels of a kernel row are
// loaded once for its three taps. Otherwise any kernel and stride.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "statistics.glsl"

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint outputBlock = group % pc.outputBlocks;
    uint imageTile = group / pc.outputBlocks;
    uint image = imageTile / pc.tiles;
    uint tile = imageTile - image * pc.tiles;

    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint inputRows = pc.inputHeight << UPSAMPLE;
    uint inputColumns = pc.inputWidth << UPSAMPLE;
    uint segments = groupLive ? pc.outputHeight * pc.segmentsPerRow : 0;
    uint blocks = pc.blocks0 + pc.blocks1;
    uint weightsPerBlock = blocks * KERNEL_HEIGHT * KERNEL_WIDTH * 8;

    EightStatistics gathered = noStatistics();
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint segment = (tile * pc.tileLoops + tileLoop) * LOCAL_SIZE + local;
        bool live = segment < segments;
        uint y = segment / pc.segmentsPerRow;
        uint x0 = (segment - y * pc.segmentsPerRow) * PIXELS;

        Eight sums[PIXELS];
        {
            Eight start = biasOf(image, outputBlock);
            [[unroll]] for (int p = 0; p < PIXELS; ++p)
                sums[p] = start;
        }

#if ROW3
        uint columns[PIXELS + 2];
        bool columnInside[PIXELS + 2];
        [[unroll]] for (int j = 0; j < PIXELS + 2; ++j) {
            int column = int(x0) + j - pc.padLeft;
            columnInside[j] = uint(column) < inputColumns;
            columns[j] = uint(column) >> UPSAMPLE;
        }
#endif
        uint weightIndex = outputBlock * weightsPerBlock;
        int rows = live ? KERNEL_HEIGHT : 0;
        for (int ky = 0; ky < rows; ++ky) {
            int row = int(y) * STRIDE + ky - pc.padTop;
            bool rowInside = uint(row) < inputRows;
            uint rowBase = (uint(row) >> UPSAMPLE) * pc.inputWidth;
            for (uint block = 0; block < blocks; ++block) {
                bool second = SOURCES == 2 && block >= pc.blocks0;
                uint base = second ? (image * pc.blocks1 + block - pc.blocks0) * inputPlane
                                   : (image * pc.blocks0 + block) * inputPlane;
#if ROW3
                uvec4 pixels[PIXELS + 2];
                [[unroll]] for (int j = 0; j < PIXELS + 2; ++j)
                    pixels[j] = loadInput(second, rowInside && columnInside[j], base + rowBase + columns[j]);
                for (int kx = 0; kx < 3; ++kx) {
#else
                for (int kx = 0; kx < KERNEL_WIDTH; ++kx) {
                    uvec4 pixels[PIXELS];
                    [[unroll]] for (int j = 0; j < PIXELS; ++j) {
                        int column = (int(x0) + j) * STRIDE + kx - pc.padLeft;
                        pixels[j] = loadInput(second, rowInside && uint(column) < inputColumns,
                                              base + rowBase + (uint(column) >> UPSAMPLE));
                    }
#endif
                    [[unroll]] for (int pair = 0; pair < 4; ++pair) {
                        Eight even = unpackEight(weights[weightIndex + 2 * pair]);
                        Eight odd = unpackEight(weights[weightIndex + 2 * pair + 1]);
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            vec2 x = unpackHalf2x16(pixels[p][pair]);
                            sums[p].low += x.x * even.low + x.y * odd.low;
                            sums[p].high += x.x * even.high + x.y * odd.high;
                        }
                    }
                    weightIndex += 8;
#if ROW3
                    [[unroll]] for (int j = 0; j < PIXELS + 1; ++j)
                        pixels[j] = pixels[j + 1];
#endif
                }
            }
        }

        if (live) {
            Eight stored[PIXELS];
            EightStatistics here = noStatistics();
            [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                uint x = x0 + p;
                stored[p] = Eight(vec4(0), vec4(0));
                if (x < pc.outputWidth) {
                    stored[p] = storeOutput(image, outputBlock, y, x, sums[p]);
                    here.count += 1;
                }
            }
            if (STATISTICS != 0) {
                [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                    here.mean[0] += stored[p].low;
                    here.mean[1] += stored[p].high;
                }
                here.mean[0] /= here.count;
                here.mean[1] /= here.count;
                [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                    if (x0 + p < pc.outputWidth) {
                        vec4 low = stored[p].low - here.mean[0], high = stored[p].high - here.mean[1];
                        here.deviations[0] += low * low;
                        here.deviations[1] += high * high;
                    }
                }
                combineEight(gathered, here);
            }
        }
    }

    if (STATISTICS != 0) {
        vec4 entry = reduceStatistics(local, gathered);
        if (groupLive && local < 8)
            statistics[((image * pc.outputBlocks + outputBlock) * pc.tiles + tile) * 8 + local] = entry;
    }
}
