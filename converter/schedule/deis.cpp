// DEIS: Zhang and Chen 2023, "Fast sampling of diffusion models with exponential integrator", section 4, in
// rho = sigma / alpha with epsilon interpolated linearly or quadratically in u = log rho:
//   x' / alpha' = x / alpha + integral from rho to rho' of P(log tau) dtau,   P through the last epsilons
// In Newton's form, with v = u - u_0 and d = u_1 - u_0,
//   P = e_0 + f_01 v + f_012 v (v - d)
// and the integrals of e^v v^k are closed.
#include <algorithm>
#include <cmath>

#include "schedule/exponential.h"

namespace mote::convert::schedule {
namespace {

// Integrals of e^v v^k over [0, h].
struct Moments {
    double zeroth, first, second;
    explicit Moments(double h)
        : zeroth(std::expm1(h)), first(h * std::exp(h) - zeroth), second(h * h * std::exp(h) - 2 * first) {}
};

} // namespace

std::vector<SettingInfo> deisSettings() {
    return joinSettings({
        exponentialSettings(),
        {spacingSetting("\"linspace\""),
         stepsOffsetSetting(),
         strengthSetting(),
         {"algorithm_type", SettingType::Choice, "\"deis\"", 0, 0, "deis", "the algorithm"},
         {"solver_type", SettingType::Choice, "\"logrho\"", 0, 0, "logrho",
          "the variable of the interpolation"},
         {"lower_order_final", SettingType::Boolean, "true", 0, 0, "",
          "lower orders in the last steps of a run of fewer than 15"}},
    });
}

Table compileDeis(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, true);
    const LambdaRun run = makeLambdaRun(job, noise, FinalSigma::SigmaMin, KarrasEnd::RepeatLast);
    const Prediction prediction = readPrediction(settings);
    const Clip clip = readThresholding(settings);
    const int order = static_cast<int>(settings.integer("solver_order"));
    const int64_t count = job.count();
    const bool lowerFinal = settings.boolean("lower_order_final") && count < 15;

    History history(order - 1);
    std::vector<Step> steps;
    for (size_t i = 0; i < run.count(); ++i) {
        const size_t left = run.count() - i;
        int now = std::min(order, static_cast<int>(i) + 1);
        if (lowerFinal)
            now = std::min<int>(now, static_cast<int>(left));
        const Estimate estimate = estimateAt(prediction, run.alpha[i], run.sigma[i], run.timesteps[i]);
        Step step;
        step.timestep = run.timesteps[i];
        step.prediction = estimate.x0;
        step.clip = clip;
        step.keep = clip.kind == ClipKind::None ? estimate.epsilon : (kX - run.alpha[i] * kX0) / run.sigma[i];
        auto u = [&](size_t age) { return std::log(run.ratio[i - age]); };
        const Moments moments(std::log(run.ratio[i + 1]) - u(0));
        Form integral = moments.zeroth * step.keep;
        if (now >= 2) {
            const double d = u(1) - u(0);
            const Form f01 = (step.keep - history[0]) / (u(0) - u(1));
            integral += moments.first * f01;
            if (now == 3) {
                const Form f12 = (history[0] - history[1]) / (u(1) - u(2));
                integral += (moments.second - d * moments.first) * ((f01 - f12) / (u(0) - u(2)));
            }
        }
        step.next = run.alpha[i + 1] / run.alpha[i] * kX + run.alpha[i + 1] * run.ratio[i] * integral;
        step.store = history.push();
        steps.push_back(step);
    }
    return finishTable("deis", count, run.start, steps);
}

} // namespace mote::convert::schedule
