#include "model/format.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <cinttypes>
#include <cmath>

namespace mote {

namespace {

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

} // namespace

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

} // namespace mote
