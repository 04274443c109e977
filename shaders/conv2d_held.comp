// The 1x1 convolution of conv2d.comp (same formula, bindings but for the weights, push constants, specialisation) for software
// devices where channels are few enough that an invocation holds all that it needs of the sources in registers (the
// driver: on its stack) while all outputs go by. So no sum is carried around a loop, where the driver would blend each with
// the mask, and what is fetched and unpacked serves up to 64 outputs.
//
//   weights  [8 outputBlocks / OUTPUTS][sets][8 lanes] uvec4, sets = ceil(K OUTPUTS / 64): a lane's eight halfs are OUTPUTS
//            outputs each of terms 64 / OUTPUTS * set + lane, + 8, ... Term: channel of both sources.
//   statistics  as in conv2d_shuffle.comp
//
// Eight invocations make up to 4 QUADS outputs of 8 x 4 pixels: lane l the pixels l, l + 8, ... OUTPUTS of them are made
// at a time: the more, the fewer loads, but a body has K * OUTPUTS * 4 multiplications and must fit the cache of
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
layout(constant_id = 10) const int FOUR = 4;     // pixels of an invocation
layout(constant_id = 11) const int OUTPUTS = 4;  // 1, 2 or 4
layout(constant_id = 12) const int QUADS = 16;   // even, at most 16

#define MOST_TERMS 288

Eight inputOf(bool second, bool live, uint base, uint pixel) {
    return unpackEight(loadInput(second, live && pixel < pc.outputHeight * pc.outputWidth, base + pixel));
}

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

    uint outputPlane = pc.outputHeight * pc.outputWidth;
    uint base0 = image * pc.blocks0 * outputPlane, base1 = image * pc.blocks1 * outputPlane;
    uint outputPixels = groupLive ? outputPlane : 0;
    const int terms = CHANNELS0 + CHANNELS1;
    const int blocks0 = (CHANNELS0 + 7) / 8, blocks1 = CHANNELS1 / 8;
    const int setTerms = 64 / OUTPUTS;
    const int sets = (terms + setTerms - 1) / setTerms;

    float count = 0;
    float
        entries[16]; // [quad], of the pixels walked so far: lanes 0..3 means of its channels, 4..7 deviations
    [[unroll]] for (int q = 0; q < QUADS; ++q) entries[q] = 0;

    uint tileLoop = 0;
    do {
        uint start = (tile * pc.tileLoops + tileLoop) * (8 * FOUR);
        uint first = start + lane;
        bool live = start < outputPixels; // of all eight alike, so that none is missing in a shuffle
        // Vectors of four pixels: what the driver does with arrays of arrays goes with the square of their size.
        vec4 inputs[MOST_TERMS]; // [term]
        [[unroll]] for (int block = 0; block < blocks0 + blocks1; ++block) {
            bool second = block >= blocks0;
            uint base = second ? base1 + (block - blocks0) * outputPlane : base0 + block * outputPlane;
            Eight a = inputOf(second, live, base, first), b = inputOf(second, live, base, first + 8);
            Eight c = inputOf(second, live, base, first + 16), d = inputOf(second, live, base, first + 24);
            // Of a first block that is not full the rest lies beyond all terms.
            [[unroll]] for (int i = 0; i < FOUR; ++i) {
                inputs[8 * block + i] = vec4(a.low[i], b.low[i], c.low[i], d.low[i]);
                inputs[8 * block + 4 + i] = vec4(a.high[i], b.high[i], c.high[i], d.high[i]);
            }
        }
        float here = float(min(outputPixels - start, 8u * FOUR)); // live pixels
        float share = here / (count + here);

        int q = 0;
        if (live)
            do {
                uint quad = firstQuad + q;
                uint block = min(quad >> 1, pc.outputBlocks - 1);
                uint biasPlace = pc.biasIndex + image * pc.biasStride + 2 * block + (quad & 1);
                vec4 begin = uintBitsToFloat(FETCH(bias, biasPlace));
                uint weightPlace = (2 * block + (quad & 1)) * (4 / OUTPUTS) * sets * 8 + lane;
                vec4 values[4]; // [output]
                [[unroll]] for (int o = 0; o < 4; ++o) values[o] = vec4(0);
                int part = 0; // of the quad
                do {
                    uvec4 own[8];
                    [[unroll]] for (int set = 0; set < sets; ++set) own[set] =
                        FETCH(weights, weightPlace + set * 8);
                    weightPlace += sets * 8;
                    vec4 sums[4]; // [output]
                    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) sums[o] = vec4(0);
                    [[unroll]] for (int k = 0; k < terms; ++k) {
                        uvec4 words = own[k / setTerms];
                        [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                            int place = k % setTerms / 8 * OUTPUTS + o; // of the lane's halfs
                            vec2 pair = unpackHalf2x16(words[place >> 1]);
                            sums[o] += subgroupShuffle(pair[place & 1], k & 7) * inputs[k];
                        }
                    }
                    [[unroll]] for (int o = 0; o < 4; ++o)
                        values[o] = o + OUTPUTS < 4 ? values[min(o + OUTPUTS, 3)] : sums[max(o + OUTPUTS - 4, 0)];
                } while (++part < 4 / OUTPUTS);

                uint base = (image * pc.outputBlocks + block) * outputPlane;
                [[unroll]] for (int p = 0; p < FOUR; ++p) {
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
                        [[unroll]] for (int p = 0; p < FOUR; ++p) sum += values[o][p];
                        float mean = sumOfLanes(sum) / here;
                        [[unroll]] for (int p = 0; p < FOUR; ++p) {
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
