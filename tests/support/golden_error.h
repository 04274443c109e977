// How far a result is from a golden one, judged by the tolerances of its case (tests/goldens/README.md), and
// the record of it: a property of the running test, from which bench/goldens.py makes its table.
#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <string>

namespace mote::test {

struct Tolerance {
    double relativeL2 = 0, maxOverRms = 0;
};

// Of `tensor`, by the "errors" of a case.json; precision: "fp32" or "fp16". What has none of its own gets the
// least that any case has.
inline Tolerance toleranceOf(const nlohmann::json &errors, const std::string &tensor,
                             const std::string &precision) {
    const bool half = precision == "fp16";
    const nlohmann::json own = errors.value(tensor, nlohmann::json::object());
    return {own.value("tol_" + precision + "_rel_l2", half ? 2e-3 : 2e-5),
            own.value("tol_" + precision + "_max_over_rms", half ? 1e-2 : 2e-4)};
}

struct GoldenError {
    double relativeL2 = std::numeric_limits<double>::infinity();
    double maxOverRms = std::numeric_limits<double>::infinity();
    Tolerance tolerance;

    // The larger of the two, of its tolerance; above 1: failed.
    double fraction() const {
        return std::max(relativeL2 / tolerance.relativeL2, maxOverRms / tolerance.maxOverRms);
    }
};

// Infinite where there is another number of values, or one that is not finite.
inline GoldenError errorOf(std::span<const float> found, std::span<const float> expected,
                           const Tolerance &tolerance) {
    GoldenError error;
    error.tolerance = tolerance;
    double squares = 0, errorSquares = 0, worst = 0;
    for (size_t i = 0; i < found.size() && found.size() == expected.size(); ++i) {
        const double difference = double(found[i]) - double(expected[i]);
        if (!std::isfinite(difference))
            return error;
        squares += double(expected[i]) * double(expected[i]);
        errorSquares += difference * difference;
        worst = std::max(worst, std::fabs(difference));
    }
    if (found.size() != expected.size() || squares == 0)
        return error;
    error.relativeL2 = std::sqrt(errorSquares / squares);
    error.maxOverRms = worst / std::sqrt(squares / double(found.size()));
    return error;
}

// executor: "reference" or "vulkan". Gives the fraction of the tolerance, and prints it.
inline double record(const std::string &executor, const std::string &golden, const std::string &what,
                     const GoldenError &error) {
    std::printf("%-28s %-28s rel_l2 %.2e of %.2e, max/rms %.2e of %.2e: %.3f\n", golden.c_str(), what.c_str(),
                error.relativeL2, error.tolerance.relativeL2, error.maxOverRms, error.tolerance.maxOverRms,
                error.fraction());
    const nlohmann::json values = {error.relativeL2, error.tolerance.relativeL2, error.maxOverRms,
                                   error.tolerance.maxOverRms};
    testing::Test::RecordProperty(executor + "." + golden + "." + what, values.dump());
    return error.fraction();
}

} // namespace mote::test
