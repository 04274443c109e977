// The convolution of conv2d.comp (same formula, bindings but for the weights, push constants, specialisation) for software
// devices, 3x3 with stride 1 and few channels, by Winograd F(2x2,3x3): Lavin, Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2016, section 4.1. As in conv2d_held.comp an invocation holds what it needs of the sources, here 16
// positions of transformed tiles, while all outputs go by: nothing is staged in memory, and 4 multiplications make
// an output of a channel instead of 9. F(4x4) would need 2.25, but 36 positions.
//
// Where the source is doubled by nearest neighbour, four rows of the doubled map are a, b, b, c, and the third of their
// transforms, b - b, is zero, likewise for columns: 9 positions are left.
//
//   weights  [8 outputBlocks / OUTPUTS][sets][8 lanes] uvec4 as in conv2d_held.comp, K = positions * channels. Term
//            position * (CHANNELS0 + CHANNELS1) + channel: the position's element of G g G^T.
//   statistics  as in conv2d_shuffle.comp, of 8 x TILES x 4 pixels
//
// Eight invocations make up to 4 QUADS outputs of 8 x TILES tiles of 2x2 pixels: lane l the tiles l, l + 8, ..., numbered over
// the map, segmentsPerRow a row. Workgroup: 8 such sets of one image; groups = N * ceil(tiles / 8) *
// ceil(2 outputBlocks / QUADS), outputs fastest.
// Features: subgroup operations basic and shuffle, subgroups of 8 or more. What is read comes through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "lanes.glsl"

layout(binding = 5, std430) writeonly buffer TargetHalves { uvec2 targetHalves[]; }; // four channels each

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 8) const int CHANNELS0 = 3; // a multiple of 8 where more follow or it is more than 8
layout(constant_id = 9) const int CHANNELS1 = 0; // a multiple of 8
layout(constant_id = 10) const int TILES = 2;    // at most 4
layout(constant_id = 11) const int OUTPUTS = 1;  // 1, 2 or 4: made at a time
layout(constant_id = 12) const int QUADS = 16;   // even, at most 16
layout(constant_id = 13) const int SIDE = 4;     // of the transformed tile; 3 with UPSAMPLE

#define MOST_TERMS 576

// One row of a tile times B.
void transformInput(inout vec4 d[4]) {
    if (SIDE == 3) {
        d[0] -= d[1];
        d[2] = d[1] - d[2];
        d[1] += d[1];
    } else {
        vec4 second = d[1] + d[2], third = d[2] - d[1];
        d[0] -= d[2];
        d[3] = d[1] - d[3];
        d[1] = second;
        d[2] = third;
    }
}

void transformTile(inout vec4 d[4][4]) {
    [[unroll]] for (int i = 0; i < SIDE; ++i)
        transformInput(d[i]);
    [[unroll]] for (int j = 0; j < SIDE; ++j) {
        vec4 column[4] = {d[0][j], d[1][j], d[2][j], d[3][j]};
        transformInput(column);
        [[unroll]] for (int i = 0; i < SIDE; ++i)
            d[i][j] = column[i];
    }
}

