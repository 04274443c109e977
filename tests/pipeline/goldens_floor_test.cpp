// The goldens again on a device with the least that Mote promises to run on.
#include "pipeline/golden_runs.h"

namespace mote::test {
namespace {

TEST(GoldensAtTheFloor, ForwardPassesAndTrajectoriesMatchDiffusers) {
    const gpu::LimitsClamp clamp = gpu::floorClamp();
    const auto device = makeDevice(&clamp);
    EXPECT_LE(device->caps().maxWorkgroupInvocations, 256u);
    EXPECT_EQ(device->caps().subgroupSize, 0u);
    for (const char *name : {"ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-conv",
                             "restore-sr-cond-64-resnet", "class-cond-32", "seed-simpleunet"}) {
        const GoldenCase golden(name);
        const Judged forward = runForwardPasses(golden, device), runs = runTrajectories(golden, device);
        EXPECT_GE(forward.compared, 1) << name;
        EXPECT_GE(runs.compared, golden.has("labels") || name == std::string("seed-simpleunet") ? 2 : 4)
            << name;
        EXPECT_LE(forward.worst, 1.0) << name;
        EXPECT_LE(runs.worst, 1.0) << name;
    }
}

} // namespace
} // namespace mote::test
