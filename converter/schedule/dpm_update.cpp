#include "schedule/dpm_update.h"

#include <algorithm>
#include <cmath>

namespace mote::convert::schedule {
namespace {

constexpr size_t kFewSteps = 15; // below this, diffusers lowers the order of the last steps

} // namespace

double DpmSolver::stateFactor(const LambdaRun &run, size_t i, size_t base) const {
    if (algorithm == DpmAlgorithm::Data)
        return run.sigma[i + 1] / run.sigma[base];
    if (algorithm == DpmAlgorithm::DataSde)
        return run.sigma[i + 1] / run.sigma[base] * std::exp(-(run.lambda[i + 1] - run.lambda[base]));
    return run.alpha[i + 1] / run.alpha[base];
}

Form DpmSolver::increment(const LambdaRun &run, int order, size_t i, size_t base,
                          const std::vector<Form> &d) const {
    const double alpha = run.alpha[i + 1], sigma = run.sigma[i + 1], h = run.lambda[i + 1] - run.lambda[base];
    const bool data = predictsData(algorithm);
    const double e = data ? std::expm1(-h) : std::expm1(h);
    // first: factor of d; second: of its first difference; third: of half its second difference
    double first = data ? -alpha * e : -sigma * e;
    if (algorithm == DpmAlgorithm::DataSde)
        first = -alpha * std::expm1(-2 * h);
    if (algorithm == DpmAlgorithm::NoiseSde)
        first = -2 * sigma * e;
    if (order == 1)
        return first * d[0];
    const double slope = data ? alpha * (e / h + 1) : -sigma * (e / h - 1);
    double second = heun ? slope : first / 2;
    if (heun && algorithm == DpmAlgorithm::DataSde)
        second = alpha * (std::expm1(-2 * h) / (2 * h) + 1);
    if (heun && algorithm == DpmAlgorithm::NoiseSde)
        second = 2 * slope;
    const double third = data ? -alpha * ((e + h) / (h * h) - 0.5) : -sigma * ((e - h) / (h * h) - 0.5);

    if (base == i) { // multistep: differences backwards in time
        const double r0 = (run.lambda[i] - run.lambda[i - 1]) / h;
        const Form D10 = (d[0] - d[1]) / r0;
        if (order == 2)
            return first * d[0] + second * D10;
        const double r1 = (run.lambda[i - 1] - run.lambda[i - 2]) / h;
        const Form D11 = (d[1] - d[2]) / r1;
        const Form D1 = D10 + r0 / (r0 + r1) * (D10 - D11), D2 = (D10 - D11) / (r0 + r1);
        return first * d[0] + slope * D1 + third * D2;
    }
    const double r0 = (run.lambda[i] - run.lambda[base]) / h;
    if (order == 2) // singlestep: d[1] is at the base, d[0] in between
        return first * d[1] + second / r0 * (d[0] - d[1]);
    const double r1 = (run.lambda[i - 1] - run.lambda[base]) / h;
    const Form D10 = (d[1] - d[2]) / r1, D11 = (d[0] - d[2]) / r0;
    if (!heun)
        return first * d[2] + slope * D11;
    return first * d[2] + slope * ((r0 * D10 - r1 * D11) / (r0 - r1)) + third * (2 * (D11 - D10) / (r0 - r1));
}

double DpmSolver::noiseFactor(const LambdaRun &run, size_t i) const {
    const double h = run.lambda[i + 1] - run.lambda[i];
    if (algorithm == DpmAlgorithm::DataSde)
        return run.sigma[i + 1] * std::sqrt(-std::expm1(-2 * h));
    if (algorithm == DpmAlgorithm::NoiseSde)
        return run.sigma[i + 1] * std::sqrt(std::expm1(2 * h));
    return 0;
}

std::vector<SettingInfo> dpmSettings(const char *algorithms, const char *lowerOrderFinal) {
    return {
        {"algorithm_type", SettingType::Choice, "\"dpmsolver++\"", 0, 0, algorithms,
         "++: data prediction, else noise prediction; sde: with noise"},
        {"solver_type", SettingType::Choice, "\"midpoint\"", 0, 0, "midpoint|heun",
         "weight of the second difference"},
        {"lower_order_final", SettingType::Boolean, lowerOrderFinal, 0, 0, "",
         "lower orders in the last steps of a run of fewer than 15"},
    };
}

DpmSolver readDpmSolver(const Settings &settings, FinalSigma end) {
    const std::string name = settings.choice("algorithm_type");
    DpmSolver solver;
    solver.algorithm = name == "dpmsolver++"       ? DpmAlgorithm::Data
                       : name == "sde-dpmsolver++" ? DpmAlgorithm::DataSde
                       : name == "dpmsolver"       ? DpmAlgorithm::Noise
                                                   : DpmAlgorithm::NoiseSde;
    solver.heun = settings.choice("solver_type") == "heun";
    if (!predictsData(solver.algorithm) && end == FinalSigma::Zero)
        settings.refuse("algorithm_type",
                        "which cannot end at sigma 0; supported: final_sigmas_type \"sigma_min\", or "
                        "\"dpmsolver++\" and \"sde-dpmsolver++\"");
    return solver;
}

Table multistepTable(const Job &job, const char *name, const LambdaRun &run, const DpmSolver &solver,
                     FinalSigma end, const std::function<Step(size_t)> &begin,
                     const std::function<Form(size_t)> &quantity) {
    const int order = static_cast<int>(job.settings.integer("solver_order"));
    const size_t count = run.count() + skippedSteps(job);
    const bool lowerFinal = job.settings.boolean("lower_order_final") && count < kFewSteps;
    const bool firstOrderEnd =
        job.settings.boolean("euler_at_final") || lowerFinal || end == FinalSigma::Zero;
    const bool sde = solver.algorithm == DpmAlgorithm::DataSde || solver.algorithm == DpmAlgorithm::NoiseSde;
    if (sde && order > 2)
        job.settings.refuse("solver_order", "supported with the SDE algorithms: 1, 2");
    History history(order - 1);
    std::vector<Step> steps;
    for (size_t i = 0; i < run.count(); ++i) {
        const size_t left = run.count() - i;
        int now = std::min(order, static_cast<int>(i) + 1);
        if (left == 1 && firstOrderEnd)
            now = 1;
        else if (left == 2 && lowerFinal)
            now = std::min(now, 2);
        Step step = begin(i);
        step.keep = quantity(i);
        std::vector<Form> d = {step.keep};
        for (int age = 0; age + 1 < now; ++age)
            d.push_back(history[age]);
        step.next = solver.stateFactor(run, i, i) * kX + solver.increment(run, now, i, i, d) +
                    solver.noiseFactor(run, i) * kZ;
        step.draws = sde ? 1 : 0;
        step.store = history.push();
        steps.push_back(step);
    }
    return finishTable(name, count, run.start, steps);
}

} // namespace mote::convert::schedule
