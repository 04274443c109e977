// The convolution of conv2d.comp (same formula, bindings, packed weights, push constants, specialisation) in the shape
// that suits software devices, where a load costs as much as fifty multiplications: each of eight neighbouring
// invocations loads the weights of one input channel, and all share them by shuffles from constant lanes.
//
// Eight invocations make 8 x OUTPUT_BLOCKS outputs of 8 x PIXELS pixels: lane l the pixels l, l + 8, ... Pixels are
// numbered over the whole map, so that no row end is wasted.
//
//   statistics  as in conv2d.comp, but a tile is what one eight walks: 8 x PIXELS pixels x tileLoops
//
// Workgroup: 8 tiles of one image for OUTPUT_BLOCKS output blocks; groups = N * ceil(tiles / 8) *
// ceil(outputBlocks / OUTPUT_BLOCKS), output blocks fastest.
// Features: subgroup operations basic and shuffle, subgroups of 8 or more.
//
// Variants: TEXELS: all that is read comes through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "lanes.glsl"

// Loops end at constants that only the driver knows: unrolled there, the module stays small. 4 x 4 or, of few
// outputs, 8 x 2; 2 x 4 for the smallest maps.
layout(constant_id = 8) const int OUTPUT_BLOCKS = 2; // 1, 2 or 4
layout(constant_id = 9) const int PIXELS = 8;        // 2, 4 or 8

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint outputGroups = (pc.outputBlocks + OUTPUT_BLOCKS - 1) / OUTPUT_BLOCKS;
    uint imageTile = group / outputGroups;
    uint firstBlock = (group - imageTile * outputGroups) * OUTPUT_BLOCKS;
    uint groupsPerImage = (pc.tiles + 7) >> 3;
    uint image = imageTile / groupsPerImage;
    uint tile = (imageTile - image * groupsPerImage) * 8 + eightNumber();

    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint inputRows = pc.inputHeight << UPSAMPLE;
    uint inputColumns = pc.inputWidth << UPSAMPLE;
    uint outputPlane = pc.outputHeight * pc.outputWidth;
    uint outputPixels = groupLive ? outputPlane : 0;
    uint blocks = pc.blocks0 + pc.blocks1;

    float count = 0;
    float means[4][8], deviations[4][8]; // [output block][output], of the pixels walked so far
    [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c)
        [[unroll]] for (int o = 0; o < 8; ++o)
            means[c][o] = deviations[c][o] = 0;

    uint tileLoop = 0;
    do {
        uint start = (tile * pc.tileLoops + tileLoop) * (8 * PIXELS);
        uint first = start + lane; // pixel number p of this invocation is first + 8 p
        bool live = start < outputPixels; // of all eight alike, so that none is missing in a shuffle
        uint ys[8], xs[8];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            uint pixel = first + 8 * p;
            ys[p] = pixel / pc.outputWidth;
            xs[p] = pixel - ys[p] * pc.outputWidth;
        }

        float sums[4][8][8]; // [output block][output][pixel]
        [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            Eight begin = biasOf(image, min(firstBlock + c, pc.outputBlocks - 1));
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                [[unroll]] for (int o = 0; o < 4; ++o) {
                    sums[c][o][p] = begin.low[o];
                    sums[c][o + 4][p] = begin.high[o];
                }
            }
        }

        int ky = 0;
        if (live) do {
            int kx = 0;
            do {
                uint places[8];
                bool inside[8];
                [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                    int row = int(ys[p]) * STRIDE + ky - pc.padTop;
                    int column = int(xs[p]) * STRIDE + kx - pc.padLeft;
                    inside[p] = uint(row) < inputRows && uint(column) < inputColumns;
                    places[p] = (uint(row) >> UPSAMPLE) * pc.inputWidth + (uint(column) >> UPSAMPLE);
                }
                // Not unrolled: twice this body no longer fits the caches of decoded instructions.
                uint block = 0;
                do {
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
                } while (++block < blocks);
            } while (++kx < KERNEL_WIDTH);
        } while (++ky < KERNEL_HEIGHT);

        // One block of outputs at a time, the next moving up: unrolled, this would be most of the code.
        float here = float(min(outputPixels - start, 8u * PIXELS)); // live pixels
        int c = 0;
        do {
            uint outputBlock = firstBlock + c;
            uint base = (image * pc.outputBlocks + outputBlock) * outputPlane;
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                uint pixel = first + 8 * p;
                bool real = pixel < outputPixels && outputBlock < pc.outputBlocks;
                Eight value = Eight(vec4(sums[0][0][p], sums[0][1][p], sums[0][2][p], sums[0][3][p]),
                                    vec4(sums[0][4][p], sums[0][5][p], sums[0][6][p], sums[0][7][p]));
                if (RESIDUAL != 0) {
                    // The place of a residual of the output's size needs no row.
                    Eight added = RESIDUAL == 1 ? unpackEight(FETCH(residual, real ? base + pixel : 0))
                                                : addedResidual(image, outputBlock, ys[p], xs[p]);
                    value.low += added.low;
                    value.high += added.high;
                }
                value.low *= pc.outputScale;
                value.high *= pc.outputScale;
                if (OUTPUT_PORT != 0) {
                    if (real)
                        storePort(image, outputBlock, pixel, value);
                } else {
                    uvec4 words = packEightInSteps(value);
                    if (real)
                        target[base + pixel] = words;
                    Eight stored = unpackEight(words);
                    [[unroll]] for (int o = 0; o < 8; ++o)
                        sums[0][o][p] = real ? (o < 4 ? stored.low[o & 3] : stored.high[o & 3]) : 0;
                }
            }
            // Mean and deviations of these pixels, then both sets combined, see combineStatistics.
            if (STATISTICS != 0 && live) {
                float share = here / (count + here);
                [[unroll]] for (int o = 0; o < 8; ++o) {
                    float sum = 0, squares = 0;
                    [[unroll]] for (int p = 0; p < PIXELS; ++p)
                        sum += sums[0][o][p];
                    float mean = sumOfLanes(sum) / here;
                    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                        float deviation = first + 8 * p < outputPixels ? sums[0][o][p] - mean : 0;
                        squares += deviation * deviation;
                    }
                    float delta = mean - means[0][o];
                    means[0][o] += delta * share;
                    deviations[0][o] += sumOfLanes(squares) + delta * delta * (count * share);
                }
            }
            // In turns, so that after all blocks the statistics are where they were.
            float ofMeans[8] = means[0], ofDeviations[8] = deviations[0];
            [[unroll]] for (int next = 1; next < OUTPUT_BLOCKS; ++next) {
                sums[next - 1] = sums[next];
                means[next - 1] = means[next];
                deviations[next - 1] = deviations[next];
            }
            means[OUTPUT_BLOCKS - 1] = ofMeans;
            deviations[OUTPUT_BLOCKS - 1] = ofDeviations;
        } while (++c < OUTPUT_BLOCKS);
        count += live ? here : 0;
    } while (++tileLoop < pc.tileLoops);

    if (STATISTICS != 0) {
        [[unroll]] for (int c = 0; c < OUTPUT_BLOCKS; ++c) {
            // Lane l writes the entry of channel l.
            float mean = means[c][0], deviation = deviations[c][0];
            [[unroll]] for (int o = 1; o < 8; ++o) {
                mean = lane == o ? means[c][o] : mean;
                deviation = lane == o ? deviations[c][o] : deviation;
            }
            if (groupLive && tile < pc.tiles && firstBlock + c < pc.outputBlocks)
                statistics[((image * pc.outputBlocks + firstBlock + c) * pc.tiles + tile) * 8 + lane] =
                    vec4(count, mean, deviation, 0);
        }
    }
}
