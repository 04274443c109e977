// Every trajectory that the real library recorded, replayed in double from compiled tables. Tolerances: 1e-8
// against the library in float64; max(1e-5, 2 |published - float64|) against what it publishes, whose
// coefficients are fp32.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "scheduler_goldens.h"

namespace mote::convert::schedule {
namespace {

constexpr double kExactTolerance = 1e-8;
constexpr double kPublishedTolerance = 1e-5;
constexpr size_t kRuns = 1883;

struct Tally {
    size_t runs = 0;
    double worst = 0; // error as a fraction of its tolerance
};

// Prints them, and records them for bench/goldens.py as `<key>.<scheduler>`.
void record(const std::string &key, const std::map<std::string, Tally> &tallies) {
    std::printf("%s: worst error of any state as a fraction of its tolerance\n", key.c_str());
    for (const auto &[scheduler, tally] : tallies) {
        std::printf("  %-34s %4zu runs  %.3g\n", scheduler.c_str(), tally.runs, tally.worst);
        testing::Test::RecordProperty(key + "." + scheduler,
                                      nlohmann::json({tally.runs, tally.worst}).dump());
    }
}

// `judge(golden, state index, found state)` gives the error as a fraction of the tolerance.
template <typename Judge> void compareAll(const std::string &key, Rounding rounding, const Judge &judge) {
    std::map<std::string, Tally> tallies;
    const SchedulerGoldens &goldens = SchedulerGoldens::get();
    ASSERT_EQ(goldens.runs().size(), kRuns);
    for (const GoldenRun &golden : goldens.runs()) {
        const std::vector<std::vector<double>> states = replay(golden, compileGolden(golden, rounding));
        ASSERT_EQ(states.size(), golden.exact.size()) << golden.name();
        Tally &tally = tallies[golden.scheduler];
        ++tally.runs;
        for (size_t i = 0; i < states.size(); ++i) {
            const double fraction = judge(golden, i, states[i]);
            EXPECT_LE(fraction, 1) << golden.name() << ", state " << i;
            tally.worst = std::max(tally.worst, fraction);
        }
    }
    record(key, tallies);
}

double publishedFraction(const GoldenRun &golden, size_t i, const std::vector<double> &state) {
    const double spread = relativeError(golden.exact[i], golden.published[i]);
    return relativeError(state, golden.published[i]) / std::max(kPublishedTolerance, 2 * spread);
}

TEST(SchedulerGoldens, ExactTablesMatchTheLibraryInFloat64) {
    compareAll("exact", Rounding::Exact,
               [](const GoldenRun &golden, size_t i, const std::vector<double> &state) {
                   return relativeError(state, golden.exact[i]) / kExactTolerance;
               });
}

TEST(SchedulerGoldens, ExactTablesMatchThePublishedTrajectories) {
    compareAll("exact-published", Rounding::Exact, publishedFraction);
}

TEST(SchedulerGoldens, ShippedTablesMatchThePublishedTrajectories) {
    compareAll("published", Rounding::Library, publishedFraction);
}

TEST(SchedulerGoldens, ShippedTimestepsAreThePublishedOnes) {
    for (const GoldenRun &golden : SchedulerGoldens::get().runs()) {
        const Table table = compileGolden(golden, Rounding::Library);
        ASSERT_EQ(table.rows.size(), golden.timesteps.size()) << golden.name();
        for (size_t i = 0; i < table.rows.size(); ++i) {
            // Fractional ones come from a logarithm of fp32 sigmas in the library: 3e-3 of a timestep.
            const double timestep = table.rows[i].timestep;
            const bool whole =
                timestep == std::floor(timestep) && golden.timesteps[i] == std::floor(golden.timesteps[i]);
            EXPECT_NEAR(timestep, golden.timesteps[i], whole ? 1e-9 : 3e-3) << golden.name() << ", row " << i;
        }
    }
}

} // namespace
} // namespace mote::convert::schedule
