#include "model/validate.h"

#include "model/checked.h"
#include "model/format.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cmath>
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
            return wrong(file, field, "bytes that are not UTF-8 at " + text(uint64_t{i}), "UTF-8");
        const auto c = static_cast<uint8_t>(value[i]);
        if (c == 0x7f || (c < 0x20 && !(lines && (c == '\n' || c == '\t'))))
            return wrong(file, field, "control character " + text(uint64_t{c}) + " at " + text(uint64_t{i}),
                         "printable text");
        i += length;
    }
    return {};
}

Status checkCount(const std::string &file, const char *field, size_t found, uint64_t most) {
    if (found > most)
        return wrong(file, field, text(uint64_t{found}) + " entries", "at most " + text(most));
    return {};
}

// A finite number; infinities and NaNs would travel through every pixel.
Status checkFinite(const std::string &file, const std::string &field, float value) {
    if (!std::isfinite(value))
        return wrong(file, field, text(value), "a finite number");
    return {};
}

Status validateWeights(const Model &model, const std::string &file) {
    for (size_t i = 0; i < model.weights.size(); ++i) {
        const Weight &weight = model.weights[i];
        MOTE_TRY(checkName(file, item("weights", i) + ".name", weight.name));
        const auto field = [&](const char *name) {
            return item("weights", i) + " " + quoted(weight.name) + "." + name;
        };
        const uint64_t element = elementBytes(weight.type);
        if (element == 0)
            return wrong(file, field("type"), text(uint64_t{static_cast<uint8_t>(weight.type)}),
                         "0 (F32) or 1 (F16)");
        if (weight.shape.empty() || weight.shape.size() > 4)
            return wrong(file, field("shape"), text(uint64_t{weight.shape.size()}) + " dimensions", "1 to 4");
        Checked bytes = element;
        for (const uint32_t dimension : weight.shape)
            bytes *= dimension;
        if (!bytes.valid || bytes.value == 0 || bytes.value != weight.bytes)
            return wrong(file, field("bytes"), text(weight.bytes),
                         bytes.valid ? "the shape's " + text(bytes.value) + ", and more than none"
                                     : "a shape whose bytes fit 64 bits");
        if (weight.segment >= model.segments.size())
            return wrong(file, field("segment"), text(uint64_t{weight.segment}),
                         "less than " + text(uint64_t{model.segments.size()}));
        const Segment &segment = model.segments[weight.segment];
        if (!segment.known)
            return wrong(file, field("segment"), text(uint64_t{weight.segment}) + ", of a kind not known",
                         "a segment of weights");
        if (weight.offset % kAlignment != 0)
            return wrong(file, field("offset"), text(weight.offset), "a multiple of " + text(kAlignment));
        if (!(Checked(weight.offset) + weight.bytes).within(segment.bytes))
            return wrong(file, field("offset"), text(weight.bytes) + " bytes at " + text(weight.offset),
                         "a place within the segment's " + text(segment.bytes));
    }
    // Names must differ; sorted, equal ones are neighbours.
    std::vector<uint32_t> order(model.weights.size());
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&model](uint32_t a, uint32_t b) {
        return model.weights[a].name < model.weights[b].name;
    });
    for (size_t i = 1; i < order.size(); ++i)
        if (model.weights[order[i]].name == model.weights[order[i - 1]].name)
            return wrong(file, item("weights", order[i]) + ".name",
                         quoted(model.weights[order[i]].name) + " again", "names that differ");
    // Sorted by place, each must end before the next begins.
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&model](uint32_t a, uint32_t b) {
        const Weight &x = model.weights[a], &y = model.weights[b];
        return x.segment != y.segment ? x.segment < y.segment : x.offset < y.offset;
    });
    for (size_t i = 1; i < order.size(); ++i) {
        const Weight &before = model.weights[order[i - 1]], &after = model.weights[order[i]];
        if (before.segment == after.segment && before.offset + before.bytes > after.offset)
            return wrong(file, item("weights", order[i]) + " " + quoted(after.name) + ".offset",
                         text(after.offset) + ", inside " + quoted(before.name),
                         "at least " + text(before.offset + before.bytes));
    }
    return {};
}

