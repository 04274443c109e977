// DPM2 of k-diffusion, the midpoint method with its stage at the geometric mean: Karras et al. 2022, appendix
// D.2 (second-order Runge-Kutta methods); DPM-Solver-2 of Lu et al. 2022 in another parameterisation:
//   x1 = x + (mid - s) d0,   mid = sqrt(s s')
//   x' = x + (s' - s) d1 = x1 - (mid - s) d0 + (s' - s) d1
// Ancestral: s' is the `down` of splitAncestral, and noise `up` is added after the second stage.
#include <cmath>

#include "schedule/sigma_space.h"

namespace mote::convert::schedule {
namespace {

Table compileMidpoint(const Job &job, bool ancestral) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    SigmaRun run = makeSigmaRun(job, noise);
    if (job.settings.boolean("use_karras_sigmas"))
        for (double &timestep : run.timesteps)
            timestep = std::nearbyint(timestep);
    const Prediction prediction = readPrediction(job.settings);
    std::vector<Step> steps;
    for (size_t i = 0; i < run.timesteps.size(); ++i) {
        const double sigma = run.sigmas[i], to = run.sigmas[i + 1];
        const bool last = i + 1 == run.timesteps.size();
        const AncestralSplit split = ancestral ? splitAncestral(sigma, to) : AncestralSplit{to, 0};
        const double middle = last ? 0.0 : noise.round(std::sqrt(sigma * split.down));
        Step first = sigmaStep(run.timesteps[i], sigma, sigmaPrediction(prediction, sigma));
        first.keep = sigmaDerivative(sigma);
        first.store = last ? -1 : 0;
        first.next = kX + (middle - sigma) * first.keep;
        first.draws = ancestral ? 1 : 0; // drawn and dropped
        steps.push_back(first);
        if (last)
            break;
        Step second = sigmaStep(noise.timestepOfSigma(middle), middle, sigmaPrediction(prediction, middle));
        second.next = kX - (middle - sigma) * registerTerm(0) +
                      (split.down - sigma) * sigmaDerivative(middle) + split.up * kZ;
        second.draws = first.draws;
        steps.push_back(second);
    }
    return finishTable(ancestral ? "kdpm2-ancestral" : "kdpm2", job.count(), run.start, steps);
}

} // namespace

std::vector<SettingInfo> kdpm2Settings() {
    return sigmaSettings("\"linspace\"");
}
Table compileKdpm2(const Job &job) {
    return compileMidpoint(job, false);
}
Table compileKdpm2Ancestral(const Job &job) {
    return compileMidpoint(job, true);
}

} // namespace mote::convert::schedule
