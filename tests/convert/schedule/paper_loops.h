// What the comparisons with papers' formulas share: a network, noise, and a run of a compiled table on both.
#pragma once

#include <gtest/gtest.h>

#include <cmath>

#include "scheduler_goldens.h"

namespace mote::convert::schedule {

using Vector = std::vector<double>;

constexpr double kTolerance = 1e-12; // relative; both sides are double
constexpr size_t kElements = 6;

inline double network(double x, double t) {
    return std::tanh(0.7 * x + 0.3 * std::sin(t)) - 0.2 * x;
}

// Reproducible numbers that look like normals enough: sums of sines of large angles.
inline Vector pseudoNormals(size_t index) {
    Vector values;
    for (size_t i = 0; i < kElements; ++i) {
        double sum = 0;
        for (int k = 1; k <= 6; ++k)
            sum += std::sin(
                static_cast<double>((index * kElements + i + 1) * static_cast<size_t>(k * k)) * 12.9898 + k);
        values.push_back(sum / std::sqrt(3.0));
    }
    return values;
}

inline Vector condition() {
    Vector values = pseudoNormals(1000);
    for (double &value : values)
        value *= 0.4;
    return values;
}

inline Vector maskValues() {
    return {1, 0, 1, 1, 0, 0};
}

inline Trajectory<double> runSampler(const char *name, int64_t steps, const NamedValues &options,
                                     const char *config = "{}") {
    const Table table =
        compile(parseSchedulerConfig(config, "test"), name,
                {.steps = steps, .timesteps = {}, .options = options, .rounding = Rounding::Exact});
    const Vector start = pseudoNormals(999), y = condition(), mask = maskValues();
    Vector noise;
    RunInputs<double> inputs;
    inputs.noise = start;
    inputs.condition = y;
    inputs.mask = mask;
    inputs.stepNoise = [&](size_t row) -> std::span<const double> {
        noise = pseudoNormals(row);
        return noise;
    };
    return runTable<double>(
        table, inputs,
        [&](std::span<const double> x, const Row &row, size_t, std::span<double> m, std::span<double> extra) {
            for (size_t i = 0; i < x.size(); ++i)
                m[i] = network(x[i], row.timestep);
            for (size_t i = 0; i < extra.size(); ++i)
                extra[i] = std::cos(x[i]);
        });
}

inline double norm(const Vector &values) {
    double sum = 0;
    for (const double value : values)
        sum += value * value;
    return std::sqrt(sum);
}

// One value at a time: x[i] = f(i) for all elements.
template <typename F> Vector each(const F &f) {
    Vector values(kElements);
    for (size_t i = 0; i < kElements; ++i)
        values[i] = f(i);
    return values;
}

inline void expectSame(const Vector &found, const Vector &expected, const char *what, size_t step) {
    EXPECT_LE(relativeError(found, expected), kTolerance) << what << ", step " << step;
}

} // namespace mote::convert::schedule
