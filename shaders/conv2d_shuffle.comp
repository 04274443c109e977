// The convolution of conv2d.comp (same formula, bindings, packed weights, push constants, specialisation) in the shape
// that suits software devices, where a load costs as much as fifty multiplications: each of eight neighbouring
// invocations loads the weights of one input channel, and all share them by shuffles from constant lanes.
//
// An invocation makes 8 x OUTPUT_BLOCKS outputs of 8 pixels; neighbouring invocations take neighbouring pixels. Pixels
// are numbered over the whole map, so that no row end is wasted.
// Workgroup: 512 pixels x tileLoops of one image for OUTPUT_BLOCKS output blocks; groups = N * tiles *
// ceil(outputBlocks / OUTPUT_BLOCKS), output blocks fastest.
// Features: subgroup operations basic and shuffle, subgroups of 8 or more.
//
// Variants: TEXELS: sources and weights are read through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "statistics.glsl"

layout(constant_id = 8) const int OUTPUT_BLOCKS = 2; // 1 or 2
// Loops over pixels end at a constant that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 9) const int PIXELS = 8;

void main() {
    uint local = gl_LocalInvocationID.x;
    uint lane = gl_SubgroupInvocationID & 7;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint outputGroups = (pc.outputBlocks + OUTPUT_BLOCKS - 1) / OUTPUT_BLOCKS;
    uint imageTile = group / outputGroups;
    uint firstBlock = (group - imageTile * outputGroups) * OUTPUT_BLOCKS;
    uint image = imageTile / pc.tiles;
    uint tile = imageTile - image * pc.tiles;

    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint inputRows = pc.inputHeight << UPSAMPLE;
    uint inputColumns = pc.inputWidth << UPSAMPLE;
    uint outputPixels = groupLive ? pc.outputHeight * pc.outputWidth : 0;
    uint blocks = pc.blocks0 + pc.blocks1;

    EightStatistics gathered[2];
    gathered[0] = gathered[1] = noStatistics();

    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        // Eight invocations make 64 pixels: pixel number p of this one is first + 8 p.
        uint first = (tile * pc.tileLoops + tileLoop) * (8 * LOCAL_SIZE) + (local >> 3) * 64 + (local & 7);
        bool live = (first & ~7) < outputPixels; // of all eight alike, so that none is missing in a shuffle
        uint ys[8], xs[8];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            uint pixel = first + 8 * p;
            ys[p] = pixel / pc.outputWidth;
            xs[p] = pixel - ys[p] * pc.outputWidth;
        }

        float sums[2][8][8]; // [output block][output][pixel]
        [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            uint biasIndex = pc.biasIndex + 2 * min(firstBlock + c, pc.outputBlocks - 1);
            Eight start = Eight(bias[biasIndex], bias[biasIndex + 1]);
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                [[unroll]] for (int o = 0; o < 4; ++o) {
                    sums[c][o][p] = start.low[o];
                    sums[c][o + 4][p] = start.high[o];
                }
            }
        }

        int rows = live ? KERNEL_HEIGHT : 0;
        for (int ky = 0; ky < rows; ++ky) {
            for (int kx = 0; kx < KERNEL_WIDTH; ++kx) {
                uint places[8];
                bool inside[8];
                [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                    int row = int(ys[p]) * STRIDE + ky - pc.padTop;
                    int column = int(xs[p]) * STRIDE + kx - pc.padLeft;
                    inside[p] = uint(row) < inputRows && uint(column) < inputColumns;
                    places[p] = (uint(row) >> UPSAMPLE) * pc.inputWidth + (uint(column) >> UPSAMPLE);
                }
                for (uint block = 0; block < blocks; ++block) {
                    bool second = SOURCES == 2 && block >= pc.blocks0;
                    uint base = (second ? image * pc.blocks1 + block - pc.blocks0 : image * pc.blocks0 + block) *
                                inputPlane;
                    float inputs[8][8]; // [pixel][channel]
                    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                        Eight value = unpackEight(loadInput(second, inside[p], base + places[p]));
                        [[unroll]] for (int i = 0; i < 4; ++i) {
                            inputs[p][i] = value.low[i];
                            inputs[p][i + 4] = value.high[i];
                        }
                    }
                    [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
                        uint outputBlock = min(firstBlock + c, pc.outputBlocks - 1);
                        uint weightIndex =
                            (((outputBlock * KERNEL_HEIGHT + ky) * blocks + block) * KERNEL_WIDTH + kx) * 8;
                        Eight own = unpackEight(FETCH(weights, weightIndex + lane)); // of input channel `lane`
                        [[unroll]] for (int o = 0; o < 8; ++o) {
                            float ownOutput = o < 4 ? own.low[o & 3] : own.high[o & 3];
                            [[unroll]] for (int i = 0; i < 8; ++i) {
                                float weight = subgroupShuffle(ownOutput, i);
                                [[unroll]] for (int p = 0; p < PIXELS; ++p)
                                    sums[c][o][p] += weight * inputs[p][i];
                            }
                        }
                    }
                }
            }
        }

        // One pixel of one block at a time, the sums of the next moving up: unrolled, this would be most of the code.
        for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            uint outputBlock = firstBlock + c;
            EightStatistics here = gathered[0];
            for (uint pixel = first; pixel < first + 64; pixel += 8) {
                if (pixel < outputPixels && outputBlock < pc.outputBlocks) {
                    uint y = pixel / pc.outputWidth;
                    Eight value = Eight(vec4(sums[0][0][0], sums[0][1][0], sums[0][2][0], sums[0][3][0]),
                                        vec4(sums[0][4][0], sums[0][5][0], sums[0][6][0], sums[0][7][0]));
                    Eight stored = storeOutput(image, outputBlock, y, pixel - y * pc.outputWidth, value);
                    if (STATISTICS != 0)
                        addValue(here, stored);
                }
                [[unroll]] for (int o = 0; o < 8; ++o)
                    [[unroll]] for (int p = 0; p < PIXELS - 1; ++p)
                        sums[0][o][p] = sums[0][o][p + 1];
            }
            if (OUTPUT_BLOCKS == 2) {
                sums[0] = sums[1];
                gathered[0] = gathered[1];
                gathered[1] = here;
            } else {
                gathered[0] = here;
            }
        }
    }

    if (STATISTICS != 0) {
        [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            barrier();
            vec4 entry = reduceStatistics(local, gathered[c]);
            if (groupLive && local < 8 && firstBlock + c < pc.outputBlocks)
                statistics[((image * pc.outputBlocks + firstBlock + c) * pc.tiles + tile) * 8 + local] = entry;
        }
    }
}
