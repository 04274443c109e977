// What RADV's compiler makes of the shaders, for GPUs that are not there, and how Mali's is listened to.
#include "../../bench/shader_stats/shaderdb.h"
#include "command/process.h"
#include "gpu/caps.h"
#include "shaders/embedded.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace mote::test {
namespace {

// The manifest of a driver of Mesa's, radeon_icd.x86_64.json or as the machine and the version have it.
std::string manifestOf(const std::string &driver) {
    for (const auto &entry : std::filesystem::directory_iterator("/usr/share/vulkan/icd.d"))
        if (entry.path().filename().string().rfind(driver, 0) == 0)
            return entry.path().string();
    throw std::runtime_error("no " + driver + " in /usr/share/vulkan/icd.d: install mesa-vulkan-drivers");
}

ProcessResult shaderStats(const std::vector<std::string> &arguments, const std::string &driver,
                          const std::string &family) {
    ProcessOptions options;
    options.environment = {
        {"VK_ICD_FILENAMES", manifestOf(driver)}, {"VK_DRIVER_FILES", ""}, {"RADV_FORCE_FAMILY", family}};
    return runProgram(MOTE_BINARY_DIR "/bin/mote-shader-stats", arguments, options);
}

class NullDevice : public testing::TestWithParam<const char *> {};

TEST_P(NullDevice, RunsEveryShaderWithinItsRegisters) {
    const ProcessResult result = shaderStats({"--json", "--check"}, "radeon_icd", GetParam());
    ASSERT_EQ(result.exitCode, 0) << result.err;
    const nlohmann::json stats = nlohmann::json::parse(result.out);
    const gpu::LimitsClamp floor = gpu::floorClamp();
    std::set<std::string> modules, defaults;
    for (const nlohmann::json &pipeline : stats["pipelines"]) {
        const std::string module = pipeline["module"];
        modules.insert(module);
        EXPECT_LE(pipeline["invocations"], floor.maxWorkgroupInvocations) << module;
        const bool matrices = module.rfind("Conv2dMatrix", 0) == 0; // which none of these GPUs has
        EXPECT_LE(pipeline["shared_bytes"], matrices ? 32u << 10 : floor.maxSharedBytes) << module;
        EXPECT_EQ(pipeline["use"] == "elsewhere" || !matrices, true) << module;
        if (pipeline["use"] != "default")
            continue;
        defaults.insert(module);
        EXPECT_EQ(pipeline["spills"], 0) << module << pipeline["constants"];
        EXPECT_GT(pipeline["registers"], 0) << module << pipeline["constants"];
        EXPECT_GT(pipeline["instructions"], 0) << module << pipeline["constants"];
        EXPECT_GE(pipeline["waves"], 1) << module << pipeline["constants"];
    }
    for (uint32_t id = 0; id < kShaderCount; ++id)
        EXPECT_EQ(modules.count(shaderModule(static_cast<ShaderId>(id)).name), 1u)
            << shaderModule(static_cast<ShaderId>(id)).name;
    EXPECT_EQ(defaults.count("GroupNorm"), 1u);
    EXPECT_EQ(defaults.count("Attention"), 1u);
    EXPECT_EQ(defaults.count("Conv2dTexels") + defaults.count("WinogradInput"), 0u)
        << "a kernel for software devices on " << GetParam();
}

INSTANTIATE_TEST_SUITE_P(Radv, NullDevice, testing::Values("navi21", "vangogh", "polaris10"),
                         [](const auto &entry) { return std::string(entry.param); });

TEST(ShaderStats, SaysThatADriverDoesNotReport) {
    const ProcessResult result = shaderStats({}, "lvp_icd", "");
    EXPECT_EQ(result.exitCode, 3);
    EXPECT_NE(result.err.find("does not offer VK_KHR_pipeline_executable_properties"), std::string::npos)
        << result.err;
}

TEST(ShaderStats, SaysWhichDevicesThereAre) {
    const ProcessResult result = shaderStats({"--device", "nothing like it"}, "lvp_icd", "");
    EXPECT_EQ(result.exitCode, 3);
    EXPECT_NE(result.err.find("nothing like it"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("llvmpipe"), std::string::npos) << result.err;
}

// What Mesa 25.0.7 prints of a convolution for G52 and for G610.
TEST(ShaderDb, ReadsWhatIsPrintedForBifrostAndValhall) {
    const bench::Statistics bifrost = bench::shaderDbStatistics(
        "SHADER-DB: MESA_SHADER_COMPUTE shader: 1404 inst, 1136 tuples, 259 clauses, 149.000000 cycles, "
        "42.041668 arith, 0.000000 texture, 0.000000 vary, 149.000000 ldst, 1019 quadwords, 1 threads, "
        "0 preloads, 4 loops, 7:38 spills:fills");
    ASSERT_EQ(bifrost.size(), 14u);
    EXPECT_EQ(bifrost[0], std::pair(std::string("inst"), 1404.0));
    EXPECT_EQ(bifrost[4], std::pair(std::string("arith"), 42.041668));
    EXPECT_EQ(bifrost[9], std::pair(std::string("threads"), 1.0));
    EXPECT_EQ(bifrost[11], std::pair(std::string("loops"), 4.0));
    const bench::Statistics valhall = bench::shaderDbStatistics(
        "SHADER-DB: MESA_SHADER_COMPUTE shader: 1654 inst, 135.000000 cycles, 7.500000 fma, 14.359375 cvt, "
        "7.062500 sfu, 0.000000 v, 0.000000 t, 135.000000 ls, 832 quadwords, 1 threads, 4 loops, "
        "6:28 spills:fills");
    ASSERT_EQ(valhall.size(), 13u);
    EXPECT_EQ(valhall[0], std::pair(std::string("inst"), 1654.0));
    EXPECT_EQ(valhall[11], std::pair(std::string("spills"), 6.0));
    EXPECT_EQ(valhall[12], std::pair(std::string("fills"), 28.0));
}

TEST(ShaderDb, TakesNothingFromOtherLines) {
    for (const char *line : {"", "SHADER-DB: ", "a shader: 143 inst", "MESA: warning: 3:4 spills:fills"})
        EXPECT_TRUE(bench::shaderDbStatistics(line).empty()) << line;
}

TEST(ShaderDb, CapturesStandardErrorForAWhile) {
    testing::internal::CaptureStderr();
    {
        bench::StandardErrorCapture capture;
        std::fprintf(stderr, "one\ntwo\nhalf");
        EXPECT_EQ(capture.lines(), (std::vector<std::string>{"one", "two", "half"}));
    }
    std::fprintf(stderr, "after");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "after");
}

} // namespace
} // namespace mote::test
