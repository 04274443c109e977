// Improved PNDM: the multistep formula of Liu et al. 2022 (PNDM) in the continuous form of Crowson's
// v-diffusion: time runs from 1 to 0, sigma = sin(pi t / 2)^2, alpha = sqrt(1 - sigma^2), the network
// predicts v.
#include <cmath>
#include <numbers>

#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> ipndmSettings() {
    return {
        {"num_train_timesteps", SettingType::NoEffect, "1000", 0, 0, "", "no effect: time is continuous"},
        {"trained_betas", SettingType::Choice, "null", 0, 0, "", "sigmas of its own"},
    };
}

Table compileIpndm(const Job &job) {
    constexpr double kLeastAlpha = 1e-8; // at t = 1 alpha is 0; diffusers divides by this instead
    constexpr double pi = std::numbers::pi;
    const bool single = job.rounding == Rounding::Library;
    auto round = [&](double value) {
        return single ? static_cast<double>(static_cast<float>(value)) : value;
    };
    const size_t count = static_cast<size_t>(job.count());
    std::vector<double> times = linspace(1, 0, job.count() + 1), alpha, sigma;
    for (const double time : times) {
        double s = std::sin(time * (pi / 2)), a = 0;
        if (single) {
            const float s32 = std::sin(static_cast<float>(time) * static_cast<float>(pi / 2));
            const float squared = s32 * s32;
            s = static_cast<double>(squared);
            a = static_cast<double>(std::sqrt(1.0f - squared * squared));
        } else {
            s = s * s;
            a = std::sqrt(1 - s * s);
        }
        sigma.push_back(round(s));
        alpha.push_back(round(a));
    }
    History history(3);
    std::vector<Step> steps;
    for (size_t i = 0; i < count; ++i) {
        Step step;
        step.timestep = std::atan2(sigma[i], alpha[i]) / pi * 2;
        step.prediction = alpha[i] * kX - sigma[i] * kM;
        step.keep = sigma[i] * kX + alpha[i] * kM; // epsilon
        Form e = step.keep;
        if (i == 1)
            e = (3 * e - history[0]) / 2;
        else if (i == 2)
            e = (23 * e - 16 * history[0] + 5 * history[1]) / 12;
        else if (i > 2)
            e = (55 * e - 59 * history[0] + 37 * history[1] - 9 * history[2]) / 24;
        step.next = alpha[i + 1] / std::max(alpha[i], kLeastAlpha) * (kX - sigma[i] * e) + sigma[i + 1] * e;
        step.store = history.push();
        steps.push_back(step);
    }
    return finishTable("ipndm", job.count(), {}, steps);
}

} // namespace mote::convert::schedule