Status validateRow(const Model &model, const StepRow &row, const std::string &file, const std::string &where,
                   bool stored[4]) {
    if (row.timestepIndex >= model.timesteps.size())
        return wrong(file, where + ".timestep_index", text(uint64_t{row.timestepIndex}),
                     "less than " + text(uint64_t{model.timesteps.size()}));
    if (row.timestep != model.timesteps[row.timestepIndex])
        return wrong(file, where + ".timestep", text(row.timestep),
                     text(model.timesteps[row.timestepIndex]) + ", the timestep at its index");
    const struct {
        const char *name;
        float value;
    } numbers[] = {{"p", row.p},     {"q", row.q},     {"clip_low", row.clipLow},
                   {"a", row.a},     {"b", row.b},     {"clip_high", row.clipHigh},
                   {"g", row.g},     {"e", row.e},     {"quantile", row.quantile},
                   {"c", row.c},     {"u", row.u},     {"threshold_max", row.thresholdMax},
                   {"v", row.v},     {"w", row.w},     {"scale", row.scale},
                   {"h0", row.h[0]}, {"h1", row.h[1]}, {"h2", row.h[2]},
                   {"h3", row.h[3]}};
    for (const auto &number : numbers)
        MOTE_TRY(checkFinite(file, where + "." + number.name, number.value));
    if (static_cast<uint8_t>(row.clip) > static_cast<uint8_t>(ClipKind::Threshold))
        return wrong(file, where + ".clip", text(uint64_t{static_cast<uint8_t>(row.clip)}), "0 to 2");
    if (row.clip == ClipKind::Clamp && !(row.clipLow < row.clipHigh))
        return wrong(file, where + ".clip_low", text(row.clipLow), "less than " + text(row.clipHigh));
    if (row.clip == ClipKind::Threshold && !(row.quantile > 0 && row.quantile <= 1 && row.thresholdMax >= 1))
        return wrong(file, where + ".quantile",
                     text(row.quantile) + " with maximum " + text(row.thresholdMax),
                     "above 0, at most 1, with a maximum of at least 1");
    for (size_t k = 0; k < 4; ++k)
        if (row.h[k] != 0 && !stored[k])
            return wrong(file, where + ".h" + text(uint64_t{k}), text(row.h[k]),
                         "0, because no earlier row stores the register");
    if (row.store != kNone && row.store > 3)
        return wrong(file, where + ".store", text(uint64_t{row.store}), "0 to 3, or none");
    if (row.store != kNone)
        stored[row.store] = true;
    if (row.draws > 1)
        return wrong(file, where + ".draws", text(uint64_t{row.draws}), "0 or 1");
    if (row.c != 0 && row.draws == 0)
        return wrong(file, where + ".draws", "0 with c = " + text(row.c), "1, because the row uses noise");
    if (!(row.scale > 0))
        return wrong(file, where + ".scale", text(row.scale), "above 0");
    return {};
}

Status validateRecipes(const Model &model, const std::string &file) {
    for (size_t i = 0; i < model.timesteps.size(); ++i)
        MOTE_TRY(checkFinite(file, item("timesteps", i), model.timesteps[i]));
    // y, what the rows call the condition, is the input port of that name.
    bool condition = false;
    for (const Graph &graph : model.graphs)
        for (const Port &port : graph.ports)
            condition = condition || (!port.output && port.name == "condition");
    for (size_t i = 0; i < model.recipes.size(); ++i) {
        const Recipe &recipe = model.recipes[i];
        const std::string where = item("recipes", i);
        MOTE_TRY(checkName(file, where + ".name", recipe.name));
        MOTE_TRY(checkName(file, where + ".sampler", recipe.sampler));
        for (size_t j = 0; j < i; ++j)
            if (model.recipes[j].name == recipe.name)
                return wrong(file, where + ".name", quoted(recipe.name) + " again", "names that differ");
        MOTE_TRY(checkFinite(file, where + ".init_noise", recipe.initNoise));
        MOTE_TRY(checkFinite(file, where + ".init_condition", recipe.initCondition));
        if (!std::isfinite(recipe.initScale) || !(recipe.initScale > 0))
            return wrong(file, where + ".init_scale", text(recipe.initScale), "a finite number above 0");
        if (recipe.steps == 0)
            return wrong(file, where + ".steps", "0", "at least 1");
        if (recipe.rows.empty() || recipe.rows.size() > kMaxRows)
            return wrong(file, where + ".rows", text(uint64_t{recipe.rows.size()}) + " rows",
                         "1 to " + text(uint64_t{kMaxRows}));
        if (recipe.initCondition != 0 && !condition)
            return wrong(file, where + ".init_condition", text(recipe.initCondition),
                         "0, because no input port is named 'condition'");
        bool stored[4] = {false, false, false, false};
        for (size_t j = 0; j < recipe.rows.size(); ++j) {
            const std::string row = where + "." + item("rows", j);
            MOTE_TRY(validateRow(model, recipe.rows[j], file, row, stored));
            if (recipe.rows[j].e != 0 && !condition)
                return wrong(file, row + ".e", text(recipe.rows[j].e),
                             "0, because no input port is named 'condition'");
        }
    }
    return {};
}

