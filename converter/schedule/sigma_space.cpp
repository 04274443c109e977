#include "schedule/sigma_space.h"

#include <algorithm>
#include <cmath>

namespace mote::convert::schedule {

std::vector<SettingInfo> sigmaSettings(const char *spacingFallback) {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(),
         spacingSetting(spacingFallback),
         stepsOffsetSetting(),
         strengthSetting(),
         {"use_karras_sigmas", SettingType::Boolean, "false", 0, 0, "",
          "sigmas of Karras et al. 2022, equation 5, between the ends of the spaced ones"}},
    });
}

SigmaRun makeSigmaRun(const Job &job, const NoiseSchedule &noise) {
    SigmaRun run;
    run.timesteps = jobTimesteps(job, noise, SpacingRule::Fractional);
    for (const double timestep : run.timesteps)
        run.sigmas.push_back(noise.sigmaAt(timestep));
    // One sigma more than timesteps: the last step goes to the smallest one.
    const bool logLinear = job.settings.declared("interpolation_type") &&
                           job.settings.choice("interpolation_type") == "log_linear";
    if (logLinear) {
        run.sigmas = linspace(noise.logSigmas.back(), noise.logSigmas.front(), job.count() + 1);
        for (double &sigma : run.sigmas)
            sigma = std::exp(sigma);
    }
    if (job.settings.boolean("use_karras_sigmas")) {
        double low = run.sigmas.back(), high = run.sigmas.front();
        if (job.settings.declared("sigma_min")) {
            low = job.settings.optionalNumber("sigma_min").value_or(low);
            high = job.settings.optionalNumber("sigma_max").value_or(high);
        }
        run.sigmas = karrasSigmas(low, high, job.count());
        std::transform(run.sigmas.begin(), run.sigmas.end(), run.timesteps.begin(),
                       [&](double sigma) { return noise.timestepOfSigma(sigma); });
    }
    const bool least =
        job.settings.declared("final_sigmas_type") && job.settings.choice("final_sigmas_type") == "sigma_min";
    if (run.sigmas.size() == run.timesteps.size())
        run.sigmas.push_back(least ? noise.sigmas.front() : 0.0);
    for (double &sigma : run.sigmas)
        sigma = noise.round(sigma);
    const double top = *std::max_element(run.sigmas.begin(), run.sigmas.end());
    const double initial = readSpacing(job.settings) == Spacing::Leading ? std::sqrt(top * top + 1) : top;
    const std::ptrdiff_t skipped = static_cast<std::ptrdiff_t>(skippedSteps(job));
    run.timesteps.erase(run.timesteps.begin(), run.timesteps.begin() + skipped);
    run.sigmas.erase(run.sigmas.begin(), run.sigmas.begin() + skipped);
    run.start = startOf(job, 1, run.sigmas.front(), {.noise = initial});
    return run;
}

Form sigmaPrediction(Prediction prediction, double sigma) {
    switch (prediction) {
    case Prediction::Epsilon:
        return kX - sigma * kM;
    case Prediction::Sample:
        return kM;
    case Prediction::V: // Salimans and Ho 2022 with alpha = 1 / sqrt(sigma^2 + 1) and x scaled by it
        break;
    }
    return kX / (sigma * sigma + 1) - sigma / std::sqrt(sigma * sigma + 1) * kM;
}

Form sigmaDerivative(double sigma) {
    return (kX - kX0) / sigma;
}

Step sigmaStep(double timestep, double sigma, const Form &prediction) {
    Step step;
    step.timestep = timestep;
    step.inputScale = 1 / std::sqrt(sigma * sigma + 1);
    step.prediction = prediction;
    return step;
}

AncestralSplit splitAncestral(double from, double to) {
    return {to * to / from, to * std::sqrt((from - to) * (from + to)) / from};
}

} // namespace mote::convert::schedule
