// The convolution of conv2d.comp as products of matrices that a subgroup multiplies together
// (VK_KHR_cooperative_matrix): fp16 factors as they are stored, sums in fp32.
//
// A workgroup makes a tile of 128 pixels of 4 output blocks: sums[128 pixels][32 outputs] is the sum over
// taps of pixels[128][inputs] * weights[inputs][32]. For CHUNK input blocks at a time, all load pixels and
// weights into shared memory, and each subgroup multiplies its own pixels, ROWS matrices of M, by all
// outputs, COLUMNS matrices of N. The sums leave through shared memory, half of the pixels at a time.
//
// Layouts as in conv2d.comp. Workgroup: tileLoops tiles of one image for four output blocks; groups = N *
// tiles * ceil(outputBlocks / 4), output blocks fastest. Shared memory: 16.8 KiB, with a uvec4 after each row
// of a matrix so that neighbouring rows lie in different banks. Features: cooperative matrices of fp16 with
// fp32 sums, fp16 arithmetic, Vulkan's memory model, subgroups of 64 or fewer, full ones.
//
// Variants:
//   KERNEL 3  3x3 of stride 1: a tile is 16 x 8 pixels; what its taps touch, 18 x 10, is loaded once for all
//             of them, weights a row of the kernel at a time. pc.segmentsPerRow: tiles of a row
//   KERNEL 0  any kernel and stride: a tile is 128 pixels in the map's order; loaded tap by tap
//
// It is written for GL_NV_cooperative_matrix; cmake/khr_matrices.cmake makes the KHR form of it. The constant
// of id 12 is what tells that which matrix is which.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_NV_cooperative_matrix : require
#include "numeric.glsl"
#include "tensor.glsl"

#include "conv2d_interface.glsl"
#include "statistics.glsl"

#define PIXELS 4
#include "pixel_statistics.glsl"

layout(constant_id = 8) const uint SUMS = 8; // matrices of a subgroup: ROWS * COLUMNS
layout(constant_id = 9) const uint COLUMNS = 2;
layout(constant_id = 10) const uint M = 16;
layout(constant_id = 11) const uint N = 16;
layout(constant_id = 12) const uint K = 16;
const uint ROWS = SUMS / COLUMNS;

#define Pixels fcoopmatNV<16, gl_ScopeSubgroup, M, K>
#define Weights fcoopmatNV<16, gl_ScopeSubgroup, K, N>
#define Sums fcoopmatNV<32, gl_ScopeSubgroup, M, N>

#define TILE 128  // pixels
#define OUTPUTS 4 // blocks
#define ROUND 64  // pixels stored at a time, PIXELS of an output block by an invocation
#define SPAN 16   // invocations with the same output block
#if KERNEL == 3
#define TILE_WIDTH 16
#define TILE_HEIGHT 8
#define PATCH_WIDTH 18
#define PATCH 180
#define CHUNK 2
#define TAPS 3 // whose weights are staged together
#else
#define PATCH TILE
#define CHUNK 4
#define TAPS 1
#endif
// Rows in shared memory, in uvec4.
#define PIXEL_ROW (CHUNK + 1)
#define WEIGHT_ROW (OUTPUTS + 1)
#define SUM_ROW (2 * OUTPUTS + 1)
#define FIRST_WEIGHT (PATCH * PIXEL_ROW)

// [PATCH][CHUNK blocks], then [TAPS][8 CHUNK inputs][OUTPUTS blocks]; sums: [ROUND][8 OUTPUTS] floats
shared uvec4 staged[FIRST_WEIGHT + TAPS * CHUNK * 8 * WEIGHT_ROW];

