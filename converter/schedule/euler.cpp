// Euler on sigma: Karras et al. 2022, algorithm 1 without its correction:
//   x' = x + (s' - s) d,  d = (x - x0) / s
// Euler ancestral: the step goes down to `down` and noise of standard deviation `up` is added (k-diffusion,
// sample_euler_ancestral; see splitAncestral).
#include "schedule/sigma_space.h"

#include <cmath>

namespace mote::convert::schedule {

std::vector<SettingInfo> eulerSettings() {
    return joinSettings({
        sigmaSettings("\"linspace\""),
        {{"final_sigmas_type", SettingType::Choice, "\"zero\"", 0, 0, "zero|sigma_min",
          "where the last step goes"},
         {"sigma_min", SettingType::Number, "null", 1e-6, 1e6, "", "smallest of the Karras sigmas"},
         {"sigma_max", SettingType::Number, "null", 1e-6, 1e6, "", "largest of the Karras sigmas"},
         {"interpolation_type", SettingType::Choice, "\"linear\"", 0, 0, "linear|log_linear",
          "log_linear: sigmas fall evenly in their logarithm from the largest to the smallest of training"},
         {"timestep_type", SettingType::Choice, "\"discrete\"", 0, 0, "discrete|continuous",
          "continuous: a v_prediction network is told log(sigma) / 4"}},
    });
}

Table compileEuler(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    const SigmaRun run = makeSigmaRun(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    const bool continuous =
        job.settings.choice("timestep_type") == "continuous" && prediction == Prediction::V;
    if (continuous && !job.timesteps.empty())
        job.settings.refuse("timestep_type", "with timesteps given; supported there: discrete");
    std::vector<Step> steps;
    for (size_t i = 0; i < run.timesteps.size(); ++i) {
        const double sigma = run.sigmas[i];
        Step step = sigmaStep(continuous ? 0.25 * std::log(sigma) : run.timesteps[i], sigma,
                              sigmaPrediction(prediction, sigma));
        step.next = kX + (run.sigmas[i + 1] - sigma) * sigmaDerivative(sigma);
        step.draws = 1; // diffusers draws noise in every step and, without churn, adds none
        steps.push_back(step);
    }
    return finishTable("euler", job.count(), run.start, steps);
}

std::vector<SettingInfo> eulerAncestralSettings() {
    return sigmaSettings("\"linspace\"");
}

Table compileEulerAncestral(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    const SigmaRun run = makeSigmaRun(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    std::vector<Step> steps;
    for (size_t i = 0; i < run.timesteps.size(); ++i) {
        const double sigma = run.sigmas[i];
        const AncestralSplit split = splitAncestral(sigma, run.sigmas[i + 1]);
        Step step = sigmaStep(run.timesteps[i], sigma, sigmaPrediction(prediction, sigma));
        step.next = kX + (split.down - sigma) * sigmaDerivative(sigma) + split.up * kZ;
        step.draws = 1;
        steps.push_back(step);
    }
    return finishTable("euler-ancestral", job.count(), run.start, steps);
}

} // namespace mote::convert::schedule
