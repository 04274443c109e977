#include "kernels/choices.h"
#include "kernels/fuse.h"

#include <algorithm>

namespace mote {

using namespace kernels;

namespace kernels {

Status requireActivation(const OpView &view, uint32_t tensor, const char *what) {
    if (view.kind(tensor) == TensorKind::Activation)
        return {};
    return makeStatus(StatusCode::Unsupported, "%s: %s '%s' is a port, expected an activation",
                      view.where().c_str(), what, view.graph.tensors[tensor].name.c_str());
}

Status requireShape(const OpView &view, uint32_t weight, std::initializer_list<uint64_t> shape,
                    const char *what) {
    const Weight &table = view.model.weights[weight];
    bool same =
        table.shape.size() == shape.size() && std::equal(shape.begin(), shape.end(), table.shape.begin(),
                                                         [](uint64_t a, uint32_t b) { return a == b; });
    if (same)
        return {};
    std::string found, expected;
    for (uint32_t extent : table.shape)
        found += (found.empty() ? "" : "x") + std::to_string(extent);
    for (uint64_t extent : shape)
        expected += (expected.empty() ? "" : "x") + std::to_string(extent);
    return makeStatus(StatusCode::InvalidModel, "%s: %s '%s' is %s, expected %s", view.where().c_str(), what,
                      table.name.c_str(), found.c_str(), expected.c_str());
}

uint32_t rowsOf(const OpView &view, uint32_t weight) {
    if (weight == kNone || view.model.weights[weight].shape.empty())
        return 1;
    return view.model.weights[weight].shape[0];
}

TableRow tableRow(uint32_t rows, const OpBuffers &buffers, uint32_t quads) {
    if (buffers.tableImages != 0)
        return {uint64_t{buffers.madeRow} * buffers.tableImages * quads, quads};
    return {rows > 1 ? uint64_t{buffers.row} * quads : 0, 0};
}

uint64_t projectionBytesOf(const OpView &view, uint64_t rowBytes) {
    if (view.op.projection == kNone)
        return 0;
    return rowBytes / sizeof(float) * sizeof(uint16_t) * view.model.weights[view.op.projection].shape[1];
}

} // namespace kernels

namespace {

Result<std::vector<OpKernel>> kernelsFor(const OpView &view, const Traits &traits, bool statistics) {
    std::vector<OpKernel> kernels;
    switch (view.op.kind) {
    case OpKind::Concat: {
        MOTE_TRY_ASSIGN(kernels, concatKernels(view, traits));
        break;
    }
    case OpKind::Conv2d: {
        MOTE_TRY_ASSIGN(kernels, conv2dKernels(view, traits, statistics));
        return kernels; // writes its statistics itself
    }
    case OpKind::GroupNorm: {
        MOTE_TRY_ASSIGN(kernels, groupNormKernels(view, traits));
        break;
    }
    case OpKind::Attention: {
        MOTE_TRY_ASSIGN(kernels, attentionKernels(view, traits));
        break;
    }
    case OpKind::Pointwise: {
        MOTE_TRY_ASSIGN(kernels, pointwiseKernels(view, traits));
        break;
    }
    case OpKind::Resample: {
        MOTE_TRY_ASSIGN(kernels, resampleKernels(view, traits));
        break;
    }
    default:
        return makeStatus(StatusCode::Unsupported, "%s: found kind %u, expected an executable kind",
                          view.where().c_str(), static_cast<unsigned>(view.op.kind));
    }
    if (statistics)
        for (OpKernel &kernel : kernels)
            kernel.pipelines.push_back(separateStatisticsPipeline());
    return kernels;
}

// The last op that reads the statistics of a tensor; kNone: none does.
uint32_t lastNorm(const Graph &graph, uint32_t tensor) {
    for (size_t i = graph.ops.size(); i-- > 0;) {
        const Op &op = graph.ops[i];
        if (op.kind == OpKind::GroupNorm &&
            std::find(op.inputs.begin(), op.inputs.end(), tensor) != op.inputs.end())
            return static_cast<uint32_t>(i);
    }
    return kNone;
}

} // namespace

Result<std::vector<OpKernel>> kernelCandidates(const Model &model, const Graph &graph,
                                               const GraphShapes &shapes, uint32_t op, const Traits &traits) {
    const OpView view{model, graph, shapes, graph.ops[op], op};
    MOTE_TRY_ASSIGN(std::vector<OpKernel> kernels,
                    kernelsFor(view, traits, lastNorm(graph, view.op.output) != kNone));
    const auto first = [&](const std::string &name) {
        std::stable_partition(kernels.begin(), kernels.end(),
                              [&](const OpKernel &kernel) { return kernel.name == name; });
    };
    if (traits.choices && kernels.size() > 1) {
        const auto &variants = traits.choices->variants;
        const auto chosen = variants.find(choiceKey(model, graph, shapes, op));
        if (chosen != variants.end())
            first(chosen->second);
    }
    first(traits.preferred);
    return kernels;
}

Result<GraphKernels> chooseKernels(const Model &model, const Graph &graph, const GraphShapes &shapes,
                                   const Traits &traits,
                                   const std::function<Status(const gpu::PipelineDescription &)> &usable) {
    GraphKernels chosen;
    chosen.statistics.resize(graph.tensors.size());
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const OpView view{model, graph, shapes, graph.ops[i], i};
        const uint32_t lastUse = lastNorm(graph, view.op.output);
        const bool statistics = lastUse != kNone;
        if (statistics && view.kind(view.op.output) != TensorKind::Activation)
            return makeStatus(StatusCode::Unsupported,
                              "%s: a group norm reads its port, expected an activation",
                              view.where().c_str());
        MOTE_TRY_ASSIGN(std::vector<OpKernel> candidates, kernelCandidates(model, graph, shapes, i, traits));
        Status last;
        bool found = false;
        for (OpKernel &candidate : candidates) {
            last = {};
            for (const gpu::PipelineDescription &pipeline : candidate.pipelines) {
                last = usable(pipeline);
                if (!last.ok())
                    break;
            }
            if (last.ok()) {
                chosen.ops.push_back(std::move(candidate));
                found = true;
                break;
            }
            if (last.code != StatusCode::Unsupported)
                return last;
        }
        if (!found)
            return makeStatus(StatusCode::Unsupported,
                              "%s: none of its %zu kernels can be used, the last because: %s",
                              view.where().c_str(), candidates.size(), last.message.c_str());
        if (statistics) {
            TensorStatistics &entry = chosen.statistics[view.op.output];
            entry.lastUse = lastUse;
            entry.tiles = view.op.kind == OpKind::Conv2d ? conv2dStatisticsTiles(view, chosen.ops.back())
                                                         : separateStatisticsTiles(view.output());
            entry.bytes =
                uint64_t{view.output().n} * blocksOf(view.output().c) * entry.tiles * 8 * 4 * sizeof(float);
        }
    }
    MOTE_TRY(moveNorms(model, graph, shapes, traits, usable, chosen));
    return chosen;
}

