// Winograd F(4x4, 3x3), see winograd.glsl, of few channels in one dispatch: a workgroup has V and then M of TILES tiles in
// shared memory. out = (A^T M A + bias + residual) * outputScale.
//
//   source0, source1  as in conv2d.comp; with NORMALISE as in groupnorm.comp, and source1 begins with a block
//   weights           U, [PARTS][36][8 BLOCKS inputs][OUTPUT_BLOCKS][8 outputs] float
//   bias, residual    as in conv2d.comp, the residual of the output's size
//   coefficients      with NORMALISE, what groupnorm_coefficients.comp made
//   target            as in conv2d.comp, of the input's height and width
//   statistics        as there; an entry is of a workgroup. Always made: few are not wanted, and those would need a pipeline
//                     of their own
//
// The eight invocations of a subgroup are eight channels, inputs and outputs in the order of channelOfLane(). Each of twelve
// subgroups transforms a block of a tile, then multiplies at three positions, then makes a block of outputs of a tile;
// where there are fewer blocks times tiles some do what another does. More outputs than inputs are made in parts by workgroups
// side by side, each of which transforms the inputs. Groups = N * ceil(tiles of the map / TILES) * PARTS, parts fastest; the last
// of an image may repeat its last tile, and what is numbered beyond the last workgroup repeats that.
// Features: subgroup operations basic and shuffle, subgroups of exactly 8; device addresses, 64-bit integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

const int SUBGROUPS = 12;

layout(local_size_x = 96) in;

layout(constant_id = 0) const int BLOCKS = 4;        // of inputs, at most 6
layout(constant_id = 1) const int OUTPUT_BLOCKS = 4; // of a part, at most BLOCKS
layout(constant_id = 2) const int TILES = 3;         // SUBGROUPS / BLOCKS
layout(constant_id = 3) const int SOURCES = 1;
// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 4) const int SIX = 6;
layout(constant_id = 5) const int FOUR = 4;
layout(constant_id = 6) const int POSITIONS = 3; // of a subgroup
layout(constant_id = 7) const int PARTS = 1;     // of the outputs
layout(constant_id = 8) const int SCATTER = 0;
#if NORMALISE
layout(constant_id = 9) const int ACTIVATION = 0; // mote::ActivationFunction
#endif
#define SIDE SIX
#define WIDTH SIX
#define MOST_WIDTH 6

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // and of the output
    uint blocks0;
    uint tilesPerRow, tilesPerImage, groupsPerImage;
    uint padding;    // top, left in the high half, in the highest bit whether there is a residual
    uint biasIndex;  // of the row's first vec4
    uint biasStride; // vec4 from an image's row to the next one's; 0: one row for all
    float outputScale;
    uint digits[8];
    uvec2 source0Address, source1Address, weightsAddress, biasAddress, residualAddress, coefficientsAddress;
}
pc;

#define DIGIT_BITS 3
#include "uniform_addresses.glsl"
#include "winograd_source.glsl"

layout(binding = 6, std430) writeonly buffer Target { u64vec2 target[]; };
layout(binding = 7, std430) writeonly buffer Statistics { u64vec4 statistics[]; };

// V, [36][block][tile][8], then at each position M in its place, [output block][tile][8].
shared vec4 staged[36 * SUBGROUPS * 2];
shared vec4 moments[SUBGROUPS * 4]; // [output block][tile]: means of eight channels, deviations

TIMES_A(float)

#include "staging.glsl"

void readSource(uint own, uint image, uint firstTile) {
    uint unit = min(own, uint(BLOCKS * TILES - 1));
    uint block = quotient(unit, uint(TILES));
    uint tile = min(firstTile + unit - block * TILES, pc.tilesPerImage - 1);
    uint tileY = quotient(tile, pc.tilesPerRow);
    int top = int(4 * tileY) - int(pc.padding & 0xffff);
    int left = int(4 * (tile - tileY * pc.tilesPerRow)) - int((pc.padding >> 16) & 0x7fff);
    float scale = 1, offset = 0;
#if NORMALISE
    Floats coefficients = Floats(packed(pc.coefficientsAddress) + uint64_t((image * BLOCKS + block) * 64));
    scale = ofChannel(Eight(coefficients.at[0], coefficients.at[1]));
    offset = ofChannel(Eight(coefficients.at[2], coefficients.at[3]));
#endif
    uint64_t source = packed(pc.source0Address);
    uint ownBlocks = pc.blocks0, ownBlock = block;
    if (SOURCES == 2) {
        bool second = block >= pc.blocks0;
        source = packed(mix(pc.source0Address, pc.source1Address, bvec2(second)));
        ownBlocks = mix(pc.blocks0, BLOCKS - pc.blocks0, second);
        ownBlock = mix(block, block - pc.blocks0, second);
    }
    source += uint64_t(image * ownBlocks + ownBlock) * uint64_t(pc.inputHeight * pc.inputWidth * 16);
    uint place = 2 * unit & 0x1e;
    float d[6][6];
    readTile(source, top, left, scale, offset, d);
    transformTile(d);
    [[unroll]] for (int i = 0; i < SIX; ++i)
        [[unroll]] for (int j = 0; j < SIX; ++j) stage(2 * (6 * i + j) * (BLOCKS * TILES) + place, d[i][j]);
}