// Graphs among each other: names, order, who feeds whom, and one model output where there are recipes.
Status validateGraphs(const Model &model, const std::string &file) {
    size_t modelOutputs = 0, states = 0;
    for (uint32_t i = 0; i < model.graphs.size(); ++i) {
        const Graph &graph = model.graphs[i];
        MOTE_TRY(validateGraph(model, i, file));
        for (size_t j = 0; j < i; ++j) {
            if (model.graphs[j].name == graph.name)
                return wrong(file, item("graphs", i) + ".name", quoted(graph.name) + " again",
                             "names that differ");
            if (model.graphs[j].phase == graph.phase && model.graphs[j].order == graph.order)
                return wrong(file, item("graphs", i) + ".order", text(uint64_t{graph.order}) + " again",
                             "one order per graph of a phase");
        }
        for (size_t j = 0; j < graph.ports.size(); ++j) {
            const Port &port = graph.ports[j];
            const std::string where = item("graphs", i) + "." + item("ports", j) + " " + quoted(port.name);
            if (port.source == PortSource::ModelOutput) {
                ++modelOutputs;
                if (graph.phase != Phase::PerStep)
                    return wrong(file, where + ".source", "the model's output",
                                 "it in a per-step graph only");
            }
            if (port.source == PortSource::State && graph.phase == Phase::PerStep)
                ++states;
            if (port.source != PortSource::Graph)
                continue;
            if (port.sourceGraph >= model.graphs.size() ||
                port.sourcePort >= model.graphs[port.sourceGraph].ports.size() ||
                !model.graphs[port.sourceGraph].ports[port.sourcePort].output)
                return wrong(file, where + ".source_port",
                             text(uint64_t{port.sourcePort}) + " of graph " +
                                 text(uint64_t{port.sourceGraph}),
                             "an output port of another graph");
            const Graph &from = model.graphs[port.sourceGraph];
            if (from.phase > graph.phase || (from.phase == graph.phase && from.order >= graph.order))
                return wrong(file, where + ".source_graph",
                             quoted(from.name) + ", which does not run before it", "a graph that does");
        }
    }
    if (!model.recipes.empty() && (modelOutputs != 1 || states == 0))
        return wrong(file, "graphs",
                     text(uint64_t{modelOutputs}) + " model outputs and " + text(uint64_t{states}) +
                         " per-step inputs of the state",
                     "one model output and at least one input of the state, because there are recipes");
    if (model.recipes.empty() && modelOutputs != 0)
        return wrong(file, "recipes", "none", "at least one, because a graph makes a model output");
    return {};
}

