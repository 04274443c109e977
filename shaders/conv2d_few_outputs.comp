// The convolution of conv2d.comp (same formula, bindings but for the weights, push constants) for software devices, 3x3 with
// stride 1 and a column of padding to each side, one source, a port of at most four channels, no residual.
//
//   weights  [3 rows][blocks0][2][8 lanes] uvec4: of input channel `lane` four outputs of column 0, then of column 1; of
//            column 2, then nothing
//
// A pixel is loaded once for the three columns of a row: what each of them gives is summed by itself, and the sums are put
// together one pixel to the left and to the right at the end. Eight invocations make 62 neighbouring pixels, numbered over
// the map, of the 64 that they sum up: lane l the pixels l, l + 8, ... Workgroup: eight of those 62; groups =
// N * ceil(tiles / 8) with tiles = ceil(pixels / 62).
// Features: subgroup operations basic and shuffle, subgroups of 8 or more. What is read comes through texel buffers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "conv2d_interface.glsl"
#include "lanes.glsl"

layout(constant_id = 8) const int OUTPUTS = 3; // at most 4
layout(constant_id = 9) const int PIXELS = 8; // unrolled by the driver

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint group = pc.firstGroup + number;
    uint groupsPerImage = (pc.tiles + 7) >> 3;
    uint image = group / groupsPerImage;
    uint tile = (group - image * groupsPerImage) * 8 + eightNumber();
    uint plane = pc.outputHeight * pc.outputWidth;
    bool live = number < pc.groupCount && tile < pc.tiles;

    int pixels[8], ys[8], xs[8];
    [[unroll]] for (int p = 0; p < PIXELS; ++p) {
        pixels[p] = int(tile * 62 + lane + 8 * p) - 1; // -1 and what is behind the map are nobody's neighbours
        ys[p] = int(uint(max(pixels[p], 0)) / pc.outputWidth);
        xs[p] = max(pixels[p], 0) - ys[p] * int(pc.outputWidth);
    }
    float sums[3][4][8]; // [column of the kernel][output][pixel]
    [[unroll]] for (int kx = 0; kx < 3; ++kx)
        [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
            [[unroll]] for (int p = 0; p < PIXELS; ++p)
                sums[kx][o][p] = 0;
    int ky = 0;
    if (live) do {
        uint places[8];
        bool inside[8];
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            uint row = uint(ys[p] + ky - pc.padTop);
            inside[p] = row < pc.inputHeight;
            places[p] = image * pc.blocks0 * pc.inputHeight * pc.inputWidth + row * pc.inputWidth + uint(xs[p]);
        }
        uint block = 0;
        do {
            uint weightIndex = (ky * pc.blocks0 + block) * 16 + lane;
            uvec4 own = FETCH(weights, weightIndex), ownLast = FETCH(weights, weightIndex + 8);
            float inputs[8][8]; // [pixel][channel]
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                Eight value =
                    unpackEight(loadInput(false, inside[p], places[p] + block * pc.inputHeight * pc.inputWidth));
                [[unroll]] for (int i = 0; i < 8; ++i)
                    inputs[p][i] = i < 4 ? value.low[i & 3] : value.high[i & 3];
            }
            [[unroll]] for (int kx = 0; kx < 3; ++kx) {
                uvec2 pair = kx == 0 ? own.xy : kx == 1 ? own.zw : ownLast.xy;
                vec4 four = vec4(unpackHalf2x16(pair.x), unpackHalf2x16(pair.y));
                [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
                    [[unroll]] for (int i = 0; i < 8; ++i) {
                        float weight = subgroupShuffle(four[o], i);
                        [[unroll]] for (int p = 0; p < PIXELS; ++p)
                            sums[kx][o][p] += weight * inputs[p][i];
                    }
                }
            }
        } while (++block < pc.blocks0);
    } while (++ky < 3);

    uint before = gl_SubgroupInvocationID & ~7 | (lane + 7) & 7, behind = gl_SubgroupInvocationID & ~7 | (lane + 1) & 7;
    uint biasPlace = pc.biasIndex + (live ? image : 0) * pc.biasStride;
    vec4 begin = uintBitsToFloat(FETCH(bias, biasPlace));
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
            float left = subgroupShuffle(sums[0][o][p], before), leftEight = subgroupShuffle(sums[0][o][max(p - 1, 0)], before);
            float right = subgroupShuffle(sums[2][o][p], behind);
            float rightEight = subgroupShuffle(sums[2][o][min(p + 1, PIXELS - 1)], behind);
            left = lane == 0 ? leftEight : left;
            right = lane == 7 ? rightEight : right;
            float value = sums[1][o][p] + begin[o];
            value += xs[p] > 0 ? left : 0;
            value += xs[p] + 1 < int(pc.outputWidth) ? right : 0;
            uint place = lane + 8 * p; // of 64
            if (live && place >= 1 && place <= 62 && pixels[p] < int(plane))
                targetPort[(image * pc.outputChannels + o) * plane + pixels[p]] = value * pc.outputScale;
        }
    }
}
