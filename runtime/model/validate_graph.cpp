#include "model/graph_rules.h"

#include "model/describe.h"
#include "model/validate.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <numeric>

namespace mote {

Status GraphRules::check() {
    place("");
    MOTE_TRY(checkName(file_, field("name"), graph_.name));
    if (number(graph_.phase) > number(Phase::Final))
        return bad("phase: found %u, expected 0 to 3", number(graph_.phase));
    if (graph_.sizeMultiple == 0 || graph_.sizeMultiple > kMaxSizeMultiple)
        return bad("size_multiple: found %u, expected 1 to %u", graph_.sizeMultiple, kMaxSizeMultiple);
    if (graph_.tensors.size() > kMaxTensors || graph_.ops.size() > kMaxOps || graph_.ops.empty() ||
        graph_.ports.size() > kMaxPorts)
        return bad("ops: found %zu on %zu tensors with %zu ports, expected 1 to %u, at most %u and %u",
                   graph_.ops.size(), graph_.tensors.size(), graph_.ports.size(), kMaxOps, kMaxTensors,
                   kMaxPorts);
    MOTE_TRY(tensors());
    MOTE_TRY(ports());
    place("conditioning.");
    MOTE_TRY(conditioning());
    place("");
    MOTE_TRY(differing(graph_.ops, "ops"));
    for (size_t i = 0; i < graph_.ops.size(); ++i)
        MOTE_TRY(op(graph_.ops[i], i));
    place("");
    for (size_t i = 0; i < graph_.tensors.size(); ++i)
        if (!made_[i] || !used_[i])
            return bad("tensors[%zu] %s: found no op that %s it, expected one, or %s port", i,
                       nameOf(static_cast<uint32_t>(i)).c_str(), made_[i] ? "uses" : "makes",
                       made_[i] ? "an output" : "an input");
    return {};
}

Status GraphRules::bad(const char *format, ...) const {
    char message[1024]; // names are at most 255 bytes
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return wrong(file_, "%s%s", where_.c_str(), message);
}

template <typename T> Status GraphRules::differing(const std::vector<T> &list, const char *what) const {
    std::vector<uint32_t> order(list.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&list](uint32_t a, uint32_t b) {
        const int compared = list[a].name.compare(list[b].name);
        return compared != 0 ? compared < 0 : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i)
        if (list[order[i]].name == list[order[i - 1]].name)
            return bad("%s[%u].name: found %s again, expected names that differ", what, order[i],
                       quoted(list[order[i]].name).c_str());
    return {};
}

Status GraphRules::tensors() {
    for (size_t i = 0; i < graph_.tensors.size(); ++i) {
        const Tensor &tensor = graph_.tensors[i];
        place("tensors", i);
        MOTE_TRY(checkName(file_, field("name"), tensor.name));
        if (number(tensor.kind) > number(TensorKind::Port))
            return bad("kind: found %u, expected 0 or 1", number(tensor.kind));
        place("tensors", i, tensor.name);
        if (tensor.channels == 0 || tensor.channels > kMaxChannels)
            return bad("channels: found %u, expected 1 to %u", tensor.channels, kMaxChannels);
    }
    made_.assign(graph_.tensors.size(), false);
    used_.assign(graph_.tensors.size(), false);
    place("");
    return differing(graph_.tensors, "tensors");
}

Status GraphRules::ports() {
    std::vector<bool> taken(graph_.tensors.size(), false);
    for (size_t i = 0; i < graph_.ports.size(); ++i) {
        const Port &port = graph_.ports[i];
        place("ports", i);
        MOTE_TRY(checkName(file_, field("name"), port.name));
        place("ports", i, port.name);
        MOTE_TRY(checkText(file_, field("description"), port.description, kMaxTextBytes));
        if (port.kind != PortKind::Image && port.kind != PortKind::Tensor) {
            Status status = bad("kind: found %u, expected 0 (image) or 1 (tensor)", number(port.kind));
            status.code = StatusCode::Unsupported;
            return status;
        }
        if (port.tensor >= graph_.tensors.size() || graph_.tensors[port.tensor].kind != TensorKind::Port)
            return bad("tensor: found %u, expected a tensor of kind 1 (port)", port.tensor);
        if (taken[port.tensor])
            return bad("tensor: found %u again, expected one port per tensor", port.tensor);
        taken[port.tensor] = true;
        MOTE_TRY(portShape(port));
        MOTE_TRY(portSource(port));
        if (!std::isfinite(port.valueLow) || !std::isfinite(port.valueHigh) ||
            !(port.valueLow < port.valueHigh))
            return bad("value_low: found %g with value_high %g, expected finite numbers, the low one lower",
                       double(port.valueLow), double(port.valueHigh));
        // The app may give a port that the sampler alone reads; an output port is a use.
        used_[port.tensor] = true;
        made_[port.tensor] = !port.output;
    }
    place("");
    for (size_t i = 0; i < graph_.tensors.size(); ++i)
        if (graph_.tensors[i].kind == TensorKind::Port && !taken[i])
            return bad("tensors[%zu] %s: found no port, expected a port of it", i,
                       nameOf(static_cast<uint32_t>(i)).c_str());
    return differing(graph_.ports, "ports");
}

Status GraphRules::portShape(const Port &port) const {
    if (port.shape.size() != 4)
        return bad("shape: found %zu dimensions, expected 4: N, C, H, W", port.shape.size());
    const DimensionSymbol symbols[4] = {DimensionSymbol::N, DimensionSymbol::One, DimensionSymbol::H,
                                        DimensionSymbol::W};
    for (size_t i = 0; i < 4; ++i) {
        const Dimension &dimension = port.shape[i];
        const bool fixed = i >= 2 && dimension.symbol == DimensionSymbol::One;
        if (fixed != (i >= 2 && graph_.ports[0].shape[i].symbol == DimensionSymbol::One) ||
            (fixed && (dimension.numerator != graph_.ports[0].shape[i].numerator ||
                       port.shape[2].symbol != port.shape[3].symbol)))
            return bad("shape[%zu]: found %u of symbol %u, expected a number of pixels for both or neither, "
                       "that of the first port",
                       i, dimension.numerator, number(dimension.symbol));
        if (dimension.symbol != symbols[i] && !fixed)
            return bad("shape[%zu].symbol: found %u, expected %u", i, number(dimension.symbol),
                       number(symbols[i]));
        const uint32_t most = i >= 2 ? kMaxSizeMultiple : i == 1 ? kMaxChannels : 1;
        const uint32_t mostBelow = i >= 2 && !fixed ? kMaxSizeMultiple : 1;
        if (dimension.numerator == 0 || dimension.numerator > most || dimension.denominator == 0 ||
            dimension.denominator > mostBelow)
            return bad("shape[%zu]: found %u/%u, expected 1 to %u over 1 to %u", i, dimension.numerator,
                       dimension.denominator, most, mostBelow);
    }
    if (port.shape[1].numerator != graph_.tensors[port.tensor].channels)
        return bad("shape[1]: found %u, expected the tensor's %u channels", port.shape[1].numerator,
                   graph_.tensors[port.tensor].channels);
    return {};
}

Status GraphRules::portSource(const Port &port) const {
    const bool ofModel = port.source == PortSource::ModelOutput || port.source == PortSource::ModelVariance;
    const bool fits = port.output ? port.source == PortSource::App || ofModel
                                  : !ofModel && number(port.source) <= number(PortSource::Noise);
    if (!fits)
        return bad("source: found %u, expected %s", number(port.source),
                   port.output ? "0 (app), 2 (model output) or 6 (model variance)" : "0, 1, 3, 4 or 5");
    if (port.source != PortSource::Graph && (port.sourceGraph != kNone || port.sourcePort != kNone))
        return bad("source_graph: found %u, expected none for this source", port.sourceGraph);
    if (port.source == PortSource::Constant && port.sourceWeight >= model_.weights.size())
        return bad("source_weight: found %u, expected less than %zu", port.sourceWeight,
                   model_.weights.size());
    if (port.source != PortSource::Constant && port.sourceWeight != kNone)
        return bad("source_weight: found %u, expected none for this source", port.sourceWeight);
    return {};
}

Status GraphRules::conditioning() {
    const Conditioning &c = graph_.conditioning;
    if (number(c.kind) > number(ConditioningKind::Vectors))
        return bad("kind: found %u, expected 1 (labels) or 2 (vectors)", number(c.kind));
    if (c.kind == ConditioningKind::None) {
        const bool plain = c.stepEmbeddings == kNone && c.classes == kNone && c.nullClass == kNone;
        return plain ? Status{} : bad("kind: found 0 with tables, expected 1 (labels) or 2 (vectors)");
    }
    if (number(c.activation) > number(ActivationFunction::Relu))
        return bad("activation: found %u, expected 0 (none) to 4 (ReLU)", number(c.activation));
    const auto rows = [&](uint32_t index, const char *name, uint64_t count) -> Status {
        if (index >= model_.weights.size())
            return bad("%s: found %u, expected less than %zu", name, index, model_.weights.size());
        const Weight &weight = model_.weights[index];
        if (weight.type != DataType::F32 || weight.shape.size() != 2 || weight.shape[1] > kMaxChannels ||
            (count != 0 && weight.shape[0] != count) || (embedding_ != 0 && weight.shape[1] != embedding_))
            return bad("%s: found %s, expected F32 [%s][E], E the same in both tables and at most %u", name,
                       shapeText(weight).c_str(), count != 0 ? std::to_string(count).c_str() : "K",
                       kMaxChannels);
        embedding_ = weight.shape[1];
        return {};
    };
    MOTE_TRY(rows(c.stepEmbeddings, "step_embeddings", model_.timesteps.size()));
    if (c.kind == ConditioningKind::Vectors)
        return c.classes == kNone && c.nullClass == kNone
                   ? Status{}
                   : bad("classes: found %u with null_class %u, expected none of both with vectors",
                         c.classes, c.nullClass);
    MOTE_TRY(rows(c.classes, "classes", 0));
    const uint32_t labels = model_.weights[c.classes].shape[0];
    if (c.nullClass != kNone && c.nullClass >= labels)
        return bad("null_class: found %u, expected less than %u, or none", c.nullClass, labels);
    return {};
}

Status validateGraph(const Model &model, uint32_t index, const std::string &file) {
    return GraphRules(model, index, file).check();
}

} // namespace mote
