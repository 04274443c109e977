// DPM-Solver and DPM-Solver++ on the VP schedule, multistep and singlestep; formulas in dpm_update.h.
#include <algorithm>
#include <cmath>

#include "schedule/dpm_update.h"

namespace mote::convert::schedule {
namespace {

// Both classes of DPM-Solver.
std::vector<SettingInfo> dpmOwnSettings() {
    return {
        {"lambda_min_clipped", SettingType::Number, "null", -1e6, 1e6, "",
         "timesteps whose lambda = log(alpha / sigma) is below it are left out; null or -Infinity: none"},
        {"variance_type", SettingType::Choice, "null", 0, 0, "learned|learned_range",
         "learned: the second half of the network's outputs is a variance, which is left out"},
    };
}

// d at entry i: x0, or epsilon (derived from x0 where that is clipped).
Form dpmQuantity(const DpmSolver &solver, const LambdaRun &run, const Clip &clip, const Estimate &estimate,
                 size_t i) {
    if (predictsData(solver.algorithm))
        return kX0;
    return clip.kind == ClipKind::None ? estimate.epsilon : (kX - run.alpha[i] * kX0) / run.sigma[i];
}

} // namespace

std::vector<SettingInfo> dpmMultistepSettings() {
    return joinSettings({
        exponentialSettings(),
        {spacingSetting("\"linspace\""), stepsOffsetSetting(), finalSigmasSetting(), strengthSetting()},
        dpmSettings("dpmsolver|dpmsolver++|sde-dpmsolver|sde-dpmsolver++", "true"),
        {{"euler_at_final", SettingType::Boolean, "false", 0, 0, "", "first order in the last step"}},
        dpmOwnSettings(),
    });
}

Table compileDpmMultistep(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    const FinalSigma end = readFinalSigma(job.settings);
    const DpmSolver solver = readDpmSolver(job.settings, end);
    const LambdaRun run = makeLambdaRun(job, noise, end, KarrasEnd::FinalSigma);
    const Prediction prediction = readPrediction(job.settings);
    const Clip clip = readThresholding(job.settings);
    auto estimate = [&](size_t i) {
        return estimateAt(prediction, run.alpha[i], run.sigma[i], run.timesteps[i]);
    };
    auto begin = [&](size_t i) {
        Step step;
        step.timestep = run.timesteps[i];
        step.prediction = estimate(i).x0;
        step.clip = clip;
        return step;
    };
    auto quantity = [&](size_t i) { return dpmQuantity(solver, run, clip, estimate(i), i); };
    return multistepTable(job, "dpm-multistep", run, solver, end, begin, quantity);
}

std::vector<SettingInfo> dpmSinglestepSettings() {
    return joinSettings({
        exponentialSettings(),
        {{"timestep_spacing", SettingType::Choice, "\"linspace\"", 0, 0, "linspace", "spread of the steps"},
         finalSigmasSetting()},
        dpmSettings("dpmsolver|dpmsolver++", "false"),
        dpmOwnSettings(),
    });
}

Table compileDpmSinglestep(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, true);
    const FinalSigma end = readFinalSigma(settings);
    const DpmSolver solver = readDpmSolver(settings, end);
    const LambdaRun run = makeLambdaRun(job, noise, end, KarrasEnd::FinalSigma);
    const Prediction prediction = readPrediction(settings);
    const Clip clip = readThresholding(settings);
    const int order = static_cast<int>(settings.integer("solver_order"));
    const int64_t count = job.count();

    // Groups of 1, 2, .., order evaluations; the orders of the evaluations in a group are their numbers.
    std::vector<int> orders;
    auto group = [&](int length) {
        for (int k = 1; k <= length; ++k)
            orders.push_back(k);
    };
    const bool lower = settings.boolean("lower_order_final") || count % order != 0 || end == FinalSigma::Zero;
    int64_t whole = count / order;
    if (lower && order > 1 && count % order == 0)
        --whole;
    for (int64_t i = 0; i < whole; ++i)
        group(order);
    while (static_cast<int64_t>(orders.size()) < count) {
        const int64_t left = count - static_cast<int64_t>(orders.size());
        group(order == 3 && left >= 2 ? 2 : 1); // the last group ends with order 1 where it can
    }

    History history(order - 1);
    std::vector<Step> steps;
    double beforeState =
        1; // the row before: x' = beforeState saved + beforeRest, saved being its group's first state
    Form beforeRest;
    for (size_t i = 0; i < run.count(); ++i) {
        const int now = std::min(orders[i], static_cast<int>(i) + 1);
        const size_t base = i + 1 - static_cast<size_t>(now);
        const Estimate estimate = estimateAt(prediction, run.alpha[i], run.sigma[i], run.timesteps[i]);
        Step step;
        step.timestep = run.timesteps[i];
        step.prediction = estimate.x0;
        step.clip = clip;
        step.keep = dpmQuantity(solver, run, clip, estimate, i);
        std::vector<Form> d = {step.keep};
        for (int age = 0; age + 1 < now; ++age)
            d.push_back(history[age]);
        const Form saved = now == 1 ? kX : (kX - beforeRest) / beforeState;
        const double factor = solver.stateFactor(run, i, base);
        step.next = factor * saved + solver.increment(run, now, i, base, d);
        step.store = history.push();
        if (step.store >= 0) { // this row's update once its d is in a register
            d[0] = registerTerm(step.store);
            beforeState = factor;
            beforeRest = solver.increment(run, now, i, base, d);
        }
        steps.push_back(step);
    }
    return finishTable("dpm-singlestep", count, {}, steps);
}

} // namespace mote::convert::schedule
