// From ops to dispatches, without anybody else knowing a shader:
//
//   const Traits traits = traitsOf(device);
//   MOTE_TRY_ASSIGN(GraphKernels kernels, chooseKernels(model, graph, shapes, traits, usable));
//       // sizes of everything that the ops need beyond their tensors: kernels.ops[i].*Bytes,
//       // kernels.statistics[tensor].bytes
//   packWeights(kernels.ops[i], canonical, packed);                  // once per op that has a weight
//   packBias(...), packAffine(...);
//   MOTE_TRY_ASSIGN(std::vector<Dispatch> list, buildDispatches(kernels, graph, shapes, i, buffers, traits));
//   for (const Dispatch &part : split(dispatch, budget, traits)) ...  // where one is too large
//
// Samplers, images, noise and tiles are in kernels/image_kernels.h, the session buffer in kernels/session.h.
//
// Everything here is plain data and pure functions: no Vulkan call is made. A buffer is a number that the
// caller chose (mote::BufferRange); begins are multiples of 256.
#pragma once

#include "gpu/caps.h"
#include "gpu/pipeline.h"
#include "graph/hazards.h"
#include "graph/shapes.h"
#include "model/model.h"
#include "model/status.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mote {

// ----------------------------------------------------------------------------------------------- dispatches
// What a shader does with a binding. Atomic: commutes with what other dispatches do to the same bytes; counts
// as a read for barriers. Unused: bound only because the shader declares it; never touched.
enum class Access : uint8_t { Read, Write, ReadWrite, Atomic, Unused };

struct Binding {
    BufferRange range;
    Access access = Access::Read;
};

// One compute dispatch as data. Workgroups are numbered 0 .. groupCount-1 and folded into three dimensions;
// the first two push constants say which of them this dispatch runs, so that any dispatch can be cut
// anywhere.
struct Dispatch {
    std::string name; // op and kernel, for messages and timings
    gpu::PipelineDescription pipeline;
    std::vector<Binding> bindings; // bindings[i] at binding i
    std::vector<uint32_t> push;    // 32-bit words; push[0] = first workgroup, push[1] = number of workgroups
    std::array<uint32_t, 3> groups{};
    uint32_t groupCount = 0;
    bool pointwise = false; // see RecordEntry
    uint64_t operations = 0, bytes = 0;
};

// Reads and writes of a dispatch for placeBarriers and checkHazards.
RecordEntry recordEntry(const Dispatch &dispatch);

// The workgroups [first, first + count) of a whole dispatch, cost in proportion.
Dispatch slice(const Dispatch &whole, uint32_t first, uint32_t count, const struct Traits &traits);

// Cuts a dispatch into slices of at most maxOperations each (at least one workgroup), equal to one workgroup.
std::vector<Dispatch> split(const Dispatch &whole, uint64_t maxOperations, const struct Traits &traits);

// --------------------------------------------------------------------------------------------------- device
struct KernelChoices; // kernels/choices.h

// What an invocation has registers for. Large: 128 and more. The other two have 64 and different ways to
// load.
enum class RegisterTiles : uint8_t { Large, VideoCore, Mali };

// What the choice of kernels depends on.
struct Traits {
    gpu::Caps caps;   // after the clamp
    bool cpu = false; // a software device: wide register tiles pay, dispatch overhead is a thread wake-up
    bool scatters = false; // a software device that shaders/staging.glsl has its scatters for
    RegisterTiles tiles = RegisterTiles::Large;
    std::string preferred; // for tests: the variant of this name goes first wherever it is a candidate
    std::shared_ptr<const KernelChoices> choices =
        nullptr; // a tuner's, which go before the stated order; may be null
};
Traits traitsOf(const gpu::Device &device);

// -------------------------------------------------------------------------------------------------- choices
// Statistics of a tensor that a GroupNorm reads, written by the op that makes the tensor:
// [N][C/8][tiles][8 channels] vec4 (count, mean, sum of squared deviations, 0), of the values as stored.
struct TensorStatistics {
    uint32_t tiles = 0;   // per image; 0: nobody needs them
    uint64_t bytes = 0;   // of the buffer, 0 where tiles is 0
    uint32_t lastUse = 0; // the last op whose dispatches read them
};

// What a convolution's packed weights hold behind those of the direct kernels: of the op and the device
// alone.
enum class SecondWeights : uint8_t { None, Winograd, Held, FewOutputs, Tiles, Folded, WinogradWhole, Staged };