// Loads pixel (row, column) of the map as the kernel sees it, of CHUNK input blocks from `first` on; zero
// outside of the map and beyond the last block.
void stagePixel(uint place, uint image, int row, int column, uint first, uint blocks) {
    uint inputPlane = pc.inputHeight * pc.inputWidth;
    bool inside = uint(row) < pc.inputHeight << UPSAMPLE && uint(column) < pc.inputWidth << UPSAMPLE;
    uint pixel = (uint(row) >> UPSAMPLE) * pc.inputWidth + (uint(column) >> UPSAMPLE);
    [[unroll]] for (uint i = 0; i < CHUNK; ++i) {
        uint block = first + i;
        bool second = SOURCES == 2 && block >= pc.blocks0;
        uint base = second ? (image * pc.blocks1 + block - pc.blocks0) * inputPlane
                           : (image * pc.blocks0 + block) * inputPlane;
        staged[place * PIXEL_ROW + i] = loadInput(second, inside && block < blocks, base + pixel);
    }
}

// Loads the weights of TAPS taps of kernel row ky, from column kx on.
void stageWeights(uint local, uint firstOutput, uint ky, uint kx, uint first, uint blocks) {
    for (uint i = local; i < TAPS * CHUNK * 8 * OUTPUTS; i += LOCAL_SIZE) {
        uint chunk = i / (TAPS * 8 * OUTPUTS), block = first + chunk;
        uint output_ = i / (TAPS * 8) % OUTPUTS, outputBlock = firstOutput + output_;
        uint tap = i / 8 % TAPS, channel = i % 8;
        uint index =
            (((outputBlock * KERNEL_HEIGHT + ky) * blocks + block) * KERNEL_WIDTH + kx + tap) * 8 + channel;
        bool real = block < blocks && outputBlock < pc.outputBlocks;
        uvec4 weight = weights[real ? index : 0];
        staged[FIRST_WEIGHT + ((tap * CHUNK + chunk) * 8 + channel) * WEIGHT_ROW + output_] =
            real ? weight : uvec4(0);
    }
}

