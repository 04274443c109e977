#include "schedule/edm.h"

#include <algorithm>
#include <cmath>

#include "schedule/dpm_update.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> edmSettings() {
    return {
        {"num_train_timesteps", SettingType::NoEffect, "1000", 0, 0, "",
         "no effect: noise levels are continuous"},
        {"sigma_min", SettingType::Number, "0.002", 1e-6, 1e6, "", "smallest noise level"},
        {"sigma_max", SettingType::Number, "80.0", 1e-6, 1e6, "", "largest noise level"},
        {"sigma_data", SettingType::Number, "0.5", 1e-6, 1e6, "", "standard deviation of the data"},
        {"sigma_schedule", SettingType::Choice, "\"karras\"", 0, 0, "karras|exponential",
         "spread of the levels"},
        {"rho", SettingType::Number, "7.0", 0.1, 100, "", "exponent of equation 5"},
        {"prediction_type", SettingType::Choice, "\"epsilon\"", 0, 0, "epsilon|v_prediction",
         "sign of c_out"},
    };
}

EdmSchedule makeEdmSchedule(const Job &job) {
    const Settings &settings = job.settings;
    const double low = settings.number("sigma_min"), high = settings.number("sigma_max");
    if (!(low < high))
        settings.refuse("sigma_min", "expected less than sigma_max = " + std::to_string(high));
    EdmSchedule schedule;
    schedule.sigmaData = settings.number("sigma_data");
    schedule.velocity = settings.choice("prediction_type") == "v_prediction";
    const bool single = job.rounding == Rounding::Library;
    if (settings.choice("sigma_schedule") == "exponential") {
        schedule.sigmas = linspace(std::log(high), std::log(low), job.count());
        for (double &sigma : schedule.sigmas)
            sigma = std::exp(sigma);
    } else if (single) { // the library's fp32 evaluation of equation 5
        const double rho = settings.number("rho");
        const float first = static_cast<float>(std::pow(high, 1 / rho));
        const float range = static_cast<float>(std::pow(low, 1 / rho) - std::pow(high, 1 / rho));
        for (const double ramp : linspace(0, 1, job.count())) {
            const float sigma = std::pow(first + static_cast<float>(ramp) * range, static_cast<float>(rho));
            schedule.sigmas.push_back(static_cast<double>(sigma));
        }
    } else {
        schedule.sigmas = karrasSigmas(low, high, job.count(), settings.number("rho"));
    }
    schedule.sigmas.push_back(0);
    return schedule;
}

Form EdmSchedule::prediction(double sigma) const {
    const double d = sigmaData, q = sigma * sigma + d * d;
    return d * d / q * kX + (velocity ? -1 : 1) * sigma * d / std::sqrt(q) * kM;
}

Step EdmSchedule::step(double sigma) const {
    Step step;
    step.timestep = 0.25 * std::log(sigma);
    step.inputScale = 1 / std::sqrt(sigma * sigma + sigmaData * sigmaData);
    step.prediction = prediction(sigma);
    return step;
}

std::vector<SettingInfo> edmEulerSettings() {
    return edmSettings();
}

// Algorithm 1 of the paper without its second-order correction.
Table compileEdmEuler(const Job &job) {
    const EdmSchedule schedule = makeEdmSchedule(job);
    std::vector<Step> steps;
    for (size_t i = 0; i + 1 < schedule.sigmas.size(); ++i) {
        const double sigma = schedule.sigmas[i];
        Step step = schedule.step(sigma);
        step.next = kX + (schedule.sigmas[i + 1] - sigma) / sigma * (kX - kX0);
        step.draws = 1; // diffusers draws noise in every step and, without churn, adds none
        steps.push_back(step);
    }
    const double top = job.settings.number("sigma_max");
    return finishTable("edm-euler", job.count(), {.noise = std::sqrt(top * top + 1)}, steps);
}

std::vector<SettingInfo> edmDpmSettings() {
    return joinSettings({
        edmSettings(),
        {{"solver_order", SettingType::Integer, "2", 1, 3, "", "order of the solver"},
         finalSigmasSetting(),
         {"thresholding", SettingType::Boolean, "false", 0, 0, "", "dynamic thresholding of x0"},
         {"dynamic_thresholding_ratio", SettingType::Number, "0.995", 0, 1, "", "quantile of |x0|"},
         {"sample_max_value", SettingType::Number, "1.0", 1, 1e6, "", "upper bound of the threshold"}},
        dpmSettings("dpmsolver++|sde-dpmsolver++", "true"),
        {{"euler_at_final", SettingType::Boolean, "false", 0, 0, "", "first order in the last step"}},
    });
}

// DPM-Solver++ with alpha = 1.
Table compileEdmDpm(const Job &job) {
    const EdmSchedule schedule = makeEdmSchedule(job);
    const FinalSigma end = readFinalSigma(job.settings);
    const DpmSolver solver = readDpmSolver(job.settings, end);
    LambdaRun run;
    run.sigma = schedule.sigmas;
    if (end == FinalSigma::SigmaMin)
        run.sigma.back() = job.settings.number("sigma_min");
    run.alpha.assign(run.sigma.size(), 1.0);
    run.ratio = run.sigma;
    run.timesteps.assign(run.sigma.begin(), run.sigma.end() - 1);
    fillLambda(run);
    auto begin = [&](size_t i) {
        Step step = schedule.step(run.sigma[i]);
        step.clip = readThresholding(job.settings);
        return step;
    };
    const double top = job.settings.number("sigma_max");
    run.start.noise = std::sqrt(top * top + 1);
    return multistepTable(job, "edm-dpm-multistep", run, solver, end, begin, [](size_t) { return kX0; });
}

} // namespace mote::convert::schedule
