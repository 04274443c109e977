// Samplers on sigma (Karras et al. 2022, "Elucidating the design space of diffusion-based generative
// models", as in k-diffusion and diffusers): the state is x = x0 + sigma epsilon, the network sees
// x / sqrt(sigma^2 + 1).
#pragma once

#include "schedule/families.h"

namespace mote::convert::schedule {

// Timesteps, and one sigma more than timesteps; the last is where the run ends.
struct SigmaRun {
    std::vector<double> timesteps, sigmas;
    Start start; // the sampler's first state
};

// noise, prediction, spacing, offset and Karras settings.
std::vector<SettingInfo> sigmaSettings(const char *spacingFallback);
SigmaRun makeSigmaRun(const Job &job, const NoiseSchedule &noise);

// x0 at noise level sigma, over x and m.
Form sigmaPrediction(Prediction prediction, double sigma);

// A step whose derivative d = (x - x0) / sigma (equation 3 with the denoiser, sigma(t) = t) is `derivative`.
Step sigmaStep(double timestep, double sigma, const Form &prediction);
Form sigmaDerivative(double sigma);

// The split of a step to sigma `to` into a deterministic part down to `down` and noise of standard deviation
// `up` (ancestral sampling: down^2 + up^2 = to^2; Song et al. 2021, DDIM, equation 16 with eta = 1 on sigma).
struct AncestralSplit {
    double down, up;
};
AncestralSplit splitAncestral(double from, double to);

} // namespace mote::convert::schedule
