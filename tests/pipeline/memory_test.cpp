// What is planned is what is allocated; budgets and limits are kept.
#include "pipeline/rig.h"

#include <cmath>

namespace mote::test {
namespace {

std::shared_ptr<pipeline::LoadedModel> shippedOn(const std::shared_ptr<gpu::Device> &device,
                                                 const std::string &preferredKernel = {}) {
    return loadModel(device, convertCase("restore", {1}), preferredKernel);
}

std::vector<float> smoothCondition(uint32_t height, uint32_t width) {
    std::vector<float> condition(size_t{3} * height * width);
    for (size_t i = 0; i < condition.size(); ++i)
        condition[i] = static_cast<float>(std::sin(static_cast<double>(i) * 0.013));
    return condition;
}

// Prepares and runs with the seed 0; the output.
std::vector<float> runOnce(pipeline::Session &session) {
    const uint32_t height = session.plan().height, width = session.plan().width;
    std::vector<float> condition = smoothCondition(height, width), output(condition.size());
    const pipeline::TensorView in = viewOf(condition, 3, height, width),
                               out = viewOf(output, 3, height, width);
    EXPECT_TRUE(succeeded(session.bindTensor("condition", &in)));
    EXPECT_TRUE(succeeded(session.bindOutputTensor(&out)));
    EXPECT_TRUE(succeeded(session.prepare({}, true, nullptr)));
    EXPECT_TRUE(succeeded(session.run({}, nullptr)));
    EXPECT_TRUE(succeeded(session.bindTensor("condition", nullptr)));
    EXPECT_TRUE(succeeded(session.bindOutputTensor(nullptr)));
    return output;
}

TEST(Memory, PlannedBytesAreAllocatedBytesBeforeAndAfterRuns) {
    const struct {
        uint32_t width, height, tile;
    } sizes[] = {{64, 64, 0}, {120, 88, 0}, {33, 65, 0}, {104, 72, 56}};
    const auto device = makeDevice();
    const auto model = shippedOn(device);
    EXPECT_EQ(device->memoryUse().liveBytes, model->weightPlan().totalBytes);
    for (const auto &size : sizes) {
        pipeline::SessionOptions options;
        options.width = size.width;
        options.height = size.height;
        options.tileWidth = options.tileHeight = size.tile;
        const Result<pipeline::PlannedSession> planned = pipeline::planSession(*model, options);
        ASSERT_TRUE(succeeded(planned));
        device->resetPeak();
        {
            const auto session = makeSession(model, options);
            EXPECT_EQ(device->memoryUse().liveBytes, planned->plan.peakBytes);
            runOnce(*session);
            EXPECT_EQ(device->memoryUse().liveBytes, planned->plan.peakBytes);
            EXPECT_EQ(device->memoryUse().peakBytes, planned->plan.peakBytes);
            std::printf("%ux%u, tile %u: planned %llu bytes, allocated %llu, peak %llu\n", size.width,
                        size.height, size.tile, static_cast<unsigned long long>(planned->plan.peakBytes),
                        static_cast<unsigned long long>(device->memoryUse().liveBytes),
                        static_cast<unsigned long long>(device->memoryUse().peakBytes));
        }
        EXPECT_EQ(device->memoryUse().liveBytes, model->weightPlan().totalBytes);
    }
}

TEST(Memory, BudgetGivesTheLargestTileThatKeepsIt) {
    const auto model = shippedOn(sharedDevice());
    pipeline::SessionOptions options;
    options.width = options.height = 512;
    const Result<pipeline::PlannedSession> whole = pipeline::planSession(*model, options);
    ASSERT_TRUE(succeeded(whole));
    EXPECT_FALSE(whole->plan.tiled());
    uint32_t before = 512;
    for (double share : {0.99, 0.8, 0.6}) {
        options.memoryBudget = static_cast<uint64_t>(static_cast<double>(whole->plan.peakBytes) * share);
        const Result<pipeline::PlannedSession> planned = pipeline::planSession(*model, options);
        ASSERT_TRUE(succeeded(planned));
        ASSERT_TRUE(succeeded(planned->fits)) << share;
        EXPECT_LE(planned->plan.peakBytes, options.memoryBudget);
        EXPECT_TRUE(planned->plan.tiled());
        EXPECT_LT(planned->plan.columns.tile, before);
        before = planned->plan.columns.tile;
        // One multiple more would not have kept it.
        pipeline::SessionOptions larger = options;
        larger.tileWidth = larger.tileHeight = planned->plan.columns.tile + 8;
        const Result<pipeline::PlannedSession> next = pipeline::planSession(*model, larger);
        ASSERT_TRUE(succeeded(next));
        EXPECT_GT(next->plan.peakBytes, options.memoryBudget);
    }
}

TEST(Memory, BudgetBelowTheSmallestTileIsRefusedWithTheFigureNeeded) {
    const auto model = shippedOn(sharedDevice());
    pipeline::SessionOptions options;
    options.width = options.height = 512;
    options.memoryBudget = 1000000;
    const Result<pipeline::PlannedSession> planned = pipeline::planSession(*model, options);
    ASSERT_TRUE(succeeded(planned));
    EXPECT_EQ(planned->plan.columns.tile, pipeline::kSmallestTile);
    const std::string figure = std::to_string(planned->plan.peakBytes);
    EXPECT_TRUE(failedWith(planned->fits, StatusCode::OutOfMemory, figure));
    const uint64_t before = sharedDevice()->memoryUse().liveBytes;
    EXPECT_TRUE(
        failedWith(pipeline::Session::create(model, options).status(), StatusCode::OutOfMemory, figure));
    EXPECT_EQ(sharedDevice()->memoryUse().liveBytes, before);
    // And that figure is enough.
    options.memoryBudget = planned->plan.peakBytes;
    EXPECT_TRUE(succeeded(pipeline::Session::create(model, options)));
}

TEST(Memory, SmallAllocationsAndBindingsGiveTheSameBits) {
    pipeline::SessionOptions options;
    options.width = 64;
    options.height = 56;
    // Without the kernels that are only chosen where there is memory for them, by Winograd or folded.
    gpu::LimitsClamp clamp;
    clamp.noSubgroups = true;
    const char *const kernel = "conv2d row3 8x8";
    const std::vector<float> expected = runOnce(*makeSession(shippedOn(makeDevice(&clamp), kernel), options));
    clamp.maxAllocationBytes = clamp.maxStorageBufferRange = 700 * 1024;
    const auto device = makeDevice(&clamp);
    const auto model = shippedOn(device, kernel);
    EXPECT_GT(model->weightPlan().chunkBytes.size(), 4u);
    const auto session = makeSession(model, options);
    EXPECT_FALSE(session->plan().tiled());
    EXPECT_GT(session->plan().forward.memory.chunkBytes.size(), 1u);
    EXPECT_EQ(runOnce(*session), expected);
}

TEST(Memory, ActivationBeyondTheLimitsLeadsToTiles) {
    gpu::LimitsClamp clamp;
    clamp.maxAllocationBytes = clamp.maxStorageBufferRange = 800 * 1024;
    const auto model = shippedOn(makeDevice(&clamp));
    pipeline::SessionOptions options;
    options.width = options.height = 104; // 96 channels of fp16: 2 MB
    const auto session = makeSession(model, options);
    EXPECT_TRUE(session->plan().tiled());
    runOnce(*session);
}

TEST(Memory, EstimateWithoutADeviceIsThatOfAnOrdinaryDevice) {
    const auto model = shippedOn(nullptr);
    pipeline::SessionOptions options;
    options.width = options.height = 256;
    const Result<pipeline::PlannedSession> without = pipeline::planSession(*model, options);
    // A software device with subgroups keeps Winograd's weights and staging besides.
    const gpu::LimitsClamp clamp = gpu::floorClamp();
    const Result<pipeline::PlannedSession> with =
        pipeline::planSession(*shippedOn(makeDevice(&clamp)), options);
    ASSERT_TRUE(succeeded(without));
    ASSERT_TRUE(succeeded(with));
    EXPECT_EQ(without->plan.operations, with->plan.operations);
    EXPECT_EQ(without->plan.weightBytes, with->plan.weightBytes);
    EXPECT_NEAR(static_cast<double>(without->plan.peakBytes), static_cast<double>(with->plan.peakBytes),
                0.02 * static_cast<double>(with->plan.peakBytes));
    EXPECT_TRUE(failedWith(pipeline::Session::create(model, options).status(), StatusCode::InvalidArgument,
                           "without a device"));
}

} // namespace
} // namespace mote::test
