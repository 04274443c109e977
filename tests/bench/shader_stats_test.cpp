// What RADV's compiler makes of the shaders, for GPUs that are not there.
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
        EXPECT_LE(pipeline["shared_bytes"], floor.maxSharedBytes) << module;
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

} // namespace
} // namespace mote::test
