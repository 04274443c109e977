// The samplers of Song et al. 2021 against plain loops of their equations in double (see beyond_test.cpp),
// and against the library's recorded VE run.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "paper_loops.h"

namespace mote::convert::schedule {
namespace {

struct Process {
    const char *name;
    std::function<double(double)> drift, diffusion2, mean, deviation, told;
};

constexpr double kBetaMin = 0.1, kBetaMax = 20, kSigmaMin = 0.01, kSigmaMax = 50;

double beta(double t) {
    return kBetaMin + t * (kBetaMax - kBetaMin);
}
double betaIntegral(double t) {
    return kBetaMin * t + t * t / 2 * (kBetaMax - kBetaMin);
}
double veSigma(double t) {
    return kSigmaMin * std::pow(kSigmaMax / kSigmaMin, t);
}

std::vector<Process> processes() {
    auto toldVp = [](double t) { return 999 * t; };
    return {
        {"vp", [](double t) { return -beta(t) / 2; }, beta,
         [](double t) { return std::exp(-betaIntegral(t) / 2); },
         [](double t) { return std::sqrt(1 - std::exp(-betaIntegral(t))); }, toldVp},
        {"sub-vp", [](double t) { return -beta(t) / 2; },
         [](double t) { return beta(t) * (1 - std::exp(-2 * betaIntegral(t))); },
         [](double t) { return std::exp(-betaIntegral(t) / 2); },
         [](double t) { return 1 - std::exp(-betaIntegral(t)); }, toldVp},
        {"ve", [](double) { return 0.0; },
         [](double t) { return veSigma(t) * veSigma(t) * 2 * std::log(kSigmaMax / kSigmaMin); },
         [](double) { return 1.0; }, veSigma, veSigma},
    };
}

NamedValues optionsOf(const Process &process, NamedValues more) {
    more.emplace_back("output", "epsilon");
    if (std::string_view(process.name) == "ve") {
        more.emplace_back("sigma_min", "0.01");
        more.emplace_back("sigma_max", "50");
    }
    return more;
}

Vector startOf(const Process &process) {
    const double scale = std::string_view(process.name) == "ve" ? kSigmaMax : 1.0;
    return each([&](size_t i) { return scale * pseudoNormals(999)[i]; });
}

double timeAt(const Process &process, size_t i, size_t last) {
    const double eps = std::string_view(process.name) == "ve" ? 1e-5 : 1e-3;
    return 1 + static_cast<double>(i) / static_cast<double>(last) * (eps - 1);
}

TEST(ScoreSde, EulerMaruyamaMatchesTheDiscretisedReverseSde) {
    constexpr size_t n = 9;
    for (const Process &process : processes()) {
        const std::string name = std::string(process.name) + "-sde";
        const Trajectory<double> run = runSampler(
            name.c_str(), n, optionsOf(process, {{"predictor", "euler-maruyama"}, {"corrector", "none"}}));
        Vector x = startOf(process);
        for (size_t step = 0; step < n; ++step) {
            const double t = timeAt(process, step, n - 1), h = 1.0 / n, g2 = process.diffusion2(t);
            const Vector z = pseudoNormals(step);
            x = each([&](size_t i) {
                const double score = -network(x[i], process.told(t)) / process.deviation(t);
                const double reverseDrift = process.drift(t) * x[i] - g2 * score; // equation 6
                return x[i] - reverseDrift * h + std::sqrt(g2 * h) * z[i];
            });
            expectSame(run.states[step + 1], x, name.c_str(), step);
        }
        // The preview is Tweedie's estimate of x0.
        const double t = timeAt(process, 0, n - 1);
        const Vector first = startOf(process);
        const Vector x0 = each([&](size_t i) {
            return (first[i] - process.deviation(t) * network(first[i], process.told(t))) / process.mean(t);
        });
        expectSame(run.previews[0], x0, "preview", 0);
    }
}

TEST(ScoreSde, PredictorCorrectorMatchesAlgorithms2To5) {
    constexpr size_t n = 40; // vp needs steps whose beta is below 1
    constexpr double snr = 0.16;
    for (const Process &process : processes()) {
        const bool ve = std::string_view(process.name) == "ve", vp = std::string_view(process.name) == "vp";
        for (const bool langevin : {true, false}) {
            const std::string name = std::string(process.name) + "-sde";
            const Trajectory<double> run = runSampler(
                name.c_str(), n,
                optionsOf(process, {{"predictor", ve || vp ? "reverse-diffusion" : "euler-maruyama"},
                                    {"corrector", langevin ? "langevin" : "annealed"},
                                    {"snr", "0.16"},
                                    {"final_noise", "false"}}));
            ASSERT_EQ(run.states.size(), 2 * n + 1);
            Vector x = startOf(process);
            for (size_t step = 0; step < n; ++step) {
                const double t = timeAt(process, step, n - 1), h = 1.0 / n;
                auto score = [&](size_t i) { return -network(x[i], process.told(t)) / process.deviation(t); };
                const Vector z = pseudoNormals(2 * step), s = each(score);
                const double a = vp ? 1 - beta(t) * h : 1.0;
                const double size = langevin ? 2 * a * std::pow(snr * norm(z) / norm(s), 2)
                                             : 2 * a * std::pow(snr * process.deviation(t), 2);
                x = each([&](size_t i) { return x[i] + size * s[i] + std::sqrt(2 * size) * z[i]; });
                expectSame(run.states[2 * step + 1], x, (name + ", corrected").c_str(), step);
                const Vector w = pseudoNormals(2 * step + 1), after = each(score);
                const double noise = step + 1 < n ? 1 : 0;
                if (ve) { // algorithm 2
                    auto level = [&](size_t i) {
                        return kSigmaMax * std::pow(kSigmaMin / kSigmaMax, static_cast<double>(i) / (n - 1));
                    };
                    const double variance =
                        std::pow(level(step), 2) - (step + 1 < n ? std::pow(level(step + 1), 2) : 0.0);
                    x = each([&](size_t i) {
                        return x[i] + variance * after[i] + noise * std::sqrt(variance) * w[i];
                    });
                } else if (vp) { // algorithm 3
                    const double b = beta(t) * h;
                    x = each([&](size_t i) {
                        return (2 - std::sqrt(1 - b)) * x[i] + b * after[i] + noise * std::sqrt(b) * w[i];
                    });
                } else {
                    const double g2 = process.diffusion2(t);
                    x = each([&](size_t i) {
                        return x[i] - (process.drift(t) * x[i] - g2 * after[i]) * h +
                               noise * std::sqrt(g2 * h) * w[i];
                    });
                }
                expectSame(run.states[2 * step + 2], x, name.c_str(), step);
            }
        }
    }
}

// The recorded trajectory of the library's VE scheduler. It takes the mean of the norms over its batch of
// two, where a row takes the norms of each image: the row is given that ratio here.
TEST(ScoreSde, MatchesTheRecordedVeScheduler) {
    const SchedulerGoldens &goldens = SchedulerGoldens::get();
    const GoldenTensor &recorded = goldens.published().at("score_sde_ve.x"),
                       &bank = goldens.published().at("noise");
    const SchedulerConfig config = parseSchedulerConfig(R"({"_class_name": "ScoreSdeVeScheduler", "snr": 0.15,
        "sigma_min": 0.01, "sigma_max": 50.0, "sampling_eps": 1e-05, "correct_steps": 1, "num_train_timesteps": 20})",
                                                        "test");
    const Table table =
        compile(config, "", {.steps = 20, .timesteps = {}, .options = {}, .rounding = Rounding::Exact});
    ASSERT_EQ(table.rows.size(), 40u);
    const GoldenTensor &start = goldens.published().at("x_init");
    Vector x = start.values;
    for (double &value : x)
        value *= table.initNoise;
    const size_t image = x.size() / 2;
    auto meanNorm = [&](std::span<const double> values) {
        const Vector first(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(image));
        const Vector second(values.begin() + static_cast<std::ptrdiff_t>(image), values.end());
        return (norm(first) + norm(second)) / 2;
    };
    for (size_t index = 0; index < table.rows.size(); ++index) {
        Row row = table.rows[index];
        Vector m;
        for (const double value : x)
            m.push_back(-value / (row.timestep * row.timestep + 1));
        const std::span<const double> z = bank.row(index);
        EXPECT_EQ(row.langevin, index % 2 == 0);
        if (row.langevin) {
            const double rho = meanNorm(z) / meanNorm(m);
            row.langevin = false;
            row.b *= rho * rho;
            row.c *= rho;
        }
        x = applyRow<double>(row, 2, {x, m, {}, {}, z, {}, {}}).next;
        if (index % 2 == 1) {
            const std::span<const double> expected = recorded.row(index / 2 + 1);
            // The library's arithmetic is fp32, on states of up to 50.
            EXPECT_LE(relativeError(x, {expected.begin(), expected.end()}), 1e-5) << index / 2;
        }
    }
}

