// The stochastic differential equations of Song et al. 2021, "Score-based generative modeling through
// stochastic differential equations": dx = f x dt + g dw, time from 1 down to sampling_eps.
//   vp      (equation 11): f = -beta / 2, g^2 = beta, beta(t) = beta_min + t (beta_max - beta_min)
//   sub-vp  (equation 12): f = -beta / 2, g^2 = beta (1 - exp(-2 int beta))
//   ve      (equation 9):  f = 0, g^2 = 2 s^2 log(s_max / s_min), s(t) = s_min (s_max / s_min)^t
// with the marginals x_t = alpha(t) x0 + sigma(t) epsilon of equation 29.
#pragma once

#include "schedule/families.h"

namespace mote::convert::schedule {

enum class SdeKind { Vp, SubVp, Ve };

struct Sde {
    SdeKind kind = SdeKind::Vp;
    double betaMin = 0.1, betaMax = 20, sigmaMin = 0.01, sigmaMax = 50;
    double samplingEps = 1e-3;
    double timestepScale = 999; // the network is told timestepScale t; for ve sigma(t)
    bool outputIsScore = false; // else epsilon = -sigma score

    double beta(double t) const { return betaMin + t * (betaMax - betaMin); }
    double alpha(double t) const;
    double sigma(double t) const;
    double drift(double t) const;      // f
    double diffusion2(double t) const; // g^2
    double told(double t) const;
    double scoreFactor(double t) const; // score = scoreFactor m
    Start start() const;
    Step step(double t) const;                      // timestep and prediction set
    std::vector<double> times(int64_t count) const; // from 1 to samplingEps
};

// What all samplers of an SDE share. `kind` decides which of its constants there are.
std::vector<SettingInfo> sdeSettings(SdeKind kind);
Sde readSde(const Settings &settings, SdeKind kind);

} // namespace mote::convert::schedule
