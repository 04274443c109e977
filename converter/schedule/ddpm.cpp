// DDPM: Ho, Jain and Abbeel 2020, "Denoising diffusion probabilistic models", equations 6 and 7, for a step
// from alphasCumprod A to B (A / B is the product of alpha over the step):
//   x' = sqrt(B) beta / (1 - A) x0 + sqrt(A / B) (1 - B) / (1 - A) x + s z,   beta = 1 - A / B
//   s^2 = (1 - B) / (1 - A) beta (fixed_small) or beta (fixed_large)
//   learned_range: the network interpolates log s^2 between the two
//                  (Nichol and Dhariwal 2021, "Improved DDPM", equation 15)
//   learned: the network's variance output is s^2, as diffusers reads it
#include <algorithm>
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {
namespace {

constexpr double kLeastVariance = 1e-20; // as diffusers clamps before it takes the logarithm

} // namespace

std::vector<SettingInfo> ddpmSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(), spacingSetting("\"leading\""), stepsOffsetSetting(), strengthSetting()},
        clipSettings("true"),
        {{"variance_type", SettingType::Choice, "\"fixed_small\"", 0, 0,
          "fixed_small|fixed_small_log|fixed_large|learned|learned_range", "variance of a step"}},
    });
}

Table compileDdpm(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, false);
    const Prediction prediction = readPrediction(settings);
    const Clip clip = readClip(settings);
    const std::string varianceType = settings.choice("variance_type");

    std::vector<Step> steps;
    const std::vector<Descent> descents = jobDescents(job, noise, 1.0);
    for (const auto &[t, target, A, B] : descents) {
        const double beta = 1 - A / B;
        const double small = std::max((1 - B) / (1 - A) * beta, kLeastVariance);
        Step step;
        step.timestep = static_cast<double>(t);
        step.prediction = estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), step.timestep).x0;
        step.clip = clip;
        step.next = std::sqrt(B) * beta / (1 - A) * kX0 + std::sqrt(A / B) * (1 - B) / (1 - A) * kX;
        if (t > 0 && varianceType == "learned_range") {
            step.next += kZ;
            step.learned = {VarianceKind::Interpolated, std::log(small),
                            std::log(std::max(beta, kLeastVariance))};
        } else if (t > 0 && varianceType == "learned") {
            step.next += kZ;
            step.learned.kind = VarianceKind::Direct;
        } else if (t > 0) {
            step.next += std::sqrt(varianceType == "fixed_large" ? beta : small) * kZ;
        }
        steps.push_back(step);
    }
    return finishTable("ddpm", job.count(), descentStart(job, descents), steps);
}

} // namespace mote::convert::schedule
