#include "pipeline/weights.h"

#include "gpu/transfer.h"
#include "pipeline/parallel.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

namespace mote::pipeline {
namespace {

uint64_t roundUp(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

enum class Part { Weights, Bias, Affine, Projection, Table };

// One packed array to make: of `op`, out of Model::weights[weight]. A Table belongs to no op and is copied.
struct Item {
    uint32_t weight = 0, op = 0;
    Part part = Part::Weights;
    BufferRange to;
};

std::vector<Item> itemsInFileOrder(const Model &model, const Graph &graph, const WeightPlan &plan) {
    std::vector<Item> items;
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        const OpConstants &constants = plan.ops[i];
        if (constants.weights.end != 0)
            items.push_back({op.weight, i, Part::Weights, constants.weights});
        if (constants.bias.end != 0)
            items.push_back({op.bias, i, Part::Bias, constants.bias});
        if (constants.affine.end != 0)
            items.push_back({op.affine, i, Part::Affine, constants.affine});
        if (constants.projection.end != 0)
            items.push_back({op.projection, i, Part::Projection, constants.projection});
    }
    if (plan.stepEmbeddings.end != 0)
        items.push_back({graph.conditioning.stepEmbeddings, 0, Part::Table, plan.stepEmbeddings});
    if (plan.classes.end != 0)
        items.push_back({graph.conditioning.classes, 0, Part::Table, plan.classes});
    std::stable_sort(items.begin(), items.end(), [&](const Item &a, const Item &b) {
        const Weight &x = model.weights[a.weight], &y = model.weights[b.weight];
        return x.segment != y.segment ? x.segment < y.segment : x.offset < y.offset;
    });
    return items;
}

struct Piece {
    Item item;
    std::shared_ptr<const std::vector<uint8_t>> canonical;
    std::vector<uint8_t> packed;
};

void pack(Piece &piece, const GraphKernels &kernels, const Model &model, const Graph &graph) {
    const Item &item = piece.item;
    if (item.part == Part::Table) {
        piece.packed = *piece.canonical;
        return;
    }
    piece.packed.resize(item.to.end - item.to.begin);
    const OpKernel &kernel = kernels.ops[item.op];
    // A vector's memory is aligned for every scalar type.
    const void *from = piece.canonical->data();
    void *to = piece.packed.data();
    if (item.part == Part::Weights)
        packWeights(kernel, model, graph, item.op, static_cast<const uint16_t *>(from), to);
    else if (item.part == Part::Bias)
        packBias(kernel, model, graph, item.op, static_cast<const float *>(from), to);
    else if (item.part == Part::Affine)
        packAffine(kernel, model, graph, item.op, static_cast<const float *>(from), to);
    else
        packProjection(kernel, model, graph, item.op, static_cast<const uint16_t *>(from), to);
}

} // namespace

uint64_t uploadChunkBytes(const gpu::Caps &caps) {
    return std::min(kUploadChunkBytes, caps.maxAllocationBytes / 4 * 4);
}

Result<WeightPlan> planWeights(const Model &model, const Graph &graph, const GraphKernels &kernels,
                               uint64_t maxChunkBytes) {
    const uint64_t limit = maxChunkBytes / kPageBytes * kPageBytes;
    WeightPlan plan;
    uint64_t used = 0; // of the chunk being filled
    const auto place = [&](const std::string &owner, const char *what, uint64_t bytes,
                           BufferRange &range) -> Status {
        if (bytes == 0)
            return {};
        if (bytes > limit)
            return makeStatus(
                StatusCode::Unsupported,
                "%s: its %s take %llu bytes, a binding or allocation of this device at most %llu",
                owner.c_str(), what, static_cast<unsigned long long>(bytes),
                static_cast<unsigned long long>(limit));
        used = roundUp(used, kBindingAlignment);
        if (plan.chunkBytes.empty() || used + bytes > limit) {
            plan.chunkBytes.push_back(0);
            used = 0;
        }
        range = {static_cast<uint32_t>(plan.chunkBytes.size() - 1), used, used + bytes};
        used += bytes;
        plan.chunkBytes.back() = roundUp(used, kPageBytes);
        return {};
    };
    plan.ops.resize(graph.ops.size());
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        const OpKernel &kernel = kernels.ops[i];
        const std::string owner = "op '" + graph.ops[i].name + "'";
        MOTE_TRY(place(owner, "weights", kernel.weightBytes, plan.ops[i].weights));
        MOTE_TRY(place(owner, "bias rows", kernel.biasBytes, plan.ops[i].bias));
        MOTE_TRY(place(owner, "affine rows", kernel.affineBytes, plan.ops[i].affine));
        MOTE_TRY(place(owner, "projection", kernel.projectionBytes, plan.ops[i].projection));
    }
    const Conditioning &conditioning = graph.conditioning;
    const std::string owner = "graph '" + graph.name + "'";
    if (conditioning.stepEmbeddings != kNone)
        MOTE_TRY(place(owner, "step embeddings", model.weights[conditioning.stepEmbeddings].bytes,
                       plan.stepEmbeddings));
    if (conditioning.classes != kNone)
        MOTE_TRY(place(owner, "classes", model.weights[conditioning.classes].bytes, plan.classes));
    plan.totalBytes = std::accumulate(plan.chunkBytes.begin(), plan.chunkBytes.end(), uint64_t{0});
    return plan;
}

