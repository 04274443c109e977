// DDIM inversion: Song et al. 2021 (DDIM), section 4.3, the deterministic update run upwards (Mokady et al.
// 2023 use it to find the noise of an image):
//   x' = sqrt(B) x0 + sqrt(1 - B) epsilon,   A at the timestep below (1 - stride), B at the row's timestep
#include <algorithm>
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> ddimInverseSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(), stepsOffsetSetting()},
        {{"timestep_spacing", SettingType::Choice, "\"leading\"", 0, 0, "leading|trailing",
          "spread of the steps"},
         {"clip_sample", SettingType::Boolean, "true", 0, 0, "", "x0 is clamped to +-clip_sample_range"},
         {"clip_sample_range", SettingType::Number, "1.0", 0, 1e6, "", "see clip_sample"},
         {"set_alpha_to_one", SettingType::Boolean, "true", 0, 0, "",
          "the first step starts at alphasCumprod 1; false: at alphasCumprod of timestep 0"}},
    });
}

Table compileDdimInverse(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, false);
    std::vector<int64_t> timesteps = jobWholeTimesteps(job, noise, SpacingRule::Whole);
    std::reverse(timesteps.begin(), timesteps.end());
    const Prediction prediction = readPrediction(settings);
    const double first = settings.boolean("set_alpha_to_one") ? 1.0 : noise.alphasCumprod.front();
    const int64_t stride = noise.trainTimesteps() / job.count();

    std::vector<Step> steps;
    for (const int64_t t : timesteps) {
        const int64_t current = t - stride;
        const double A = current >= 0 ? noise.alphasCumprod[static_cast<size_t>(current)] : first;
        const double B = noise.alphasCumprod[static_cast<size_t>(t)];
        const Estimate estimate =
            estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), static_cast<double>(current));
        Step step;
        step.timestep = static_cast<double>(t);
        step.prediction = estimate.x0;
        step.clip = readClip(settings);
        step.next = std::sqrt(B) * kX0 + std::sqrt(1 - B) * estimate.epsilon;
        steps.push_back(step);
    }
    return finishTable("ddim-inverse", job.count(), {}, steps);
}

} // namespace mote::convert::schedule