void multiply(uint own, uint part) {
    [[unroll]] for (int p = 0; p < POSITIONS; ++p) {
        uint position = own * POSITIONS + p;
        uint place = position * (2 * BLOCKS * TILES) & 0x3fe;
        Floats weights = Floats(packed(pc.weightsAddress) + uint64_t((part * 36 + position) * (8 * BLOCKS * OUTPUT_BLOCKS * 32)));
        float sums[12];
        [[unroll]] for (int n = 0; n < OUTPUT_BLOCKS * TILES; ++n) sums[n] = 0;
        [[unroll]] for (int b = 0; b < BLOCKS; ++b) {
            [[unroll]] for (int i = 0; i < 8; ++i) {
                [[unroll]] for (int o = 0; o < OUTPUT_BLOCKS; ++o) {
                    int at = ((8 * b + i) * OUTPUT_BLOCKS + o) * 2;
                    float weight = floatOfLane(weights.at[at], weights.at[at + 1]);
                    [[unroll]] for (int t = 0; t < TILES; ++t)
                        sums[o * TILES + t] += weight * staged[place + 2 * (b * TILES + t) + i / 4][i & 3];
                }
            }
        }
        [[unroll]] for (int n = 0; n < OUTPUT_BLOCKS * TILES; ++n) stage(place + 2 * n, sums[n]);
    }
}

void writeOutput(uint own, uint image, uint part, uint firstTile) {
    uint unit = min(own, uint(OUTPUT_BLOCKS * TILES - 1));
    uint block = quotient(unit, uint(TILES));
    uint ownTile = firstTile + unit - block * TILES;
    uint tile = min(ownTile, pc.tilesPerImage - 1);
    uint tileY = quotient(tile, pc.tilesPerRow);
    uint y = 4 * tileY, x = 4 * (tile - tileY * pc.tilesPerRow);
    uint rows = min(pc.inputHeight - y, 4), columns = min(pc.inputWidth - x, 4);
    uint outputBlock = part * OUTPUT_BLOCKS + block, imageBlock = image * (PARTS * OUTPUT_BLOCKS) + outputBlock;

    Floats biases = Floats(packed(pc.biasAddress) + uint64_t((pc.biasIndex + image * pc.biasStride + 2 * outputBlock) * 16));
    float begin = ofChannel(Eight(biases.at[0], biases.at[1]));
    float done[6][4], outputs[4][4];
    [[unroll]] for (int i = 0; i < SIX; ++i) {
        float m[6];
        [[unroll]] for (int j = 0; j < SIX; ++j) {
            uint place = 2 * (6 * i + j) * (BLOCKS * TILES) + (2 * unit & 0x1e);
            m[j] = floatOfLane(staged[place], staged[place + 1]);
        }
        timesA(m[0], m[1], m[2], m[3], m[4], m[5], done[i][0], done[i][1], done[i][2], done[i][3]);
    }
    [[unroll]] for (int j = 0; j < FOUR; ++j)
        timesA(done[0][j], done[1][j], done[2][j], done[3][j], done[4][j], done[5][j], outputs[0][j], outputs[1][j],
               outputs[2][j], outputs[3][j]);

    // Without a residual its address is that of the output, and a pipeline less is to be made.
    uint residualMask = 0 - (pc.padding >> 31);
    uint first = imageBlock * (pc.inputHeight * pc.inputWidth) + y * pc.inputWidth + x;
    uint places[4][4], words[4][4];
    float sum = 0, most = 0;
    [[unroll]] for (int i = 0; i < FOUR; ++i) {
        [[unroll]] for (int j = 0; j < FOUR; ++j) {
            places[i][j] = first + min(i, rows - 1) * pc.inputWidth + min(j, columns - 1);
            float value = outputs[i][j] + begin;
            float added = valueOfLane(Words(packed(pc.residualAddress) + uint64_t(places[i][j]) * 16).at[0]);
            value += uintBitsToFloat(floatBitsToUint(added) & residualMask);
            uint bits = halfBits(value * pc.outputScale);
            outputs[i][j] = firstHalf(bits);
            most = max(most, abs(outputs[i][j]));
            words[i][j] = bits | subgroupShuffle(bits, gl_SubgroupInvocationID ^ 4) << 16;
            sum += i < rows && j < columns ? outputs[i][j] : 0;
        }
    }
    // Of infinities and NaNs firstHalf() makes numbers.
    float mean = most < 65536.0 ? sum / float(rows * columns) : uintBitsToFloat(0x7f800000u), squares = 0;
    [[unroll]] for (int i = 0; i < FOUR; ++i) {
        [[unroll]] for (int j = 0; j < FOUR; ++j) {
            float deviation = i < rows && j < columns ? outputs[i][j] - mean : 0;
            squares += deviation * deviation;
        }
    }
    uint moment = 4 * unit & 0x3c;
    moments[moment] = lowOfLanes(mean);
    moments[moment + 1] = highOfLanes(mean);
    moments[moment + 2] = lowOfLanes(squares);
    moments[moment + 3] = highOfLanes(squares);
    // A pixel outside of the map has the place of the nearest one inside, which is stored after it.
    [[unroll]] for (int i = FOUR - 1; i >= 0; --i) {
        [[unroll]] for (int j = FOUR - 1; j >= 0; --j) {
            uint word = words[i][j];
            target[places[i][j]] =
                u64vec2(packUint2x32(uvec2(subgroupShuffle(word, 0), subgroupShuffle(word, 1))),
                        packUint2x32(uvec2(subgroupShuffle(word, 2), subgroupShuffle(word, 3))));
        }
    }
}

