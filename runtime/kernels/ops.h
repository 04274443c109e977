// Private to runtime/kernels: one family of functions per op kind, and what they share.
#pragma once

#include "kernels/kernels.h"
#include "shaders/embedded.h"

#include <initializer_list>

namespace mote::kernels {

// One op of a graph at a size.
struct OpView {
    const Model &model;
    const Graph &graph;
    const GraphShapes &shapes;
    const Op &op;
    uint32_t index;

    const TensorShape &input(size_t i) const { return shapes.tensors[op.inputs[i]]; }
    const TensorShape &output() const { return shapes.tensors[op.output]; }
    TensorKind kind(uint32_t tensor) const { return graph.tensors[tensor].kind; }
    std::string where() const { return "op '" + op.name + "'"; }
};

// At most this many loop iterations in an invocation, all its loops together, where a loop of n counts n + 1:
// lavapipe leaves every loop silently after 65,535 of them.
constexpr uint64_t kMaxLoopIterations = 60000;
// Statistics entries per channel and image that the writers aim at: what every GroupNorm workgroup reads
// again.
constexpr uint32_t kStatisticsTiles = 128;
constexpr uint32_t kLocalSize = 64; // invocations of every workgroup
constexpr uint64_t kActivationBlockBytes = 16;

inline uint32_t blocksOf(uint32_t channels) {
    return (channels + 7) / 8;
}
inline uint64_t divideUp(uint64_t a, uint64_t b) {
    return (a + b - 1) / b;
}
inline uint64_t planeOf(const TensorShape &shape) {
    return uint64_t{shape.h} * shape.w;
}

// Push constants in order; the first two words (first group, group count) are there from the start.
struct PushWords {
    std::vector<uint32_t> words{0, 0};

    void add(uint64_t value) { words.push_back(static_cast<uint32_t>(value)); }
    void add(std::initializer_list<uint64_t> values) {
        for (uint64_t value : values)
            add(value);
    }
    void addFloat(float value);
    // What the push constants of shaders/uniform_addresses.glsl end with: its table, and room for addresses.
    void addAddressing(uint32_t digits, uint32_t addresses);
};

// addressBindings: their words, left zero by PushWords' users, are the last of pushWords.
gpu::PipelineDescription pipelineOf(ShaderId id, std::vector<uint32_t> constants, uint32_t bindings,
                                    uint32_t pushWords, uint32_t texelBindings = 0,
                                    uint32_t addressBindings = 0);

// Fills pipeline, bindings, push and groups of a whole dispatch. Unsupported: more groups than can be
// numbered.
Result<Dispatch> makeDispatch(std::string name, gpu::PipelineDescription pipeline,
                              std::vector<Binding> bindings, PushWords push, uint64_t groupCount,
                              const Traits &traits);

// A range to put at a binding that the variant does not use.
inline Binding unused(const BufferRange &range) {
    return {range, Access::Unused};
}

// Subgroups of eight or more that shuffle.
bool canShuffle(const gpu::Caps &caps);

// Whether a texel buffer may hold so many bytes.
inline bool fitsTexels(const Traits &traits, uint64_t bytes) {
    return divideUp(bytes, 16) <= traits.caps.maxTexelBufferElements;
}

// What a kernel wants to be asked: can it run, in order of preference. `statistics`: the output's are needed.
Result<std::vector<OpKernel>> conv2dKernels(const OpView &view, const Traits &traits, bool statistics);
Result<std::vector<OpKernel>> groupNormKernels(const OpView &view, const Traits &traits);
Result<std::vector<OpKernel>> concatKernels(const OpView &view, const Traits &traits);
Result<std::vector<OpKernel>> attentionKernels(const OpView &view, const Traits &traits);
Result<std::vector<OpKernel>> resampleKernels(const OpView &view, const Traits &traits);
Result<std::vector<OpKernel>> pointwiseKernels(const OpView &view, const Traits &traits);

// Statistics entries per channel and image that the op's kernel writes.
uint32_t conv2dStatisticsTiles(const OpView &view, const OpKernel &kernel);
uint32_t separateStatisticsTiles(const TensorShape &shape);
gpu::PipelineDescription separateStatisticsPipeline();

Result<std::vector<Dispatch>> buildConv2d(const OpView &view, const GraphKernels &kernels,
                                          const OpBuffers &buffers, bool statistics, const Traits &traits);
Result<std::vector<Dispatch>> buildGroupNorm(const OpView &view, const GraphKernels &kernels,
                                             const OpBuffers &buffers, const Traits &traits);
Result<std::vector<Dispatch>> buildConcat(const OpView &view, const OpBuffers &buffers, const Traits &traits);
Result<std::vector<Dispatch>> buildAttention(const OpView &view, const OpKernel &kernel,
                                             const OpBuffers &buffers, const Traits &traits);
Result<std::vector<Dispatch>> buildResample(const OpView &view, const OpBuffers &buffers,
                                            const Traits &traits);
Result<std::vector<Dispatch>> buildPointwise(const OpView &view, const OpBuffers &buffers,
                                             const Traits &traits);
Result<Dispatch> buildSeparateStatistics(const OpView &view, const OpBuffers &buffers, const Traits &traits);

// Unsupported, or InvalidModel where a table's shape is wrong.
Status requireActivation(const OpView &view, uint32_t tensor, const char *what);
Status requireShape(const OpView &view, uint32_t weight, std::initializer_list<uint64_t> shape,
                    const char *what);
uint32_t rowsOf(const OpView &view, uint32_t weight); // of a table; 1 where there is none
float outputFactor(const Op &op, uint32_t row);       // of a Conv2d

// Where an op reads its row of a table of `rows` rows of `quads` vec4 each, in vec4.
struct TableRow {
    uint64_t index = 0;
    uint32_t stride = 0; // from an image to the next
};
TableRow tableRow(uint32_t rows, const OpBuffers &buffers, uint32_t quads);

// Of an op whose packed row takes rowBytes of floats; 0 without a projection.
uint64_t projectionBytesOf(const OpView &view, uint64_t rowBytes);

} // namespace mote::kernels
