// Guidance of rows against its papers' formulas.
#include "schedule/guidance.h"
#include "schedule/print.h"
#include "schedule/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mote::convert::schedule {
namespace {

double deviation(const std::vector<float> &values, size_t first, size_t count) {
    double mean = 0, squares = 0;
    for (size_t i = first; i < first + count; ++i)
        mean += values[i] / double(count);
    for (size_t i = first; i < first + count; ++i)
        squares += (values[i] - mean) * (values[i] - mean);
    return std::sqrt(squares / double(count));
}

const std::vector<float> kWith = {1, 2, -1, 0.5f, 3, -2, 0, 4}, kWithout = {0.5f, 1, 0, 0.25f, 2, 1, -1, 3};

TEST(Guidance, AScaleOfOneIsThePassWithTheClass) {
    Row row;
    row.guided = true;
    const std::vector<float> m = guidedOutput(row, 2, kWith, kWithout);
    for (size_t i = 0; i < m.size(); ++i)
        EXPECT_NEAR(m[i], kWith[i], 1e-6) << i;
}

TEST(Guidance, GoesFromTheOutputWithoutBeyondTheOneWithTheClass) {
    Row row;
    row.guided = true;
    row.guidance = 3;
    const std::vector<float> m = guidedOutput(row, 2, kWith, kWithout);
    for (size_t i = 0; i < m.size(); ++i)
        EXPECT_NEAR(m[i], kWithout[i] + 3 * (kWith[i] - kWithout[i]), 1e-6) << i;
}

// Lin et al. 2023: with a share of 1 the standard deviation of each image is that of the output with the
// class.
TEST(Guidance, RescalingGivesEachImageItsStandardDeviationBack) {
    Row row;
    row.guided = true;
    row.guidance = 7.5;
    const std::vector<float> plain = guidedOutput(row, 2, kWith, kWithout);
    row.guidanceRescale = 1;
    const std::vector<float> whole = guidedOutput(row, 2, kWith, kWithout);
    row.guidanceRescale = 0.7;
    const std::vector<float> partly = guidedOutput(row, 2, kWith, kWithout);
    for (size_t image = 0; image < 2; ++image) {
        EXPECT_NEAR(deviation(whole, 4 * image, 4), deviation(kWith, 4 * image, 4), 1e-5);
        EXPECT_GT(std::fabs(deviation(plain, 4 * image, 4) - deviation(kWith, 4 * image, 4)), 0.1);
        for (size_t i = 4 * image; i < 4 * image + 4; ++i)
            EXPECT_NEAR(partly[i], 0.7 * whole[i] + 0.3 * plain[i], 1e-5) << i;
    }
}

TEST(Guidance, StandsInTheRowsOfItsIntervalAndInTheirPrintedTable) {
    const SchedulerConfig config = parseSchedulerConfig(
        R"({"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"})", "test.json");
    Request request;
    request.steps = 4;
    request.options = {{"guidance", "2"}, {"guidance_low", "300"}, {"guidance_high", "800"}};
    const Table table = compile(config, "", request);
    ASSERT_EQ(table.rows.size(), 4u);
    for (const Row &row : table.rows) {
        const bool inside = row.timestep >= 300 && row.timestep <= 800;
        EXPECT_EQ(row.guided, inside) << row.timestep;
        EXPECT_EQ(row.guidance, inside ? 2 : 1) << row.timestep;
    }
    EXPECT_NE(stepTableJson(table).find("\"guidance\""), std::string::npos);
    request.options.clear();
    EXPECT_EQ(stepTableJson(compile(config, "", request)).find("\"guidance\""), std::string::npos);
}

TEST(Guidance, SettingsOutOfTheirRangeAreRefusedByName) {
    for (const char *name : {"guidance", "guidance_rescale", "guidance_low", "guidance_high"}) {
        NamedValues options = {{name, "\"x\""}, {"eta", "0.5"}};
        try {
            takeGuidance(options);
            ADD_FAILURE() << name;
        } catch (const ScheduleError &error) {
            EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
        }
    }
    NamedValues others = {{"eta", "0.5"}};
    EXPECT_FALSE(takeGuidance(others));
    EXPECT_EQ(others.size(), 1u);
}

} // namespace
} // namespace mote::convert::schedule
