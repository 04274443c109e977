#include "schedule/exponential.h"

#include <algorithm>
#include <cmath>

namespace mote::convert::schedule {

std::vector<SettingInfo> exponentialSettings() {
    return joinSettings({
        noiseSettings(),
        {predictionSetting(),
         {"solver_order", SettingType::Integer, "2", 1, 3, "", "order of the solver"},
         {"use_karras_sigmas", SettingType::Boolean, "false", 0, 0, "",
          "sigmas of Karras et al. 2022, equation 5"},
         {"thresholding", SettingType::Boolean, "false", 0, 0, "",
          "dynamic thresholding of x0 (Saharia et al. 2022, Imagen, section 2.3)"},
         {"dynamic_thresholding_ratio", SettingType::Number, "0.995", 0, 1, "", "quantile of |x0|"},
         {"sample_max_value", SettingType::Number, "1.0", 1, 1e6, "", "upper bound of the threshold"}},
    });
}

SettingInfo finalSigmasSetting() {
    return {"final_sigmas_type", SettingType::Choice,       "\"zero\"", 0, 0,
            "zero|sigma_min",    "where the last step goes"};
}

FinalSigma readFinalSigma(const Settings &settings) {
    return settings.choice("final_sigmas_type") == "zero" ? FinalSigma::Zero : FinalSigma::SigmaMin;
}

void fillLambda(LambdaRun &run) {
    run.lambda.clear();
    for (size_t i = 0; i < run.alpha.size(); ++i)
        run.lambda.push_back(std::log(run.alpha[i]) - std::log(run.sigma[i]));
}

namespace {

// The training timesteps before it have a lambda of at least lambda_min_clipped.
std::optional<int64_t> clippedEnd(const Job &job, const NoiseSchedule &noise) {
    if (!job.settings.declared("lambda_min_clipped"))
        return {};
    const std::optional<double> least = job.settings.optionalNumber("lambda_min_clipped");
    if (!least)
        return {};
    const auto clipped = std::find_if(noise.logSigmas.begin(), noise.logSigmas.end(),
                                      [&](double logSigma) { return -logSigma < *least; });
    if (clipped == noise.logSigmas.begin())
        job.settings.refuse("lambda_min_clipped", "which leaves no timestep");
    return clipped - noise.logSigmas.begin();
}

} // namespace

LambdaRun makeLambdaRun(const Job &job, const NoiseSchedule &noise, FinalSigma end, KarrasEnd karrasEnd) {
    LambdaRun run;
    run.timesteps = jobTimesteps(job, noise, SpacingRule::OneMore, clippedEnd(job, noise));
    const bool karras = job.settings.boolean("use_karras_sigmas");
    if (karras) {
        run.ratio = karrasSigmas(noise.sigmas.front(), noise.sigmas.back(), job.count());
        run.timesteps.resize(run.ratio.size());
        std::transform(run.ratio.begin(), run.ratio.end(), run.timesteps.begin(),
                       [&](double sigma) { return std::nearbyint(noise.timestepOfSigma(sigma)); });
    } else {
        for (const double timestep : run.timesteps)
            run.ratio.push_back(noise.sigmaAt(timestep));
    }
    if (end == FinalSigma::Zero)
        run.ratio.push_back(0.0);
    else
        run.ratio.push_back(karras && karrasEnd == KarrasEnd::RepeatLast ? run.ratio.back()
                                                                         : noise.sigmas.front());
    for (double &ratio : run.ratio) {
        ratio = noise.round(ratio);
        run.alpha.push_back(1 / std::sqrt(ratio * ratio + 1));
        run.sigma.push_back(ratio * run.alpha.back());
    }
    const std::ptrdiff_t skipped = static_cast<std::ptrdiff_t>(skippedSteps(job));
    run.timesteps.erase(run.timesteps.begin(), run.timesteps.begin() + skipped);
    for (std::vector<double> *values : {&run.ratio, &run.alpha, &run.sigma})
        values->erase(values->begin(), values->begin() + skipped);
    fillLambda(run);
    run.start = startOf(job, run.alpha.front(), run.sigma.front(), {});
    return run;
}

Clip readThresholding(const Settings &settings) {
    Clip clip;
    if (settings.boolean("thresholding")) {
        clip.kind = ClipKind::Threshold;
        clip.quantile = settings.number("dynamic_thresholding_ratio");
        clip.maximum = settings.number("sample_max_value");
    }
    return clip;
}

} // namespace mote::convert::schedule
