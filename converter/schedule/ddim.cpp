// DDIM: Song, Meng and Ermon 2021, "Denoising diffusion implicit models", equations 12 and 16:
//   x' = sqrt(B) x0 + sqrt(1 - B - s^2) epsilon + s z
//   s^2 = eta^2 (1 - B) / (1 - A) (1 - A / B)
// with A and B the alphasCumprod of this timestep and of the one that the step goes to. A clipped or
// thresholded x0 stands beside the epsilon of the unclipped one, unless use_clipped_model_output derives
// epsilon from it again.
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> ddimSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(), spacingSetting("\"leading\""), stepsOffsetSetting(), strengthSetting()},
        clipSettings("true"),
        {{"set_alpha_to_one", SettingType::Boolean, "true", 0, 0, "",
          "the last step goes to alphasCumprod 1; false: to alphasCumprod of timestep 0"},
         {"eta", SettingType::Number, "0.0", 0, 1, "", "option: share of DDPM's noise, 0 is deterministic"},
         {"use_clipped_model_output", SettingType::Boolean, "false", 0, 0, "",
          "option: epsilon is derived again from the clipped x0"}},
    });
}

Table compileDdim(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, false);
    const Prediction prediction = readPrediction(settings);
    const Clip clip = readClip(settings);
    const double eta = settings.number("eta");
    const bool rederive = settings.boolean("use_clipped_model_output");
    const double final = settings.boolean("set_alpha_to_one") ? 1.0 : noise.alphasCumprod.front();

    std::vector<Step> steps;
    const std::vector<Descent> descents = jobDescents(job, noise, final);
    for (const auto &[t, target, A, B] : descents) {
        const double variance = eta * eta * (1 - B) / (1 - A) * (1 - A / B);
        if (variance < 0)
            settings.refuse("eta", "but the step from timestep " + std::to_string(t) + " to " +
                                       std::to_string(target) + " adds noise by itself; supported there: 0");
        const Estimate estimate =
            estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), static_cast<double>(t));
        Form epsilon = estimate.epsilon;
        if (rederive)
            epsilon = (kX - std::sqrt(A) * kX0) / std::sqrt(1 - A);
        Step step;
        step.timestep = static_cast<double>(t);
        step.prediction = estimate.x0;
        step.clip = clip;
        step.next = std::sqrt(B) * kX0 + std::sqrt(1 - B - variance) * epsilon + std::sqrt(variance) * kZ;
        step.draws = eta > 0 ? 1 : 0;
        steps.push_back(step);
    }
    return finishTable("ddim", job.count(), descentStart(job, descents), steps);
}

} // namespace mote::convert::schedule
