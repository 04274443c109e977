// The convolution of conv2d.comp, of stride 1, through shared memory: a candidate for devices that read it
// faster than their caches (Adreno, desktop GPUs).
//
// A workgroup makes 64 pixels (TILE_HEIGHT x TILE_WIDTH) of 4 output blocks; an invocation 4 pixels of a row
// of one of them. For CHUNK input blocks at a time, all load the pixels that the tile touches and the weights
// of the 4 output blocks once, and then multiply out of shared memory: an input pixel is loaded 1.6 times for
// 32 outputs, where conv2d.comp loads it 4.5 times for 8.
//
// Layouts as in conv2d.comp; pc.segmentsPerRow: tiles of a row. Workgroup: tileLoops tiles of one image for
// four output blocks; groups = N * tiles * ceil(outputBlocks / 4), output blocks fastest. Shared memory: 10.5
// KiB. Features: none.
//
// Variants: KERNEL 3 (3x3) or 1 (1x1).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

#include "conv2d_interface.glsl"
#include "statistics.glsl"

#define PIXELS 4
#include "pixel_statistics.glsl"

#if KERNEL == 3
#define TILE_WIDTH 8
#define TILE_HEIGHT 8
#define CHUNK 1
#else
#define TILE_WIDTH 64
#define TILE_HEIGHT 1
#define CHUNK 4
#endif
#define OUTPUTS 4 // blocks
#define SPAN 16   // invocations with the same output block
#define PATCH_WIDTH (TILE_WIDTH + KERNEL - 1)
#define PATCH (PATCH_WIDTH * (TILE_HEIGHT + KERNEL - 1))
#define TAPS (KERNEL * KERNEL)

shared uvec4 patches[CHUNK * PATCH];
shared uvec4 stagedWeights[CHUNK * OUTPUTS * TAPS * 8]; // [chunk][output block][ky][kx][8 inputs]

// Loads `count` input blocks from `first` on of the tile at (tileX, tileY), and their weights; the rest of
// the chunk is zero.
void stage(uint local, uint image, uint firstOutput, uint tileX, uint tileY, uint first, uint blocks) {
    uint inputPlane = pc.inputHeight * pc.inputWidth;
    for (uint i = local; i < CHUNK * PATCH; i += LOCAL_SIZE) {
        uint block = first + i / PATCH, place = i % PATCH;
        int row = int(tileY + place / PATCH_WIDTH) - pc.padTop,
            column = int(tileX + place % PATCH_WIDTH) - pc.padLeft;
        bool second = SOURCES == 2 && block >= pc.blocks0;
        uint base = second ? (image * pc.blocks1 + block - pc.blocks0) * inputPlane
                           : (image * pc.blocks0 + block) * inputPlane;
        bool inside = block < blocks && uint(row) < pc.inputHeight << UPSAMPLE &&
                      uint(column) < pc.inputWidth << UPSAMPLE;
        patches[i] = loadInput(second, inside,
                               base + (uint(row) >> UPSAMPLE) * pc.inputWidth + (uint(column) >> UPSAMPLE));
    }
    for (uint i = local; i < CHUNK * OUTPUTS * TAPS * 8; i += LOCAL_SIZE) {
        uint block = first + i / (OUTPUTS * TAPS * 8);
        uint outputBlock = firstOutput + i / (TAPS * 8) % OUTPUTS;
        uint ky = i / (KERNEL * 8) % KERNEL;
        uint index = ((outputBlock * KERNEL + ky) * blocks + block) * KERNEL * 8 + i % (KERNEL * 8);
        bool real = block < blocks && outputBlock < pc.outputBlocks;
        uvec4 weight = weights[real ? index : 0];
        stagedWeights[i] = real ? weight : uvec4(0);
    }
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint outputGroups = (pc.outputBlocks + OUTPUTS - 1) / OUTPUTS;
    uint imageTile = group / outputGroups;
    uint firstOutput = (group - imageTile * outputGroups) * OUTPUTS;
    uint image = imageTile / pc.tiles;
    uint tile = imageTile - image * pc.tiles;

    uint own = local / SPAN; // output block
    uint outputBlock = min(firstOutput + own, pc.outputBlocks - 1);
    uint inTileY = local % SPAN * PIXELS / TILE_WIDTH, inTileX = local % SPAN * PIXELS % TILE_WIDTH;

    if (STATISTICS != 0)
        shareStatistics(local, noStatistics());
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint walk = tile * pc.tileLoops + tileLoop;
        uint tileY = walk / pc.segmentsPerRow * TILE_HEIGHT;
        uint tileX = walk % pc.segmentsPerRow * TILE_WIDTH;
        uint y = tileY + inTileY, x0 = tileX + inTileX;
        bool tileLive = groupLive && tileY < pc.outputHeight;
        uint blocks = tileLive ? pc.blocks0 + pc.blocks1 : 0;

        Eight sums[PIXELS];
        {
            Eight start = biasOf(image, outputBlock);
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                sums[p] = start;
            }
        }
        for (uint first = 0; first < blocks; first += CHUNK) {
            barrier(); // what was staged before has been read
            stage(local, image, firstOutput, tileX, tileY, first, blocks);
            barrier();
            for (uint row = 0; row < CHUNK * KERNEL; ++row) { // of kernels, one input block after the other
                uint corner = row / KERNEL * PATCH + (inTileY + row % KERNEL) * PATCH_WIDTH + inTileX;
                uint weightIndex = ((row / KERNEL * OUTPUTS + own) * KERNEL + row % KERNEL) * KERNEL * 8;
                uvec4 pixels[PIXELS + KERNEL - 1];
                [[unroll]] for (int j = 0; j < PIXELS + KERNEL - 1; ++j) {
                    pixels[j] = patches[corner + j];
                }
                for (int kx = 0; kx < KERNEL; ++kx) {
                    [[unroll]] for (int i = 0; i < 8; ++i) {
                        Eight weight = unpackEight(stagedWeights[weightIndex + i]);
                        [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                            float x = unpackHalf2x16(pixels[p][i / 2])[i % 2];
                            sums[p].low += x * weight.low;
                            sums[p].high += x * weight.high;
                        }
                    }
                    weightIndex += 8;
                    [[unroll]] for (int j = 0; j < PIXELS + KERNEL - 2; ++j) {
                        pixels[j] = pixels[j + 1];
                    }
                }
            }
        }

        if (tileLive && firstOutput + own < pc.outputBlocks && y < pc.outputHeight && x0 < pc.outputWidth) {
            uvec4 stored[PIXELS];
            uint count = min(PIXELS, pc.outputWidth - x0);
            [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
                stored[p] = uvec4(0);
                if (p < count)
                    stored[p] = storeOutput(image, outputBlock, y, x0 + p, sums[p]);
            }
            if (STATISTICS != 0)
                gatherStatistics(local, stored, count);
        }
    }

    if (STATISTICS != 0) {
        vec4 entry = reduceStatistics(local, sharedStatistics(local), SPAN);
        uint block = firstOutput + local / 8;
        if (groupLive && local < 8 * OUTPUTS && block < pc.outputBlocks)
            statistics[((image * pc.outputBlocks + block) * pc.tiles + tile) * 8 + local % 8] = entry;
    }
}
