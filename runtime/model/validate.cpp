#include "model/validate.h"

#include "model/checked.h"
#include "model/format.h"
#include "model/task.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <numeric>

namespace mote {

namespace {

// Length of the UTF-8 sequence that begins at `at`, 0 where none does (overlong forms and surrogates
// included).
size_t sequenceLength(const std::string &s, size_t at) {
    const auto byte = [&s](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : uint8_t{0}; };
    const auto follows = [&byte](size_t i) { return (byte(i) & 0xc0) == 0x80; };
    const uint8_t first = byte(at);
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return follows(at + 1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const uint8_t second = byte(at + 1);
        if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f))
            return 0;
        return follows(at + 1) && follows(at + 2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const uint8_t second = byte(at + 1);
        if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
            return 0;
        return follows(at + 1) && follows(at + 2) && follows(at + 3) ? 4 : 0;
    }
    return 0;
}

Status checkCharacters(const std::string &file, const std::string &field, const std::string &value,
                       bool lines) {
    for (size_t i = 0; i < value.size();) {
        const size_t length = sequenceLength(value, i);
        if (length == 0)
            return wrong(file, "%s: found bytes that are not UTF-8 at %zu, expected UTF-8", field.c_str(), i);
        const auto c = static_cast<uint8_t>(value[i]);
        if (c == 0x7f || (c < 0x20 && !(lines && (c == '\n' || c == '\t'))))
            return wrong(file, "%s: found control character %u at %zu, expected printable text",
                         field.c_str(), unsigned{c}, i);
        i += length;
    }
    return {};
}

Status checkCount(const std::string &file, const char *field, size_t found, uint32_t most) {
    if (found > most)
        return wrong(file, "%s: found %zu entries, expected at most %u", field, found, most);
    return {};
}

Status checkAllFinite(const std::string &file, const char *field, const std::vector<float> &values) {
    for (const float value : values)
        MOTE_TRY(checkFinite(file, "", field, value));
    return {};
}

Status validateWeights(const Model &model, const std::string &file) {
    for (size_t i = 0; i < model.weights.size(); ++i) {
        const Weight &weight = model.weights[i];
        char where[kMaxNameBytes + 32];
        std::snprintf(where, sizeof where, "weights[%zu].name", i);
        MOTE_TRY(checkName(file, where, weight.name));
        std::snprintf(where, sizeof where, "weights[%zu] '%s'", i, weight.name.c_str());
        const uint64_t element = elementBytes(weight.type);
        if (element == 0)
            return wrong(file, "%s.type: found %u, expected 0 (F32) or 1 (F16)", where, number(weight.type));
        if (weight.shape.empty() || weight.shape.size() > 4)
            return wrong(file, "%s.shape: found %zu dimensions, expected 1 to 4", where, weight.shape.size());
        Checked bytes = element;
        for (const uint32_t dimension : weight.shape)
            bytes *= dimension;
        if (!bytes.valid || bytes.value == 0)
            return wrong(file, "%s.bytes: found a shape of %s, expected a product from 1 to 2^64", where,
                         bytes.valid ? "nothing" : "more");
        if (bytes.value != weight.bytes)
            return wrong(file, "%s.bytes: found %" PRIu64 ", expected the shape's %" PRIu64, where,
                         weight.bytes, bytes.value);
        if (weight.segment >= model.segments.size())
            return wrong(file, "%s.segment: found %u, expected less than %zu", where, weight.segment,
                         model.segments.size());
        const Segment &segment = model.segments[weight.segment];
        if (!segment.known)
            return wrong(file, "%s.segment: found %u, of a kind not known, expected a segment of weights",
                         where, weight.segment);
        if (weight.offset % kAlignment != 0 || !(Checked(weight.offset) + weight.bytes).within(segment.bytes))
            return wrong(file,
                         "%s.offset: found %" PRIu64 " with %" PRIu64
                         " bytes, expected a multiple of %" PRIu64 " within the segment's %" PRIu64,
                         where, weight.offset, weight.bytes, kAlignment, segment.bytes);
    }
    // Names must differ; sorted, equal ones are neighbours.
    std::vector<uint32_t> order(model.weights.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&model](uint32_t a, uint32_t b) {
        const int compared = model.weights[a].name.compare(model.weights[b].name);
        return compared != 0 ? compared < 0 : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i)
        if (model.weights[order[i]].name == model.weights[order[i - 1]].name)
            return wrong(file, "weights[%u].name: found '%s' again, expected names that differ", order[i],
                         model.weights[order[i]].name.c_str());
    // Sorted by place, each must end before the next begins.
    std::sort(order.begin(), order.end(), [&model](uint32_t a, uint32_t b) {
        const Weight &x = model.weights[a], &y = model.weights[b];
        if (x.segment != y.segment)
            return x.segment < y.segment;
        return x.offset != y.offset ? x.offset < y.offset : a < b;
    });
    for (size_t i = 1; i < order.size(); ++i) {
        const Weight &before = model.weights[order[i - 1]], &after = model.weights[order[i]];
        if (before.segment == after.segment && before.offset + before.bytes > after.offset)
            return wrong(
                file, "weights[%u] '%s'.offset: found %" PRIu64 ", inside '%s', expected at least %" PRIu64,
                order[i], after.name.c_str(), after.offset, before.name.c_str(),
                before.offset + before.bytes);
    }
    return {};
}

// A port that another graph feeds: from an output port of a graph that runs before it.
Status validateFeed(const Model &model, const Graph &graph, const Port &port, const std::string &file,
                    const char *where) {
    if (port.sourceGraph >= model.graphs.size() ||
        port.sourcePort >= model.graphs[port.sourceGraph].ports.size() ||
        !model.graphs[port.sourceGraph].ports[port.sourcePort].output)
        return wrong(file, "%s.source_port: found %u of graph %u, expected an output port of another graph",
                     where, port.sourcePort, port.sourceGraph);
    const Graph &from = model.graphs[port.sourceGraph];
    if (from.phase > graph.phase || (from.phase == graph.phase && from.order >= graph.order))
        return wrong(file,
                     "%s.source_graph: found %s, which does not run before it, expected a graph that does",
                     where, quoted(from.name).c_str());
    return {};
}

// Graphs among each other: names, order, who feeds whom, and one model output where there are recipes.
Status validateGraphs(const Model &model, const std::string &file) {
    size_t modelOutputs = 0, variances = 0, states = 0;
    uint32_t outputChannels = 0, varianceChannels = 0;
    for (uint32_t i = 0; i < model.graphs.size(); ++i) {
        const Graph &graph = model.graphs[i];
        MOTE_TRY(validateGraph(model, i, file));
        for (size_t j = 0; j < i; ++j) {
            if (model.graphs[j].name == graph.name)
                return wrong(file, "graphs[%u].name: found '%s' again, expected names that differ", i,
                             graph.name.c_str());
            if (model.graphs[j].phase == graph.phase && model.graphs[j].order == graph.order)
                return wrong(file,
                             "graphs[%u].order: found %u again, expected one order per graph of a phase", i,
                             graph.order);
        }
        for (size_t j = 0; j < graph.ports.size(); ++j) {
            const Port &port = graph.ports[j];
            char where[kMaxNameBytes + 64];
            std::snprintf(where, sizeof where, "graphs[%u].ports[%zu] '%s'", i, j, port.name.c_str());
            if (port.source == PortSource::ModelOutput || port.source == PortSource::ModelVariance) {
                const bool variance = port.source == PortSource::ModelVariance;
                ++(variance ? variances : modelOutputs);
                (variance ? varianceChannels : outputChannels) = graph.tensors[port.tensor].channels;
                if (graph.phase != Phase::PerStep)
                    return wrong(file,
                                 "%s.source: found the model's output, expected it in a per-step graph only",
                                 where);
            }
            if (port.source == PortSource::State && graph.phase == Phase::PerStep)
                ++states;
            if (port.source == PortSource::Graph)
                MOTE_TRY(validateFeed(model, graph, port, file, where));
        }
    }
    if (!model.recipes.empty() && (modelOutputs != 1 || states == 0))
        return wrong(
            file,
            "graphs: found %zu model outputs and %zu per-step inputs of the state, expected one and at least "
            "one, because there are recipes",
            modelOutputs, states);
    if (variances > 1 || (variances == 1 && varianceChannels != outputChannels))
        return wrong(
            file,
            "graphs: found %zu variances of %u channels, expected at most one, with the model output's "
            "%u channels",
            variances, varianceChannels, outputChannels);
    if (model.recipes.empty() && modelOutputs != 0)
        return wrong(file,
                     "recipes: found none, expected at least one, because a graph makes a model output");
    return {};
}

// Floats of a port at the self-check's size, batch 1; beyond the bound where it does not divide.
uint64_t portFloats(const SelfCheck &check, const Port &port) {
    Checked floats = 1;
    for (const Dimension &dimension : port.shape) {
        uint64_t symbol = 1;
        if (dimension.symbol == DimensionSymbol::H)
            symbol = check.height;
        else if (dimension.symbol == DimensionSymbol::W)
            symbol = check.width;
        const Checked product = Checked(symbol) * dimension.numerator;
        if (!product.valid || product.value % dimension.denominator != 0)
            return kMaxSelfCheckFloats + 1;
        floats *= product.value / dimension.denominator;
    }
    return floats.within(kMaxSelfCheckFloats) ? floats.value : kMaxSelfCheckFloats + 1;
}

Status validateSelfCheck(const Model &model, const std::string &file) {
    const SelfCheck &check = model.selfCheck;
    if (check.ops.empty()) {
        if (!check.inputs.empty() || !check.output.empty())
            return wrong(
                file,
                "self_check.ops: found none, expected at least one, because it has inputs or an output");
        return {};
    }
    if (check.graph >= model.graphs.size())
        return wrong(file, "self_check.graph: found %u, expected less than %zu", check.graph,
                     model.graphs.size());
    if (check.timestepIndex >= model.timesteps.size())
        return wrong(file, "self_check.timestep_index: found %u, expected less than %zu", check.timestepIndex,
                     model.timesteps.size());
    const Graph &graph = model.graphs[check.graph];
    const uint32_t labels = graph.conditioning.kind == ConditioningKind::Labels
                                ? model.weights[graph.conditioning.classes].shape[0]
                                : 1;
    if (check.label >= labels)
        return wrong(file, "self_check.label: found %u, expected less than %u", check.label, labels);
    for (const bool vertical : {true, false}) {
        const uint32_t extent = vertical ? check.height : check.width;
        if (extent == 0 || extent % graph.sizeMultiple != 0 || extent > kMaxSelfCheckFloats)
            return wrong(file, "self_check.%s: found %u, expected a multiple of %u up to %" PRIu64,
                         vertical ? "height" : "width", extent, graph.sizeMultiple, kMaxSelfCheckFloats);
    }
    uint64_t total = check.output.size();
    size_t input = 0;
    for (const Port &port : graph.ports) {
        const uint64_t floats = portFloats(check, port);
        if (port.output) {
            if (port.source == PortSource::ModelOutput && check.output.size() != floats)
                return wrong(file, "self_check.output: found %zu floats, expected %" PRIu64,
                             check.output.size(), floats);
            continue;
        }
        if (input >= check.inputs.size())
            return wrong(file,
                         "self_check.inputs[%zu]: found nothing, expected %" PRIu64 " floats for port %s",
                         input, floats, quoted(port.name).c_str());
        if (check.inputs[input].size() != floats)
            return wrong(file, "self_check.inputs[%zu]: found %zu floats, expected %" PRIu64 " for port %s",
                         input, check.inputs[input].size(), floats, quoted(port.name).c_str());
        MOTE_TRY(checkAllFinite(file, "self_check.inputs", check.inputs[input]));
        total += floats;
        ++input;
    }
    if (check.inputs.size() != input)
        return wrong(file, "self_check.inputs: found %zu arrays, expected %zu, one per input port",
                     check.inputs.size(), input);
    MOTE_TRY(checkAllFinite(file, "self_check.output", check.output));
    MOTE_TRY(checkFinite(file, "self_check.", "output_tolerance", check.outputTolerance, true));
    for (size_t i = 0; i < check.ops.size(); ++i) {
        const SelfCheckOp &op = check.ops[i];
        char where[64];
        std::snprintf(where, sizeof where, "self_check.ops[%zu].", i);
        if (op.op >= graph.ops.size() || (i > 0 && op.op <= check.ops[i - 1].op))
            return wrong(file, "%sop: found %u, expected ascending numbers below %zu", where, op.op,
                         graph.ops.size());
        if (!std::isfinite(op.rms) || op.rms < 0)
            return wrong(file, "%srms: found %g, expected a finite number of at least 0", where,
                         double(op.rms));
        MOTE_TRY(checkFinite(file, where, "tolerance", op.tolerance, true));
        if (op.positions.empty() || op.positions.size() > kMaxSelfCheckSamples ||
            op.positions.size() != op.values.size())
            return wrong(file,
                         "%spositions: found %zu with %zu values, expected 1 to %u, with as many values",
                         where, op.positions.size(), op.values.size(), kMaxSelfCheckSamples);
        MOTE_TRY(checkAllFinite(file, "self_check.ops.values", op.values));
        total += 2 * op.positions.size() + 3;
    }
    if (total > kMaxSelfCheckFloats)
        return wrong(file, "self_check: found %" PRIu64 " bytes, expected at most %" PRIu64, total * 4,
                     kMaxSelfCheckFloats * 4);
    return {};
}

} // namespace

