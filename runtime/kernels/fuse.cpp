#include "kernels/fuse.h"

#include "kernels/group_norm.h"

#include <algorithm>

namespace mote::kernels {

namespace {

// The convolution that reads a tensor and nothing else does; kNone: there is none.
uint32_t onlyReader(const Graph &graph, uint32_t tensor) {
    uint32_t reader = kNone;
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        const auto uses = std::count(op.inputs.begin(), op.inputs.end(), tensor);
        if (op.residual == tensor || uses > 1 || (uses == 1 && reader != kNone))
            return kNone;
        if (uses == 1)
            reader = i;
    }
    if (reader == kNone || graph.ops[reader].kind != OpKind::Conv2d || graph.ops[reader].inputs.size() != 1)
        return kNone;
    return reader;
}

} // namespace

Status moveNorms(const Model &model, const Graph &graph, const GraphShapes &shapes, const Traits &traits,
                 const std::function<Status(const gpu::PipelineDescription &)> &usable,
                 GraphKernels &chosen) {
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const Op &norm = graph.ops[i];
        OpKernel &kernel = chosen.ops[i];
        // A variant that was asked for stays what it is.
        if (norm.kind != OpKind::GroupNorm || norm.outputResample != Resample::None || !isLanesNorm(kernel) ||
            kernel.name == traits.preferred)
            continue;
        const uint32_t reader = onlyReader(graph, norm.output);
        if (reader == kNone)
            continue;
        const OpView view{model, graph, shapes, graph.ops[reader], reader};
        OpKernel moved = chosen.ops[reader];
        const OpView from{model, graph, shapes, norm, i};
        if (!winogradTakesNorm(view, from, chosen, moved) && !wholeTakesNorm(view, from, chosen, moved))
            continue;
        const Status status = usable(moved.pipelines.front());
        if (status.code == StatusCode::Unsupported)
            continue;
        MOTE_TRY(status);
        chosen.ops[reader] = std::move(moved);
        kernel.name = "in the convolution";
        kernel.within = reader;
        kernel.pipelines.clear();
        kernel.scratchBytes = 0;
        for (uint32_t input : norm.inputs)
            chosen.statistics[input].lastUse = std::max(chosen.statistics[input].lastUse, reader);
    }
    return {};
}

} // namespace mote::kernels
