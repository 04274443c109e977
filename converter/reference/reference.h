// The reference: a plain interpreter of the op graph in float or double. It runs unfolded and folded graphs,
// any batch and any size, and is the judge of the kernels and the maker of the self-check.
//
// One op:
//     Op op; op.kind = OpKind::Conv2d; op.inputs = {0}; op.weight = 0; op.bias = 1; ...
//     Tables<float> tables = {{{out, kh, kw, in}, weights}, {{1, out}, biases}};
//     Array<float> y = runOp<float>(op, {&x}, nullptr, tables);
// A whole graph:
//     std::vector<Array<float>> tensors = runGraph<float>(graph, tables, {x, condition}, step);
#pragma once

#include "model/model.h"
#include "reference/network.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mote::convert::reference {

// Dense [N][C][H][W].
template <typename T> struct Array {
    uint32_t batch = 1, channels = 0, height = 1, width = 1;
    std::vector<T> values;

    Array() = default;
    Array(uint32_t n, uint32_t c, uint32_t h, uint32_t w)
        : batch(n), channels(c), height(h), width(w), values(size_t(n) * c * h * w) {}

    size_t planeSize() const { return size_t(height) * width; }
    T *plane(uint32_t n, uint32_t c) { return values.data() + (size_t(n) * channels + c) * planeSize(); }
    const T *plane(uint32_t n, uint32_t c) const {
        return values.data() + (size_t(n) * channels + c) * planeSize();
    }
    T &at(uint32_t n, uint32_t c, uint32_t y, uint32_t x) { return plane(n, c)[size_t(y) * width + x]; }
    const T &at(uint32_t n, uint32_t c, uint32_t y, uint32_t x) const {
        return plane(n, c)[size_t(y) * width + x];
    }
};

// A constant: Op::weight, Op::bias and Op::affine index a Tables. Shapes as in model.h.
template <typename T> struct Table {
    std::vector<uint32_t> shape;
    std::vector<T> values;
};
template <typename T> using Tables = std::vector<Table<T>>;

// When an op is evaluated.
struct Step {
    uint32_t row = 0;          // of bias and affine tables that have more than one
    double timestep = 0;       // for the unfolded graph's TimestepEmbedding
    TimestepFeatures features; // for the unfolded graph's TimestepEmbedding
    // Of a graph with conditioning, or an unfolded one with a ClassEmbedding. For one image, or for each.
    std::vector<uint32_t> labels;
    std::vector<std::vector<double>> vectors; // where the app gives them
    ClassInput classInput = ClassInput::None; // for the unfolded graph's ClassEmbedding
};

// [images][E][1][1]: what the projections of a graph with conditioning are multiplied with at a step.
template <typename T>
Array<T> conditioningVector(const Graph &graph, const Tables<T> &tables, const Step &step);

// Half: what the device stores as fp16 (outputs that are Activation tensors) is rounded to fp16; arithmetic
// is not.
enum class Storage { Exact, Half };

// Release: an activation is freed after its last use; the arrays of ports stay.
enum class Keep { All, Release };

// Evaluates one op. `inputs` as in Op::inputs; `residual` only for a Conv2d that has one. The output is not
// rounded. Convolutions accumulate in T; GroupNorm's statistics and softmax's sum accumulate in double.
// Throws std::invalid_argument, naming the op, on shapes that do not fit.
// `conditioning`: conditioningVector() for an op with a projection.
template <typename T>
Array<T> runOp(const Op &op, const std::vector<const Array<T> *> &inputs, const Array<T> *residual,
               const Tables<T> &tables, const Step &step = {}, const Array<T> *conditioning = nullptr);

// Evaluates a graph. `inputs`: one array per input port, in port order. Result: one array per tensor of the
// graph.
template <typename T>
std::vector<Array<T>> runGraph(const Graph &graph, const Tables<T> &tables,
                               const std::vector<Array<T>> &inputs, const Step &step = {},
                               Storage storage = Storage::Exact, Keep keep = Keep::All);

// A network, its constants converted to T one op at a time, so that a second copy of all is never in memory.
template <typename T>
std::vector<Array<T>> runGraph(const Network &network, const std::vector<Array<T>> &inputs, const Step &step,
                               Storage storage = Storage::Exact, Keep keep = Keep::All);

// The array of the port that the sampler calls the model's output.
template <typename T> const Array<T> &modelOutput(const Graph &graph, const std::vector<Array<T>> &tensors);

// A network's constants in the type of the evaluation.
template <typename T> Tables<T> tablesOf(const Network &network);

// Every value rounded to fp16.
template <typename T> void roundToHalf(Array<T> &array);

} // namespace mote::convert::reference
