// Noise schedules: betas -> alphasCumprod -> sigmas, timestep spacing, and what a network's output means.
//
// Notation throughout converter/schedule, per timestep t:  x_t = alpha_t x0 + sigma_t epsilon.
//   alphasCumprod[t] = prod (1 - beta)          (Ho et al. 2020, DDPM, section 2)
//   variance preserving: alpha_t = sqrt(alphasCumprod[t]), sigma_t = sqrt(1 - alphasCumprod[t])
//   variance exploding:  alpha = 1, sigma = sqrt((1 - alphasCumprod) / alphasCumprod)     (`sigmas`)
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "schedule/settings.h"
#include "schedule/step_table.h"

namespace mote::convert::schedule {

// Exact: every formula in double. Library: betas, alphasCumprod and sigmas rounded to fp32 where diffusers
// rounds them, everything after them in double; that is what a converted file holds, because it is what
// networks were run with.
enum class Rounding { Exact, Library };

struct NoiseSchedule {
    Rounding rounding = Rounding::Exact;
    std::vector<double> betas, alphasCumprod, sigmas, logSigmas;

    int64_t trainTimesteps() const { return static_cast<int64_t>(betas.size()); }
    double round(double value) const;      // to fp32 if the library would
    double sigmaAt(double timestep) const; // linear interpolation, as numpy.interp
    double timestepOfSigma(
        double sigma) const; // linear in log sigma, clamped to the table (Karras et al., k-diffusion)
};

// Settings that every sampler with betas shares.
std::vector<SettingInfo> noiseSettings();

// Reads noiseSettings(). With finiteSigmas and rescale_betas_zero_snr the last alphasCumprod becomes 2^-24,
// as the samplers on sigma do, because theirs would be infinite.
NoiseSchedule makeNoiseSchedule(const Settings &settings, Rounding rounding, bool finiteSigmas);

enum class Prediction { Epsilon, Sample, V };
SettingInfo predictionSetting();
Prediction readPrediction(const Settings &settings);

enum class Spacing { Leading, Trailing, Linspace };
SettingInfo spacingSetting(const char *fallback);
SettingInfo stepsOffsetSetting();
Spacing readSpacing(const Settings &settings);

// How the classes of the library space their timesteps, all decreasing.
enum class SpacingRule {
    Whole,      // DDIM, DDPM, PNDM: integers
    Fractional, // samplers on sigma: linspace gives fractions
    OneMore,    // DPM-Solver, UniPC, DEIS: steps + 1 points, the last dropped
};
// `end`: the training timesteps before it are used, all of them by default. Trailing spacing keeps its
// stride, so that there may be fewer than `steps`.
std::vector<double> spacedTimesteps(const NoiseSchedule &noise, Spacing spacing, SpacingRule rule,
                                    int64_t steps, int64_t stepsOffset, std::optional<int64_t> end = {});

// numpy.linspace and numpy.arange as they round.
std::vector<double> linspace(double first, double last, int64_t count);

// sigma_i = (max^(1/rho) + i/(n-1) (min^(1/rho) - max^(1/rho)))^rho  (Karras et al. 2022, equation 5)
std::vector<double> karrasSigmas(double sigmaMin, double sigmaMax, int64_t count, double rho = 7.0);

// x0 and epsilon as forms of the state x and the model's output m.
struct Estimate {
    Form x0, epsilon;
};
// At x = alpha x0 + sigma epsilon. Refuses an epsilon model at alpha = 0 and a sample model's epsilon at
// sigma = 0 where `where` names the timestep for the message.
Estimate estimateAt(Prediction prediction, double alpha, double sigma, double timestep);

} // namespace mote::convert::schedule
