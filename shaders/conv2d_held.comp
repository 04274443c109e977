// The convolution of conv2d.comp (same formula, bindings but for the weights, push constants, specialisation) for software
// devices where channels times taps, the K of the product, is small enough that an invocation holds all that it needs of
// the sources in registers (the driver: on its stack) while all outputs go by. So no sum is carried around a loop, where
// the driver would blend each with the mask, and what is fetched and unpacked serves up to 64 outputs.
//
//   weights  [8 outputBlocks / OUTPUTS][sets][8 lanes] uvec4, sets = ceil(K OUTPUTS / 64): a lane's eight halfs are OUTPUTS
//            outputs each of terms 64 / OUTPUTS * set + lane, + 8, ... Term tap * (CHANNELS0 + CHANNELS1) + channel.
//   statistics  as in conv2d_shuffle.comp
//
// Eight invocations make up to 4 QUADS outputs of 8 x PIXELS pixels: lane l the pixels l, l + 8, ... OUTPUTS of them are made
// at a time: the more, the fewer loads, but a body has K * OUTPUTS * PIXELS multiplications and must fit the cache of
// instructions. Workgroup: 8 tiles of one image; groups = N * ceil(tiles / 8) * ceil(2 outputBlocks / QUADS), outputs
// fastest.
// Features: subgroup operations basic and shuffle, subgroups of 8 or more. What is read comes through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "lanes.glsl"

layout(binding = 5, std430) writeonly buffer TargetHalves {
    uvec2 targetHalves[];
}; // four channels each

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 8) const int CHANNELS0 = 3; // a multiple of 8 where more follow or it is more than 8
layout(constant_id = 9) const int CHANNELS1 = 0; // a multiple of 8
layout(constant_id = 10) const int PIXELS = 4;   // at most 4
layout(constant_id = 11) const int OUTPUTS = 4;  // 1, 2 or 4
layout(constant_id = 12) const int QUADS = 16;   // even, at most 16

