// Private to runtime/kernels: what the convolution's families share.
#pragma once

#include "kernels/ops.h"

namespace mote::kernels {

struct ConvFacts {
    uint32_t kernelHeight, kernelWidth;
    uint32_t blocks0, blocks1, outputBlocks;
    bool port, doubled; // the output is a port; the input is doubled by nearest neighbour
    // The maps as the kernel sees them: a pointwise convolution takes the whole map as one row, so that no
    // pixel of a segment is wasted at a row's end.
    TensorShape input, output, residual;
};

ConvFacts factsOf(const OpView &view);
bool isPointwise(const OpView &view); // 1x1, every output of the input's pixel in its place

// Software devices on which workgroups of so many subgroups of eight stage so much, see shaders/staging.glsl.
bool canStage(const Traits &traits, uint32_t subgroups, uint32_t sharedBytes);
// Where their weights have a channel of a block: first the even ones, then the odd ones.
constexpr size_t laneOf(size_t channel) {
    return channel / 2 + channel % 2 * 4;
}
// Statistics entries of a channel beyond which they are combined before anybody reads them.
constexpr uint32_t kManyEntries = 4 * kStatisticsTiles;

// What eight invocations of a shuffle kernel make at a time: 8 x columns pixels (or tiles) of 8 x blocks
// outputs. Few columns where more would mostly be padding; then each costs about a fifth more.
struct LaneShape {
    uint32_t columns, blocks;
    uint64_t padded; // what all columns cost, in columns of the wide shape
};
LaneShape laneShapeOf(uint64_t columns, uint32_t outputBlocks);

// Bytes of the packed weights of the direct kernels.
uint64_t directWeightBytes(const ConvFacts &facts);
// [outputBlock][ky][source, block][kx][8 inputs][8 outputs]
void packDirect(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, uint16_t *packed);

// Of shaders/conv2d_interface.glsl; the texel buffers of a kernel that has them are all that is read.
constexpr uint32_t kConvBindings = 7, kConvPushWords = 20, kConvTexelBindings = 0x1f;

// Of the same file, the constants that all kernels have; the doubled input is read by its index.
std::vector<uint32_t> convConstants(const OpView &view, const ConvFacts &facts, bool statistics);

struct ConvGrid {
    uint32_t tiles; // sets of statistics, per image and output block
    uint32_t segmentsPerRow;
    uint64_t groups;                   // workgroups
    uint64_t firstWeight, weightBytes; // in bytes, of the packed weights
};
// The one dispatch of a kernel of that interface.
Result<std::vector<Dispatch>> buildConvDispatch(const OpView &view, const ConvFacts &facts,
                                                const OpKernel &kernel, const OpBuffers &buffers,
                                                const ConvGrid &grid, bool statistics, const Traits &traits);

// ---- winograd.cpp
// Whether weights for Winograd follow those for the direct kernels: of the op and the device alone, so that
// weights are packed alike for all sizes.
bool winogradSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t winogradWeightOffset(const ConvFacts &facts); // bytes from the first weight
uint64_t winogradWeightBytes(const ConvFacts &facts);
void packWinograd(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
                  void *packed);

bool winogradIsFaster(const ConvFacts &facts); // than the direct kernel at this size
// False where it does not fit the device. Fills what depends on the family: pipelines, scratchBytes,
// tileLoops.
bool winogradKernel(const OpView &view, const ConvFacts &facts, const Traits &traits, bool statistics,
                    OpKernel &kernel);
uint32_t winogradStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel);
// Makes the kernel of convolution `view` normalise what it reads, if it is Winograd's and takes that norm;
// the pipelines are then those that do it.
bool winogradTakesNorm(const OpView &view, const OpView &norm, const GraphKernels &kernels, OpKernel &kernel);
Result<std::vector<Dispatch>> buildWinograd(const OpView &view, const ConvFacts &facts,
                                            const GraphKernels &kernels, const OpBuffers &buffers,
                                            bool statistics, const Traits &traits);

// ---- winograd_whole.cpp
bool wholeSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t wholeWeightBytes(const ConvFacts &facts); // from secondWeightOffset on
void packWhole(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
               float *packed);
bool wholeKernel(const OpView &view, const ConvFacts &facts, const Traits &traits, bool statistics,
                 OpKernel &kernel);