TEST(ProbabilityFlow, MatchesClassicalRungeKuttaOnEquation13) {
    constexpr size_t n = 6;
    for (const Process &process : processes()) {
        const std::string name = std::string(process.name) + "-flow-rk4";
        const Trajectory<double> run = runSampler(name.c_str(), n, optionsOf(process, {}));
        ASSERT_EQ(run.states.size(), 4 * n + 1);
        Vector x = startOf(process);
        auto slope = [&](const Vector &at, double t) {
            return each([&](size_t i) {
                const double score = -network(at[i], process.told(t)) / process.deviation(t);
                return process.drift(t) * at[i] - process.diffusion2(t) * score / 2;
            });
        };
        for (size_t step = 0; step < n; ++step) {
            const double t = timeAt(process, step, n), h = timeAt(process, step + 1, n) - t;
            auto moved = [&](const Vector &k, double by) {
                return each([&](size_t i) { return x[i] + by * k[i]; });
            };
            const Vector k0 = slope(x, t), k1 = slope(moved(k0, h / 2), t + h / 2);
            const Vector k2 = slope(moved(k1, h / 2), t + h / 2), k3 = slope(moved(k2, h), t + h);
            x = each([&](size_t i) { return x[i] + h / 6 * (k0[i] + 2 * k1[i] + 2 * k2[i] + k3[i]); });
            EXPECT_LE(relativeError(run.states[4 * step + 4], x), 1e-11) << name << ", step " << step;
        }
    }
}

