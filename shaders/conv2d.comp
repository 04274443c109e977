// out = (conv(resample(concat(source0, source1))) + bias + resample(residual)) * outputScale
//
// Register-tiled direct convolution: an invocation makes 8 output channels of PIXELS neighbouring pixels of one row
// (a segment). No subgroups; shared memory only to reduce the statistics.
//
//   source0, source1  [N][blocks][H][W] uvec4      each source is padded to its own blocks of 8 channels
//   weights           [outputBlock][ky][source, block][kx][8 inputs] uvec4 of 8 outputs
//   bias              [rows][outputBlocks] two vec4
//   residual          activation, of the output's size, half of it (nearest x2) or double (average 2x2)
//   target            activation, or planar fp32 when OUTPUT_PORT
//   statistics        [N][outputBlocks][tiles][8] vec4 (count, mean, sum of squared deviations, 0), of stored values
//
// Workgroup: 64 segments x tileLoops of one image for one output block; groups = N * tiles * outputBlocks, output
// block fastest. Dead segments run no loop iteration. Features: none.
//
// Variants: PIXELS 4 (default) or 8 (wide: software devices); ROW3: 3 columns, stride 1: pixels of a kernel row are
// loaded once for its three taps. Otherwise any kernel and stride.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "statistics.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int KERNEL_HEIGHT = 3;
layout(constant_id = 1) const int KERNEL_WIDTH = 3;
layout(constant_id = 2) const int STRIDE = 1;
layout(constant_id = 3) const int UPSAMPLE = 0; // 1: the input is doubled by nearest neighbour
layout(constant_id = 4) const int SOURCES = 1;
layout(constant_id = 5) const int RESIDUAL = 0; // 0 none, 1 same size, 2 nearest x2, 3 average 2x2
layout(constant_id = 6) const int OUTPUT_PORT = 0;
layout(constant_id = 7) const int STATISTICS = 0;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // as stored
    uint outputHeight, outputWidth;
    uint outputChannels, outputBlocks;
    uint blocks0, blocks1;
    uint tiles;          // per image
    uint tileLoops;      // 64 segments each
    uint segmentsPerRow; // ceil(outputWidth / PIXELS)
    int padTop, padLeft;
    uint biasIndex; // of the row's first vec4
    float outputScale;
    uint residualHeight, residualWidth;
} pc;

layout(binding = 0, std430) readonly buffer Source0 { uvec4 source0[]; };
layout(binding = 1, std430) readonly buffer Source1 { uvec4 source1[]; };
layout(binding = 2, std430) readonly buffer Weights { uvec4 weights[]; };
layout(binding = 3, std430) readonly buffer Bias { vec4 bias[]; };
layout(binding = 4, std430) readonly buffer Residual { uvec4 residual[]; };
layout(binding = 5, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 5, std430) writeonly buffer TargetPort { float targetPort[]; };
layout(binding = 6, std430) writeonly buffer Statistics { vec4 statistics[]; };

// Eight channels of an input pixel as stored, or zero outside of the map, without a branch that parts invocations.
uvec4 loadInput(bool second, bool inside, uint index) {
    uint place = inside ? index : 0;
    uvec4 loaded;
    if (second)
        loaded = source1[place];
    else
        loaded = source0[place];
    return inside ? loaded : uvec4(0);
}

Eight addedResidual(uint image, uint outputBlock, uint y, uint x) {
    uint base = (image * pc.outputBlocks + outputBlock) * pc.residualHeight * pc.residualWidth;
    if (RESIDUAL == 2)
        return unpackEight(residual[base + (y >> 1) * pc.residualWidth + (x >> 1)]);
    if (RESIDUAL == 3) {
        uint index = base + 2 * y * pc.residualWidth + 2 * x;
        Eight a = unpackEight(residual[index]), b = unpackEight(residual[index + 1]);
        Eight c = unpackEight(residual[index + pc.residualWidth]);
        Eight d = unpackEight(residual[index + pc.residualWidth + 1]);
        return Eight(((a.low + b.low) + (c.low + d.low)) * 0.25, ((a.high + b.high) + (c.high + d.high)) * 0.25);
    }
    return unpackEight(residual[base + y * pc.residualWidth + x]);
}

void storePort(uint image, uint outputBlock, uint y, uint x, Eight value) {
    uint plane = pc.outputHeight * pc.outputWidth;
    uint channel = 8 * outputBlock;
    uint index = (image * pc.outputChannels + channel) * plane + y * pc.outputWidth + x;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        if (channel + i < pc.outputChannels)
            targetPort[index + i * plane] = value.low[i];
        if (channel + 4 + i < pc.outputChannels)
            targetPort[index + (4 + i) * plane] = value.high[i];
    }
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint outputBlock = group % pc.outputBlocks;
    uint imageTile = group / pc.outputBlocks;
    uint image = imageTile / pc.tiles;
    uint tile = imageTile - image * pc.tiles;

    uint inputPlane = pc.inputHeight * pc.inputWidth;
    uint inputRows = pc.inputHeight << UPSAMPLE;
    uint inputColumns = pc.inputWidth << UPSAMPLE;
    uint segments = groupLive ? pc.outputHeight * pc.segmentsPerRow : 0;
    uint blocks = pc.blocks0 + pc.blocks1;
    uint weightsPerBlock = blocks * KERNEL_HEIGHT * KERNEL_WIDTH * 8;

    EightStatistics gathered = noStatistics();
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint segment = (tile * pc.tileLoops + tileLoop) * LOCAL_SIZE + local;
        bool live = segment < segments;
        uint y = segment / pc.segmentsPerRow;
        uint x0 = (segment - y * pc.segmentsPerRow) * PIXELS;

        Eight sums[PIXELS];
        {
            Eight start = Eight(bias[pc.biasIndex + 2 * outputBlock], bias[pc.biasIndex + 2 * outputBlock + 1]);
            [[unroll]] for (int p = 0; p < PIXELS; ++p)
                sums[p] = start;
        }

