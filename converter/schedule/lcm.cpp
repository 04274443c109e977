// LCM: Luo et al. 2023, "Latent consistency models", multistep latent consistency sampling:
//   f(x, t) = c_skip x + c_out x0,  c_skip = d^2 / (s^2 + d^2),  c_out = s / sqrt(s^2 + d^2)
//   x' = sqrt(B) f + sqrt(1 - B) z,  s = timestep_scaling t,  d = 1/2
// TCD: Zheng et al. 2024, "Trajectory consistency distillation", strategic stochastic sampling: a
// deterministic step down to timestep floor((1 - eta) t'), then noise up to t'.
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {
namespace {

constexpr double kSigmaData = 0.5;

std::vector<SettingInfo> consistencySettings() {
    return {
        {"original_inference_steps", SettingType::Integer, "50", 1, 100000, "",
         "the steps of the solver that was distilled; timesteps are taken from its"},
        {"timestep_spacing", SettingType::NoEffect, "\"leading\"", 0, 0, "",
         "no effect: spaced by the above"},
        {"steps_offset", SettingType::NoEffect, "0", 0, 0, "", "no effect"},
        {"set_alpha_to_one", SettingType::NoEffect, "true", 0, 0, "", "no effect: the last step gives x0"},
    };
}

// Every k-th of the distilled solver's timesteps, skipping evenly.
std::vector<int64_t> consistencyTimesteps(const Job &job, const NoiseSchedule &noise) {
    std::vector<int64_t> timesteps;
    const int64_t total = noise.trainTimesteps();
    if (!job.timesteps.empty()) {
        for (const double given : job.timesteps) {
            if (given != std::nearbyint(given) || given < 0 || given >= static_cast<double>(total))
                throw ScheduleError("sampler \"" + job.settings.sampler() + "\": timesteps: found " +
                                    std::to_string(given) + ", expected whole numbers from 0 to " +
                                    std::to_string(total - 1));
            timesteps.push_back(static_cast<int64_t>(given));
        }
        return timesteps;
    }
    const int64_t original = job.settings.integer("original_inference_steps");
    if (original > total)
        job.settings.refuse("original_inference_steps",
                            "expected at most num_train_timesteps = " + std::to_string(total));
    if (job.steps > original)
        throw ScheduleError("sampler \"" + job.settings.sampler() + "\": steps: found " +
                            std::to_string(job.steps) +
                            ", expected at most original_inference_steps = " + std::to_string(original));
    const double spacing = static_cast<double>(original) / static_cast<double>(job.steps);
    for (int64_t i = 0; i < job.steps; ++i) {
        const int64_t skipped = static_cast<int64_t>(std::floor(static_cast<double>(i) * spacing));
        timesteps.push_back((original - skipped) * (total / original) - 1);
    }
    return timesteps;
}

} // namespace

std::vector<SettingInfo> lcmSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting()},
        clipSettings("true"),
        consistencySettings(),
        {{"timestep_scaling", SettingType::Number, "10.0", 0, 1e6, "", "s = timestep_scaling t"}},
    });
}

Table compileLcm(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, false);
    const std::vector<int64_t> timesteps = consistencyTimesteps(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    std::vector<Step> steps;
    for (size_t i = 0; i < timesteps.size(); ++i) {
        const double A = noise.alphasCumprod[static_cast<size_t>(timesteps[i])];
        Step step;
        step.timestep = static_cast<double>(timesteps[i]);
        step.prediction = estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), step.timestep).x0;
        step.clip = readClip(job.settings);
        const double s = step.timestep * job.settings.number("timestep_scaling");
        const double q = s * s + kSigmaData * kSigmaData;
        step.next = s / std::sqrt(q) * kX0 + kSigmaData * kSigmaData / q * kX;
        if (i + 1 < timesteps.size()) {
            const double B = noise.alphasCumprod[static_cast<size_t>(timesteps[i + 1])];
            step.next = std::sqrt(B) * step.next + std::sqrt(1 - B) * kZ;
        }
        steps.push_back(step);
    }
    return finishTable("lcm", job.count(), {}, steps);
}

std::vector<SettingInfo> tcdSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting()},
        consistencySettings(),
        {{"eta", SettingType::Number, "0.3", 0, 1, "", "option: gamma of the paper, 0 is deterministic"},
         {"clip_sample", SettingType::NoEffect, "true", 0, 0, "", "no effect in diffusers' TCD"},
         {"clip_sample_range", SettingType::NoEffect, "1.0", 0, 0, "", "no effect"},
         {"thresholding", SettingType::NoEffect, "false", 0, 0, "", "no effect"},
         {"dynamic_thresholding_ratio", SettingType::NoEffect, "0.995", 0, 0, "", "no effect"},
         {"sample_max_value", SettingType::NoEffect, "1.0", 0, 0, "", "no effect"},
         {"timestep_scaling", SettingType::NoEffect, "10.0", 0, 0, "", "no effect"}},
    });
}

Table compileTcd(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, false);
    const std::vector<int64_t> timesteps = consistencyTimesteps(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    const double eta = job.settings.number("eta");
    std::vector<Step> steps;
    for (size_t i = 0; i < timesteps.size(); ++i) {
        const bool last = i + 1 == timesteps.size();
        const int64_t target = last ? 0 : timesteps[i + 1];
        // diffusers takes the floor of an fp32 product, and that decides the timestep
        const float between = std::floor(static_cast<float>(1 - eta) * static_cast<float>(target));
        const double A = noise.alphasCumprod[static_cast<size_t>(timesteps[i])];
        const double B = noise.alphasCumprod[static_cast<size_t>(target)];
        const double S = noise.alphasCumprod[static_cast<size_t>(between)];
        Step step;
        step.timestep = static_cast<double>(timesteps[i]);
        const Estimate estimate = estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), step.timestep);
        step.prediction = estimate.x0;
        step.next = std::sqrt(S) * kX0 + std::sqrt(1 - S) * estimate.epsilon;
        if (eta > 0 && !last)
            step.next = std::sqrt(B / S) * step.next + std::sqrt(1 - B / S) * kZ;
        step.draws = eta > 0 && !last ? 1 : 0;
        steps.push_back(step);
    }
    return finishTable("tcd", job.count(), {}, steps);
}

} // namespace mote::convert::schedule
