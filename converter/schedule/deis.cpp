// DEIS (t-AB-DEIS in rho): Zhang and Chen 2023, "Fast sampling of diffusion models with exponential
// integrator", equations 14 and 15, with epsilon interpolated linearly or quadratically in log rho, rho =
// sigma / alpha:
//   x' / alpha' = x / alpha + sum_j epsilon_j integral from rho to rho' of L_j(log tau) dtau
#include <algorithm>
#include <cmath>

#include "schedule/exponential.h"

namespace mote::convert::schedule {
namespace {

// Antiderivative in t of L(log t), L the basis that is 1 at b and 0 at q.
double linearBasis(double t, double b, double q) {
    return t * (-std::log(q) + std::log(t) - 1) / (std::log(b) - std::log(q));
}

// The same for the basis that is 1 at b and 0 at q and at d.
double quadraticBasis(double t, double b, double q, double d) {
    const double lt = std::log(t), lb = std::log(b), lq = std::log(q), ld = std::log(d);
    return t * (lq * (ld - lt + 1) - ld * lt + ld + lt * lt - 2 * lt + 2) / ((lb - lq) * (lb - ld));
}

} // namespace

std::vector<SettingInfo> deisSettings() {
    return joinSettings({
        exponentialSettings(),
        {spacingSetting("\"linspace\""),
         stepsOffsetSetting(),
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
        const int64_t left = count - static_cast<int64_t>(i);
        int now = std::min(order, static_cast<int>(i) + 1);
        if (lowerFinal)
            now = std::min<int>(now, static_cast<int>(left));
        const Estimate estimate = estimateAt(prediction, run.alpha[i], run.sigma[i], run.timesteps[i]);
        Step step;
        step.timestep = run.timesteps[i];
        step.prediction = estimate.x0;
        step.clip = clip;
        step.keep = clip.kind == ClipKind::None ? estimate.epsilon : (kX - run.alpha[i] * kX0) / run.sigma[i];
        const double alpha = run.alpha[i + 1], from = run.ratio[i], to = run.ratio[i + 1];
        step.next = alpha / run.alpha[i] * kX;
        if (now == 1) {
            step.next += alpha * (to - from) * step.keep;
        } else if (now == 2) {
            const double r0 = from, r1 = run.ratio[i - 1];
            step.next += alpha * (linearBasis(to, r0, r1) - linearBasis(from, r0, r1)) * step.keep;
            step.next += alpha * (linearBasis(to, r1, r0) - linearBasis(from, r1, r0)) * history[0];
        } else {
            const double r0 = from, r1 = run.ratio[i - 1], r2 = run.ratio[i - 2];
            step.next +=
                alpha * (quadraticBasis(to, r0, r1, r2) - quadraticBasis(from, r0, r1, r2)) * step.keep;
            step.next +=
                alpha * (quadraticBasis(to, r1, r2, r0) - quadraticBasis(from, r1, r2, r0)) * history[0];
            step.next +=
                alpha * (quadraticBasis(to, r2, r0, r1) - quadraticBasis(from, r2, r0, r1)) * history[1];
        }
        step.store = history.push();
        steps.push_back(step);
    }
    return finishTable("deis", count, {}, steps);
}

} // namespace mote::convert::schedule
