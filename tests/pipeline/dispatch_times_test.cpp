// Times of dispatches kept in the cache directory: a later process measures nothing, unless they no longer
// hold.
#include "pipeline/dispatch_times.h"

#include "gpu/cache_file.h"
#include "pipeline/rig.h"
#include "support/scratch_folder.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace mote::test {
namespace {

constexpr uint32_t kSize = 16;

std::shared_ptr<gpu::Device> deviceWith(const ScratchFolder &cache) {
    gpu::DeviceOptions options;
    options.cacheDirectory = cache.path().c_str();
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    if (!device.ok())
        throw std::runtime_error(device.status().message);
    return std::shared_ptr<gpu::Device>(std::move(device.value()));
}

std::unique_ptr<pipeline::Session> sessionWith(const ScratchFolder &cache) {
    pipeline::SessionOptions options;
    options.width = options.height = kSize;
    return makeSession(loadModel(deviceWith(cache), convertCase("seed-simpleunet", {1})), options);
}

// Whether preparing it measures dispatches.
bool measures(pipeline::Session &session) {
    bool found = false;
    EXPECT_TRUE(succeeded(session.prepare(
        [&](float, const char *what) { found = found || std::strcmp(what, "measuring") == 0; }, false,
        nullptr)));
    return found;
}

std::vector<float> run(pipeline::Session &session) {
    std::vector<float> output(size_t{3} * kSize * kSize);
    const pipeline::TensorView view = viewOf(output, 3, kSize, kSize);
    EXPECT_TRUE(succeeded(session.bindOutputTensor(&view)));
    EXPECT_TRUE(succeeded(session.run({}, nullptr)));
    return output;
}

pipeline::Command dispatchOf(uint32_t groups, uint64_t operations) {
    pipeline::Command command;
    command.kind = pipeline::CommandKind::Dispatch;
    command.dispatch.groupCount = groups;
    command.dispatch.operations = operations;
    return command;
}

TEST(DispatchTimes, AreFoundByWhatADispatchIs) {
    pipeline::DispatchTimes times;
    times.set(dispatchOf(8, 100), 2.5);
    const pipeline::DispatchTimes kept = pipeline::DispatchTimes::decode(times.encode());
    EXPECT_EQ(kept.find(dispatchOf(8, 100)), 2.5);
    EXPECT_FALSE(kept.find(dispatchOf(9, 100)));
    EXPECT_FALSE(kept.find(dispatchOf(8, 101)));
    pipeline::Command other = dispatchOf(8, 100);
    other.dispatch.pipeline.constants = {1};
    EXPECT_FALSE(kept.find(other));
}

TEST(DispatchTimes, DamagedOnesAreNone) {
    for (const double time :
         {-1.0, 1e7, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
        pipeline::DispatchTimes times;
        times.set(dispatchOf(1, 1), 1.0);
        times.set(dispatchOf(2, 2), time);
        EXPECT_TRUE(pipeline::DispatchTimes::decode(times.encode()).encode().empty()) << time;
    }
    pipeline::DispatchTimes times;
    times.set(dispatchOf(1, 1), 1.0);
    std::vector<uint8_t> cut = times.encode();
    cut.pop_back();
    EXPECT_TRUE(pipeline::DispatchTimes::decode(cut).encode().empty());
}

TEST(DispatchTimes, AreMeasuredOnceForAllProcesses) {
    const ScratchFolder cache;
    EXPECT_TRUE(measures(*sessionWith(cache)));
    EXPECT_FALSE(measures(*sessionWith(cache)));
}

TEST(DispatchTimes, WithoutADirectoryAreMeasuredEachTime) {
    pipeline::SessionOptions options;
    options.width = options.height = kSize;
    const auto model = loadModel(makeDevice(), convertCase("seed-simpleunet", {1}));
    EXPECT_TRUE(measures(*makeSession(model, options)));
    EXPECT_TRUE(measures(*makeSession(model, options)));
}

TEST(DispatchTimes, ThatNoLongerHoldAreMeasuredAgainByTheNextRun) {
    const ScratchFolder cache;
    std::vector<float> expected;
    {
        const auto session = sessionWith(cache);
        expected = run(*session);
    }
    // As if a device had been ten thousand times slower.
    const auto device = deviceWith(cache);
    Result<std::vector<uint8_t>> kept = gpu::readCacheFile(*device, "times");
    ASSERT_TRUE(succeeded(kept));
    ASSERT_FALSE(kept->empty());
    constexpr size_t kEntry = sizeof(uint64_t) + sizeof(double);
    for (size_t at = sizeof(uint64_t); at < kept->size(); at += kEntry) {
        double time = 0;
        std::memcpy(&time, &kept.value()[at], sizeof time);
        time = std::min(1e4 * std::max(time, 0.01), 1e5);
        std::memcpy(&kept.value()[at], &time, sizeof time);
    }
    ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "times", kept.value())));

    const auto session = sessionWith(cache);
    EXPECT_FALSE(measures(*session));
    const uint32_t cutFine = session->submissionCount();
    EXPECT_EQ(run(*session), expected);
    EXPECT_EQ(session->submissionCount(), cutFine); // a run changes nothing under way
    EXPECT_EQ(run(*session), expected);
    EXPECT_LT(session->submissionCount(), cutFine / 2);
    EXPECT_FALSE(measures(*sessionWith(cache))); // and the new ones are kept
}

} // namespace
} // namespace mote::test