// On data N(0, spread^2) the flow is known: x / sqrt(alpha^2 spread^2 + sigma^2) is constant.
TEST(ProbabilityFlow, RungeKuttaHasOrderFour) {
    constexpr double spread = 0.6;
    double errors[2];
    for (size_t doubling = 0; doubling < 2; ++doubling) {
        const int64_t steps = doubling == 0 ? 160 : 320;
        const Table table = compile(parseSchedulerConfig("{}", "test"), "vp-flow-rk4",
                                    {.steps = steps, .timesteps = {}, .options = {{"sampling_eps", "0.1"}}});
        const double start[] = {1.0};
        RunInputs<double> inputs;
        inputs.noise = start;
        auto level = [](double t) { return std::exp(-betaIntegral(t)); }; // alpha^2
        const Trajectory<double> run = runTable<double>(
            table, inputs,
            [&](std::span<const double> x, const Row &row, size_t, std::span<double> m, std::span<double>) {
                const double alpha2 = level(row.timestep / 999),
                             variance = alpha2 * spread * spread + 1 - alpha2;
                m[0] =
                    x[0] * std::sqrt(1 - alpha2) / variance; // epsilon = -sigma score, score = -x / variance
            });
        auto deviation = [&](double t) { return std::sqrt(level(t) * spread * spread + 1 - level(t)); };
        const double expected = deviation(0.1) / deviation(1);
        errors[doubling] = std::abs(run.states.back()[0] - expected);
    }
    EXPECT_NEAR(std::log2(errors[0] / errors[1]), 4, 0.3);
}

} // namespace
} // namespace mote::convert::schedule