Result<std::vector<gpu::Allocation>> uploadWeights(gpu::Device &device, const Source &source,
                                                   const Model &model, const Graph &graph,
                                                   const GraphKernels &kernels, const WeightPlan &plan) {
    std::vector<gpu::Allocation> chunks;
    for (uint64_t bytes : plan.chunkBytes) {
        MOTE_TRY_ASSIGN(gpu::Allocation chunk,
                        gpu::Allocation::create(device, bytes, gpu::MemoryKind::Weights, "weights"));
        chunks.push_back(std::move(chunk));
    }
    MOTE_TRY_ASSIGN(gpu::Uploader uploader, gpu::Uploader::create(device, uploadChunkBytes(device.caps())));

    // Read in file order and sent by this thread; packed by several, which copy into memory that they see:
    // packing there would write here and there, which is slow where the host's caches are not used.
    std::vector<Piece> batch;
    uint64_t batchBytes = 0;
    const auto flush = [&]() -> Status {
        MOTE_TRY(inParallel(batch.size(), [&](size_t i) {
            Piece &piece = batch[i];
            pack(piece, kernels, model, graph);
            if (std::byte *const mapped = chunks[piece.item.to.buffer].mapped()) {
                std::memcpy(mapped + piece.item.to.begin, piece.packed.data(), piece.packed.size());
                piece.packed = {};
            }
            return Status{};
        }));
        for (const Piece &piece : batch)
            MOTE_TRY(uploader.upload(chunks[piece.item.to.buffer], piece.item.to.begin, piece.packed.data(),
                                     piece.packed.size()));
        batch.clear();
        batchBytes = 0;
        return {};
    };
    std::vector<bool> used(model.weights.size(), false);
    WeightReader reader(source, model);
    std::shared_ptr<const std::vector<uint8_t>> canonical;
    uint32_t held = kNone; // the weight in `canonical`
    for (const Item &item : itemsInFileOrder(model, graph, plan)) {
        const Weight &weight = model.weights[item.weight];
        used[item.weight] = true;
        if (held != item.weight) {
            auto bytes = std::make_shared<std::vector<uint8_t>>(weight.bytes);
            MOTE_TRY(reader.read(item.weight, 0, weight.bytes, bytes->data()));
            canonical = std::move(bytes);
            held = item.weight;
        }
        batch.push_back({item, canonical, {}});
        batchBytes += item.to.end - item.to.begin;
        if (batchBytes >= kBatchBytes)
            MOTE_TRY(flush());
    }
    MOTE_TRY(flush());
    for (uint32_t i = 0; i < model.weights.size(); ++i)
        if (!used[i])
            MOTE_TRY(
                reader.stream(i, 0, model.weights[i].bytes, [](const void *, size_t) { return Status{}; }));
    MOTE_TRY(uploader.finish());
    return chunks;
}

Status verifyWeights(const Source &source, const Model &model) {
    WeightReader reader(source, model);
    for (uint32_t i = 0; i < model.weights.size(); ++i)
        MOTE_TRY(reader.stream(i, 0, model.weights[i].bytes, [](const void *, size_t) { return Status{}; }));
    return {};
}

} // namespace mote::pipeline
