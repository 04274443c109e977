// The tuner: what it finds is kept and read back, never changes more than rounding, and whatever happens to
// it or to its file, sessions run.
#include "pipeline/tuner.h"

#include "gpu/cache_file.h"
#include "gpu/faults.h"
#include "kernels/choices.h"
#include "pipeline/op_trial.h"
#include "pipeline/rig.h"
#include "support/scratch_folder.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

namespace mote::test {
namespace {

constexpr uint32_t kSize = 16;

std::shared_ptr<gpu::Device> deviceWith(const std::string &cacheDirectory,
                                        PFN_vkGetInstanceProcAddr entry = nullptr) {
    gpu::DeviceOptions options;
    options.cacheDirectory = cacheDirectory.c_str();
    options.instance.getInstanceProcAddr = entry;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    if (!device.ok())
        throw std::runtime_error(device.status().message);
    return std::shared_ptr<gpu::Device>(std::move(device.value()));
}

// Convolutions of several shapes, with one and two inputs, and nothing to feed.
std::shared_ptr<pipeline::LoadedModel> smallModel(const std::shared_ptr<gpu::Device> &device) {
    return loadModel(device, convertCase("seed-simpleunet", {1}));
}

pipeline::SessionOptions sized(uint32_t size = kSize) {
    pipeline::SessionOptions options;
    options.width = options.height = size;
    return options;
}

pipeline::TuneOptions within(uint32_t milliseconds) {
    pipeline::TuneOptions options;
    options.milliseconds = milliseconds;
    return options;
}

std::vector<std::string> kernelNames(const pipeline::LoadedModel &model) {
    const Result<pipeline::PlannedSession> planned = pipeline::planSession(model, sized());
    EXPECT_TRUE(succeeded(planned));
    std::vector<std::string> names;
    if (planned.ok())
        for (const OpKernel &kernel : planned->plan.forward.kernels.ops)
            names.push_back(kernel.name);
    return names;
}

std::vector<float> imageOf(const std::shared_ptr<pipeline::LoadedModel> &model) {
    const auto session = makeSession(model, sized());
    std::vector<float> output(size_t{3} * kSize * kSize);
    const pipeline::TensorView out = viewOf(output, 3, kSize, kSize);
    EXPECT_TRUE(succeeded(session->bindOutputTensor(&out)));
    EXPECT_TRUE(succeeded(session->run({}, nullptr)));
    return output;
}

double distance(const std::vector<float> &a, const std::vector<float> &b) {
    double sum = 0, norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        sum += std::pow(double{a[i]} - b[i], 2);
        norm += std::pow(double{b[i]}, 2);
    }
    return std::sqrt(sum / norm);
}

// For each op with several variants the last that there is.
std::shared_ptr<KernelChoices> lastOfAll(const pipeline::LoadedModel &model) {
    auto choices = std::make_shared<KernelChoices>();
    const Result<GraphShapes> shapes = inferShapes(model.model(), model.graph(), 1, kSize, kSize);
    EXPECT_TRUE(succeeded(shapes));
    for (uint32_t op = 0; op < model.graph().ops.size(); ++op) {
        const auto candidates =
            kernelCandidates(model.model(), model.graph(), shapes.value(), op, model.traits());
        EXPECT_TRUE(succeeded(candidates));
        choices->variants[choiceKey(model.model(), model.graph(), shapes.value(), op)] =
            candidates->back().name;
    }
    return choices;
}

TEST(Tuner, TimesEachShapeOnceAndTheNextStartTimesNothing) {
    const ScratchFolder folder;
    pipeline::TuneResult first;
    std::vector<std::string> names;
    {
        const auto device = deviceWith(folder.path());
        const auto model = smallModel(device);
        const std::vector<float> byRules = imageOf(model);
        const uint64_t bytes = device->memoryUse().liveBytes;
        const size_t pipelines = device->pipelines().pipelineCount();
        float fraction = 0;
        pipeline::TuneOptions options = within(600'000);
        options.progress = [&](float now, const char *) {
            EXPECT_GE(now, fraction);
            fraction = now;
        };
        ASSERT_TRUE(succeeded(pipeline::tuneKernels(*model, sized(), options, first)));
        EXPECT_EQ(fraction, 1.0f);
        EXPECT_GE(first.shapes, 10u);
        EXPECT_EQ(first.timed, first.shapes);
        EXPECT_LT(first.shapes, model->graph().ops.size()) << "ops that are alike are timed once";
        EXPECT_EQ(device->memoryUse().liveBytes, bytes);
        EXPECT_EQ(device->pipelines().pipelineCount(), pipelines) << "the losers' are gone";
        names = kernelNames(*model);
        EXPECT_LE(distance(imageOf(model), byRules), 5e-3);
        EXPECT_LT(device->pipelines().pipelineCount(), 40u) << "a session's by rules and a tuned one's";

        pipeline::TuneResult again;
        ASSERT_TRUE(succeeded(pipeline::tuneKernels(*model, sized(), {}, again)));
        EXPECT_EQ(again.timed, 0u);
    }
    const auto model = smallModel(deviceWith(folder.path()));
    pipeline::TuneResult second;
    ASSERT_TRUE(succeeded(pipeline::tuneKernels(*model, sized(), {}, second)));
    EXPECT_EQ(second.timed, 0u);
    EXPECT_EQ(second.shapes, first.shapes);
    EXPECT_EQ(second.changed, first.changed);
    EXPECT_EQ(kernelNames(*model), names);
}

TEST(Tuner, ChangesAnImageByRoundingAlone) {
    const auto model = smallModel(sharedDevice());
    const std::vector<std::string> byRules = kernelNames(*model);
    const std::vector<float> expected = imageOf(model);
    // Other variants than a tuner would take here: whatever it chooses, sessions are right.
    model->setChoices(lastOfAll(*model));
    const std::vector<std::string> others = kernelNames(*model);
    uint32_t different = 0;
    for (size_t op = 0; op < others.size(); ++op)
        different += others[op] != byRules[op];
    EXPECT_GE(different, 8u);
    const std::vector<float> found = imageOf(model);
    EXPECT_LE(distance(found, expected), 5e-3);
    EXPECT_NE(found, expected);
}

TEST(Tuner, IsDueAgainWhereItsFileIsDamagedOrNamesNoKernel) {
    const ScratchFolder folder;
    const auto device = deviceWith(folder.path());
    const auto rules = smallModel(device);
    const std::vector<std::string> byRules = kernelNames(*rules);
    KernelChoices stale = *lastOfAll(*rules);
    for (auto &[key, name] : stale.variants)
        name = "conv2d of old";
    const std::string junk = "conv2d\n\tcached\xff";
    for (const std::vector<uint8_t> &bytes : {std::vector<uint8_t>(junk.begin(), junk.end()),
                                              std::vector<uint8_t>(100'000, '\n'), encodeChoices(stale)}) {
        ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "kernels", bytes)));
        const auto model = smallModel(device);
        // No time for any but the first.
        pipeline::TuneResult result;
        ASSERT_TRUE(succeeded(pipeline::tuneKernels(*model, sized(), within(1), result)));
        EXPECT_GE(result.shapes, 10u);
        EXPECT_LT(result.timed, result.shapes);
        if (result.changed == 0) {
            EXPECT_EQ(kernelNames(*model), byRules);
        }
        const Result<std::vector<uint8_t>> kept = gpu::readCacheFile(*device, "kernels");
        ASSERT_TRUE(succeeded(kept));
        EXPECT_TRUE(succeeded(decodeChoices(kept.value())));
    }
}

TEST(Tuner, LeavesTheRestToTheRulesWhenItIsCancelledAndGoesOnNextTime) {
    const ScratchFolder folder;
    const auto device = deviceWith(folder.path());
    const auto model = smallModel(device);
    pipeline::TuneOptions options = within(600'000);
    options.progress = [&, calls = 0](float, const char *) mutable {
        if (++calls == 3)
            model->cancelTuning = true;
    };
    pipeline::TuneResult first;
    EXPECT_TRUE(failedWith(pipeline::tuneKernels(*model, sized(), options, first), StatusCode::Cancelled,
                           "tuning was cancelled"));
    EXPECT_EQ(first.timed, 2u);
    (void)imageOf(model);
    // Another model of the same kind, so that all it knows is from disk.
    const auto next = smallModel(device);
    pipeline::TuneResult second;
    pipeline::TuneOptions watch = within(600'000);
    watch.progress = [&, calls = 0](float, const char *) mutable {
        if (++calls == 2)
            next->cancelTuning = true;
    };
    EXPECT_EQ(pipeline::tuneKernels(*next, sized(), watch, second).code, StatusCode::Cancelled);
    EXPECT_EQ(second.timed, 1u);
    const Result<std::vector<uint8_t>> kept = gpu::readCacheFile(*device, "kernels");
    ASSERT_TRUE(succeeded(kept));
    EXPECT_EQ(decodeChoices(kept.value())->variants.size(), 3u);
}

std::atomic<int> submitsUntilLoss{0};
PFN_vkQueueSubmit realSubmit = nullptr;

TEST(Tuner, PassesOverTheShapeDuringWhichTheDeviceWasLost) {
    const ScratchFolder folder;
    {
        ScopedFaults faults;
        const auto device = deviceWith(folder.path(), faults.entry());
        const auto model = smallModel(device);
        realSubmit = device->vk().vkQueueSubmit;
        submitsUntilLoss = 20;
        device->vk().vkQueueSubmit = [](VkQueue queue, uint32_t count, const VkSubmitInfo *submits,
                                        VkFence fence) {
            return submitsUntilLoss-- > 0 ? realSubmit(queue, count, submits, fence) : VK_ERROR_DEVICE_LOST;
        };
        pipeline::TuneResult result;
        EXPECT_EQ(pipeline::tuneKernels(*model, sized(), within(600'000), result).code,
                  StatusCode::DeviceLost);
    }
    const auto device = deviceWith(folder.path());
    const Result<std::vector<uint8_t>> bytes = gpu::readCacheFile(*device, "kernels");
    ASSERT_TRUE(succeeded(bytes));
    const Result<KernelChoices> kept = decodeChoices(bytes.value());
    ASSERT_TRUE(succeeded(kept));
    ASSERT_GE(kept->variants.size(), 1u);
    // What stands there for the shape is what the rules say, and it is not tried again.
    const auto model = smallModel(device);
    const std::vector<std::string> byRules = kernelNames(*model);
    pipeline::TuneOptions options = within(600'000);
    options.progress = [&](float, const char *) { model->cancelTuning = true; };
    pipeline::TuneResult result;
    EXPECT_EQ(pipeline::tuneKernels(*model, sized(), options, result).code, StatusCode::Cancelled);
    EXPECT_EQ(model->choices()->variants, kept->variants);
}

TEST(Tuner, NeverMakesASessionNeedMoreThanItsBudget) {
    const auto model = smallModel(sharedDevice());
    pipeline::SessionOptions options = sized(64);
    const Result<pipeline::PlannedSession> byRules = pipeline::planSession(*model, options);
    ASSERT_TRUE(succeeded(byRules));
    // Variants with more scratch memory than the rules': where there are none, the test has no object.
    auto choices = std::make_shared<KernelChoices>();
    const Result<GraphShapes> shapes = inferShapes(model->model(), model->graph(), 1, 64, 64);
    ASSERT_TRUE(succeeded(shapes));
    for (uint32_t op = 0; op < model->graph().ops.size(); ++op) {
        auto candidates =
            kernelCandidates(model->model(), model->graph(), shapes.value(), op, model->traits());
        ASSERT_TRUE(succeeded(candidates));
        const auto most = std::max_element(
            candidates->begin(), candidates->end(),
            [](const OpKernel &a, const OpKernel &b) { return a.scratchBytes < b.scratchBytes; });
        choices->variants[choiceKey(model->model(), model->graph(), shapes.value(), op)] = most->name;
    }
    model->setChoices(choices);
    options.memoryBudget = byRules->plan.peakBytes;
    const Result<pipeline::PlannedSession> tuned = pipeline::planSession(*model, options);
    ASSERT_TRUE(succeeded(tuned));
    EXPECT_TRUE(succeeded(tuned->fits));
    EXPECT_LE(tuned->plan.peakBytes, options.memoryBudget);
    EXPECT_EQ(tuned->plan.tileCount(), byRules->plan.tileCount());
}

TEST(TrialResults, AgreeUpToRounding) {
    pipeline::TrialResult a;
    for (int i = 0; i < 1000; ++i)
        a.values.push_back(std::sin(static_cast<float>(i)));
    a.statistics = {64, 0.1f, 0.7f, 64, -0.1f, 0.6f};
    pipeline::TrialResult b = a;
    for (float &value : b.values)
        value *= 1.003f;
    EXPECT_TRUE(pipeline::agree(a, b));
    b.statistics[1] += 0.005f;
    EXPECT_TRUE(pipeline::agree(a, b));
    EXPECT_TRUE(pipeline::agree({std::vector<float>(8, 0.0f), {}}, {std::vector<float>(8, 0.0f), {}}));
}

TEST(TrialResults, DisagreeWhereAnythingIsWrong) {
    pipeline::TrialResult a;
    for (int i = 0; i < 1000; ++i)
        a.values.push_back(std::sin(static_cast<float>(i)));
    a.statistics = {64, 0.1f, 0.7f};
    const auto with = [&](auto change) {
        pipeline::TrialResult b = a;
        change(b);
        return pipeline::agree(a, b) || pipeline::agree(b, a);
    };
    EXPECT_FALSE(with([](auto &b) {
        for (float &value : b.values)
            value *= 1.02f;
    }));
    EXPECT_FALSE(with([](auto &b) { b.values[7] += 0.5f; })) << "a single pixel";
    EXPECT_FALSE(with([](auto &b) { b.values[7] = std::numeric_limits<float>::quiet_NaN(); }));
    EXPECT_FALSE(with([](auto &b) { b.values.pop_back(); }));
    EXPECT_FALSE(with([](auto &b) { b.statistics[0] = 60; }));
    EXPECT_FALSE(with([](auto &b) { b.statistics[1] = 0.2f; }));
    EXPECT_FALSE(with([](auto &b) { b.statistics[2] = std::numeric_limits<float>::quiet_NaN(); }));
    EXPECT_FALSE(with([](auto &b) { b.statistics.clear(); }));
    pipeline::TrialResult infinite = a;
    infinite.values[0] = std::numeric_limits<float>::infinity();
    EXPECT_FALSE(pipeline::agree(infinite, infinite)) << "nothing can be held against what overflows";
}

} // namespace
} // namespace mote::test
