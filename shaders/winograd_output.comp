// out = (A^T M A + bias + residual) * outputScale, see winograd.glsl.
//
//   source              M
//   bias, residual      as in conv2d.comp
//   target, statistics  as in conv2d.comp; a tile of statistics is an entry
//
// Eight neighbouring invocations make one block of eight channels of tileLoops times eight neighbouring tiles.
// Workgroup: eight such units; groups = ceil(entries of the band * outputBlocks / 8), entries fastest.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "winograd.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int RESIDUAL = 0; // 0 none, 1 same size, 2 nearest x2
layout(constant_id = 1) const int STATISTICS = 0;
// Loops end at constants that only the driver knows: unrolled there, the module stays small.
layout(constant_id = 2) const int POINTS = 6; // 5 where the input is doubled
layout(constant_id = 3) const int FOUR = 4;
layout(constant_id = 4) const int PARTS = 1; // of M

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint outputHeight, outputWidth;
    uint outputBlocks;
    uint tilesPerRow, tilesPerImage;
    uint entriesPerImage, tileLoops;
    uint firstEntry; // of the band
    uint columns;
    uint biasIndex;  // of the row's first vec4
    uint biasStride; // vec4 from an image's row to the next one's; 0: one row for all
    float outputScale;
    uint residualHeight, residualWidth;
} pc;

TENSOR(0, source)
TENSOR(1, bias) // fp32 bits
TENSOR(2, residual)
layout(binding = 3, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 4, std430) writeonly buffer Statistics { vec4 statistics[]; };

TIMES_A(vec4)

void timesAOfPoints(vec4 m[6], out vec4 y[4]) {
    if (POINTS == 6) {
        timesA(m[0], m[1], m[2], m[3], m[4], m[5], y[0], y[1], y[2], y[3]);
    } else {
        y[0] = m[0] + m[1] - m[3];
        y[1] = m[1] + m[2];
        y[2] = m[1] + m[3];
        y[3] = m[1] - m[2] + m[4];
    }
}

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint entries = pc.columns / (8 * pc.tileLoops);
    uint block = unit / entries;
    uint bandEntry = unit - block * entries;
    bool live = number < pc.groupCount && block < pc.outputBlocks;
    uint entry = pc.firstEntry + bandEntry;
    uint image = entry / pc.entriesPerImage;
    uint imageEntry = entry - image * pc.entriesPerImage;
    uint outputBase = (image * pc.outputBlocks + block) * pc.outputHeight * pc.outputWidth;
    uint residualBase = (image * pc.outputBlocks + block) * pc.residualHeight * pc.residualWidth;
    uint biasBlock = pc.biasIndex + image * pc.biasStride + 2 * min(block, pc.outputBlocks - 1);

    float count = 0;
    float means[8], deviations[8]; // of the tiles walked so far
    [[unroll]] for (int o = 0; o < 8; ++o)
        means[o] = deviations[o] = 0;

    uint tileLoop = 0;
    do {
        uint tile = (imageEntry * pc.tileLoops + tileLoop) * 8 + lane;
        uint tileY = tile / pc.tilesPerRow;
        uint y = 4 * tileY, x = 4 * (tile - tileY * pc.tilesPerRow);
        bool real = live && tile < pc.tilesPerImage;
        uint column = (bandEntry * pc.tileLoops + tileLoop) * 8 + lane;

        vec4 outputs[2][4][4]; // [low, high channels][row][column]
        [[unroll]] for (int h = 0; h < 2; ++h) {
            vec4 begin = uintBitsToFloat(FETCH(bias, biasBlock + h));
            vec4 halfDone[6][4];
            uint place = live ? 2 * (block * pc.columns + column) + h : 0;
            uint step = live ? 2 * positionStep(pc.outputBlocks, pc.columns) : 0;
            [[unroll]] for (int i = 0; i < POINTS; ++i) {
                vec4 m[6];
                [[unroll]] for (int j = 0; j < POINTS; ++j) {
                    m[j] = uintBitsToFloat(FETCH(source, place + (POINTS * i + j) * step));
                    [[unroll]] for (int part = 1; part < PARTS; ++part)
                        m[j] += uintBitsToFloat(FETCH(source, place + (POINTS * (POINTS * part + i) + j) * step));
                }
                timesAOfPoints(m, halfDone[i]);
            }
            [[unroll]] for (int j = 0; j < FOUR; ++j) {
                vec4 m[6], y[4];
                [[unroll]] for (int i = 0; i < POINTS; ++i) m[i] = halfDone[i][j];
                timesAOfPoints(m, y);
                [[unroll]] for (int i = 0; i < FOUR; ++i) outputs[h][i][j] = y[i] + begin;
            }
        }

        float own = 0; // pixels of this tile that are in the map
        [[unroll]] for (int i = 0; i < FOUR; ++i) {
            [[unroll]] for (int j = 0; j < FOUR; ++j) {
                bool inside = real && y + i < pc.outputHeight && x + j < pc.outputWidth;
                Eight value = Eight(outputs[0][i][j], outputs[1][i][j]);
                if (RESIDUAL != 0) {
                    uint shift = RESIDUAL - 1;
                    uint place = residualBase + ((y + i) >> shift) * pc.residualWidth + ((x + j) >> shift);
                    Eight added = unpackEight(FETCH(residual, inside ? place : 0));
                    value.low += added.low;
                    value.high += added.high;
                }
                value.low *= pc.outputScale;
                value.high *= pc.outputScale;
                uvec4 words = packEightInSteps(value);
                if (inside)
                    target[outputBase + (y + i) * pc.outputWidth + x + j] = words;
                if (STATISTICS != 0) {
                    own += inside ? 1 : 0;
                    Eight stored = unpackEight(words);
                    outputs[0][i][j] = inside ? stored.low : vec4(0);
                    outputs[1][i][j] = inside ? stored.high : vec4(0);
                }
            }
        }
        // Mean and deviations of these tiles, then both sets combined, see combineStatistics.
        if (STATISTICS != 0) {
            float here = sumOfLanes(own);
            float share = here / max(count + here, 1);
            [[unroll]] for (int o = 0; o < 8; ++o) {
                float sum = 0, squares = 0;
                [[unroll]] for (int i = 0; i < FOUR; ++i)
                    [[unroll]] for (int j = 0; j < FOUR; ++j)
                        sum += outputs[o >> 2][i][j][o & 3];
                float mean = sumOfLanes(sum) / max(here, 1);
                [[unroll]] for (int i = 0; i < FOUR; ++i)
                    [[unroll]] for (int j = 0; j < FOUR; ++j) {
                        bool inside = real && y + i < pc.outputHeight && x + j < pc.outputWidth;
                        float deviation = inside ? outputs[o >> 2][i][j][o & 3] - mean : 0;
                        squares += deviation * deviation;
                    }
                float delta = mean - means[o];
                means[o] += delta * share;
                deviations[o] += sumOfLanes(squares) + delta * delta * (count * share);
            }
            count += here;
        }
    } while (++tileLoop < pc.tileLoops);

    if (STATISTICS != 0) {
        // Lane l writes the entry of channel l.
        float mean = means[0], deviation = deviations[0];
        [[unroll]] for (int o = 1; o < 8; ++o) {
            mean = lane == o ? means[o] : mean;
            deviation = lane == o ? deviations[o] : deviation;
        }
        if (live)
            statistics[((image * pc.outputBlocks + block) * pc.entriesPerImage + imageEntry) * 8 + lane] =
                vec4(count, mean, deviation, 0);
    }
}
