// The convolution of conv2d.comp (same formula, bindings but for the weights, push constants, specialisation) for software
// devices and one source of at most eight channels: channels and taps together are the K of the product, so that none is
// padded, and what an invocation needs of the source stays in its registers while all outputs are made of it.
//
//   weights  [outputBlocks * 2][ceil(K / 16)][8 lanes] uvec4: of terms 16 g + lane and 16 g + 8 + lane, four outputs each.
//            Term (ky * KERNEL_WIDTH + kx) * CHANNELS + channel.
//   statistics  as in conv2d_shuffle.comp
//
// Eight invocations make up to 4 QUADS outputs of 8 x PIXELS pixels: lane l the pixels l, l + 8, ... Four outputs at a time:
// all eight would overflow the caches of instructions. Workgroup: 8 tiles of one image; groups = N * ceil(tiles / 8) *
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
layout(constant_id = 8) const int CHANNELS = 3; // of the source, at most 8
layout(constant_id = 9) const int PIXELS = 4;
layout(constant_id = 10) const int QUADS = 16; // even, at most 16

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
    uint inputBase = image * pc.inputHeight * pc.inputWidth;
    uint outputPlane = pc.outputHeight * pc.outputWidth;
    uint outputPixels = groupLive ? outputPlane : 0;
    int taps = KERNEL_HEIGHT * KERNEL_WIDTH;
    int terms = taps * CHANNELS;
    int weightSets = (terms + 15) / 16;

    float count = 0;
    float entries[16]; // [quad], of the pixels walked so far: lanes 0..3 means of its channels, 4..7 deviations
    [[unroll]] for (int q = 0; q < QUADS; ++q)
        entries[q] = 0;

    uint tileLoop = 0;
    do {
        uint start = (tile * pc.tileLoops + tileLoop) * (8 * PIXELS);
        uint first = start + lane;
        bool live = start < outputPixels;
        float inputs[72][8]; // [term][pixel]
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            uint pixel = first + 8 * p;
            uint y = pixel / pc.outputWidth;
            int row = int(y) * STRIDE - pc.padTop, column = int(pixel - y * pc.outputWidth) * STRIDE - pc.padLeft;
            [[unroll]] for (int tap = 0; tap < taps; ++tap) {
                uint r = uint(row + tap / KERNEL_WIDTH), c = uint(column + tap % KERNEL_WIDTH);
                uint place = inputBase + (r >> UPSAMPLE) * pc.inputWidth + (c >> UPSAMPLE);
                Eight value = unpackEight(loadInput(false, live && r < inputRows && c < inputColumns, place));
                [[unroll]] for (int i = 0; i < CHANNELS; ++i)
                    inputs[tap * CHANNELS + i][p] = i < 4 ? value.low[i & 3] : value.high[i & 3];
            }
        }
        float here = float(min(outputPixels - start, 8u * PIXELS)); // live pixels
        float share = here / (count + here);

        int q = 0;
        do {
            uint quad = firstQuad + q;
            uint block = min(quad >> 1, pc.outputBlocks - 1);
            uvec4 own[5];
            [[unroll]] for (int set = 0; set < weightSets; ++set)
                own[set] = FETCH(weights, ((2 * block + (quad & 1)) * weightSets + set) * 8 + lane);
            uint biasPlace = pc.biasIndex + image * pc.biasStride + 2 * block + (quad & 1);
            vec4 begin = uintBitsToFloat(FETCH(bias, biasPlace));
            float sums[4][8]; // [output][pixel]
            [[unroll]] for (int o = 0; o < 4; ++o)
                [[unroll]] for (int p = 0; p < PIXELS; ++p)
                    sums[o][p] = begin[o];
            [[unroll]] for (int k = 0; k < terms; ++k) {
                uvec4 words = own[k >> 4];
                uvec2 pair = (k & 8) == 0 ? words.xy : words.zw;
                vec4 four = vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y)); // of this eight's term `lane`
                [[unroll]] for (int o = 0; o < 4; ++o) {
                    float weight = subgroupShuffle(four[o], k & 7);
                    [[unroll]] for (int p = 0; p < PIXELS; ++p)
                        sums[o][p] += weight * inputs[k][p];
                }
            }

            uint base = (image * pc.outputBlocks + block) * outputPlane;
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                uint pixel = first + 8 * p;
                bool real = pixel < outputPixels && quad < quads;
                vec4 value = vec4(sums[0][p], sums[1][p], sums[2][p], sums[3][p]) * pc.outputScale;
                uvec2 words = uvec2(packHalves(value.x, value.y), packHalves(value.z, value.w));
                if (real)
                    targetHalves[2 * (base + pixel) + (quad & 1)] = words;
                vec4 stored = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
                [[unroll]] for (int o = 0; o < 4; ++o)
                    sums[o][p] = real ? stored[o] : 0;
            }
            // Mean and deviations of these pixels, then both sets combined, see combineStatistics.
            float entry = entries[0];
            if (STATISTICS != 0 && live) {
                float combined = 0;
                [[unroll]] for (int o = 0; o < 4; ++o) {
                    float sum = 0, squares = 0;
                    [[unroll]] for (int p = 0; p < PIXELS; ++p)
                        sum += sums[o][p];
                    float mean = sumOfLanes(sum) / here;
                    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                        float deviation = first + 8 * p < outputPixels ? sums[o][p] - mean : 0;
                        squares += deviation * deviation;
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
            if (groupLive && tile < pc.tiles && quad < quads && lane < 4)
                statistics[((image * pc.outputBlocks + (quad >> 1)) * pc.tiles + tile) * 8 + 4 * (quad & 1) + lane] =
                    vec4(count, entries[q], deviations, 0);
        }
    }
}
