// What the exponential integrators share (DPM-Solver, DPM-Solver++, UniPC, DEIS): the probability-flow ODE in
// lambda = log(alpha / sigma), where its linear part is solved exactly (Lu et al. 2022, proposition 3.1).
#pragma once

#include "schedule/families.h"

namespace mote::convert::schedule {

// Per step; alpha, sigma and lambda have one entry more than timesteps, for where the run ends.
struct LambdaRun {
    std::vector<double> timesteps, alpha, sigma, lambda;
    std::vector<double> ratio; // sigma / alpha, the variance-exploding sigma

    Start start;

    size_t count() const { return timesteps.size(); }
};

// noise, prediction, Karras, thresholding and solver_order settings.
std::vector<SettingInfo> exponentialSettings();
SettingInfo finalSigmasSetting();

enum class KarrasEnd {
    FinalSigma,
    RepeatLast
}; // where a run on Karras sigmas ends with final_sigmas_type sigma_min
enum class FinalSigma { Zero, SigmaMin };
FinalSigma readFinalSigma(const Settings &settings);
LambdaRun makeLambdaRun(const Job &job, const NoiseSchedule &noise, FinalSigma end, KarrasEnd karrasEnd);
// From alphas and sigmas that are already known.
void fillLambda(LambdaRun &run);

Clip readThresholding(const Settings &settings);

} // namespace mote::convert::schedule