// Where a pixel of a tile is staged for the first tap.
uint placeOf(uint pixel) {
#if KERNEL == 3
    return pixel / TILE_WIDTH * PATCH_WIDTH + pixel % TILE_WIDTH;
#else
    return pixel;
#endif
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

    uint firstPixel = gl_SubgroupID * ROWS * M; // of the subgroup's, in the tile
    uint own = local / SPAN;                    // output block that is stored
    uint outputBlock = min(firstOutput + own, pc.outputBlocks - 1);

    if (STATISTICS != 0)
        shareStatistics(local, noStatistics());
    for (uint tileLoop = 0; tileLoop < pc.tileLoops; ++tileLoop) {
        uint walk = tile * pc.tileLoops + tileLoop;
#if KERNEL == 3
        uint tileY = walk / pc.segmentsPerRow * TILE_HEIGHT;
        uint tileX = walk % pc.segmentsPerRow * TILE_WIDTH;
        bool tileLive = groupLive && tileY < pc.outputHeight;
#else
        uint outputPlane = pc.outputHeight * pc.outputWidth;
        bool tileLive = groupLive && walk * TILE < outputPlane;
#endif
        uint blocks = tileLive ? pc.blocks0 + pc.blocks1 : 0;

        Sums sums[SUMS];
        [[unroll]] for (uint i = 0; i < SUMS; ++i) {
            sums[i] = Sums(0.0);
        }
        for (uint first = 0; first < blocks; first += CHUNK) {
            for (uint ky = 0; ky < KERNEL_HEIGHT; ++ky) {
                for (uint kx = 0; kx < KERNEL_WIDTH; kx += TAPS) {
                    barrier(); // what was staged before has been read
#if KERNEL == 3
                    for (uint i = local; ky == 0 && i < PATCH; i += LOCAL_SIZE) {
                        stagePixel(i, image, int(tileY + i / PATCH_WIDTH) - pc.padTop,
                                   int(tileX + i % PATCH_WIDTH) - pc.padLeft, first, blocks);
                    }
#else
                    for (uint i = local; i < TILE; i += LOCAL_SIZE) {
                        uint pixel = walk * TILE + i; // beyond the last one it is loaded and not stored
                        uint y = pixel / pc.outputWidth, x = pixel - y * pc.outputWidth;
                        stagePixel(i, image, int(y * STRIDE + ky) - pc.padTop,
                                   int(x * STRIDE + kx) - pc.padLeft, first, blocks);
                    }
#endif
                    stageWeights(local, firstOutput, ky, kx, first, blocks);
                    barrier();
                    [[unroll]] for (uint tap = 0; tap < TAPS; ++tap) {
                        [[unroll]] for (uint k = 0; k < CHUNK * 8; k += K) {
                            Weights right[COLUMNS];
                            [[unroll]] for (uint c = 0; c < COLUMNS; ++c) {
                                coopMatLoadNV(right[c], staged,
                                              FIRST_WEIGHT + (tap * CHUNK * 8 + k) * WEIGHT_ROW + c * N / 8,
                                              WEIGHT_ROW, false);
                            }
                            [[unroll]] for (uint r = 0; r < ROWS; ++r) {
                                uint place = placeOf(firstPixel + r * M);
#if KERNEL == 3
                                place += ky * PATCH_WIDTH + tap;
#endif
                                Pixels left;
                                coopMatLoadNV(left, staged, place * PIXEL_ROW + k / 8, PIXEL_ROW, false);
                                [[unroll]] for (uint c = 0; c < COLUMNS; ++c) {
                                    sums[r * COLUMNS + c] =
                                        coopMatMulAddNV(left, right[c], sums[r * COLUMNS + c]);
                                }
                            }
                        }
                    }
                }
            }
        }

        for (uint begin = 0; begin < TILE; begin += ROUND) {
            barrier(); // all have multiplied, or stored the pixels before
            [[unroll]] for (uint r = 0; r < ROWS; ++r) {
                uint pixel = firstPixel + r * M;
                if (pixel / ROUND == begin / ROUND) {
                    [[unroll]] for (uint c = 0; c < COLUMNS; ++c) {
                        coopMatStoreNV(sums[r * COLUMNS + c], staged, pixel % ROUND * SUM_ROW + c * N / 4,
                                       SUM_ROW, false);
                    }
                }
            }
            barrier();
            uint place = local % SPAN * PIXELS, pixel = begin + place; // in the round, in the tile
#if KERNEL == 3
            uint y = tileY + pixel / TILE_WIDTH, x = tileX + pixel % TILE_WIDTH;
            uint count = y < pc.outputHeight && x < pc.outputWidth ? min(PIXELS, pc.outputWidth - x) : 0;
#else
            pixel += walk * TILE;
            uint count = pixel < outputPlane ? min(PIXELS, outputPlane - pixel) : 0;
#endif
            if (tileLive && firstOutput + own < pc.outputBlocks && count != 0) {
                Eight start = biasOf(image, outputBlock);
                uvec4 stored[PIXELS];
                [[unroll]] for (uint p = 0; p < PIXELS; ++p) {
#if KERNEL == 3
                    uint column = x + p;
#else
                    uint y = (pixel + p) / pc.outputWidth, column = pixel + p - y * pc.outputWidth;
#endif
                    uint sum = (place + p) * SUM_ROW + 2 * own;
                    stored[p] = uvec4(0);
                    if (p < count)
                        stored[p] = storeOutput(image, outputBlock, y, column,
                                                Eight(start.low + uintBitsToFloat(staged[sum]),
                                                      start.high + uintBitsToFloat(staged[sum + 1])));
                }
                if (STATISTICS != 0)
                    gatherStatistics(local, stored, count);
            }
        }
    }

    if (STATISTICS != 0) {
        vec4 entry = reduceStatistics(local, sharedStatistics(local), SPAN);
        uint block = firstOutput + local / 8;
        if (groupLive && local < 8 * OUTPUTS && block < pc.outputBlocks)
            statistics[((image * pc.outputBlocks + block) * pc.tiles + tile) * 8 + local % 8] = entry;
    }
}
