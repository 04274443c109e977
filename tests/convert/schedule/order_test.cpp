// Convergence orders on a problem with a known score. Data N(kMean, kSpread^2), so that E[x0 | x] at x =
// alpha x0 + sigma epsilon is linear, and the probability-flow ODE keeps (x - alpha mean) / sqrt(alpha^2
// spread^2 + sigma^2) constant (Song et al. 2021, equation 13). Doubling the steps must divide the error by
// 2^order.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <numbers>

#include "schedule/evaluate.h"
#include "schedule/sampler.h"

namespace mote::convert::schedule {
namespace {

constexpr double kMean = 0.4, kSpread = 0.6, kQuantile = 0.8; // the trajectory that is followed
constexpr double kOrderTolerance = 0.3;

// A long schedule, so that timesteps are nearly continuous.
const char *const kSchedule = R"({"num_train_timesteps": 100000, "beta_start": 1e-6, "beta_end": 2e-4})";

struct Level {
    double alpha, sigma;
};

double exactState(const Level &level) {
    return level.alpha * kMean + std::hypot(level.alpha * kSpread, level.sigma) * kQuantile;
}

double exactX0(double x, const Level &level) {
    const double gain =
        level.alpha * kSpread * kSpread / (std::pow(level.alpha * kSpread, 2) + std::pow(level.sigma, 2));
    return kMean + gain * (x - level.alpha * kMean);
}

// What a network that predicts this would say at the level.
enum class Output { Epsilon, Velocity, Flow };

double networkOutput(Output output, double x, const Level &level) {
    const double x0 = exactX0(x, level), epsilon = (x - level.alpha * x0) / level.sigma;
    switch (output) {
    case Output::Velocity:
        return level.alpha * epsilon - level.sigma * x0;
    case Output::Flow:
        return epsilon - x0;
    case Output::Epsilon:
        break;
    }
    return epsilon;
}

// Follows the table from the exact start and gives the relative error of the state after `rows` rows. `level`
// is the noise level of the network's input at a row.
template <typename LevelAt>
double errorAfter(const Table &table, size_t rows, Output output, const LevelAt &level) {
    // Every state is the network's input: between rows it is compared there, in the table's scale.
    RunInputs<double> inputs;
    const double start[] = {exactState(level(table.rows.front())) / table.initNoise};
    inputs.noise = start;
    const Trajectory<double> run =
        runTable<double>(table, inputs,
                         [&](std::span<const double> x, const Row &row, size_t, std::span<double> m,
                             std::span<double>) { m[0] = networkOutput(output, x[0], level(row)); });
    const double expected = exactState(level(table.rows.at(rows)));
    const double found = run.states.at(rows)[0] * table.rows.at(rows - 1).scale;
    return std::abs(found - expected) / std::abs(expected);
}

// The measured order, from the last two of four doublings; prints all errors.
template <typename ErrorAt>
double measuredOrder(const std::string &title, int64_t steps, const ErrorAt &errorAt) {
    double errors[4];
    for (double &error : errors) {
        error = errorAt(steps);
        steps *= 2;
    }
    const double measured = std::log2(errors[2] / errors[3]);
    std::printf("%-66s errors %.1e %.1e %.1e %.1e, order %.2f\n", title.c_str(), errors[0], errors[1],
                errors[2], errors[3], measured);
    return measured;
}

// ------------------------------------------------------------------ samplers that take timesteps
const NoiseSchedule &trainingSchedule() {
    static const NoiseSchedule noise = [] {
        const Settings settings(parseSchedulerConfig(kSchedule, "toy"), "toy", noiseSettings(), {}, {});
        return makeNoiseSchedule(settings, Rounding::Exact, true);
    }();
    return noise;
}

Level trainingLevel(double timestep) {
    const double ratio = trainingSchedule().sigmaAt(timestep);
    return {1 / std::hypot(ratio, 1.0), ratio / std::hypot(ratio, 1.0)};
}

struct Solver {
    const char *name;    // --sampler
    NamedValues options; // with the schedule above
    double order;        // that the paper states, see also the comments in the list
    size_t rowsPerStep = 1;
    bool wholeTimesteps = false;
    int group = 0; // singlestep: evaluations of a step
};

constexpr double kHighRatio = 8, kLowRatio = 0.1; // sigma / alpha at the ends

// Timesteps whose sigma / alpha fall geometrically, after a start of short steps: multistep methods begin
// with lower orders, whose error would otherwise be what is measured.
std::vector<double> geometricTimesteps(int64_t steps) {
    const double h = std::log(kHighRatio / kLowRatio) / static_cast<double>(steps);
    std::vector<double> timesteps;
    double logRatio = std::log(kHighRatio);
    for (const double start : {h * h * h * h, h * h * h, h * h}) {
        timesteps.push_back(trainingSchedule().timestepOfSigma(std::exp(logRatio)));
        logRatio -= start;
    }
    const double step = (logRatio - std::log(kLowRatio)) / static_cast<double>(steps);
    for (int64_t i = 0; i <= steps; ++i)
        timesteps.push_back(
            trainingSchedule().timestepOfSigma(std::exp(logRatio - step * static_cast<double>(i))));
    return timesteps;
}

// Whole groups of evaluations, one group more than is measured.
std::vector<double> groupedTimesteps(int64_t steps, int group) {
    const double h = std::log(kHighRatio / kLowRatio) / static_cast<double>(steps * group);
    std::vector<double> timesteps;
    for (int64_t i = 0; i < (steps + 1) * group; ++i)
        timesteps.push_back(
            trainingSchedule().timestepOfSigma(std::exp(std::log(kHighRatio) - h * static_cast<double>(i))));
    return timesteps;
}

double errorOf(const Solver &solver, int64_t steps) {
    Request request;
    request.rounding = Rounding::Exact;
    request.options = solver.options;
    request.timesteps = solver.group > 0 ? groupedTimesteps(steps, solver.group) : geometricTimesteps(steps);
    if (solver.wholeTimesteps)
        for (double &timestep : request.timesteps)
            timestep = std::nearbyint(timestep);
    const Table table = compile(parseSchedulerConfig(kSchedule, "toy"), solver.name, request);
    const size_t arrival = solver.group > 0 ? static_cast<size_t>(steps * solver.group)
                                            : (request.timesteps.size() - 1) * solver.rowsPerStep;
    return errorAfter(table, arrival, Output::Epsilon,
                      [](const Row &row) { return trainingLevel(row.timestep); });
}

TEST(ConvergenceOrder, OnGivenTimestepsIsTheOneThatThePaperStates) {
    auto toSigmaMin = [](NamedValues options) {
        options.emplace_back("final_sigmas_type", "sigma_min");
        options.emplace_back("lower_order_final", "false");
        return options;
    };
    auto noLowerOrder = [](NamedValues options) {
        options.emplace_back("lower_order_final", "false");
        return options;
    };
    const Solver solvers[] = {
        {"ddim", {{"clip_sample", "false"}}, 1, 1, true},
        {"euler", {}, 1},
        {"heun", {}, 2, 2},
        {"kdpm2", {}, 2, 2},
        {"lms", {{"order", "1"}}, 1},
        {"lms", {{"order", "2"}}, 2},
        {"lms", {{"order", "3"}}, 3},
        {"lms", {{"order", "4"}}, 4},
        {"dpm-multistep", toSigmaMin({{"solver_order", "1"}}), 1},
        {"dpm-multistep", toSigmaMin({{"solver_order", "2"}}), 2},
        {"dpm-multistep", toSigmaMin({{"solver_order", "2"}, {"solver_type", "heun"}}), 2},
        {"dpm-multistep", toSigmaMin({{"solver_order", "1"}, {"algorithm_type", "dpmsolver"}}), 1},
        {"dpm-multistep", toSigmaMin({{"solver_order", "2"}, {"algorithm_type", "dpmsolver"}}), 2},
        // Third order weighs the second difference by half of what Taylor's formula needs, in the authors'
        // code and in diffusers, whose pictures are to be met: it is a good second-order method.
        {"dpm-multistep", toSigmaMin({{"solver_order", "3"}}), 2},
        {"dpm-multistep", toSigmaMin({{"solver_order", "3"}, {"algorithm_type", "dpmsolver"}}), 2},
        {"dpm-singlestep", toSigmaMin({{"solver_order", "1"}}), 1, 1, false, 1},
        {"dpm-singlestep", toSigmaMin({{"solver_order", "2"}}), 2, 1, false, 2},
        {"dpm-singlestep", toSigmaMin({{"solver_order", "2"}, {"algorithm_type", "dpmsolver"}}), 2, 1, false,
         2},
        {"dpm-singlestep", toSigmaMin({{"solver_order", "3"}}), 3, 1, false, 3},
        {"dpm-singlestep", toSigmaMin({{"solver_order", "3"}, {"algorithm_type", "dpmsolver"}}), 3, 1, false,
         3},
        {"unipc", toSigmaMin({{"solver_order", "1"}}), 2}, // UniPC-p has order p + 1 (theorem 3.1)
        {"unipc", toSigmaMin({{"solver_order", "2"}}), 3},
        {"unipc", toSigmaMin({{"solver_order", "3"}}), 4},
        {"unipc", toSigmaMin({{"solver_order", "2"}, {"solver_type", "bh1"}}), 3},
        {"unipc", toSigmaMin({{"solver_order", "2"}, {"predict_x0", "false"}}), 3},
        {"deis", noLowerOrder({{"solver_order", "1"}}), 1},
        {"deis", noLowerOrder({{"solver_order", "2"}}), 2},
        {"deis", noLowerOrder({{"solver_order", "3"}}), 3},
    };
    for (const Solver &solver : solvers) {
        std::string title = solver.name;
        for (const auto &[key, value] : solver.options)
            if (key != "final_sigmas_type" && key != "lower_order_final")
                title += " " + key + "=" + value;
        const double measured =
            measuredOrder(title, 20, [&](int64_t steps) { return errorOf(solver, steps); });
        EXPECT_NEAR(measured, solver.order, kOrderTolerance) << title;
    }
}

// ------------------------------------------------------------------ samplers with timesteps of their own
struct OwnSolver {
    const char *name, *config;
    double order;
    Output output;
    double part; // of the rows, at which the state is compared
    Level (*level)(const Row &row);
};

TEST(ConvergenceOrder, OnTheSamplersOwnTimestepsIsTheOneThatThePaperStates) {
    auto training = [](const Row &row) { return trainingLevel(row.timestep); };
    // EDM: the network's input is x / sqrt(sigma^2 + sigma_data^2) and its output at sigma_data = 1 is -v.
    auto edm = [](const Row &row) -> Level {
        const double sigma = std::exp(4 * row.timestep);
        return {1 / std::hypot(sigma, 1.0), sigma / std::hypot(sigma, 1.0)};
    };
    auto flow = [](const Row &row) -> Level { return {1 - row.timestep / 1000, row.timestep / 1000}; };
    auto angle = [](const Row &row) -> Level {
        const double radians = row.timestep * std::numbers::pi / 2;
        return {std::cos(radians), std::sin(radians)};
    };
    const OwnSolver solvers[] = {
        {"pndm",
         R"({"num_train_timesteps": 100000, "beta_start": 1e-6, "beta_end": 2e-4, "skip_prk_steps": true})",
         2, Output::Epsilon, 0.7, training},
        {"pndm", R"({"num_train_timesteps": 100000, "beta_start": 1e-6, "beta_end": 2e-4})", 2,
         Output::Epsilon, 0.7, training},
        {"flow-match-euler", "{}", 1, Output::Flow, 0.8, flow},
        {"edm-euler", R"({"sigma_data": 1, "prediction_type": "v_prediction"})", 1, Output::Velocity, 1, edm},
        {"edm-dpm-multistep", R"({"sigma_data": 1, "prediction_type": "v_prediction"})", 2, Output::Velocity,
         1, edm},
        // In its first step, from alpha = 0, diffusers' IPNDM loses x0 (it multiplies 0 by 1e8): an error of
        // the step's size, which no later order repairs.
        {"ipndm", "{}", 1, Output::Velocity, 0.8, angle},
    };
    for (const OwnSolver &solver : solvers) {
        const double measured = measuredOrder(solver.name, 20, [&](int64_t steps) {
            Request request;
            request.rounding = Rounding::Exact;
            request.steps = steps;
            const Table table = compile(parseSchedulerConfig(solver.config, "toy"), solver.name, request);
            const size_t added = table.rows.size() - static_cast<size_t>(steps);
            const size_t arrival =
                solver.part == 1 ? table.rows.size() - 1
                                 : static_cast<size_t>(solver.part * static_cast<double>(steps)) + added;
            return errorAfter(table, arrival, solver.output, solver.level);
        });
        EXPECT_NEAR(measured, solver.order, kOrderTolerance) << solver.name;
    }
}

} // namespace
} // namespace mote::convert::schedule
