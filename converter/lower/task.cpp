#include "lower/task.h"

#include "read/error.h"
#include "read/text.h"

#include <algorithm>

namespace mote::convert {
namespace {

Port *find(Graph &graph, PortSource source) {
    const auto port = std::find_if(graph.ports.begin(), graph.ports.end(),
                                   [&](const Port &of) { return !of.output && of.source == source; });
    return port == graph.ports.end() ? nullptr : &*port;
}

void splitMask(Graph &graph) {
    const Port *state = find(graph, PortSource::State);
    Port *condition = find(graph, PortSource::App);
    const uint32_t channels = graph.tensors[state->tensor].channels;
    const uint32_t found = condition == nullptr ? 0 : graph.tensors[condition->tensor].channels;
    if (found != channels + 1)
        throw ReadError(text("task inpaint: found ", found, " input channels beside the state's ", channels,
                             ", expected ", channels + 1, ": the mask and the picture to be filled"));
    const uint32_t known = condition->tensor, mask = static_cast<uint32_t>(graph.tensors.size());
    condition->name = graph.tensors[known].name = kKnownPort;
    condition->description = "the picture; where the mask is 1 the model does not see it";
    Dimension &extent = condition->shape[1];
    extent.numerator = graph.tensors[known].channels = channels;
    Port port = *condition;
    port.name = kMaskPort;
    port.description = "1 where the picture is to be filled";
    port.tensor = mask;
    port.shape[1].numerator = 1;
    port.valueLow = 0;
    graph.tensors.push_back({kMaskPort, TensorKind::Port, 1});
    graph.ports.insert(graph.ports.begin() + (condition - graph.ports.data()), std::move(port));
    for (Op &op : graph.ops) {
        const auto at = std::find(op.inputs.begin(), op.inputs.end(), known) - op.inputs.begin();
        if (op.kind != OpKind::Concat || at == static_cast<std::ptrdiff_t>(op.inputs.size()))
            continue;
        op.inputs.insert(op.inputs.begin() + at, mask);
        op.inputScale.insert(op.inputScale.begin() + at, op.inputScale[static_cast<size_t>(at)]);
        op.inputOffset.insert(op.inputOffset.begin() + at, op.inputOffset[static_cast<size_t>(at)]);
    }
}

} // namespace

void applyTask(Network &network, const Task &task) {
    if (task.kind == TaskKind::Inpaint)
        splitMask(network.graph);
}

} // namespace mote::convert