#if ROW3
        uint columns[PIXELS + 2];
        bool columnInside[PIXELS + 2];
        [[unroll]] for (int j = 0; j < PIXELS + 2; ++j) {
            int column = int(x0) + j - pc.padLeft;
            columnInside[j] = uint(column) < inputColumns;
            columns[j] = uint(column) >> UPSAMPLE;
        }
#endif
        uint weightIndex = outputBlock * weightsPerBlock;
        int rows = live ? KERNEL_HEIGHT : 0;
        for (int ky = 0; ky < rows; ++ky) {
            int row = int(y) * STRIDE + ky - pc.padTop;
            bool rowInside = uint(row) < inputRows;
            uint rowBase = (uint(row) >> UPSAMPLE) * pc.inputWidth;
            for (uint block = 0; block < blocks; ++block) {
                bool second = SOURCES == 2 && block >= pc.blocks0;
                uint base = second ? (image * pc.blocks1 + block - pc.blocks0) * inputPlane
                                   : (image * pc.blocks0 + block) * inputPlane;
#if ROW3
                uvec4 pixels[PIXELS + 2];
                [[unroll]] for (int j = 0; j < PIXELS + 2; ++j)
                    pixels[j] = loadInput(second, rowInside && columnInside[j], base + rowBase + columns[j]);
                for (int kx = 0; kx < 3; ++kx) {
#else
                for (int kx = 0; kx < KERNEL_WIDTH; ++kx) {
                    uvec4 pixels[PIXELS];
                    [[unroll]] for (int j = 0; j < PIXELS; ++j) {
                        int column = (int(x0) + j) * STRIDE + kx - pc.padLeft;
                        pixels[j] = loadInput(second, rowInside && uint(column) < inputColumns,
                                              base + rowBase + (uint(column) >> UPSAMPLE));
                    }
#endif
                    [[unroll]] for (int pair = 0; pair < 4; ++pair) {
                        Eight even = unpackEight(weights[weightIndex + 2 * pair]);
                        Eight odd = unpackEight(weights[weightIndex + 2 * pair + 1]);
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            vec2 x = unpackHalf2x16(pixels[p][pair]);
                            sums[p].low += x.x * even.low + x.y * odd.low;
                            sums[p].high += x.x * even.high + x.y * odd.high;
                        }
                    }
                    weightIndex += 8;
#if ROW3
                    [[unroll]] for (int j = 0; j < PIXELS + 1; ++j)
                        pixels[j] = pixels[j + 1];
#endif
                }
            }
        }

        if (live) {
            Eight stored[PIXELS];
            EightStatistics here = noStatistics();
            [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                uint x = x0 + p;
                stored[p] = Eight(vec4(0), vec4(0));
                if (x < pc.outputWidth) {
                    Eight value = sums[p];
                    if (RESIDUAL != 0) {
                        Eight added = addedResidual(image, outputBlock, y, x);
                        value.low += added.low;
                        value.high += added.high;
                    }
                    value.low *= pc.outputScale;
                    value.high *= pc.outputScale;
                    if (OUTPUT_PORT != 0) {
                        storePort(image, outputBlock, y, x, value);
                    } else {
                        uvec4 words = packEight(value);
                        target[((image * pc.outputBlocks + outputBlock) * pc.outputHeight + y) * pc.outputWidth + x] =
                            words;
                        stored[p] = unpackEight(words);
                        here.count += 1;
                    }
                }
            }
            if (STATISTICS != 0) {
                [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                    here.mean[0] += stored[p].low;
                    here.mean[1] += stored[p].high;
                }
                here.mean[0] /= here.count;
                here.mean[1] /= here.count;
                [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                    if (x0 + p < pc.outputWidth) {
                        vec4 low = stored[p].low - here.mean[0], high = stored[p].high - here.mean[1];
                        here.deviations[0] += low * low;
                        here.deviations[1] += high * high;
                    }
                }
                combineEight(gathered, here);
            }
        }
    }

    if (STATISTICS != 0) {
        vec4 entry = reduceStatistics(local, gathered);
        if (groupLive && local < 8)
            statistics[((image * pc.outputBlocks + outputBlock) * pc.tiles + tile) * 8 + local] = entry;
    }
}