Result<std::vector<Dispatch>> buildDispatches(const GraphKernels &kernels, const Model &model,
                                              const Graph &graph, const GraphShapes &shapes, uint32_t op,
                                              const OpBuffers &buffers, const Traits &traits) {
    const OpView view{model, graph, shapes, graph.ops[op], op};
    const bool statistics = kernels.statistics[view.op.output].tiles != 0;
    std::vector<Dispatch> dispatches;
    if (kernels.ops[op].within != kNone)
        return dispatches;
    switch (view.op.kind) {
    case OpKind::Concat: {
        MOTE_TRY_ASSIGN(dispatches, buildConcat(view, buffers, traits));
        break;
    }
    case OpKind::Conv2d:
        return buildConv2d(view, kernels, buffers, statistics, traits);
    case OpKind::GroupNorm: {
        MOTE_TRY_ASSIGN(dispatches, buildGroupNorm(view, kernels, buffers, traits));
        break;
    }
    case OpKind::Attention: {
        MOTE_TRY_ASSIGN(dispatches, buildAttention(view, kernels.ops[op], buffers, traits));
        break;
    }
    case OpKind::Pointwise: {
        MOTE_TRY_ASSIGN(dispatches, buildPointwise(view, buffers, traits));
        break;
    }
    case OpKind::Resample: {
        MOTE_TRY_ASSIGN(dispatches, buildResample(view, buffers, traits));
        break;
    }
    default:
        return makeStatus(StatusCode::Unsupported, "%s: found kind %u", view.where().c_str(),
                          static_cast<unsigned>(view.op.kind));
    }
    if (statistics) {
        MOTE_TRY_ASSIGN(Dispatch extra, buildSeparateStatistics(view, buffers, traits));
        dispatches.push_back(std::move(extra));
    }
    return dispatches;
}

} // namespace mote
