// Consistency models, multistep: Song et al. 2023, "Consistency models", algorithm 1, with the boundary
// condition of equation 5 and the schedule of Karras et al. 2022, equation 5:
//   x0 = c_skip x + c_out m                              (appendix C; e = sigma_min, d = sigma_data)
//   c_skip = d^2 / ((s - e)^2 + d^2),  c_out = (s - e) d / sqrt(s^2 + d^2)
//   x' = x0 + sqrt(s'^2 - e^2) z
#include <algorithm>
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> consistencyModelSettings() {
    return {
        {"num_train_timesteps", SettingType::Integer, "40", 2, 100000, "", "levels of the training schedule"},
        {"sigma_min", SettingType::Number, "0.002", 1e-6, 1e6, "", "e: smallest noise level"},
        {"sigma_max", SettingType::Number, "80.0", 1e-6, 1e6, "", "largest noise level"},
        {"sigma_data", SettingType::Number, "0.5", 1e-6, 1e6, "", "d: standard deviation of the data"},
        {"s_noise", SettingType::Number, "1.0", 0, 10, "", "factor of the noise"},
        {"rho", SettingType::Number, "7.0", 0.1, 100, "", "exponent of the schedule"},
        {"clip_denoised", SettingType::Boolean, "true", 0, 0, "", "x0 is clamped to +-1"},
    };
}

Table compileConsistencyModel(const Job &job) {
    const Settings &settings = job.settings;
    const int64_t total = settings.integer("num_train_timesteps");
    const double low = settings.number("sigma_min"), high = settings.number("sigma_max");
    const double d = settings.number("sigma_data"), rho = settings.number("rho");
    if (job.count() > total)
        throw ScheduleError("sampler \"consistency-model\": steps: found " + std::to_string(job.count()) +
                            ", expected at most num_train_timesteps = " + std::to_string(total));
    std::vector<double> levels; // 0 is sigma_max, total - 1 is sigma_min
    if (job.timesteps.empty())
        for (int64_t i = 0; i < job.steps; ++i)
            levels.push_back(static_cast<double>(i * (total / job.steps)));
    else
        levels.assign(job.timesteps.rbegin(), job.timesteps.rend());
    std::vector<double> sigmas, timesteps;
    for (const double level : levels) {
        if (level < 0 || level > static_cast<double>(total - 1))
            throw ScheduleError("sampler \"consistency-model\": timesteps: found " + std::to_string(level) +
                                ", expected 0 to " + std::to_string(total - 1));
        const double ramp = level / static_cast<double>(total - 1);
        const double first = std::pow(high, 1 / rho), last = std::pow(low, 1 / rho);
        const double sigma = std::pow(first + ramp * (last - first), rho);
        timesteps.push_back(250 * std::log(sigma)); // what these networks are told
        sigmas.push_back(job.rounding == Rounding::Library ? static_cast<double>(static_cast<float>(sigma))
                                                           : sigma);
    }
    sigmas.push_back(low);

    std::vector<Step> steps;
    for (size_t i = 0; i < timesteps.size(); ++i) {
        const double s = sigmas[i], away = s - low;
        Step step;
        step.timestep = timesteps[i];
        step.inputScale = 1 / std::sqrt(s * s + d * d);
        step.prediction = d * d / (away * away + d * d) * kX + away * d / std::sqrt(s * s + d * d) * kM;
        if (settings.boolean("clip_denoised"))
            step.clip.kind = ClipKind::Clamp;
        const double to = std::clamp(sigmas[i + 1], low, high);
        step.next = kX0;
        if (timesteps.size() > 1)
            step.next += settings.number("s_noise") * std::sqrt(std::max(to * to - low * low, 0.0)) * kZ;
        step.draws = timesteps.size() > 1 ? 1 : 0;
        steps.push_back(step);
    }
    return finishTable("consistency-model", job.count(), {.noise = high}, steps);
}

} // namespace mote::convert::schedule
