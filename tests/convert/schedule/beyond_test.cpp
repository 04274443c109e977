// Samplers beyond diffusers: each compiled table against a plain loop of its paper's formula in double, on a
// smooth non-linear network. The loops are written from the papers, state by state, and share nothing with
// the compiler.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "paper_loops.h"

namespace mote::convert::schedule {
namespace {

// ------------------------------------------------------------------ Karras et al. 2022
TEST(EdmHeun, MatchesAlgorithm2WithChurn) {
    constexpr size_t n = 7;
    constexpr double d = 0.5, churn = 10, noiseFactor = 1.007, low = 0.05, high = 50;
    Vector sigma;
    for (size_t i = 0; i < n; ++i)
        sigma.push_back(
            std::pow(std::pow(80, 1 / 7.0) + static_cast<double>(i) / (n - 1) *
                                                 (std::pow(0.002, 1 / 7.0) - std::pow(80, 1 / 7.0)),
                     7));
    sigma.push_back(0);
    auto denoised = [&](double x, double s) {
        const double q = s * s + d * d;
        return d * d / q * x + s * d / std::sqrt(q) * network(x / std::sqrt(q), std::log(s) / 4);
    };
    auto raised = [&](double s) {
        return s * (1 + (s >= low && s <= high ? std::min(churn / n, std::sqrt(2.0) - 1) : 0.0));
    };
    const Trajectory<double> run = runSampler(
        "edm-heun", n, {{"s_churn", "10"}, {"s_noise", "1.007"}, {"s_tmin", "0.05"}, {"s_tmax", "50"}});
    ASSERT_EQ(run.states.size(), 2 * n);
    // The table's start stands for x_0 and the first churn: sigma_0 is above s_tmax here, so there is none.
    Vector x = each([&](size_t i) { return sigma[0] * pseudoNormals(999)[i]; });
    expectSame(run.states[0], x, "start", 0);
    for (size_t step = 0; step < n; ++step) {
        const double s = raised(sigma[step]), to = sigma[step + 1];
        Vector derivative = each([&](size_t i) { return (x[i] - denoised(x[i], s)) / s; });
        Vector next = each([&](size_t i) { return x[i] + (to - s) * derivative[i]; });
        if (to > 0) {
            next = each([&](size_t i) {
                const double second = (next[i] - denoised(next[i], to)) / to;
                return x[i] + (to - s) * (derivative[i] + second) / 2;
            });
            const double up = noiseFactor * std::sqrt(raised(to) * raised(to) - to * to);
            const Vector z = pseudoNormals(2 * step + 1);
            x = each([&](size_t i) { return next[i] + up * z[i]; });
            expectSame(run.states[2 * step + 2], x, "churned state", step);
        } else {
            expectSame(run.states.back(), next, "last state", step);
        }
    }
}

// ------------------------------------------------------------------ ResShift, SinSR
TEST(ResidualShift, MatchesTheTransitionsOfResShiftAndSinSr) {
    constexpr int64_t total = 15, n = 5;
    constexpr double kappa = 2, power = 0.3;
    auto eta = [&](int64_t t) { // t from 1
        const double root1 = 0.04 / kappa, base = std::exp(std::log(0.99 / root1) / (total - 1));
        const double exponent = std::pow(static_cast<double>(t - 1) / (total - 1), power) * (total - 1);
        return t == 0 ? 0.0 : std::pow(root1 * std::pow(base, exponent), 2);
    };
    for (const bool stochastic : {true, false}) {
        const Trajectory<double> run = runSampler(stochastic ? "resshift" : "sinsr", n, {});
        const Vector y = condition();
        Vector x =
            each([&](size_t i) { return y[i] + kappa * std::sqrt(eta(total)) * pseudoNormals(999)[i]; });
        expectSame(run.states[0], x, "start", 0);
        for (size_t step = 0; step < n; ++step) {
            const int64_t t = total - static_cast<int64_t>(step) * total / n, s = t - total / n;
            const double e = eta(t), f = eta(s);
            const Vector z = pseudoNormals(step);
            x = each([&](size_t i) {
                const double x0 =
                    network(x[i] / std::sqrt(kappa * kappa * e + 1), static_cast<double>(t - 1));
                if (stochastic)
                    return f / e * x[i] + (e - f) / e * x0 + kappa * std::sqrt(f / e * (e - f)) * z[i];
                const double m = std::sqrt(f / e);
                return (1 - f + std::sqrt(f * e) - m) * x0 + m * x[i] + (f - std::sqrt(f * e)) * y[i];
            });
            expectSame(run.states[step + 1], x, stochastic ? "resshift" : "sinsr", step);
        }
        // The last step arrives at the network's x0.
        expectSame(run.states.back(), run.outputs.back(), "arrival", n);
    }
}

// ------------------------------------------------------------------ starts from an image
TEST(TruncatedStart, NoisesTheConditionToTheFirstTimestepThatIsTaken) {
    const char *const config = R"({"clip_sample": false})", *const sigmaConfig = "{}";
    for (const auto &[name, text] : {std::pair{"ddim", config},
                                     {"ddpm", config},
                                     {"dpm-multistep", sigmaConfig},
                                     {"unipc", sigmaConfig},
                                     {"deis", sigmaConfig},
                                     {"euler", sigmaConfig},
                                     {"heun", sigmaConfig},
                                     {"kdpm2", sigmaConfig},
                                     {"lms", sigmaConfig}}) {
        const SchedulerConfig parsed = parseSchedulerConfig(text, "test");
        const Table whole = compile(parsed, name, {.steps = 10, .timesteps = {}, .options = {}});
        const Table part =
            compile(parsed, name, {.steps = 10, .timesteps = {}, .options = {{"strength", "0.45"}}});
        // int(10 * 0.45) = 4 of 10 steps, the last ones: image-to-image of diffusers
        const double first = part.rows.front().timestep;
        EXPECT_EQ(part.rows.back().timestep, whole.rows.back().timestep) << name;
        const bool twice = whole.rows.size() == 19; // two rows a step but for the last
        EXPECT_EQ(part.rows.size(), twice ? 7u : 4u) << name;
        // In the network's scale every start is sqrt(A) y + sqrt(1 - A) z.
        const Settings settings(parseSchedulerConfig("{}", "test"), "test", noiseSettings(), {}, {});
        const NoiseSchedule noise = makeNoiseSchedule(settings, Rounding::Library, true);
        const double A = 1 / (1 + std::pow(noise.sigmaAt(first), 2));
        EXPECT_NEAR(part.initCondition, std::sqrt(A), 1e-7) << name;
        EXPECT_NEAR(part.initNoise, std::sqrt(1 - A), 1e-7) << name;
        EXPECT_EQ(whole.initCondition, 0) << name;
    }
}

TEST(TruncatedStart, RowsAreThoseOfTheWholeRunWhereNoHistoryIsUsed) {
    const SchedulerConfig config = parseSchedulerConfig("{}", "test");
    const Table whole = compile(config, "ddim", {.steps = 8, .timesteps = {}, .options = {}});
    const Table part =
        compile(config, "ddim", {.steps = 8, .timesteps = {}, .options = {{"strength", "0.5"}}});
    ASSERT_EQ(part.rows.size(), 4u);
    for (size_t i = 0; i < part.rows.size(); ++i) {
        EXPECT_EQ(part.rows[i].g, whole.rows[i + 4].g);
        EXPECT_EQ(part.rows[i].b, whole.rows[i + 4].b);
    }
}

// ------------------------------------------------------------------ consistency models
TEST(ConsistencyModel, MultistepAtGivenLevelsMatchesAlgorithm1) {
    constexpr double low = 0.002, high = 80, d = 0.5;
    const Table table =
        compile(parseSchedulerConfig(
                    R"({"_class_name": "CMStochasticIterativeScheduler", "clip_denoised": false})", "test"),
                "", {.steps = 0, .timesteps = {22, 0}, .options = {}, .rounding = Rounding::Exact});
    const Vector start = pseudoNormals(999);
    Vector noise;
    RunInputs<double> inputs;
    inputs.noise = start;
    inputs.stepNoise = [&](size_t row) -> std::span<const double> { return noise = pseudoNormals(row); };
    const Trajectory<double> run = runTable<double>(
        table, inputs,
        [](std::span<const double> x, const Row &row, size_t, std::span<double> m, std::span<double>) {
            for (size_t i = 0; i < x.size(); ++i)
                m[i] = network(x[i], row.timestep);
        });
    auto consistency = [&](double x, double s) {
        const double skip = d * d / (std::pow(s - low, 2) + d * d),
                     out = d * (s - low) / std::sqrt(d * d + s * s);
        return skip * x + out * network(x / std::sqrt(s * s + d * d), 250 * std::log(s));
    };
    auto level = [&](double index) {
        return std::pow(
            std::pow(high, 1 / 7.0) + index / 39 * (std::pow(low, 1 / 7.0) - std::pow(high, 1 / 7.0)), 7);
    };
    Vector x = each([&](size_t i) { return consistency(high * start[i], high); });
    const double tau = level(22);
    const Vector z = pseudoNormals(0);
    x = each([&](size_t i) { return x[i] + std::sqrt(tau * tau - low * low) * z[i]; });
    expectSame(run.states[1], x, "first", 0);
    x = each([&](size_t i) { return consistency(x[i], tau); });
    expectSame(run.states[2], x, "second", 1);
}

// ------------------------------------------------------------------ flagged operations
TEST(LearnedVariance, InterpolatesTheLogarithmsOfTheTwoVariances) {
    const Trajectory<double> run =
        runSampler("ddpm", 5, {{"variance_type", "learned_range"}, {"clip_sample", "false"}});
    const Settings settings(parseSchedulerConfig("{}", "test"), "test", noiseSettings(), {}, {});
    const NoiseSchedule noise = makeNoiseSchedule(settings, Rounding::Exact, false);
    Vector x = pseudoNormals(999);
    for (size_t step = 0; step < 5; ++step) {
        const int64_t t = 800 - 200 * static_cast<int64_t>(step);
        const double A = noise.alphasCumprod[static_cast<size_t>(t)];
        const double B = t > 0 ? noise.alphasCumprod[static_cast<size_t>(t - 200)] : 1.0;
        const double b = 1 - A / B, posterior = (1 - B) / (1 - A) * b;
        const Vector z = pseudoNormals(step);
        x = each([&](size_t i) {
            const double x0 =
                (x[i] - std::sqrt(1 - A) * network(x[i], static_cast<double>(t))) / std::sqrt(A);
            const double v = (std::cos(x[i]) + 1) / 2; // Nichol and Dhariwal 2021, equation 15
            const double deviation =
                t > 0 ? std::exp((v * std::log(b) + (1 - v) * std::log(posterior)) / 2) : 0.0;
            return std::sqrt(B) * b / (1 - A) * x0 + std::sqrt(A / B) * (1 - B) / (1 - A) * x[i] +
                   deviation * z[i];
        });
        expectSame(run.states[step + 1], x, "learned variance", step);
    }
}

TEST(LearnedVariance, TakenDirectlyIsTheVarianceItself) {
    Row row;
    row.c = 2;
    row.draws = 1;
    row.learned.kind = VarianceKind::Direct;
    const double x[] = {0, 0}, v[] = {0.25, 9}, z[] = {1, -1};
    RowOperands<double> operands{x, x, v, {}, z, {}, {}};
    EXPECT_EQ(applyRow<double>(row, 1, operands).next, (std::vector<double>{1, -6}));
}

TEST(RePaint, MatchesAlgorithm1WithJumps) {
    constexpr int64_t n = 8, jump = 3, samples = 2;
    const Settings settings(parseSchedulerConfig("{}", "test"), "test", noiseSettings(), {}, {});
    const NoiseSchedule noise = makeNoiseSchedule(settings, Rounding::Exact, false);
    const Trajectory<double> run = runSampler("repaint", n, {{"jump_length", "3"}, {"jump_n_sample", "2"}});
    auto cumprod = [&](int64_t level) {
        return level == 0 ? 1.0 : noise.alphasCumprod[static_cast<size_t>((level - 1) * (1000 / n))];
    };
    // The paper's schedule of levels (its appendix: jumps at multiples of jump_length below the start).
    std::vector<int64_t> levels = {n};
    std::vector<int64_t> jumps(n + 1, 0);
    for (int64_t level = 0; level < n - jump; level += jump)
        jumps[static_cast<size_t>(level)] = samples - 1;
    while (levels.back() > 0) {
        levels.push_back(levels.back() - 1);
        int64_t &left = jumps[static_cast<size_t>(levels.back())];
        if (left-- > 0)
            for (int64_t k = 0; k < jump; ++k)
                levels.push_back(levels.back() + 1);
    }
    const Vector y = condition(), mask = maskValues();
    Vector x = pseudoNormals(999);
    size_t row = 0;
    for (size_t k = 0; k + 1 < levels.size();) {
        const int64_t from = levels[k], to = from - 1;
        const double A = cumprod(from), B = cumprod(to), b = 1 - A / B;
        const double variance = (1 - B) / (1 - A) * b;
        ++k;
        double kept = 1; // product of alpha over the jump back up
        while (k + 1 < levels.size() && levels[k + 1] > levels[k]) {
            kept *= cumprod(levels[k + 1]) / cumprod(levels[k]);
            ++k;
        }
        // One normal of the row stands for two independent ones: the step's and the jump's.
        const Vector z = pseudoNormals(row);
        auto joined = [&](double stepDeviation) {
            return std::sqrt(kept * stepDeviation * stepDeviation + 1 - kept);
        };
        x = each([&](size_t i) {
            double x0 =
                (x[i] - std::sqrt(1 - A) * network(x[i], static_cast<double>((from - 1) * (1000 / n)))) /
                std::sqrt(A);
            x0 = std::clamp(x0, -1.0, 1.0);
            const double mean = std::sqrt(B) * b / (1 - A) * x0 + std::sqrt(A / B) * (1 - B) / (1 - A) * x[i];
            const double unknown = std::sqrt(kept) * mean + joined(std::sqrt(variance)) * z[i];
            const double known = std::sqrt(kept * B) * y[i] + joined(std::sqrt(1 - B)) * z[i];
            return mask[i] * known + (1 - mask[i]) * unknown;
        });
        ++row;
        expectSame(run.states.at(row), x, "repaint", row);
    }
    EXPECT_EQ(run.states.size(), row + 1);
    EXPECT_GT(row, static_cast<size_t>(n));
    for (size_t i = 0; i < kElements; ++i) // what is known is returned as it was
        EXPECT_TRUE(mask[i] == 0 || run.states.back()[i] == y[i]) << i;
}

} // namespace
} // namespace mote::convert::schedule
