// Euler-Maruyama (Song et al. 2021, equation 6 discretised), reverse diffusion (appendix E, equation 46) and
// the correctors of algorithms 4 and 5. With score s and step h in time:
//   euler-maruyama:    x' = x - f x h + g^2 s h + g sqrt(h) z
//   reverse-diffusion: ve: x' = x + (s_i^2 - s_{i-1}^2) s + sqrt(s_i^2 - s_{i-1}^2) z
//                      vp: x' = (2 - sqrt(1 - beta_i)) x + beta_i s + sqrt(beta_i) z,  beta_i = beta(t) h
//   langevin:  x' = x + e s + sqrt(2 e) z,  e = 2 a (snr |z| / |s|)^2,  a = 1 - beta_i for vp, else 1
//   annealed:  the same with e = 2 a (snr sigma)^2, which needs no norms
#include "schedule/score_sde.h"

#include <cmath>

namespace mote::convert::schedule {
namespace {

// Integral of beta from 0 to t.
double betaIntegral(const Sde &sde, double t) {
    return sde.betaMin * t + 0.5 * t * t * (sde.betaMax - sde.betaMin);
}

} // namespace

double Sde::alpha(double t) const {
    return kind == SdeKind::Ve ? 1.0 : std::exp(-0.5 * betaIntegral(*this, t));
}

double Sde::sigma(double t) const {
    switch (kind) {
    case SdeKind::Vp:
        return std::sqrt(-std::expm1(-betaIntegral(*this, t)));
    case SdeKind::SubVp:
        return -std::expm1(-betaIntegral(*this, t));
    case SdeKind::Ve:
        break;
    }
    return sigmaMin * std::pow(sigmaMax / sigmaMin, t);
}

double Sde::drift(double t) const {
    return kind == SdeKind::Ve ? 0.0 : -0.5 * beta(t);
}

double Sde::diffusion2(double t) const {
    switch (kind) {
    case SdeKind::Vp:
        return beta(t);
    case SdeKind::SubVp:
        return -beta(t) * std::expm1(-2 * betaIntegral(*this, t));
    case SdeKind::Ve:
        break;
    }
    return 2 * sigma(t) * sigma(t) * std::log(sigmaMax / sigmaMin);
}

double Sde::told(double t) const {
    return kind == SdeKind::Ve ? sigma(t) : timestepScale * t;
}

double Sde::scoreFactor(double t) const {
    return outputIsScore ? 1.0 : -1 / sigma(t);
}

Start Sde::start() const {
    return {.noise = kind == SdeKind::Ve ? sigmaMax : 1.0};
}

Step Sde::step(double t) const {
    Step step;
    step.timestep = told(t);
    step.prediction = (kX + sigma(t) * sigma(t) * scoreFactor(t) * kM) / alpha(t); // Tweedie's formula
    return step;
}

std::vector<double> Sde::times(int64_t count) const {
    return linspace(1, samplingEps, count);
}

std::vector<SettingInfo> sdeSettings(SdeKind kind) {
    if (kind == SdeKind::Ve)
        return {
            {"num_train_timesteps", SettingType::NoEffect, "2000", 0, 0, "", "no effect: time is continuous"},
            {"sigma_min", SettingType::Number, "0.01", 1e-6, 1e6, "", "smallest noise level"},
            {"sigma_max", SettingType::Number, "1348.0", 1e-6, 1e6, "", "largest noise level"},
            {"sampling_eps", SettingType::Number, "1e-5", 0, 0.5, "", "where time ends"},
            {"output", SettingType::Choice, "\"score\"", 0, 0, "score|epsilon",
             "what the network's output is"},
        };
    return {
        {"num_train_timesteps", SettingType::NoEffect, "2000", 0, 0, "", "no effect: time is continuous"},
        {"beta_min", SettingType::Number, "0.1", 0, 1e3, "", "beta at time 0"},
        {"beta_max", SettingType::Number, "20.0", 0, 1e3, "", "beta at time 1"},
        {"sampling_eps", SettingType::Number, "1e-3", 1e-9, 0.5, "", "where time ends"},
        {"timestep_scale", SettingType::Number, "999.0", 0, 1e6, "", "the network is told timestep_scale t"},
        {"output", SettingType::Choice, "\"epsilon\"", 0, 0, "score|epsilon", "what the network's output is"},
    };
}

Sde readSde(const Settings &settings, SdeKind kind) {
    Sde sde;
    sde.kind = kind;
    sde.samplingEps = settings.number("sampling_eps");
    sde.outputIsScore = settings.choice("output") == "score";
    if (kind == SdeKind::Ve) {
        sde.sigmaMin = settings.number("sigma_min");
        sde.sigmaMax = settings.number("sigma_max");
        if (!(sde.sigmaMin < sde.sigmaMax))
            settings.refuse("sigma_min", "expected less than sigma_max = " + std::to_string(sde.sigmaMax));
        return sde;
    }
    sde.betaMin = settings.number("beta_min");
    sde.betaMax = settings.number("beta_max");
    sde.timestepScale = settings.number("timestep_scale");
    return sde;
}

namespace {

std::vector<SettingInfo> stepSettings(const char *predictors, const char *predictor, const char *corrector) {
    return {
        {"predictor", SettingType::Choice, predictor, 0, 0, predictors, "how a step is taken"},
        {"corrector", SettingType::Choice, corrector, 0, 0, "none|langevin|annealed",
         "what is done before each step"},
        {"correct_steps", SettingType::Integer, "1", 1, 100, "", "corrections before each step"},
        {"snr", SettingType::Number, "0.15", 0, 10, "", "r of algorithms 4 and 5"},
        {"final_noise", SettingType::Boolean, "true", 0, 0, "", "noise in the last step too"},
    };
}

Table compileSde(const Job &job, SdeKind kind, const char *name) {
    const Settings &settings = job.settings;
    const Sde sde = readSde(settings, kind);
    const bool reverseDiffusion = settings.choice("predictor") == "reverse-diffusion";
    const std::string corrector = settings.choice("corrector");
    const int64_t count = job.count();
    const double h = 1.0 / static_cast<double>(count), snr = settings.number("snr");
    // The discrete noise levels of reverse diffusion on ve, falling to 0.
    std::vector<double> levels = linspace(std::log(sde.sigmaMax), std::log(sde.sigmaMin), count);
    for (double &level : levels)
        level = std::exp(level);
    levels.push_back(0);

    std::vector<Step> steps;
    const std::vector<double> times = sde.times(count);
    for (size_t i = 0; i < times.size(); ++i) {
        const double t = times[i], factor = sde.scoreFactor(t),
                     a = kind == SdeKind::Vp ? 1 - sde.beta(t) * h : 1.0;
        if (corrector != "none" && !(a > 0))
            throw ScheduleError("sampler \"" + std::string(name) + "\": steps: found " +
                                std::to_string(count) + ", expected more: beta of a step exceeds 1");
        for (int64_t k = 0; corrector != "none" && k < settings.integer("correct_steps"); ++k) {
            Step step = sde.step(t);
            if (corrector == "langevin") { // |s| = |factor| |m|; the row's rho is |z| / |m|
                step.langevin = true;
                step.next =
                    kX + 2 * a * snr * snr / factor * kM + 2 * std::sqrt(a) * snr / std::abs(factor) * kZ;
            } else {
                const double e = 2 * a * std::pow(snr * sde.sigma(t), 2);
                step.next = kX + e * factor * kM + std::sqrt(2 * e) * kZ;
            }
            steps.push_back(step);
        }
        Step step = sde.step(t);
        double noise = 0;
        if (!reverseDiffusion) {
            noise = std::sqrt(sde.diffusion2(t) * h);
            step.next = (1 - sde.drift(t) * h) * kX + sde.diffusion2(t) * h * factor * kM;
        } else if (kind == SdeKind::Ve) {
            const double variance = levels[i] * levels[i] - levels[i + 1] * levels[i + 1];
            noise = std::sqrt(variance);
            step.next = kX + variance * factor * kM;
        } else {
            const double beta = sde.beta(t) * h;
            noise = std::sqrt(beta);
            step.next = (2 - std::sqrt(1 - beta)) * kX + beta * factor * kM;
        }
        if (i + 1 < times.size() || settings.boolean("final_noise"))
            step.next += noise * kZ;
        step.draws = 1;
        steps.push_back(step);
    }
    return finishTable(name, count, sde.start(), steps);
}

} // namespace

std::vector<SettingInfo> veSdeSettings() {
    return joinSettings({sdeSettings(SdeKind::Ve), stepSettings("euler-maruyama|reverse-diffusion",
                                                                "\"reverse-diffusion\"", "\"langevin\"")});
}
std::vector<SettingInfo> vpSdeSettings() {
    return joinSettings({sdeSettings(SdeKind::Vp),
                         stepSettings("euler-maruyama|reverse-diffusion", "\"euler-maruyama\"", "\"none\"")});
}
std::vector<SettingInfo> subVpSdeSettings() {
    return joinSettings(
        {sdeSettings(SdeKind::SubVp), stepSettings("euler-maruyama", "\"euler-maruyama\"", "\"none\"")});
}
Table compileVeSde(const Job &job) {
    return compileSde(job, SdeKind::Ve, "ve-sde");
}
Table compileVpSde(const Job &job) {
    return compileSde(job, SdeKind::Vp, "vp-sde");
}
Table compileSubVpSde(const Job &job) {
    return compileSde(job, SdeKind::SubVp, "sub-vp-sde");
}

} // namespace mote::convert::schedule
