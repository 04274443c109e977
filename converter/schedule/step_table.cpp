#include "schedule/step_table.h"

#include <algorithm>
#include <cmath>

#include "schedule/settings.h"

namespace mote::convert::schedule {

Form &Form::operator+=(const Form &other) {
    x += other.x;
    m += other.m;
    x0 += other.x0;
    y += other.y;
    z += other.z;
    for (size_t k = 0; k < r.size(); ++k)
        r[k] += other.r[k];
    return *this;
}

// Zero stays zero whatever the factor: what is absent is skipped, and 0 * infinity must not make it present.
Form &Form::operator*=(double factor) {
    auto scaled = [factor](double &value) { value = value == 0 ? 0 : value * factor; };
    for (double *value : {&x, &m, &x0, &y, &z})
        scaled(*value);
    for (double &value : r)
        scaled(value);
    return *this;
}

Form Form::withX0(const Form &replacement) const {
    Form rest = *this;
    rest.x0 = 0;
    return x0 == 0 ? rest : rest + x0 * replacement;
}

Form Form::withX(const Form &replacement) const {
    Form rest = *this;
    rest.x = 0;
    return x == 0 ? rest : rest + x * replacement;
}

Form registerTerm(int index) {
    Form form;
    form.r.at(static_cast<size_t>(index)) = 1;
    return form;
}

int History::push() {
    if (depth_ == 0)
        return -1;
    int slot = size();
    if (slot == depth_) {
        slot = slots_.back();
        slots_.pop_back();
    }
    slots_.insert(slots_.begin(), slot);
    return slot;
}

Table finishTable(std::string sampler, int64_t steps, const Start &start, const std::vector<Step> &rows) {
    Table table;
    table.sampler = std::move(sampler);
    table.steps = steps;
    table.initScale = rows.empty() ? 1 : rows.front().inputScale;
    table.initNoise = start.noise * table.initScale;
    table.initCondition = start.condition * table.initScale;
    for (size_t i = 0; i < rows.size(); ++i) {
        const Step &step = rows[i];
        const double scale = i + 1 < rows.size() ? rows[i + 1].inputScale : 1.0;
        const Form state = kX / step.inputScale; // the sampler's x from the table's
        const bool folds = step.clip.kind == ClipKind::None;
        const Form prediction = step.prediction.withX(state);
        Form next = folds ? step.next.withX0(step.prediction) : step.next;
        next = next.withX(state) * scale;
        Form keep = folds ? step.keep.withX0(step.prediction) : step.keep;
        keep = keep.withX(state);

        Row row;
        row.timestep = step.timestep;
        row.p = prediction.x;
        row.q = prediction.m;
        row.clip = step.clip;
        row.a = next.x;
        row.b = next.m;
        row.g = next.x0;
        row.e = next.y;
        row.c = next.z;
        row.h = next.r;
        row.store = step.store;
        if (step.store >= 0) {
            row.u = keep.x;
            row.v = keep.m;
            row.w = keep.x0;
        }
        row.draws = step.draws >= 0 ? step.draws : (next.z != 0 || step.known ? 1 : 0);
        row.scale = scale;
        row.langevin = step.langevin;
        if (step.known)
            row.known = {step.known->y * scale, step.known->z * scale};
        row.learned = step.learned;

        const double all[] = {row.timestep, row.p, row.q, row.a, row.b,    row.g,    row.e,    row.c,
                              row.u,        row.v, row.w, scale, row.h[0], row.h[1], row.h[2], row.h[3]};
        if (!std::all_of(std::begin(all), std::end(all), [](double value) { return std::isfinite(value); }))
            throw ScheduleError("sampler \"" + table.sampler + "\" with " + std::to_string(steps) +
                                " steps: found a coefficient that is not finite in row " + std::to_string(i) +
                                " (timestep " + std::to_string(step.timestep) +
                                "), expected a noise schedule for which the formula is defined");
        table.rows.push_back(std::move(row));
    }
    return table;
}

namespace {

float single(double value, const Table &table, size_t row) {
    const float rounded = static_cast<float>(value);
    if (!std::isfinite(rounded))
        throw ScheduleError("sampler \"" + table.sampler + "\", row " + std::to_string(row) +
                            ": found coefficient " + std::to_string(value) +
                            ", expected one that fp32 can hold");
    return rounded;
}

} // namespace

Recipe toRecipe(const Table &table, std::string name, std::vector<float> &timesteps) {
    Recipe recipe;
    recipe.name = std::move(name);
    recipe.sampler = table.sampler;
    recipe.steps = static_cast<uint32_t>(table.steps);
    recipe.initNoise = single(table.initNoise, table, 0);
    recipe.initCondition = single(table.initCondition, table, 0);
    recipe.initScale = single(table.initScale, table, 0);
    for (size_t i = 0; i < table.rows.size(); ++i) {
        const Row &row = table.rows[i];
        StepRow out;
        out.timestep = single(row.timestep, table, i);
        auto known = std::find(timesteps.begin(), timesteps.end(), out.timestep);
        out.timestepIndex = static_cast<uint32_t>(known - timesteps.begin());
        if (known == timesteps.end())
            timesteps.push_back(out.timestep);
        out.p = single(row.p, table, i);
        out.q = single(row.q, table, i);
        out.clip = row.clip.kind;
        out.clipLow = single(row.clip.low, table, i);
        out.clipHigh = single(row.clip.high, table, i);
        out.quantile = single(row.clip.quantile, table, i);
        out.thresholdMax = single(row.clip.maximum, table, i);
        out.a = single(row.a, table, i);
        out.b = single(row.b, table, i);
        out.g = single(row.g, table, i);
        out.e = single(row.e, table, i);
        // c exp((low + f (high - low)) / 2) = (c exp(low / 2)) exp(f (high - low) / 2)
        out.c = single(row.c * std::exp(row.learned.low / 2), table, i);
        out.variance = row.learned.kind;
        out.varianceExponent = single((row.learned.high - row.learned.low) / 2, table, i);
        out.langevin = row.langevin;
        out.known = row.known.has_value();
        if (row.known) {
            out.knownImage = single((*row.known)[0], table, i);
            out.knownNoise = single((*row.known)[1], table, i);
        }
        for (size_t k = 0; k < row.h.size(); ++k)
            out.h[k] = single(row.h[k], table, i);
        out.store = row.store >= 0 ? static_cast<uint32_t>(row.store) : kNone;
        out.u = single(row.u, table, i);
        out.v = single(row.v, table, i);
        out.w = single(row.w, table, i);
        out.draws = static_cast<uint32_t>(row.draws);
        out.scale = single(row.scale, table, i);
        out.guided = row.guided;
        out.guidance = single(row.guidance, table, i);
        out.guidanceRescale = single(row.guidanceRescale, table, i);
        recipe.rows.push_back(out);
    }
    return recipe;
}

} // namespace mote::convert::schedule
