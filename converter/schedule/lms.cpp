// Linear multistep on sigma (Adams-Bashforth with uneven steps; k-diffusion, sample_lms):
//   x' = x + sum_j d_j integral from s to s' of L_j(tau) dtau,   L_j the Lagrange basis over the last sigmas
// The integrand is a polynomial of degree order - 1 <= 3; two Gauss-Legendre points integrate it exactly.
#include <cmath>

#include "schedule/sigma_space.h"

namespace mote::convert::schedule {
namespace {

// `nodes`: the sigmas of the derivatives, newest first.
double lagrangeIntegral(const std::vector<double> &nodes, size_t which, double from, double to) {
    double integral = 0;
    for (const double sign : {-1.0, 1.0}) {
        const double tau = (from + to) / 2 + sign * (to - from) / 2 / std::sqrt(3.0);
        double product = 1;
        for (size_t k = 0; k < nodes.size(); ++k)
            if (k != which)
                product *= (tau - nodes[k]) / (nodes[which] - nodes[k]);
        integral += product * (to - from) / 2;
    }
    return integral;
}

} // namespace

std::vector<SettingInfo> lmsSettings() {
    return joinSettings({
        sigmaSettings("\"linspace\""),
        {{"order", SettingType::Integer, "4", 1, 4, "", "option: derivatives that a step uses"}},
    });
}

Table compileLms(const Job &job) {
    const NoiseSchedule noise = makeNoiseSchedule(job.settings, job.rounding, true);
    const SigmaRun run = makeSigmaRun(job, noise);
    const Prediction prediction = readPrediction(job.settings);
    const size_t order = static_cast<size_t>(job.settings.integer("order"));
    History history(static_cast<int>(order) - 1);
    std::vector<Step> steps;
    for (size_t i = 0; i < run.timesteps.size(); ++i) {
        std::vector<double> nodes;
        for (size_t j = 0; j < std::min(i + 1, order); ++j)
            nodes.push_back(run.sigmas[i - j]);
        Step step = sigmaStep(run.timesteps[i], nodes[0], sigmaPrediction(prediction, nodes[0]));
        step.keep = sigmaDerivative(nodes[0]);
        step.next = kX;
        for (size_t j = 0; j < nodes.size(); ++j)
            step.next += lagrangeIntegral(nodes, j, run.sigmas[i], run.sigmas[i + 1]) *
                         (j == 0 ? step.keep : history[static_cast<int>(j) - 1]);
        step.store = history.push();
        steps.push_back(step);
    }
    return finishTable("lms", job.count(), run.start, steps);
}

} // namespace mote::convert::schedule
