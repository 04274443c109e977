// The probability-flow ODE of Song et al. 2021, equation 13, with the classical Runge-Kutta method in fixed
// steps:
//   dx/dt = F(x, t) = f x - g^2 s / 2
//   x' = x + h / 6 (k0 + 2 k1 + 2 k2 + k3),  k1 = F(x + h / 2 k0, t + h / 2), ...
// Four rows a step. The state before the step is not kept: it is each stage's state less what the stage
// before added.
#include "schedule/score_sde.h"

namespace mote::convert::schedule {
namespace {

Table compileFlow(const Job &job, SdeKind kind, const char *name) {
    const Sde sde = readSde(job.settings, kind);
    const std::vector<double> times = sde.times(job.count() + 1);
    const Form k0 = registerTerm(0), k1 = registerTerm(1), k2 = registerTerm(2);
    std::vector<Step> steps;
    for (size_t i = 0; i + 1 < times.size(); ++i) {
        const double h = times[i + 1] - times[i], middle = times[i] + h / 2;
        auto stage = [&](double t, int store) {
            Step step = sde.step(t);
            step.keep = sde.drift(t) * kX - 0.5 * sde.diffusion2(t) * sde.scoreFactor(t) * kM;
            step.store = store;
            return step;
        };
        Step first = stage(times[i], 0), second = stage(middle, 1), third = stage(middle, 2);
        Step fourth = stage(times[i + 1], -1);
        first.next = kX + h / 2 * first.keep;
        second.next = kX + h / 2 * (second.keep - k0);
        third.next = kX + h * third.keep - h / 2 * k1;
        fourth.next = kX - h * k2 + h / 6 * (k0 + 2 * k1 + 2 * k2 + fourth.keep);
        for (const Step &step : {first, second, third, fourth})
            steps.push_back(step);
    }
    return finishTable(name, job.count(), sde.start(), steps);
}

} // namespace

std::vector<SettingInfo> vpFlowSettings() {
    return sdeSettings(SdeKind::Vp);
}
std::vector<SettingInfo> subVpFlowSettings() {
    return sdeSettings(SdeKind::SubVp);
}
std::vector<SettingInfo> veFlowSettings() {
    return sdeSettings(SdeKind::Ve);
}
Table compileVpFlow(const Job &job) {
    return compileFlow(job, SdeKind::Vp, "vp-flow-rk4");
}
Table compileSubVpFlow(const Job &job) {
    return compileFlow(job, SdeKind::SubVp, "sub-vp-flow-rk4");
}
Table compileVeFlow(const Job &job) {
    return compileFlow(job, SdeKind::Ve, "ve-flow-rk4");
}

} // namespace mote::convert::schedule
