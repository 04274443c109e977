// Flow matching with Euler: Lipman et al. 2023, "Flow matching for generative modeling"; Esser et al. 2024,
// "Scaling rectified flow transformers", equation 23 (the shift s -> shift s / (1 + (shift - 1) s)):
//   x = (1 - s) x0 + s epsilon,   m = epsilon - x0,   x' = x + (s' - s) m
#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> flowMatchSettings() {
    return {
        {"num_train_timesteps", SettingType::Integer, "1000", 1, 100000, "", "what s = 1 is called"},
        {"shift", SettingType::Number, "1.0", 1e-3, 1e3, "", "shift of the timesteps"},
        {"base_shift", SettingType::NoEffect, "0.5", 0, 0, "", "no effect without dynamic shifting"},
        {"max_shift", SettingType::NoEffect, "1.15", 0, 0, "", "no effect without dynamic shifting"},
        {"base_image_seq_len", SettingType::NoEffect, "256", 0, 0, "", "no effect without dynamic shifting"},
        {"max_image_seq_len", SettingType::NoEffect, "4096", 0, 0, "", "no effect without dynamic shifting"},
    };
}

Table compileFlowMatch(const Job &job) {
    const bool single = job.rounding == Rounding::Library;
    auto round = [&](double value) {
        return single ? static_cast<double>(static_cast<float>(value)) : value;
    };
    const double total = static_cast<double>(job.settings.integer("num_train_timesteps"));
    const double amount = job.settings.number("shift");
    // In the library's arithmetic where it rounds: fp32 for the table of all timesteps, double after it.
    auto shift = [&](double s) { return amount * s / (1 + (amount - 1) * s); };
    auto tableEntry = [&](double timestep) {
        if (!single)
            return shift(timestep / total);
        const float s = static_cast<float>(timestep / total), k = static_cast<float>(amount);
        return static_cast<double>(k * s / (1.0f + (k - 1.0f) * s));
    };
    const std::vector<double> ends = linspace(tableEntry(total) * total, tableEntry(1) * total, job.count());
    std::vector<double> sigmas, timesteps;
    for (const double end : ends) {
        sigmas.push_back(round(shift(end / total)));
        timesteps.push_back(round(sigmas.back() * total));
    }
    sigmas.push_back(0);
    std::vector<Step> steps;
    for (size_t i = 0; i < timesteps.size(); ++i) {
        Step step;
        step.timestep = timesteps[i];
        step.prediction = kX - sigmas[i] * kM;
        step.next = kX + (sigmas[i + 1] - sigmas[i]) * kM;
        step.draws = 1; // diffusers draws noise in every step and, without churn, adds none
        steps.push_back(step);
    }
    return finishTable("flow-match-euler", job.count(), {}, steps);
}

} // namespace mote::convert::schedule
