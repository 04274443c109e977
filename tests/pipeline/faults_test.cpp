// Device loss, out of memory and cancelling, wherever they strike: a status, nothing leaked, and what lives
// on is usable. The validation layer hears every leak when the device goes.
#include "gpu/faults.h"
#include "pipeline/rig.h"
#include "pipeline/worker.h"

#include <atomic>
#include <cmath>

namespace mote::test {
namespace {

constexpr uint32_t kSize = 16;

std::string smallModelFile() {
    return convertCase("restore-sr-cond-64-conv", {2});
}

// Everything from the file to the image; the status of the first thing that failed.
Status wholeWay(const std::shared_ptr<gpu::Device> &device, std::vector<float> &output) {
    MOTE_TRY_ASSIGN(const Source source, Source::fromPath(smallModelFile()));
    MOTE_TRY_ASSIGN(const std::shared_ptr<pipeline::LoadedModel> model,
                    pipeline::LoadedModel::open(device, source));
    pipeline::SessionOptions options;
    options.width = options.height = kSize;
    MOTE_TRY_ASSIGN(const std::unique_ptr<pipeline::Session> session,
                    pipeline::Session::create(model, options));
    std::vector<float> condition(3 * kSize * kSize, 0.25f);
    const pipeline::TensorView in = viewOf(condition, 3, kSize, kSize), out = viewOf(output, 3, kSize, kSize);
    MOTE_TRY(session->bindTensor("condition", &in));
    MOTE_TRY(session->bindOutputTensor(&out));
    return session->run({}, nullptr);
}

std::shared_ptr<gpu::Device> deviceThrough(const ScopedFaults &faults) {
    gpu::DeviceOptions options;
    options.instance.getInstanceProcAddr = faults.entry();
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    if (!device.ok())
        throw std::runtime_error(device.status().message);
    return std::shared_ptr<gpu::Device>(std::move(device.value()));
}

std::vector<float> untouched() {
    return std::vector<float>(3 * kSize * kSize, 7.0f);
}

// One device for all: out of memory leaves it usable. The calls hit are spread over opening, creating,
// preparing and running.
TEST(Faults, OutOfMemoryInAnyCallIsAStatusAndPasses) {
    ScopedFaults faults;
    const auto device = deviceThrough(faults);
    std::vector<float> expected = untouched();
    ASSERT_TRUE(succeeded(wholeWay(device, expected)));
    const uint64_t live = device->memoryUse().liveBytes;
    int failures = 0, call = 1;
    for (bool reachedEnd = false; !reachedEnd; call += call < 40 ? 1 : 97) {
        std::vector<float> output = untouched();
        faults.failCall(call, VK_ERROR_OUT_OF_DEVICE_MEMORY);
        const Status status = wholeWay(device, output);
        reachedEnd = faults.hit() == nullptr;
        faults.stopFailing();
        if (reachedEnd) {
            EXPECT_TRUE(succeeded(status));
            EXPECT_EQ(output, expected);
            break;
        }
        // Losing a fence's wait or a pipeline's compilation may have other names, never success or a wrong
        // image.
        EXPECT_FALSE(status.ok()) << "call " << call << ", " << faults.hit();
        EXPECT_FALSE(status.message.empty());
        EXPECT_EQ(output, untouched()) << "call " << call << ", " << faults.hit();
        EXPECT_EQ(device->memoryUse().liveBytes, live) << "call " << call << ", " << faults.hit();
        ++failures;
    }
    EXPECT_GT(failures, 50);
    std::printf("%d of about %d calls failed in turn\n", failures, call);
    std::vector<float> output = untouched();
    ASSERT_TRUE(succeeded(wholeWay(device, output)));
    EXPECT_EQ(output, expected);
}

TEST(Faults, OutOfMemoryAtEachAllocationNamesTheSize) {
    ScopedFaults faults;
    const auto device = deviceThrough(faults);
    static std::atomic<int> countdown{0};
    static PFN_vkAllocateMemory realAllocate = nullptr;
    realAllocate = device->vk().vkAllocateMemory;
    device->vk().vkAllocateMemory = [](VkDevice of, const VkMemoryAllocateInfo *info,
                                       const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory) {
        return --countdown == 0 ? VK_ERROR_OUT_OF_DEVICE_MEMORY : realAllocate(of, info, callbacks, memory);
    };
    int failures = 0;
    for (int at = 1; at < 100; ++at) {
        countdown = at;
        std::vector<float> output = untouched();
        const Status status = wholeWay(device, output);
        if (countdown > 0)
            break; // there are no more allocations
        EXPECT_TRUE(failedWith(status, StatusCode::OutOfMemory, "bytes")) << "allocation " << at;
        EXPECT_EQ(device->memoryUse().liveBytes, 0u);
        ++failures;
    }
    EXPECT_GE(failures, 8);
    countdown = 0;
}

TEST(Faults, DeviceLostAtAnySubmissionLeavesEverythingDestroyable) {
    static std::atomic<int> countdown{0};
    static PFN_vkQueueSubmit realSubmit = nullptr;
    int lost = 0;
    // A device survives no loss: one for each.
    for (int at : {1, 2, 5, 20, 60}) {
        ScopedFaults faults;
        const auto device = deviceThrough(faults);
        realSubmit = device->vk().vkQueueSubmit;
        countdown = at;
        device->vk().vkQueueSubmit = [](VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                        VkFence fence) {
            return --countdown == 0 ? VK_ERROR_DEVICE_LOST : realSubmit(queue, count, infos, fence);
        };
        std::vector<float> output = untouched();
        const Status status = wholeWay(device, output);
        if (countdown > 0)
            break;
        EXPECT_EQ(status.code, StatusCode::DeviceLost) << status.message;
        EXPECT_EQ(output, untouched());
        EXPECT_TRUE(device->lost());
        EXPECT_EQ(wholeWay(device, output).code, StatusCode::DeviceLost); // and stays so
        ++lost;
    }
    EXPECT_GE(lost, 4);
    std::vector<float> output = untouched(); // a new device works
    EXPECT_TRUE(succeeded(wholeWay(makeDevice(), output)));
}

// The driver refuses one pipeline after the other, each for good: another kernel takes its place where there
// is one, else the op is named.
TEST(Faults, PipelineThatDoesNotCompileIsReplacedByAnotherKernel) {
    std::vector<float> expected = untouched();
    ASSERT_TRUE(succeeded(wholeWay(makeDevice(), expected)));
    static std::atomic<int> call{0}, refusedCall{0};
    static PFN_vkCreateComputePipelines realCreate = nullptr;
    int replaced = 0;
    for (int at = 1; at <= 6; ++at) {
        const auto device = makeDevice();
        realCreate = device->vk().vkCreateComputePipelines;
        call = 0;
        refusedCall = at;
        device->vk().vkCreateComputePipelines =
            [](VkDevice of, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
               const VkAllocationCallbacks *callbacks, VkPipeline *pipelines) {
                if (++call == refusedCall)
                    return VK_ERROR_INITIALIZATION_FAILED;
                return realCreate(of, cache, count, infos, callbacks, pipelines);
            };
        std::vector<float> output = untouched();
        const Status status = wholeWay(device, output);
        if (!status.ok()) {
            EXPECT_TRUE(failedWith(status, StatusCode::Unsupported, "op '")) << "pipeline " << at;
            EXPECT_EQ(output, untouched());
            continue;
        }
        ++replaced;
        for (size_t i = 0; i < output.size(); ++i)
            ASSERT_NEAR(output[i], expected[i], 0.02);
    }
    EXPECT_GE(replaced, 2);
}

TEST(Faults, SessionThatLosesItsDeviceInARunKeepsItsOutputs) {
    ScopedFaults faults;
    const auto device = deviceThrough(faults);
    const auto model = loadModel(device, smallModelFile());
    pipeline::SessionOptions options;
    options.width = options.height = kSize;
    const auto session = makeSession(model, options);
    std::vector<float> condition(3 * kSize * kSize, 0.25f), output = untouched();
    const pipeline::TensorView in = viewOf(condition, 3, kSize, kSize), out = viewOf(output, 3, kSize, kSize);
    ASSERT_TRUE(succeeded(session->bindTensor("condition", &in)));
    ASSERT_TRUE(succeeded(session->bindOutputTensor(&out)));
    ASSERT_TRUE(succeeded(session->run({}, nullptr)));
    const std::vector<float> good = output;
    device->vk().vkWaitForFences = [](VkDevice, uint32_t, const VkFence *, VkBool32, uint64_t) {
        return VK_ERROR_DEVICE_LOST;
    };
    EXPECT_EQ(session->run({}, nullptr).code, StatusCode::DeviceLost);
    EXPECT_EQ(output, good);
    EXPECT_EQ(session->run({}, nullptr).code, StatusCode::DeviceLost);
}

} // namespace
} // namespace mote::test
