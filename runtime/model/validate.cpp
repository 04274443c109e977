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

template <typename Enum> unsigned number(Enum value) {
    return static_cast<unsigned>(value);
}

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

// A finite number; infinities and NaNs would travel through every pixel. `above`: and larger than zero.
Status checkFinite(const std::string &file, const char *where, const char *field, float value,
                   bool above = false) {
    if (!std::isfinite(value) || (above && !(value > 0)))
        return wrong(file, "%s%s: found %g, expected a finite number%s", where, field, double(value),
                     above ? " above 0" : "");
    return {};
}

Status checkFinite(const std::string &file, const char *field, const std::vector<float> &values) {
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

// Guidance needs a condition that can be left out.
bool canGuide(const Model &model) {
    for (const Graph &graph : model.graphs)
        if (graph.phase == Phase::PerStep &&
            (graph.conditioning.kind == ConditioningKind::Vectors || graph.conditioning.nullClass != kNone))
            return true;
    return false;
}

// What rows may ask of the graphs' ports.
struct PortNames {
    bool condition = false; // an input port of that name
    bool variance = false;  // an output port of the network's variance
};

Status validateRow(const Model &model, const StepRow &row, const std::string &file, const char *where,
                   const PortNames &ports, bool stored[4]) {
    if (row.timestepIndex >= model.timesteps.size())
        return wrong(file, "%stimestep_index: found %u, expected less than %zu", where, row.timestepIndex,
                     model.timesteps.size());
    if (row.timestep != model.timesteps[row.timestepIndex])
        return wrong(file, "%stimestep: found %g, expected %g, the timestep at its index", where,
                     double(row.timestep), double(model.timesteps[row.timestepIndex]));
    const struct {
        const char *name;
        float value;
    } numbers[] = {{"p", row.p},
                   {"q", row.q},
                   {"clip_low", row.clipLow},
                   {"a", row.a},
                   {"b", row.b},
                   {"clip_high", row.clipHigh},
                   {"g", row.g},
                   {"e", row.e},
                   {"quantile", row.quantile},
                   {"c", row.c},
                   {"u", row.u},
                   {"threshold_max", row.thresholdMax},
                   {"v", row.v},
                   {"w", row.w},
                   {"h0", row.h[0]},
                   {"h1", row.h[1]},
                   {"h2", row.h[2]},
                   {"h3", row.h[3]},
                   {"variance_exponent", row.varianceExponent},
                   {"known_image", row.knownImage},
                   {"known_noise", row.knownNoise}};
    for (const auto &entry : numbers)
        MOTE_TRY(checkFinite(file, where, entry.name, entry.value));
    MOTE_TRY(checkFinite(file, where, "scale", row.scale, true));
    if (number(row.clip) > number(ClipKind::Threshold))
        return wrong(file, "%sclip: found %u, expected 0 to 2", where, number(row.clip));
    if (row.clip == ClipKind::Clamp && !(row.clipLow < row.clipHigh))
        return wrong(file, "%sclip_low: found %g, expected less than %g", where, double(row.clipLow),
                     double(row.clipHigh));
    if (row.clip == ClipKind::Threshold && !(row.quantile > 0 && row.quantile <= 1 && row.thresholdMax >= 1))
        return wrong(
            file,
            "%squantile: found %g with maximum %g, expected above 0, at most 1, with a maximum of at least 1",
            where, double(row.quantile), double(row.thresholdMax));
    for (unsigned k = 0; k < 4; ++k)
        if (row.h[k] != 0 && !stored[k])
            return wrong(file, "%sh%u: found %g, expected 0, because no earlier row stores the register",
                         where, k, double(row.h[k]));
    if (row.store != kNone && row.store > 3)
        return wrong(file, "%sstore: found %u, expected 0 to 3, or none", where, row.store);
    if (row.store != kNone)
        stored[row.store] = true;
    if (number(row.variance) > number(VarianceKind::Direct))
        return wrong(file, "%svariance: found %u, expected 0 to 2", where, number(row.variance));
    if (row.variance != VarianceKind::Fixed && !ports.variance)
        return wrong(file, "%svariance: found %u, expected 0, because no output port gives a variance", where,
                     number(row.variance));
    if (row.varianceExponent != 0 && row.variance != VarianceKind::Interpolated)
        return wrong(file,
                     "%svariance_exponent: found %g, expected 0, because the variance is not interpolated",
                     where, double(row.varianceExponent));
    // exp() of it must be a number, whatever lies between its bounds.
    if (std::fabs(row.varianceExponent) > kMaxVarianceExponent)
        return wrong(file, "%svariance_exponent: found %g, expected at most %g", where,
                     double(row.varianceExponent), double(kMaxVarianceExponent));
    if (!row.known && (row.knownImage != 0 || row.knownNoise != 0))
        return wrong(file, "%sknown_image: found %g with noise %g, expected 0, because no region is known",
                     where, double(row.knownImage), double(row.knownNoise));
    if (row.known && row.e != 0)
        return wrong(file, "%se: found %g, expected 0, because the row has a known region", where,
                     double(row.e));
    const bool noise = row.c != 0 || row.langevin || row.knownNoise != 0;
    if (row.draws > 1 || (noise && row.draws == 0))
        return wrong(file, "%sdraws: found %u with c = %g, expected 0 or 1, and 1 where the row uses noise",
                     where, row.draws, double(row.c));
    if (!row.guided && (row.guidance != 1 || row.guidanceRescale != 0))
        return wrong(file, "%sguidance: found %g rescaled by %g, expected 1 and 0 in a row without guidance",
                     where, double(row.guidance), double(row.guidanceRescale));
    if (row.guided) {
        MOTE_TRY(checkFinite(file, where, "guidance", row.guidance));
        if (!(row.guidanceRescale >= 0 && row.guidanceRescale <= 1))
            return wrong(file, "%sguidance_rescale: found %g, expected 0 to 1", where,
                         double(row.guidanceRescale));
        if (!canGuide(model))
            return wrong(
                file,
                "%sguided: found a row with guidance, expected none, because no graph of the steps is "
                "conditioned on vectors, or on labels with one that stands for none",
                where);
    }
    if (row.e != 0 && !ports.condition)
        return wrong(file, "%se: found %g, expected 0, because no input port is named 'condition'", where,
                     double(row.e));
    return {};
}

Status validateRecipes(const Model &model, const std::string &file) {
    for (size_t i = 0; i < model.timesteps.size(); ++i)
        if (!std::isfinite(model.timesteps[i]))
            return wrong(file, "timesteps[%zu]: found %g, expected a finite number", i,
                         double(model.timesteps[i]));
    // y, what the rows call the condition, is the input port of that name.
    PortNames ports;
    for (const Graph &graph : model.graphs)
        for (const Port &port : graph.ports) {
            ports.condition = ports.condition || (!port.output && port.name == "condition");
            ports.variance = ports.variance || port.source == PortSource::ModelVariance;
        }
    for (size_t i = 0; i < model.recipes.size(); ++i) {
        const Recipe &recipe = model.recipes[i];
        char where[64];
        std::snprintf(where, sizeof where, "recipes[%zu].", i);
        MOTE_TRY(checkName(file, std::string(where) + "name", recipe.name));
        MOTE_TRY(checkName(file, std::string(where) + "sampler", recipe.sampler));
        for (size_t j = 0; j < i; ++j)
            if (model.recipes[j].name == recipe.name)
                return wrong(file, "%sname: found '%s' again, expected names that differ", where,
                             recipe.name.c_str());
        MOTE_TRY(checkFinite(file, where, "init_noise", recipe.initNoise));
        MOTE_TRY(checkFinite(file, where, "init_condition", recipe.initCondition));
        MOTE_TRY(checkFinite(file, where, "init_scale", recipe.initScale, true));
        if (recipe.steps == 0)
            return wrong(file, "%ssteps: found 0, expected at least 1", where);
        if (recipe.rows.empty() || recipe.rows.size() > kMaxRows)
            return wrong(file, "%srows: found %zu rows, expected 1 to %u", where, recipe.rows.size(),
                         kMaxRows);
        if (recipe.initCondition != 0 && !ports.condition)
            return wrong(file,
                         "%sinit_condition: found %g, expected 0, because no input port is named 'condition'",
                         where, double(recipe.initCondition));
        bool stored[4] = {false, false, false, false};
        for (size_t j = 0; j < recipe.rows.size(); ++j) {
            std::snprintf(where, sizeof where, "recipes[%zu].rows[%zu].", i, j);
            MOTE_TRY(validateRow(model, recipe.rows[j], file, where, ports, stored));
        }
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
        MOTE_TRY(checkFinite(file, "self_check.inputs", check.inputs[input]));
        total += floats;
        ++input;
    }
    if (check.inputs.size() != input)
        return wrong(file, "self_check.inputs: found %zu arrays, expected %zu, one per input port",
                     check.inputs.size(), input);
    MOTE_TRY(checkFinite(file, "self_check.output", check.output));
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
        MOTE_TRY(checkFinite(file, "self_check.ops.values", op.values));
        total += 2 * op.positions.size() + 3;
    }
    if (total > kMaxSelfCheckFloats)
        return wrong(file, "self_check: found %" PRIu64 " bytes, expected at most %" PRIu64, total * 4,
                     kMaxSelfCheckFloats * 4);
    return {};
}

} // namespace

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
