// UniPC: Zhao et al. 2023, "UniPC: a unified predictor-corrector framework", algorithms 5 to 8 (bh1:
// B(h) = h, bh2: B(h) = exp(h) - 1). Predictor and corrector share the state's coefficient, so the corrected
// state is the present one with the predictor's increment taken back and the corrector's added: no state is
// saved, one row a step:
//   x_{i+1} = a (x_i - P_{i-1} + C_i) + P_i
#include <algorithm>
#include <cmath>

#include "schedule/exponential.h"

namespace mote::convert::schedule {
namespace {

// Solves the small dense system A x = b by elimination with pivoting.
std::vector<double> solve(std::vector<std::vector<double>> A, std::vector<double> b) {
    const size_t n = b.size();
    for (size_t k = 0; k < n; ++k) {
        size_t pivot = k;
        for (size_t row = k + 1; row < n; ++row)
            if (std::abs(A[row][k]) > std::abs(A[pivot][k]))
                pivot = row;
        std::swap(A[k], A[pivot]);
        std::swap(b[k], b[pivot]);
        for (size_t row = k + 1; row < n; ++row) {
            const double factor = A[row][k] / A[k][k];
            for (size_t column = k; column < n; ++column)
                A[row][column] -= factor * A[k][column];
            b[row] -= factor * b[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t column = k + 1; column < n; ++column)
            b[k] -= A[k][column] * b[column];
        b[k] /= A[k][k];
    }
    return b;
}

struct UniPc {
    const LambdaRun &run;
    bool data, bh1;

    // What the step from entry i to i + 1 adds. `d`: the quantities at i, i - 1, ... (as many as `order`);
    // `arrived`: the quantity at i + 1, for the corrector.
    Form increment(size_t i, int order, const std::vector<Form> &d, const Form *arrived) const {
        const double h = run.lambda[i + 1] - run.lambda[i], hh = data ? -h : h, e = std::expm1(hh);
        const double outer = -(data ? run.alpha[i + 1] : run.sigma[i + 1]);
        Form sum = outer * e * d[0];
        if (order == 1 && !arrived)
            return sum;
        const double B = bh1 ? hh : e;
        std::vector<double> nodes;
        std::vector<Form> differences;
        for (size_t k = 1; k < static_cast<size_t>(order); ++k) {
            nodes.push_back((run.lambda[i - k] - run.lambda[i]) / h);
            differences.push_back((d[k] - d[0]) / nodes.back());
        }
        nodes.push_back(1.0);
        std::vector<std::vector<double>> powers;
        std::vector<double> right;
        double phi = e / hh - 1, factorial = 1;
        for (int k = 1; k <= order; ++k) {
            powers.emplace_back();
            for (const double node : nodes)
                powers.back().push_back(std::pow(node, k - 1));
            right.push_back(phi * factorial / B);
            factorial *= k + 1;
            phi = phi / hh - 1 / factorial;
        }
        std::vector<double> weights;
        if (arrived) {
            weights = order == 1 ? std::vector<double>{0.5} : solve(powers, right);
            differences.push_back(*arrived - d[0]);
        } else if (order == 2) {
            weights = {0.5};
        } else {
            for (std::vector<double> &line : powers)
                line.pop_back();
            powers.pop_back();
            right.pop_back();
            weights = solve(powers, right);
        }
        for (size_t k = 0; k < weights.size(); ++k)
            sum += outer * B * weights[k] * differences[k];
        return sum;
    }
};

} // namespace

std::vector<SettingInfo> uniPcSettings() {
    return joinSettings({
        exponentialSettings(),
        {spacingSetting("\"linspace\""),
         stepsOffsetSetting(),
         finalSigmasSetting(),
         strengthSetting(),
         {"predict_x0", SettingType::Boolean, "true", 0, 0, "", "data prediction, else noise prediction"},
         {"solver_type", SettingType::Choice, "\"bh2\"", 0, 0, "bh1|bh2", "B(h) of the paper"},
         {"lower_order_final", SettingType::Boolean, "true", 0, 0, "", "lower orders in the last steps"},
         {"disable_corrector", SettingType::Integers, "[]", 0, 10000, "", "steps that are not corrected"}},
    });
}

Table compileUniPc(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, true);
    const FinalSigma end = readFinalSigma(settings);
    const bool data = settings.boolean("predict_x0");
    if (!data && end == FinalSigma::Zero && !settings.boolean("lower_order_final"))
        settings.refuse("predict_x0",
                        "which cannot end at sigma 0; supported: lower_order_final true, or sigma_min");
    const LambdaRun run = makeLambdaRun(job, noise, end, KarrasEnd::RepeatLast);
    const Prediction prediction = readPrediction(settings);
    const UniPc solver{run, data, settings.choice("solver_type") == "bh1"};
    const int order = static_cast<int>(settings.integer("solver_order"));
    const std::vector<int64_t> uncorrected = settings.integers("disable_corrector");

    History history(order);
    std::vector<Step> steps;
    int previousOrder = 0;
    for (size_t i = 0; i < run.count(); ++i) {
        const Estimate estimate = estimateAt(prediction, run.alpha[i], run.sigma[i], run.timesteps[i]);
        Step step;
        step.timestep = run.timesteps[i];
        step.prediction = estimate.x0;
        if (data)
            step.clip = readThresholding(settings);
        step.keep = data ? kX0 : estimate.epsilon;
        std::vector<Form> past;
        for (int age = 0; age < history.size(); ++age)
            past.push_back(history[age]);
        Form corrected = kX;
        const int64_t before = static_cast<int64_t>(i) - 1;
        if (i > 0 && std::find(uncorrected.begin(), uncorrected.end(), before) == uncorrected.end())
            corrected += solver.increment(i - 1, previousOrder, past, &step.keep) -
                         solver.increment(i - 1, previousOrder, past, nullptr);
        int now = std::min(order, static_cast<int>(i) + 1);
        if (settings.boolean("lower_order_final"))
            now = std::min<int>(now, static_cast<int>(run.count() - i));
        std::vector<Form> d = {step.keep};
        d.insert(d.end(), past.begin(), past.end());
        const double factor = data ? run.sigma[i + 1] / run.sigma[i] : run.alpha[i + 1] / run.alpha[i];
        step.next = factor * corrected + solver.increment(i, now, d, nullptr);
        step.store = history.push();
        steps.push_back(step);
        previousOrder = now;
    }
    return finishTable("unipc", job.count(), run.start, steps);
}

} // namespace mote::convert::schedule
