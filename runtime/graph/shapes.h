// What a graph needs at a given size: shapes of its tensors, cost of its ops, and how far an output pixel
// looks. Knows nothing of dispatches or devices. All arithmetic is checked: sizes may come from a hostile
// file or app.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstdint>
#include <vector>

namespace mote {

struct TensorShape {
    uint32_t n = 0, c = 0, h = 0, w = 0;

    bool operator==(const TensorShape &o) const { return n == o.n && c == o.c && h == o.h && w == o.w; }
    bool operator!=(const TensorShape &o) const { return !(*this == o); }
};

// Bytes that a tensor occupies on the device: activations [N][ceil(C/8)][H][W][8] fp16, ports [N][C][H][W]
// fp32. The shape must come from inferShapes (which has checked that this does not overflow).
uint64_t tensorBytes(TensorKind kind, const TensorShape &shape);

struct OpCost {
    uint64_t operations =
        0; // two for each multiply-add, one for other arithmetic, by formula, padding not counted
    uint64_t bytes = 0; // inputs, weights and output, each touched once
};

struct GraphShapes {
    std::vector<TensorShape> tensors; // per Graph::tensors; {0,0,0,0} for a tensor that nothing uses
    std::vector<OpCost> costs;        // per Graph::ops
    OpCost total;
};

// The size that the ports of a graph declare, where it runs at this size only; zeros where at any.
struct FixedSize {
    uint32_t height = 0, width = 0;
    explicit operator bool() const { return height != 0; }
};
FixedSize fixedSize(const Graph &graph);

// Shapes for a batch of n and an image of h x w pixels. h and w need not be multiples of graph.sizeMultiple:
// where that makes two tensors disagree, the status names the op, both tensors and both sizes.
Result<GraphShapes> inferShapes(const Model &model, const Graph &graph, uint32_t n, uint32_t h, uint32_t w);

// The least number, 1 for a graph of one size, that H and W must be a multiple of for every map to halve and
// double exactly.
Result<uint32_t> downsamplingFactor(const Graph &graph);

// How far the outputs of one forward pass look, in pixels of the image. Exact: every phase of the up- and
// downsampling is walked. GroupNorm counts as pointwise (its statistics are held fixed, see tiling);
// attention looks everywhere.
struct ReceptiveField {
    bool wholeImage = false;
    uint32_t radius = 0; // output pixel (y, x) depends on inputs within [y - radius, y + radius], x alike
};
Result<ReceptiveField> receptiveField(const Model &model, const Graph &graph);

} // namespace mote
