// RePaint: Lugmayr et al. 2022, "RePaint: inpainting using denoising diffusion probabilistic models",
// algorithm 1. DDPM steps; inside the mask the state is the noised known image:
//   x' = M (sqrt(B) y + sqrt(1 - B) z) + (1 - M) x'
// With eta the step is DDIM's (Song, Meng and Ermon 2021, equation 12), as in diffusers.
// Resampling goes back up by jump_length steps, jump_n_sample - 1 times at each multiple of it. Going up is
// no row of its own: it scales the row before by sqrt(R) and adds variance 1 - R, R the ratio of
// alphasCumprod, in both parts of the mask.
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> repaintSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(), spacingSetting("\"leading\""), stepsOffsetSetting()},
        clipSettings("true"),
        {{"eta", SettingType::Number, "null", 0, 1, "",
          "share of noise in a DDIM step, as diffusers takes it; null: the paper's DDPM step"},
         {"jump_length", SettingType::Integer, "10", 1, 10000, "", "option: steps that resampling goes back"},
         {"jump_n_sample", SettingType::Integer, "10", 1, 1000, "",
          "option: times that each stretch is sampled"}},
    });
}

Table compileRepaint(const Job &job) {
    constexpr size_t kMaxRows = 100000;
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, false);
    const std::vector<int64_t> timesteps = jobWholeTimesteps(job, noise, SpacingRule::Whole);
    const Prediction prediction = readPrediction(settings);
    const Clip clip = readClip(settings);
    const std::optional<double> eta = settings.optionalNumber("eta");
    const int64_t count = job.count(), jump = settings.integer("jump_length");
    // Level k = 1 .. count is the state at the k-th smallest timestep; level 0 is the image.
    auto timestep = [&](int64_t level) { return timesteps[static_cast<size_t>(count - level)]; };
    auto alphaCumprod = [&](int64_t level) {
        return level == 0 ? 1.0 : noise.alphasCumprod[static_cast<size_t>(timestep(level))];
    };
    std::vector<int64_t> jumpsLeft(static_cast<size_t>(count) + 1, 0);
    for (int64_t level = 0; level < count - jump; level += jump)
        jumpsLeft[static_cast<size_t>(level)] = settings.integer("jump_n_sample") - 1;

    std::vector<Step> steps;
    for (int64_t level = count; level > 0;) {
        const double A = alphaCumprod(level), B = alphaCumprod(level - 1);
        int64_t &left = jumpsLeft[static_cast<size_t>(level) - 1];
        const int64_t upTo = left > 0 ? level - 1 + jump : level - 1;
        const double R = alphaCumprod(upTo) / B; // 1 without a jump
        double variance = (1 - B) / (1 - A) * (1 - A / B);
        Step step;
        step.timestep = static_cast<double>(timestep(level));
        const Estimate estimate = estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), step.timestep);
        step.prediction = estimate.x0;
        step.clip = clip;
        Form mean = std::sqrt(B) * (1 - A / B) / (1 - A) * kX0 + std::sqrt(A / B) * (1 - B) / (1 - A) * kX;
        if (eta) {
            variance *= *eta * *eta;
            mean = std::sqrt(B) * kX0 + std::sqrt(1 - B - variance) * estimate.epsilon;
        }
        step.next = std::sqrt(R) * mean + std::sqrt(R * variance + 1 - R) * kZ;
        step.known = std::sqrt(R * B) * kY + std::sqrt(R * (1 - B) + 1 - R) * kZ;
        steps.push_back(step);
        if (steps.size() > kMaxRows)
            settings.refuse("jump_n_sample", "which makes more than " + std::to_string(kMaxRows) + " rows");
        if (left > 0)
            --left;
        level = upTo;
    }
    return finishTable("repaint", count, {}, steps);
}

} // namespace mote::convert::schedule