struct OpKernel {
    std::string name; // of the variant, e.g. "conv2d row3 4x8"
    uint32_t variant = 0;
    bool unlikely = false; // made for other devices than this one: not worth a tuner's time
    std::vector<gpu::PipelineDescription> pipelines; // all that buildDispatches may use for the op
    uint64_t weightBytes = 0;                        // packed
    SecondWeights second = SecondWeights::None;
    uint64_t biasBytes = 0;       // whole table, all rows
    uint64_t affineBytes = 0;     // whole table, all rows
    uint64_t projectionBytes = 0; // packed; 0: the op has none
    uint64_t scratchBytes = 0;    // needed while the op runs
    uint32_t tileLoops = 1;       // Conv2d: walks of one tile
    // A GroupNorm may be made by the convolution that reads it: then the norm has no dispatch, and its output
    // no memory. Conv2d: the norm that its kernel makes; GroupNorm: the convolution that makes it.
    uint32_t norm = kNone, within = kNone;
};

struct GraphKernels {
    std::vector<OpKernel> ops;                // per Graph::ops
    std::vector<TensorStatistics> statistics; // per Graph::tensors
};

// For each op the first variant whose pipelines are all usable, by stated order. `usable` makes (or finds) a
// pipeline; a variant for which it says Unsupported is passed over, any other failure is returned. An
// estimate without a device passes a function that always says ok. Unsupported: names the op and what no
// variant does. Then GroupNorms move into the convolutions that alone read them, where their kernel can do
// that.
Result<GraphKernels> chooseKernels(const Model &model, const Graph &graph, const GraphShapes &shapes,
                                   const Traits &traits,
                                   const std::function<Status(const gpu::PipelineDescription &)> &usable);

// Every variant that could run an op, in the order in which chooseKernels asks whether it is usable; for
// tools and tests.
Result<std::vector<OpKernel>> kernelCandidates(const Model &model, const Graph &graph,
                                               const GraphShapes &shapes, uint32_t op, const Traits &traits);

// -------------------------------------------------------------------------------------------------- weights
// Canonical to packed; `packed` has the kernel's *Bytes and is written whole, padding as zero.
// Op::weight, [out][kh][kw][in] fp16 bit patterns.
void packWeights(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t op,
                 const uint16_t *canonical, void *packed);
// Op::bias [R][out] to [R][out padded to 8].
void packBias(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t op,
              const float *canonical, void *packed);
// Op::affine [R][2][C] to [R][2][C padded to 8], or [2][C][H][W] to [2][blocks][H][W][8].
void packAffine(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t op,
                const float *canonical, void *packed);

// Op::projection, [outputs][E] fp16 bit patterns, to [E][outputs padded as the op's row of a table is].
void packProjection(const OpKernel &kernel, const Model &model, const Graph &graph, uint32_t op,
                    const uint16_t *canonical, void *packed);

// ------------------------------------------------------------------------------------------------ recording
// Where everything of one op is. Ranges of things that the op does not have stay empty (end = 0).
struct OpBuffers {
    std::vector<BufferRange> inputs;          // per Op::inputs
    std::vector<BufferRange> inputStatistics; // GroupNorm only, per Op::inputs: statistics of that tensor
    BufferRange output, residual;
    BufferRange outputStatistics; // where kernels.statistics[op.output].tiles is not 0
    BufferRange weights, bias, affine, scratch;
    BufferRange session;
    uint32_t row = 0; // of tables with more than one row: StepRow::timestepIndex
    // Not 0: the bias or affine table was made for this many images, [rows][tableImages][...], and its row to
    // use is madeRow.
    uint32_t tableImages = 0, madeRow = 0;
    // Concat: images that each input has; image n of the output reads image n modulo this. 0: as many as the
    // output.
    uint32_t inputImages = 0;
    uint32_t errorCode = 0; // what is reported when this op meets infinities or NaNs: step << 16 | op
    const OpBuffers *norm = nullptr; // of OpKernel::norm; its inputs are read instead of this op's
};

// The dispatches of one op, in order; none where another op makes it (OpKernel::within). They may depend on
// each other: barriers are placed by placeBarriers.
Result<std::vector<Dispatch>> buildDispatches(const GraphKernels &kernels, const Model &model,
                                              const Graph &graph, const GraphShapes &shapes, uint32_t op,
                                              const OpBuffers &buffers, const Traits &traits);

} // namespace mote