// Adds element `at` of a row of products times A.
void transformOutput(int at, float value, inout float first, inout float second) {
    if (at < SIDE - 1)
        first += value;
    if (at == 1)
        second += value;
    if (at > 1)
        second -= value;
}

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint quads = 2 * pc.outputBlocks;
    uint outputGroups = (quads + QUADS - 1) / QUADS;
    uint imageSet = group / outputGroups;
    uint firstQuad = (group - imageSet * outputGroups) * QUADS;
    uint groupsPerImage = (pc.tiles + 7) >> 3;
    uint image = groupLive ? imageSet / groupsPerImage : 0;
    uint set = (imageSet - image * groupsPerImage) * 8 + eightNumber();

    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint base0 = image * pc.blocks0 * inputPlane, base1 = image * pc.blocks1 * inputPlane;
    uint outputPlane = pc.outputHeight * pc.outputWidth;
    uint tiles = groupLive ? pc.segmentsPerRow * ((pc.outputHeight + 1) >> 1) : 0; // of the map
    const int channels = CHANNELS0 + CHANNELS1, positions = SIDE * SIDE;
    const int blocks0 = (CHANNELS0 + 7) / 8, blocks = blocks0 + CHANNELS1 / 8;
    const int setTerms = 64 / OUTPUTS;
    const int sets = (positions * channels + setTerms - 1) / setTerms;

    float count = 0;
    float entries[16]; // [quad], of the pixels walked so far: lanes 0..3 means of its channels, 4..7 deviations
    [[unroll]] for (int q = 0; q < QUADS; ++q)
        entries[q] = 0;

    uint tileLoop = 0;
    do {
        uint start = (set * pc.tileLoops + tileLoop) * (8 * TILES);
        bool live = start < tiles; // of all eight alike, so that none is missing in a shuffle
        float held[MOST_TERMS][4]; // [term][tile]
        uint pixels[4][4];         // [tile][pixel of it], ~0 outside of the map
        float here = 0;            // pixels of this walk
        [[unroll]] for (int t = 0; t < TILES; ++t) {
            uint tile = start + lane + 8 * t;
            uint tileY = tile / pc.segmentsPerRow, tileX = tile - tileY * pc.segmentsPerRow;
            [[unroll]] for (int i = 0; i < 4; ++i) {
                uint y = 2 * tileY + i / 2, x = 2 * tileX + i % 2;
                bool real = tile < tiles && y < pc.outputHeight && x < pc.outputWidth;
                pixels[t][i] = real ? y * pc.outputWidth + x : ~0u;
                here += real ? 1 : 0;
            }
            int row = int(tileY) - 1, column = int(tileX) - 1; // of the source, where it is doubled
            if (UPSAMPLE == 0) {
                row = int(2 * tileY) - pc.padTop;
                column = int(2 * tileX) - pc.padLeft;
            }
            [[unroll]] for (int block = 0; block < blocks; ++block) {
                bool second = block >= blocks0;
                uint base = second ? base1 + (block - blocks0) * inputPlane : base0 + block * inputPlane;
                vec4 low[4][4], high[4][4];
                [[unroll]] for (int i = 0; i < SIDE; ++i) {
                    [[unroll]] for (int j = 0; j < SIDE; ++j) {
                        uint r = uint(row + i), c = uint(column + j);
                        bool inside = tile < tiles && r < pc.inputHeight && c < pc.inputWidth;
                        Eight value = unpackEight(loadInput(second, inside, base + r * pc.inputWidth + c));
                        low[i][j] = value.low;
                        high[i][j] = value.high;
                    }
                }
                transformTile(low);
                transformTile(high);
                int first = second ? CHANNELS0 + 8 * (block - blocks0) : 8 * block;
                [[unroll]] for (int p = 0; p < positions; ++p)
                    [[unroll]] for (int i = 0; i < 8; ++i)
                        if (first + i < channels)
                            held[min(p * channels + first + i, MOST_TERMS - 1)][t] =
                                i < 4 ? low[p / SIDE][p % SIDE][i & 3] : high[p / SIDE][p % SIDE][i & 3];
            }
        }
        here = sumOfLanes(here);
        float share = here / (count + here);

        int q = 0;
        if (live) do {
            uint quad = firstQuad + q;
            uint block = min(quad >> 1, pc.outputBlocks - 1);
            uint biasPlace = pc.biasIndex + image * pc.biasStride + 2 * block + (quad & 1);
            vec4 begin = uintBitsToFloat(FETCH(bias, biasPlace));
            uint weightPlace = (2 * block + (quad & 1)) * (4 / OUTPUTS) * sets * 8 + lane;
            float values[4][4][4]; // [output][tile][pixel]
            [[unroll]] for (int o = 0; o < 4; ++o)
                [[unroll]] for (int t = 0; t < TILES; ++t)
                    [[unroll]] for (int i = 0; i < 4; ++i)
                        values[o][t][i] = 0;
            int part = 0; // of the quad
            do {
                uvec4 own[9];
                [[unroll]] for (int s = 0; s < sets; ++s)
                    own[s] = FETCH(weights, weightPlace + s * 8);
                weightPlace += sets * 8;
                float sums[4][4][4]; // [output][tile][pixel]
                [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
                    [[unroll]] for (int t = 0; t < TILES; ++t)
                        [[unroll]] for (int i = 0; i < 4; ++i)
                            sums[o][t][i] = 0;
                [[unroll]] for (int y = 0; y < SIDE; ++y) {
                    float rows[4][4][2]; // [output][tile][column]
                    [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
                        [[unroll]] for (int t = 0; t < TILES; ++t)
                            rows[o][t][0] = rows[o][t][1] = 0;
                    [[unroll]] for (int x = 0; x < SIDE; ++x) {
                        float products[4][4]; // [output][tile]
                        [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
                            [[unroll]] for (int t = 0; t < TILES; ++t)
                                products[o][t] = 0;
                        [[unroll]] for (int c = 0; c < channels; ++c) {
                            int k = (y * SIDE + x) * channels + c;
                            uvec4 words = own[k / setTerms];
                            [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                                int place = k % setTerms / 8 * OUTPUTS + o; // of the lane's halfs
                                vec2 pair = unpackHalf2x16(words[place >> 1]);
                                float weight = subgroupShuffle(pair[place & 1], k & 7);
                                [[unroll]] for (int t = 0; t < TILES; ++t)
                                    products[o][t] += weight * held[k][t];
                            }
                        }
                        [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
                            [[unroll]] for (int t = 0; t < TILES; ++t)
                                transformOutput(x, products[o][t], rows[o][t][0], rows[o][t][1]);
                    }
                    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                        [[unroll]] for (int t = 0; t < TILES; ++t) {
                            transformOutput(y, rows[o][t][0], sums[o][t][0], sums[o][t][2]);
                            transformOutput(y, rows[o][t][1], sums[o][t][1], sums[o][t][3]);
                        }
                    }
                }
                [[unroll]] for (int o = 0; o < 4; ++o)
                    [[unroll]] for (int t = 0; t < TILES; ++t)
                        [[unroll]] for (int i = 0; i < 4; ++i)
                            values[o][t][i] = o + OUTPUTS < 4 ? values[min(o + OUTPUTS, 3)][t][i]
                                                              : sums[max(o + OUTPUTS - 4, 0)][t][i];
            } while (++part < 4 / OUTPUTS);

            uint base = (image * pc.outputBlocks + block) * outputPlane;
            [[unroll]] for (int t = 0; t < TILES; ++t) {
                [[unroll]] for (int i = 0; i < 4; ++i) {
                    bool real = pixels[t][i] != ~0u && quad < quads;
                    vec4 value = vec4(values[0][t][i], values[1][t][i], values[2][t][i], values[3][t][i]) + begin;
                    if (RESIDUAL != 0) {
                        uvec4 added = FETCH(residual, real ? base + pixels[t][i] : 0);
                        uvec2 four = (quad & 1) == 0 ? added.xy : added.zw;
                        value += vec4(unpackHalf2x16(four.x), unpackHalf2x16(four.y));
                    }
                    value *= pc.outputScale;
                    uvec2 words = uvec2(packHalves(value.x, value.y), packHalves(value.z, value.w));
                    // Each stores what its neighbour made, see fromNeighbour.
                    uvec2 moved = uvec2(fromNeighbour(words.x), fromNeighbour(words.y));
                    uint place = fromNeighbour(real ? 2 * (base + pixels[t][i]) + (quad & 1) : ~0u);
                    if (place != ~0u)
                        targetHalves[place] = moved;
                    vec4 stored = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
                    [[unroll]] for (int o = 0; o < 4; ++o)
                        values[o][t][i] = real ? stored[o] : 0;
                }
            }
            // Mean and deviations of these pixels, then both sets combined, see combineStatistics.
            float entry = entries[0];
            if (STATISTICS != 0) {
                float combined = 0;
                [[unroll]] for (int o = 0; o < 4; ++o) {
                    float sum = 0, squares = 0;
                    [[unroll]] for (int t = 0; t < TILES; ++t)
                        [[unroll]] for (int i = 0; i < 4; ++i)
                            sum += values[o][t][i];
                    float mean = sumOfLanes(sum) / here;
                    [[unroll]] for (int t = 0; t < TILES; ++t) {
                        [[unroll]] for (int i = 0; i < 4; ++i) {
                            float deviation = pixels[t][i] != ~0u ? values[o][t][i] - mean : 0;
                            squares += deviation * deviation;
                        }
                    }
                    float before = subgroupShuffle(entry, gl_SubgroupInvocationID & ~7 | o);
                    float delta = mean - before;
                    combined = lane == o ? before + delta * share : combined;
                    combined = lane == o + 4 ? sumOfLanes(squares) + delta * delta * (count * share) : combined;
                }
                entry = lane < 4 ? combined : entry + combined;
            }
            // In turns, so that after all quads the statistics are where they were.
            [[unroll]] for (int next = 1; next < QUADS; ++next)
                entries[next - 1] = entries[next];
            entries[QUADS - 1] = entry;
        } while (++q < QUADS);
        count += live ? here : 0;
    } while (++tileLoop < pc.tileLoops);

    if (STATISTICS != 0) {
        [[unroll]] for (int q = 0; q < QUADS; ++q) {
            // Lanes 0..3 write the entries of the quad's channels.
            uint quad = firstQuad + q;
            float deviations = subgroupShuffle(entries[q], gl_SubgroupInvocationID | 4);
            if (groupLive && set < pc.tiles && quad < quads && lane < 4)
                statistics[((image * pc.outputBlocks + (quad >> 1)) * pc.tiles + set) * 8 + 4 * (quad & 1) + lane] =
                    vec4(count, entries[q], deviations, 0);
        }
    }
}