Status checkFinite(const std::string &file, const char *where, const char *field, float value, bool above) {
    if (!std::isfinite(value) || (above && !(value > 0)))
        return wrong(file, "%s%s: found %g, expected a finite number%s", where, field, double(value),
                     above ? " above 0" : "");
    return {};
}

std::string quoted(const std::string &name) {
    std::string out = "'";
    for (const char c : name.substr(0, kMaxNameBytes))
        out += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
    return out + "'";
}

Status wrong(const std::string &file, const char *format, ...) {
    char message[1536]; // two names and a sentence
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return Status{StatusCode::InvalidModel, file + ": " + message};
}

Status checkName(const std::string &file, const std::string &field, const std::string &name) {
    if (name.empty() || name.size() > kMaxNameBytes)
        return wrong(file, "%s: found %zu bytes, expected 1 to %u", field.c_str(), name.size(),
                     kMaxNameBytes);
    return checkCharacters(file, field, name, false);
}

Status checkText(const std::string &file, const std::string &field, const std::string &value,
                 uint32_t maxBytes) {
    if (value.size() > maxBytes)
        return wrong(file, "%s: found %zu bytes, expected at most %u", field.c_str(), value.size(), maxBytes);
    return checkCharacters(file, field, value, true);
}

Status validateModel(const Model &model, const std::string &file) {
    MOTE_TRY(checkName(file, "name", model.name));
    MOTE_TRY(checkText(file, "version", model.version, kMaxNameBytes));
    MOTE_TRY(checkText(file, "licence", model.licence, kMaxTextBytes));
    MOTE_TRY(checkText(file, "task", model.task, kMaxNameBytes));
    MOTE_TRY(checkText(file, "description", model.description, kMaxTextBytes));
    MOTE_TRY(checkText(file, "source_class", model.sourceClass, kMaxNameBytes));
    MOTE_TRY(checkCount(file, "segments", model.segments.size(), kMaxSegments));
    MOTE_TRY(checkCount(file, "weights", model.weights.size(), kMaxWeights));
    MOTE_TRY(checkCount(file, "graphs", model.graphs.size(), kMaxGraphs));
    MOTE_TRY(checkCount(file, "timesteps", model.timesteps.size(), kMaxTimesteps));
    MOTE_TRY(checkCount(file, "recipes", model.recipes.size(), kMaxRecipes));
    if (model.graphs.empty())
        return wrong(file, "graphs: found none, expected at least one");
    if (model.statisticsWindow > kMaxWindow)
        return wrong(file, "statistics_window: found %u, expected at most %u", model.statisticsWindow,
                     kMaxWindow);
    if (model.receptiveField != kNone && model.receptiveField > kMaxWindow)
        return wrong(file, "receptive_field: found %u, expected at most %u, or none", model.receptiveField,
                     kMaxWindow);
    MOTE_TRY(validateWeights(model, file));
    MOTE_TRY(validateGraphs(model, file));
    MOTE_TRY(checkTask(model, file));
    MOTE_TRY(validateRecipes(model, file));
    return validateSelfCheck(model, file);
}

} // namespace mote