// Of all tiles of the workgroup that are in the image.
void writeStatistics(uint own, uint image, uint part, uint group, uint firstTile) {
    uint block = own - quotient(own, uint(OUTPUT_BLOCKS)) * OUTPUT_BLOCKS;
    float count = 0, mean = 0, deviations = 0;
    [[unroll]] for (int t = 0; t < TILES; ++t) {
        uint tile = firstTile + t, tileY = quotient(tile, pc.tilesPerRow);
        uint tileX = tile - tileY * pc.tilesPerRow;
        uint rows = min(pc.inputHeight - min(4 * tileY, pc.inputHeight), 4);
        uint columns = min(pc.inputWidth - min(4 * tileX, pc.inputWidth), 4);
        uint place = 4 * (block * TILES + t) & 0x3c;
        float squares = floatOfLane(moments[place + 2], moments[place + 3]);
        combineStatistics(count, mean, deviations, float(rows * columns),
                          floatOfLane(moments[place], moments[place + 1]), rows * columns != 0 ? squares : 0);
    }
    uint entry = (((image * PARTS + part) * OUTPUT_BLOCKS + block) * pc.groupsPerImage + group) * 4;
    uint counts = floatBitsToUint(count), means = floatBitsToUint(mean), squares = floatBitsToUint(deviations);
    [[unroll]] for (int c = 0; c < FOUR; ++c)
        statistics[entry + c] = u64vec4(packUint2x32(uvec2(counts, subgroupShuffle(means, c))),
                                        packUint2x32(uvec2(subgroupShuffle(squares, c), 0)),
                                        packUint2x32(uvec2(counts, subgroupShuffle(means, c + 4))),
                                        packUint2x32(uvec2(subgroupShuffle(squares, c + 4), 0)));
}

void main() {
    uint group = uniformNumber(pc.firstGroup + min(dispatchGroup(), pc.groupCount - 1));
    uint own = uniformBits(gl_SubgroupID, 4);
    uint part = 0;
    if (PARTS > 1) {
        uint whole = quotient(group, uint(PARTS));
        part = group - whole * PARTS;
        group = whole;
    }
    uint image = quotient(group, pc.groupsPerImage);
    group -= image * pc.groupsPerImage;
    uint firstTile = group * TILES;
    readSource(own, image, firstTile);
    barrier();
    multiply(own, part);
    barrier();
    writeOutput(own, image, part, firstTile);
    barrier();
    writeStatistics(own, image, part, group, firstTile);
}
