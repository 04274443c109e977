// The weights of a graph on a device: packed for the chosen kernels while they stream out of the file.
#pragma once

#include "gpu/memory.h"
#include "kernels/kernels.h"
#include "model/reader.h"

#include <cstdint>
#include <vector>

namespace mote::pipeline {

// Multiples of this are valid offsets for a binding on every device.
constexpr uint64_t kBindingAlignment = 256;
// Allocations are whole pages, so that what is planned is what a driver allocates.
constexpr uint64_t kPageBytes = 4096;

// Where the constants of one op lie; BufferRange::buffer is the index of a chunk.
struct OpConstants {
    BufferRange weights, bias, affine, projection; // end = 0: the op has none
};

struct WeightPlan {
    std::vector<OpConstants> ops;        // per Graph::ops
    BufferRange stepEmbeddings, classes; // of a graph with conditioning; end = 0: there are none
    std::vector<uint64_t> chunkBytes;    // each at most the limit
    uint64_t totalBytes = 0;
};

// Lays out the packed constants in chunks. maxChunkBytes: the least of the device's limits on one allocation
// and one binding; a constant larger than it is refused by name with both numbers.
Result<WeightPlan> planWeights(const Model &model, const Graph &graph, const GraphKernels &kernels,
                               uint64_t maxChunkBytes);

// Allocates the chunks and fills them. Every chunk of the file is read once, in file order, and held against
// its checksum, also where no op uses it. Host memory: packed weights of kBatchBytes and one more, and as
// they are in the file; staging: two chunks of uploadChunkBytes(), given back at the end.
constexpr uint64_t kBatchBytes = 32u << 20; // packed by several threads before they are uploaded
constexpr uint64_t kUploadChunkBytes = 1u << 20;
uint64_t uploadChunkBytes(const gpu::Caps &caps); // that, or less where a device cannot allocate it
Result<std::vector<gpu::Allocation>> uploadWeights(gpu::Device &device, const Source &source,
                                                   const Model &model, const Graph &graph,
                                                   const GraphKernels &kernels, const WeightPlan &plan);

// Reads every weight and checks it, keeping nothing.
Status verifyWeights(const Source &source, const Model &model);

} // namespace mote::pipeline
