// Heun on sigma: Karras et al. 2022, algorithm 1, two evaluations a step but for the last:
//   x1 = x + dt d0,   x' = x + dt (d0 + d1) / 2 = x1 + dt / 2 (d1 - d0)
// so the state before the step need not be kept, only d0.
#include "schedule/sigma_space.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> heunSettings() {
    return joinSettings({
        sigmaSettings("\"linspace\""),
        {{"clip_sample", SettingType::Boolean, "false", 0, 0, "", "x0 is clamped to +-clip_sample_range"},
         {"clip_sample_range", SettingType::Number, "1.0", 0, 1e6, "", "see clip_sample"}},
    });
}

Table compileHeun(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    const SigmaRun run = makeSigmaRun(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    const Clip clip = readClip(job.settings);
    std::vector<Step> steps;
    auto begin = [&](size_t i) {
        Step step = sigmaStep(run.timesteps[i], run.sigmas[i], sigmaPrediction(prediction, run.sigmas[i]));
        step.clip = clip;
        return step;
    };
    for (size_t i = 0; i < run.timesteps.size(); ++i) {
        const double dt = run.sigmas[i + 1] - run.sigmas[i];
        const bool last = i + 1 == run.timesteps.size(); // to sigma 0, where there is no derivative: Euler
        Step first = begin(i);
        first.keep = sigmaDerivative(run.sigmas[i]);
        first.store = last ? -1 : 0;
        first.next = kX + dt * first.keep;
        steps.push_back(first);
        if (last)
            break;
        Step second = begin(i + 1);
        second.next = kX + dt / 2 * (sigmaDerivative(run.sigmas[i + 1]) - registerTerm(0));
        steps.push_back(second);
    }
    return finishTable("heun", job.count(), run.start, steps);
}

} // namespace mote::convert::schedule
