// The 1x1 convolution of conv2d.comp (same formula, source, bias, residual, target) for software devices and many outputs:
// a workgroup has PIXELS pixels of the sources in shared memory as floats, and each of its subgroups makes a block of outputs
// of them.
//
//   weights     [outputBlocks][BLOCKS][8 inputs][8 outputs] float
//   statistics  as in conv2d.comp; an entry is of PIXELS pixels
//
// The eight invocations of a subgroup are eight channels, inputs and outputs in the order of channelOfLane(). Groups =
// N * outputGroups * ceil(pixels of the map / PIXELS), pixels fastest. The last PIXELS pixels of an image may repeat some of
// those before, the last block of outputs may be made more than once, and what is numbered beyond the last workgroup repeats
// that.
// Features: subgroup operations basic and shuffle, subgroups of exactly 8; device addresses, 64-bit integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"

layout(local_size_x_id = 0) in;

// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 0) const int INVOCATIONS = 128; // eight for each subgroup
layout(constant_id = 1) const int BLOCKS = 16;       // of both sources
layout(constant_id = 2) const int PIXELS = 12;       // at most 16, 256 / BLOCKS, and those of the map
layout(constant_id = 3) const int STATISTICS = 0;
layout(constant_id = 4) const int SCATTER = 0;
layout(constant_id = 5) const int FOUR = 4;

const int SUBGROUPS = INVOCATIONS / 8, MOST_PIXELS = 16;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint pixels; // of the map
    uint blocks0, outputBlocks;
    uint pixelGroups, outputGroups; // per image
    uint biasIndex;  // of the row's first vec4
    uint biasStride; // vec4 from an image's row to the next one's; 0: one row for all
    uint residualMask; // zero where there is none
    float outputScale;
    uint digits[8];
    uvec2 source0Address, source1Address, weightsAddress, biasAddress, residualAddress;
}
pc;

#define DIGIT_BITS 3
#include "uniform_addresses.glsl"

layout(binding = 5, std430) writeonly buffer Target { u64vec2 target[]; };
layout(binding = 6, std430) writeonly buffer Statistics { u64vec4 statistics[]; };

shared vec4 staged[2 * 256]; // [BLOCKS][PIXELS][8]
#include "staging.glsl"

// 65536 and more, which stand for the infinities and NaNs of halfs, overflow on the way.
float withInfinities(float value) {
    precise float large = value * uintBitsToFloat(0x77800000u); // 2^112
    precise float again = large * uintBitsToFloat(0x07800000u); // 2^-112
    return again;
}

// Every so many blocks one.
void stageSource(uint own, uint image, uint first) {
    [[unroll]] for (int n = 0; n < (BLOCKS + SUBGROUPS - 1) / SUBGROUPS; ++n) {
        uint block = min(own + n * SUBGROUPS, uint(BLOCKS - 1));
        bool second = block >= pc.blocks0;
        uint64_t source = packed(mix(pc.source0Address, pc.source1Address, bvec2(second)));
        uint blocks = mix(pc.blocks0, BLOCKS - pc.blocks0, second);
        uint plane = image * blocks + mix(block, block - pc.blocks0, second);
        Words words = Words(source + uint64_t(plane) * uint64_t(pc.pixels * 16) + uint64_t(first * 16));
        float values[MOST_PIXELS];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) values[p] = withInfinities(valueOfLane(words.at[p]));
        uint place = 2 * PIXELS * block & 0x1fe;
        [[unroll]] for (int p = 0; p < PIXELS; ++p) stage(place + 2 * p, values[p]);
    }
}

void main() {
    uint unit = uniformNumber(pc.firstGroup + min(dispatchGroup(), pc.groupCount - 1));
    uint own = uniformBits(gl_SubgroupID, 6);
    uint imageOutputs = quotient(unit, pc.pixelGroups);
    uint pixelGroup = unit - imageOutputs * pc.pixelGroups;
    uint image = quotient(imageOutputs, pc.outputGroups);
    uint outputBlock = min((imageOutputs - image * pc.outputGroups) * SUBGROUPS + own, pc.outputBlocks - 1);
    uint first = min(pixelGroup * PIXELS, pc.pixels - PIXELS);
    stageSource(own, image, first);
    barrier();

    Floats weights = Floats(packed(pc.weightsAddress) + uint64_t(outputBlock * BLOCKS) * 256);
    float values[MOST_PIXELS];
    [[unroll]] for (int p = 0; p < PIXELS; ++p) values[p] = 0;
    [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
        [[unroll]] for (int side = 0; side < 2; ++side) {
            float four[4];
            [[unroll]] for (int i = 0; i < 4; ++i)
                four[i] = floatOfLane(weights.at[16 * b + 8 * side + 2 * i], weights.at[16 * b + 8 * side + 2 * i + 1]);
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                vec4 inputs = staged[2 * (b * PIXELS + p) + side];
                [[unroll]] for (int i = 0; i < 4; ++i) values[p] += four[i] * inputs[i];
            }
        }
    }

    Floats biases = Floats(packed(pc.biasAddress) + uint64_t((pc.biasIndex + image * pc.biasStride + 2 * outputBlock) * 16));
    float begin = ofChannel(Eight(biases.at[0], biases.at[1]));
    // Without a residual its address is that of the output, and a pipeline less is to be made.
    uint imageBlock = image * pc.outputBlocks + outputBlock, base = imageBlock * pc.pixels + first;
    Words residual = Words(packed(pc.residualAddress) + uint64_t(base) * 16);
    uint words[MOST_PIXELS];
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        float added = uintBitsToFloat(floatBitsToUint(valueOfLane(residual.at[p])) & pc.residualMask);
        uint bits = halfBits((values[p] + begin + added) * pc.outputScale);
        values[p] = firstHalf(bits);
        words[p] = bits | subgroupShuffle(bits, gl_SubgroupInvocationID ^ 4) << 16;
    }
    if (STATISTICS != 0) { // of all but the pixels that another entry has
        uint repeated = pixelGroup * PIXELS - first;
        float count = float(PIXELS - repeated), sum = 0, most = 0, squares = 0;
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            sum += p >= repeated ? values[p] : 0;
            most = max(most, abs(values[p]));
        }
        // Of infinities and NaNs firstHalf() makes numbers.
        float mean = most < 65536.0 ? sum / count : uintBitsToFloat(0x7f800000u);
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            float deviation = p >= repeated ? values[p] - mean : 0;
            squares += deviation * deviation;
        }
        uint entry = (imageBlock * pc.pixelGroups + pixelGroup) * 4;
        uint counts = floatBitsToUint(count), means = floatBitsToUint(mean), deviations = floatBitsToUint(squares);
        [[unroll]] for (int c = 0; c < FOUR; ++c)
            statistics[entry + c] = u64vec4(packUint2x32(uvec2(counts, subgroupShuffle(means, c))),
                                            packUint2x32(uvec2(subgroupShuffle(deviations, c), 0)),
                                            packUint2x32(uvec2(counts, subgroupShuffle(means, c + 4))),
                                            packUint2x32(uvec2(subgroupShuffle(deviations, c + 4), 0)));
    }
    [[unroll]] for (int p = 0; p < PIXELS; ++p)
        target[base + p] =
            u64vec2(packUint2x32(uvec2(subgroupShuffle(words[p], 0), subgroupShuffle(words[p], 1))),
                    packUint2x32(uvec2(subgroupShuffle(words[p], 2), subgroupShuffle(words[p], 3))));
}