uint32_t wholeStatisticsTiles(const ConvFacts &facts);
bool wholeTakesNorm(const OpView &view, const OpView &norm, const GraphKernels &kernels, OpKernel &kernel);
Result<std::vector<Dispatch>> buildWhole(const OpView &view, const ConvFacts &facts,
                                         const GraphKernels &kernels, const OpBuffers &buffers,
                                         bool statistics, const Traits &traits);

// ---- conv2d_held.cpp
// As for Winograd, one or the other.
uint64_t secondWeightOffset(const ConvFacts &facts); // bytes from the first weight
// Whether the device has room for so many bytes of both.
bool fitsBothWeights(const Traits &traits, uint64_t bytes);
uint32_t heldOutputs(uint32_t terms); // that are made at a time
// Than the kernels for any channels, by enough for a pipeline of its own.
bool heldIsFaster(const ConvFacts &facts);
bool heldSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t heldWeightBytes(const ConvFacts &facts);
void packHeld(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
              uint16_t *packed);
void heldKernel(const OpView &view, const ConvFacts &facts, bool statistics, OpKernel &kernel);
uint32_t heldStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel);
Result<std::vector<Dispatch>> buildHeld(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                        const OpBuffers &buffers, bool statistics, const Traits &traits);

// ---- conv2d_staged.cpp
bool stagedSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t stagedWeightBytes(const ConvFacts &facts); // from secondWeightOffset on
void packStaged(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, float *packed);
bool stagedKernel(const ConvFacts &facts, const Traits &traits, bool statistics, OpKernel &kernel);
uint32_t stagedStatisticsTiles(const ConvFacts &facts);
Result<std::vector<Dispatch>> buildStaged(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                          const OpBuffers &buffers, bool statistics, const Traits &traits);

// ---- conv2d_tiles.cpp
bool maybeTiles(const Model &model, const Graph &graph, const Op &op); // whose weights there may be
bool tilesSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t tilesWeightBytes(const OpView &view); // from secondWeightOffset on
void packTiles(const Model &model, const Graph &graph, const Op &op, const uint16_t *canonical,
               uint16_t *packed);
void tilesKernel(const OpView &view, const ConvFacts &facts, bool statistics, OpKernel &kernel);
uint32_t tilesStatisticsTiles(const OpView &view, const ConvFacts &facts, const OpKernel &kernel);
Result<std::vector<Dispatch>> buildTiles(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                         const OpBuffers &buffers, bool statistics, const Traits &traits);

// ---- conv2d_few_outputs.cpp
bool fewOutputsSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t fewOutputsWeightBytes(const ConvFacts &facts); // from secondWeightOffset on
void packFewOutputs(const std::vector<uint32_t> &shape, const uint16_t *canonical, uint16_t *packed);
void fewOutputsKernel(const ConvFacts &facts, OpKernel &kernel);
Result<std::vector<Dispatch>> buildFewOutputs(const OpView &view, const ConvFacts &facts,
                                              const OpKernel &kernel, const OpBuffers &buffers,
                                              const Traits &traits);

// ---- conv2d_matrix.cpp
// How the device's cooperative matrices make a tile of shaders/conv2d_matrix.comp.
struct MatrixPlan {
    gpu::MatrixShape shape;
    uint32_t sums = 0;    // matrices of a subgroup; 0: the device has no product that fits
    uint32_t columns = 0; // of them, side by side
    uint32_t requiredSubgroupSize = 0;
};
// With the largest product that fits, the first of equals.
MatrixPlan matrixPlanOf(const gpu::Caps &caps);
// `patches`: of the kernel for 3x3 of stride 1.
bool matrixSuits(const OpView &view, const ConvFacts &facts, const MatrixPlan &plan, bool patches);
void matrixKernel(const OpView &view, const ConvFacts &facts, const MatrixPlan &plan, bool patches,
                  bool statistics, OpKernel &kernel);
uint32_t matrixStatisticsTiles(const ConvFacts &facts, const OpKernel &kernel, bool patches);
Result<std::vector<Dispatch>> buildMatrix(const OpView &view, const ConvFacts &facts, const OpKernel &kernel,
                                          bool patches, const OpBuffers &buffers, bool statistics,
                                          const Traits &traits);

// ---- conv2d_folded.cpp
// A 3x3 kernel on a doubled map as four of 2x2 on the map itself; conv2d.comp with FOLDED, which says how.
bool foldedSuits(const OpView &view, const ConvFacts &facts, const Traits &traits);
uint64_t foldedWeightBytes(const ConvFacts &facts); // from secondWeightOffset on
void packFolded(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, uint16_t *packed);

} // namespace mote::kernels
