// The stochastic sampler of Karras et al. 2022 (EDM), algorithm 2: churn raises sigma to s^ = s (1 + gamma)
// with noise S_noise sqrt(s^^2 - s^2) z, then a Heun step goes from s^ to the next sigma. The table's state
// is the raised one: a row adds the churn of the step after it, and the first churn is part of the start,
// whose noise is one normal anyway.
#include <algorithm>
#include <cmath>

#include "schedule/edm.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> edmHeunSettings() {
    return joinSettings({
        edmSettings(),
        {{"s_churn", SettingType::Number, "0.0", 0, 1e4, "",
          "option: S_churn, amount of noise added over all steps"},
         {"s_tmin", SettingType::Number, "0.0", 0, 1e6, "", "option: S_tmin, no churn below"},
         {"s_tmax", SettingType::Number, "1e6", 0, 1e6, "", "option: S_tmax, no churn above"},
         {"s_noise", SettingType::Number, "1.0", 0, 10, "", "option: S_noise, factor of the added noise"}},
    });
}

Table compileEdmHeun(const Job &job) {
    const Settings &settings = job.settings;
    const EdmSchedule schedule = makeEdmSchedule(job);
    const double mostGamma = std::sqrt(2.0) - 1;
    const double gamma = std::min(settings.number("s_churn") / static_cast<double>(job.count()), mostGamma);
    std::vector<double> raised, added; // s^ and the standard deviation of the noise that raises to it
    for (const double sigma : schedule.sigmas) {
        const bool churns = sigma >= settings.number("s_tmin") && sigma <= settings.number("s_tmax");
        raised.push_back(churns ? sigma * (1 + gamma) : sigma);
        added.push_back(settings.number("s_noise") *
                        std::sqrt(raised.back() * raised.back() - sigma * sigma));
    }
    const size_t count = schedule.sigmas.size() - 1;
    std::vector<Step> steps;
    for (size_t i = 0; i < count; ++i) {
        const double from = raised[i], to = schedule.sigmas[i + 1], dt = to - from;
        Step first = schedule.step(from);
        first.keep = (kX - kX0) / from;
        first.next = kX + dt * first.keep;
        if (i + 1 == count) { // to sigma 0: Euler
            steps.push_back(first);
            break;
        }
        first.store = 0;
        Step second = schedule.step(to);
        second.next = kX + dt / 2 * ((kX - kX0) / to - registerTerm(0)) + added[i + 1] * kZ;
        steps.push_back(first);
        steps.push_back(second);
    }
    return finishTable("edm-heun", job.count(), {.noise = std::hypot(schedule.sigmas[0], added[0])}, steps);
}

} // namespace mote::convert::schedule