Status validateSelfCheck(const Model &model, const std::string &file) {
    const SelfCheck &check = model.selfCheck;
    if (check.ops.empty()) {
        if (!check.inputs.empty() || !check.output.empty())
            return wrong(file, "self_check.ops", "none", "at least one, because it has inputs or an output");
        return {};
    }
    if (check.graph >= model.graphs.size())
        return wrong(file, "self_check.graph", text(uint64_t{check.graph}),
                     "less than " + text(uint64_t{model.graphs.size()}));
    if (check.timestepIndex >= model.timesteps.size())
        return wrong(file, "self_check.timestep_index", text(uint64_t{check.timestepIndex}),
                     "less than " + text(uint64_t{model.timesteps.size()}));
    const Graph &graph = model.graphs[check.graph];
    const auto sized = [&](const char *field, uint32_t extent) -> Status {
        if (extent == 0 || extent % graph.sizeMultiple != 0 || extent > kMaxSelfCheckFloats)
            return wrong(file, field, text(uint64_t{extent}),
                         "a multiple of " + text(uint64_t{graph.sizeMultiple}) + " up to " +
                             text(kMaxSelfCheckFloats));
        return {};
    };
    MOTE_TRY(sized("self_check.height", check.height));
    MOTE_TRY(sized("self_check.width", check.width));

    // Floats of a port at the self-check's size, batch 1; beyond the bound where it does not divide.
    const auto portFloats = [&](const Port &port) {
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
    };
    uint64_t total = check.output.size();
    size_t input = 0;
    for (const Port &port : graph.ports) {
        if (port.output) {
            if (port.source == PortSource::ModelOutput && check.output.size() != portFloats(port))
                return wrong(file, "self_check.output", text(uint64_t{check.output.size()}) + " floats",
                             text(portFloats(port)));
            continue;
        }
        if (input >= check.inputs.size() || check.inputs[input].size() != portFloats(port))
            return wrong(file, item("self_check.inputs", input),
                         input < check.inputs.size() ? text(uint64_t{check.inputs[input].size()}) + " floats"
                                                     : "nothing",
                         text(portFloats(port)) + " floats for port " + quoted(port.name));
        for (const float value : check.inputs[input])
            MOTE_TRY(checkFinite(file, item("self_check.inputs", input), value));
        total += check.inputs[input].size();
        ++input;
    }
    if (check.inputs.size() != input)
        return wrong(file, "self_check.inputs", text(uint64_t{check.inputs.size()}) + " arrays",
                     text(uint64_t{input}) + ", one per input port");
    for (const float value : check.output)
        MOTE_TRY(checkFinite(file, "self_check.output", value));
    if (!std::isfinite(check.outputTolerance) || !(check.outputTolerance > 0))
        return wrong(file, "self_check.output_tolerance", text(check.outputTolerance),
                     "a finite number above 0");
    for (size_t i = 0; i < check.ops.size(); ++i) {
        const SelfCheckOp &op = check.ops[i];
        const std::string where = item("self_check.ops", i);
        if (op.op >= graph.ops.size() || (i > 0 && op.op <= check.ops[i - 1].op))
            return wrong(file, where + ".op", text(uint64_t{op.op}),
                         "ascending numbers below " + text(uint64_t{graph.ops.size()}));
        if (!std::isfinite(op.rms) || op.rms < 0)
            return wrong(file, where + ".rms", text(op.rms), "a finite number of at least 0");
        if (!std::isfinite(op.tolerance) || !(op.tolerance > 0))
            return wrong(file, where + ".tolerance", text(op.tolerance), "a finite number above 0");
        if (op.positions.empty() || op.positions.size() > kMaxSelfCheckSamples ||
            op.positions.size() != op.values.size())
            return wrong(file, where + ".positions",
                         text(uint64_t{op.positions.size()}) + " with " + text(uint64_t{op.values.size()}) +
                             " values",
                         "1 to " + text(uint64_t{kMaxSelfCheckSamples}) + ", with as many values");
        for (const float value : op.values)
            MOTE_TRY(checkFinite(file, where + ".values", value));
        total += 2 * op.positions.size() + 3;
    }
    if (total > kMaxSelfCheckFloats)
        return wrong(file, "self_check", text(total * 4) + " bytes",
                     "at most " + text(kMaxSelfCheckFloats * 4));
    return {};
}

} // namespace

std::string quoted(const std::string &name) {
    std::string out = "'";
    for (const char c : name.substr(0, kMaxNameBytes))
        out += static_cast<uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
    return out + "'";
}

Status checkName(const std::string &file, const std::string &field, const std::string &name) {
    if (name.empty() || name.size() > kMaxNameBytes)
        return wrong(file, field, text(uint64_t{name.size()}) + " bytes",
                     "1 to " + text(uint64_t{kMaxNameBytes}));
    return checkCharacters(file, field, name, false);
}

Status checkText(const std::string &file, const std::string &field, const std::string &value,
                 uint32_t maxBytes) {
    if (value.size() > maxBytes)
        return wrong(file, field, text(uint64_t{value.size()}) + " bytes",
                     "at most " + text(uint64_t{maxBytes}));
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
        return wrong(file, "graphs", "none", "at least one");
    if (model.statisticsWindow > kMaxWindow)
        return wrong(file, "statistics_window", text(uint64_t{model.statisticsWindow}),
                     "at most " + text(uint64_t{kMaxWindow}));
    if (model.receptiveField != kNone && model.receptiveField > kMaxWindow)
        return wrong(file, "receptive_field", text(uint64_t{model.receptiveField}),
                     "at most " + text(uint64_t{kMaxWindow}) + ", or none");
    MOTE_TRY(validateWeights(model, file));
    MOTE_TRY(validateGraphs(model, file));
    MOTE_TRY(validateRecipes(model, file));
    return validateSelfCheck(model, file);
}

} // namespace mote
