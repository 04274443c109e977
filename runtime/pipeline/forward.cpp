#include "pipeline/forward.h"

#include <algorithm>
#include <string>
#include <utility>

namespace mote::pipeline {
namespace {

// Floor for one dispatch, in milliseconds: start, and waiting for its data.
constexpr double kDispatchMilliseconds = 0.01;

uint64_t roundUp(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

BufferRange placed(const ForwardPlan &plan, const ForwardBuffers &buffers, uint32_t index, uint64_t bytes) {
    if (index == kNone)
        return {};
    const Placement &placement = plan.memory.placements[index];
    return {buffers.firstArenaChunk + placement.chunk, placement.offset, placement.offset + bytes};
}

} // namespace

Result<ForwardPlan> planForward(const Model &model, const Graph &graph, uint32_t images, uint32_t height,
                                uint32_t width, bool portsInArena, const Traits &traits,
                                const std::function<Status(const gpu::PipelineDescription &)> &usable,
                                uint64_t maxChunkBytes) {
    ForwardPlan plan;
    plan.images = images;
    plan.height = height;
    plan.width = width;
    MOTE_TRY_ASSIGN(plan.shapes, inferShapes(model, graph, images, height, width));
    MOTE_TRY_ASSIGN(plan.kernels, chooseKernels(model, graph, plan.shapes, traits, usable));

    std::vector<PlanBuffer> buffers;
    const auto add = [&](std::string name, uint64_t bytes, uint32_t first, uint32_t last) {
        // Bindings are rounded up so that a kernel may load whole vectors at the end.
        buffers.push_back(
            {std::move(name), roundUp(bytes, kBindingAlignment), kBindingAlignment, first, last});
        return static_cast<uint32_t>(buffers.size() - 1);
    };
    std::vector<bool> isPort(graph.tensors.size(), false), isOutputPort(graph.tensors.size(), false);
    for (const Port &port : graph.ports)
        if (port.tensor != kNone) {
            isPort[port.tensor] = true;
            isOutputPort[port.tensor] = port.output;
        }
    std::vector<uint32_t> producer(graph.tensors.size(), kNone);
    for (uint32_t i = 0; i < graph.ops.size(); ++i)
        producer[graph.ops[i].output] = i;

    std::vector<Liveness> liveness = tensorLiveness(graph);
    for (uint32_t i = 0; i < graph.ops.size(); ++i)
        if (const uint32_t within = plan.kernels.ops[i].within; within != kNone) {
            liveness[graph.ops[i].output] = {};
            for (uint32_t input : graph.ops[i].inputs)
                liveness[input].lastUse = std::max(liveness[input].lastUse, within);
        }
    plan.tensorBytes.assign(graph.tensors.size(), 0);
    plan.tensors.assign(graph.tensors.size(), kNone);
    plan.statistics.assign(graph.tensors.size(), kNone);
    plan.scratch.assign(graph.ops.size(), kNone);
    for (uint32_t t = 0; t < graph.tensors.size(); ++t) {
        if (liveness[t].firstUse == kNone)
            continue;
        const Tensor &tensor = graph.tensors[t];
        plan.tensorBytes[t] = tensorBytes(tensor.kind, plan.shapes.tensors[t]);
        // An output port lives one position longer than the last op: what reads it comes after the pass.
        if (portsInArena || !isPort[t])
            plan.tensors[t] =
                add(tensor.name, plan.tensorBytes[t], liveness[t].firstUse,
                    isOutputPort[t] ? static_cast<uint32_t>(graph.ops.size()) : liveness[t].lastUse);
        if (isPort[t] && !isOutputPort[t])
            continue; // no op makes it
        const TensorStatistics &statistics = plan.kernels.statistics[t];
        if (statistics.bytes != 0)
            plan.statistics[t] =
                add(tensor.name + " (statistics)", statistics.bytes, producer[t], statistics.lastUse);
    }
    for (uint32_t i = 0; i < graph.ops.size(); ++i)
        if (plan.kernels.ops[i].scratchBytes != 0)
            plan.scratch[i] = add(graph.ops[i].name + " (scratch)", plan.kernels.ops[i].scratchBytes, i, i);

    MOTE_TRY_ASSIGN(plan.memory, planMemory(buffers, maxChunkBytes / kPageBytes * kPageBytes));
    plan.memory.peakBytes = 0;
    for (uint64_t &bytes : plan.memory.chunkBytes) {
        bytes = roundUp(bytes, kPageBytes);
        plan.memory.peakBytes += bytes;
    }
    return plan;
}

BufferRange tensorRange(const ForwardPlan &plan, const ForwardBuffers &buffers, uint32_t tensor) {
    if (plan.tensors[tensor] == kNone)
        return buffers.ports.empty() ? BufferRange{} : buffers.ports[tensor];
    return placed(plan, buffers, plan.tensors[tensor], plan.tensorBytes[tensor]);
}

BufferRange statisticsRange(const ForwardPlan &plan, const ForwardBuffers &buffers, uint32_t tensor) {
    return placed(plan, buffers, plan.statistics[tensor], plan.kernels.statistics[tensor].bytes);
}

Result<std::vector<Dispatch>> buildOp(const Model &model, const Graph &graph, const ForwardPlan &plan,
                                      const GraphShapes &shapes, const ForwardBuffers &buffers,
                                      uint32_t index, uint32_t row, uint32_t step, const Traits &traits) {
    const auto constant = [&](BufferRange range) {
        if (range.end != 0)
            range.buffer += buffers.firstWeightChunk;
        return range;
    };
    const auto rangesOf = [&](uint32_t i) {
        const Op &op = graph.ops[i];
        OpBuffers bound;
        for (uint32_t input : op.inputs) {
            bound.inputs.push_back(tensorRange(plan, buffers, input));
            if (op.kind == OpKind::GroupNorm)
                bound.inputStatistics.push_back(statisticsRange(plan, buffers, input));
        }
        bound.output = tensorRange(plan, buffers, op.output);
        if (op.residual != kNone)
            bound.residual = tensorRange(plan, buffers, op.residual);
        bound.outputStatistics = statisticsRange(plan, buffers, op.output);
        bound.weights = constant(buffers.weights->ops[i].weights);
        bound.bias = constant(buffers.weights->ops[i].bias);
        bound.affine = constant(buffers.weights->ops[i].affine);
        bound.scratch = placed(plan, buffers, plan.scratch[i], plan.kernels.ops[i].scratchBytes);
        bound.session = buffers.session;
        bound.row = row;
        bound.inputImages = buffers.inputImages;
        if (op.projection != kNone) {
            const auto made = std::find(buffers.madeRows.begin(), buffers.madeRows.end(), row);
            (op.kind == OpKind::Conv2d ? bound.bias : bound.affine) = buffers.madeTables[i];
            bound.madeRow = static_cast<uint32_t>(made - buffers.madeRows.begin());
            bound.tableImages = plan.images;
        }
        bound.errorCode = step << 16 | i;
        return bound;
    };
    OpBuffers bound = rangesOf(index), norm;
    if (const uint32_t of = plan.kernels.ops[index].norm; of != kNone) {
        norm = rangesOf(of);
        bound.norm = &norm;
    }
    return buildDispatches(plan.kernels, model, graph, shapes, index, bound, traits);
}

Result<std::vector<Command>> buildForward(const Model &model, const Graph &graph, const ForwardPlan &plan,
                                          const GraphShapes &shapes, const ForwardBuffers &buffers,
                                          uint32_t row, uint32_t step, const Traits &traits) {
    std::vector<Command> commands;
    uint32_t whole = 0;
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        MOTE_TRY_ASSIGN(std::vector<Dispatch> dispatches,
                        buildOp(model, graph, plan, shapes, buffers, i, row, step, traits));
        for (Dispatch &dispatch : dispatches) {
            Command command = dispatchCommand(std::move(dispatch), i);
            command.whole = whole++;
            commands.push_back(std::move(command));
        }
        const uint32_t output = graph.ops[i].output;
        if (!buffers.fixedStatistics.empty() && buffers.fixedStatistics[output].end != 0)
            commands.push_back(
                copyCommand(buffers.fixedStatistics[output], statisticsRange(plan, buffers, output), i));
    }
    return commands;
}

void estimateTimes(std::vector<Command> &commands, double operationsPerMillisecond) {
    for (Command &command : commands)
        command.milliseconds = kDispatchMilliseconds +
                               static_cast<double>(command.dispatch.operations) / operationsPerMillisecond;
}

} // namespace mote::pipeline
