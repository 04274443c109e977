// Residual shifting for restoration. The state moves from the degraded image y to the clean one:
//   x_t = x0 + eta_t (y - x0) + kappa sqrt(eta_t) z
// It starts at x_T = y + kappa sqrt(eta_T) z; the network sees x_t / sqrt(kappa^2 eta_t + 1) and predicts x0.
//   resshift: Yue et al. 2023, "ResShift", section 2.1, the reverse transition from eta e to eta e':
//     x' = (e' / e) x + ((e - e') / e) x0 + kappa sqrt(e' (e - e') / e) z
//   sinsr: Wang et al. 2024, "SinSR", the deterministic transition, which has a condition term:
//     x' = k x0 + m x + j y,  m = sqrt(e' / e),  j = e' - sqrt(e' e),  k = 1 - e' + sqrt(e' e) - m
//   schedule: ResShift, section 2.2; sqrt(eta_t) rises geometrically in ((t - 1) / (T - 1))^p
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {
namespace {

Table compileShift(const Job &job, bool stochastic, const char *name) {
    const Settings &settings = job.settings;
    const int64_t total = settings.integer("num_train_timesteps"), count = job.count();
    const double kappa = settings.number("kappa"), least = settings.number("min_noise_level");
    const double first = std::min(least / kappa, least), last = settings.number("etas_end");
    if (count > total)
        throw ScheduleError("sampler \"" + std::string(name) + "\": steps: found " + std::to_string(count) +
                            ", expected at most num_train_timesteps = " + std::to_string(total));
    if (!(first < last))
        settings.refuse("etas_end", "expected more than min_noise_level / kappa = " + std::to_string(first));
    auto eta = [&](int64_t t) { // of timestep t, 0 to total - 1; -1: the clean image
        if (t < 0)
            return 0.0;
        const double fraction = total > 1 ? static_cast<double>(t) / static_cast<double>(total - 1) : 1.0;
        const double root = first * std::pow(last / first, std::pow(fraction, settings.number("power")));
        return root * root;
    };
    // Steps evenly spread, from the last timestep down to the clean image.
    std::vector<int64_t> timesteps;
    for (int64_t i = 0; i <= count; ++i)
        timesteps.push_back((count - i) * total / count - 1);

    std::vector<Step> steps;
    for (size_t i = 0; i + 1 < timesteps.size(); ++i) {
        const double e = eta(timesteps[i]), f = eta(timesteps[i + 1]);
        Step step;
        step.timestep = static_cast<double>(timesteps[i]);
        step.inputScale = settings.boolean("normalize_input") ? 1 / std::sqrt(kappa * kappa * e + 1) : 1.0;
        step.prediction = kM;
        if (stochastic) {
            step.next = f / e * kX + (e - f) / e * kX0 + kappa * std::sqrt(f * (e - f) / e) * kZ;
        } else {
            const double m = std::sqrt(f / e), j = f - std::sqrt(f * e), k = 1 - f + std::sqrt(f * e) - m;
            step.next = k * kX0 + m * kX + j * kY;
        }
        steps.push_back(step);
    }
    return finishTable(name, count, {.noise = kappa * std::sqrt(eta(total - 1)), .condition = 1}, steps);
}

} // namespace

std::vector<SettingInfo> residualShiftSettings() {
    return {
        {"num_train_timesteps", SettingType::Integer, "15", 1, 100000, "",
         "T: timesteps of the training schedule"},
        {"kappa", SettingType::Number, "2.0", 1e-3, 1e3, "", "noise per square root of shift"},
        {"min_noise_level", SettingType::Number, "0.04", 1e-6, 1, "", "kappa sqrt(eta_1)"},
        {"etas_end", SettingType::Number, "0.99", 1e-6, 1, "", "sqrt(eta_T)"},
        {"power", SettingType::Number, "0.3", 1e-3, 10, "", "p of the schedule"},
        {"normalize_input", SettingType::Boolean, "true", 0, 0, "",
         "the network sees the state at unit variance"},
    };
}
Table compileResShift(const Job &job) {
    return compileShift(job, true, "resshift");
}
Table compileSinSr(const Job &job) {
    return compileShift(job, false, "sinsr");
}

} // namespace mote::convert::schedule