#define MOST_TERMS 288

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint quads = 2 * pc.outputBlocks;
    uint outputGroups = (quads + QUADS - 1) / QUADS;
    uint imageTile = group / outputGroups;
    uint firstQuad = (group - imageTile * outputGroups) * QUADS;
    uint groupsPerImage = (pc.tiles + 7) >> 3;
    uint image = groupLive ? imageTile / groupsPerImage : 0;
    uint tile = (imageTile - image * groupsPerImage) * 8 + eightNumber();

    uint inputRows = pc.inputHeight << UPSAMPLE, inputColumns = pc.inputWidth << UPSAMPLE;
    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint base0 = image * pc.blocks0 * inputPlane, base1 = image * pc.blocks1 * inputPlane;
    uint outputPlane = pc.outputHeight * pc.outputWidth;
    uint outputPixels = groupLive ? outputPlane : 0;
    const int taps = KERNEL_HEIGHT * KERNEL_WIDTH, channels = CHANNELS0 + CHANNELS1;
    const int blocks0 = (CHANNELS0 + 7) / 8, blocks1 = CHANNELS1 / 8;
    const int terms = taps * channels;
    const int setTerms = 64 / OUTPUTS;
    const int sets = (terms + setTerms - 1) / setTerms;

    float count = 0;
    float
        entries[16]; // [quad], of the pixels walked so far: lanes 0..3 means of its channels, 4..7 deviations
    [[unroll]] for (int q = 0; q < QUADS; ++q) entries[q] = 0;

    uint tileLoop = 0;
    do {
        uint start = (tile * pc.tileLoops + tileLoop) * (8 * PIXELS);
        uint first = start + lane;
        bool live = start < outputPixels; // of all eight alike, so that none is missing in a shuffle
        float inputs[MOST_TERMS][4];      // [term][pixel]
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            uint pixel = first + 8 * p;
            uint y = pixel / pc.outputWidth;
            int row = int(y) * STRIDE - pc.padTop,
                column = int(pixel - y * pc.outputWidth) * STRIDE - pc.padLeft;
            [[unroll]] for (int tap = 0; tap < taps; ++tap) {
                uint r = uint(row + tap / KERNEL_WIDTH), c = uint(column + tap % KERNEL_WIDTH);
                uint place = (r >> UPSAMPLE) * pc.inputWidth + (c >> UPSAMPLE);
                bool inside = live && r < inputRows && c < inputColumns;
                [[unroll]] for (int block = 0; block < blocks0; ++block) {
                    Eight value = unpackEight(loadInput(false, inside, base0 + block * inputPlane + place));
                    [[unroll]] for (int i = 0; i < min(CHANNELS0 - 8 * block, 8); ++i)
                        inputs[tap * channels + 8 * block + i][p] =
                            i < 4 ? value.low[i & 3] : value.high[i & 3];
                }
                [[unroll]] for (int block = 0; block < blocks1; ++block) {
                    Eight value = unpackEight(loadInput(true, inside, base1 + block * inputPlane + place));
                    [[unroll]] for (int i = 0; i < 8; ++i)
                        inputs[tap * channels + CHANNELS0 + 8 * block + i][p] =
                            i < 4 ? value.low[i & 3] : value.high[i & 3];
                }
            }
        }
        float here = float(min(outputPixels - start, 8u * PIXELS)); // live pixels
        float share = here / (count + here);

        int q = 0;
        if (live)
            do {
                uint quad = firstQuad + q;
                uint block = min(quad >> 1, pc.outputBlocks - 1);
                uint biasPlace = pc.biasIndex + image * pc.biasStride + 2 * block + (quad & 1);
                vec4 begin = uintBitsToFloat(FETCH(bias, biasPlace));
                uint weightPlace = (2 * block + (quad & 1)) * (4 / OUTPUTS) * sets * 8 + lane;
                float values[4][4]; // [output][pixel]
                [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int p = 0; p < PIXELS; ++p)
                    values[o][p] = 0;
                int part = 0; // of the quad
                do {
                    uvec4 own[8];
                    [[unroll]] for (int set = 0; set < sets; ++set) own[set] =
                        FETCH(weights, weightPlace + set * 8);
                    weightPlace += sets * 8;
                    float sums[4][4]; // [output][pixel]
                    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) [[unroll]] for (int p = 0; p < PIXELS; ++p)
                        sums[o][p] = 0;
                    [[unroll]] for (int k = 0; k < terms; ++k) {
                        uvec4 words = own[k / setTerms];
                        [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                            int place = k % setTerms / 8 * OUTPUTS + o; // of the lane's halfs
                            vec2 pair = unpackHalf2x16(words[place >> 1]);
                            float weight = subgroupShuffle(pair[place & 1], k & 7);
                            [[unroll]] for (int p = 0; p < PIXELS; ++p) sums[o][p] += weight * inputs[k][p];
                        }
                    }
                    [[unroll]] for (int o = 0; o < 4; ++o) [[unroll]] for (int p = 0; p < PIXELS; ++p)
                        values[o][p] = o + OUTPUTS < 4 ? values[min(o + OUTPUTS, 3)][p]
                                                       : sums[max(o + OUTPUTS - 4, 0)][p];
                } while (++part < 4 / OUTPUTS);

                uint base = (image * pc.outputBlocks + block) * outputPlane;
                [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                    uint pixel = first + 8 * p;
                    bool real = pixel < outputPixels && quad < quads;
                    vec4 value = vec4(values[0][p], values[1][p], values[2][p], values[3][p]) + begin;
                    if (RESIDUAL != 0) {
                        uvec4 added = FETCH(residual, real ? base + pixel : 0);
                        uvec2 four = (quad & 1) == 0 ? added.xy : added.zw;
                        value += vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y));
                    }
                    value *= pc.outputScale;
                    uvec2 words = uvec2(packHalves(value.x, value.y), packHalves(value.z, value.w));
                    // Each stores what its neighbour made, see fromNeighbour.
                    uvec2 moved = uvec2(fromNeighbour(words.x), fromNeighbour(words.y));
                    uint place = fromNeighbour(2 * (base + pixel) + (quad & 1));
                    if ((pixel ^ 1) < outputPixels && quad < quads)
                        targetHalves[place] = moved;
                    vec4 stored = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
                    [[unroll]] for (int o = 0; o < 4; ++o) values[o][p] = real ? stored[o] : 0;
                }
                // Mean and deviations of these pixels, then both sets combined, see combineStatistics.
                float entry = entries[0];
                if (STATISTICS != 0) {
                    float combined = 0;
                    [[unroll]] for (int o = 0; o < 4; ++o) {
                        float sum = 0, squares = 0;
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) sum += values[o][p];
                        float mean = sumOfLanes(sum) / here;
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            float deviation = first + 8 * p < outputPixels ? values[o][p] - mean : 0;
                            squares += deviation * deviation;
                        }
                        float before = subgroupShuffle(entry, gl_SubgroupInvocationID & ~7 | o);
                        float delta = mean - before;
                        combined = lane == o ? before + delta * share : combined;
                        combined =
                            lane == o + 4 ? sumOfLanes(squares) + delta * delta * (count * share) : combined;
                    }
                    entry = lane < 4 ? combined : entry + combined;
                }
                // In turns, so that after all quads the statistics are where they were.
                [[unroll]] for (int next = 1; next < QUADS; ++next) entries[next - 1] = entries[next];
                entries[QUADS - 1] = entry;
            } while (++q < QUADS);
        count += live ? here : 0;
    } while (++tileLoop < pc.tileLoops);

    if (STATISTICS != 0) {
        [[unroll]] for (int q = 0; q < QUADS; ++q) {
            // Lanes 0..3 write the entries of the quad's channels.
            uint quad = firstQuad + q;
            float deviations = subgroupShuffle(entries[q], gl_SubgroupInvocationID | 4);
            if (groupLive && tile < pc.tiles && quad < quads && lane < 4)
                statistics[((image * pc.outputBlocks + (quad >> 1)) * pc.tiles + tile) * 8 + 4 * (quad & 1) +
                           lane] = vec4(count, entries[q], deviations, 0);
        }
    }
}
