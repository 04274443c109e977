// Every call that can fail is made to fail, one after the other, in a run that uses all of runtime/gpu.
#include "gpu/faults.h"
#include "gpu/gpu_test.h"
#include "gpu/timestamps.h"

namespace mote::test {
namespace {

// Uploads, computes, times and reads back; the right result or a status.
Status runEverything(gpu::Device &device) {
    constexpr uint32_t kCount = 100;
    constexpr uint64_t kBytes = kCount * sizeof(float);
    std::vector<float> values(kCount, 3.0f);
    MOTE_TRY_ASSIGN(const gpu::Allocation source,
                    gpu::Allocation::create(device, kBytes, gpu::MemoryKind::DeviceLocal, "source"));
    MOTE_TRY_ASSIGN(const gpu::Allocation target,
                    gpu::Allocation::create(device, kBytes, gpu::MemoryKind::DeviceLocal, "target"));
    MOTE_TRY_ASSIGN(gpu::Uploader uploader, gpu::Uploader::create(device, 256));
    MOTE_TRY(uploader.upload(source, 0, values.data(), kBytes));
    MOTE_TRY_ASSIGN(const gpu::Pipeline *pipeline, device.pipelines().get(scaleDescription()));
    MOTE_TRY_ASSIGN(gpu::CommandBuffer commands, gpu::CommandBuffer::create(device));
    const bool timed = device.caps().timestamps;
    gpu::Timestamps timestamps;
    if (timed) {
        MOTE_TRY_ASSIGN(timestamps, gpu::Timestamps::create(device, 2));
    }
    MOTE_TRY_ASSIGN(gpu::Fence fence, gpu::Fence::create(device)); // last, to wait before the others go
    MOTE_TRY(commands.begin());
    commands.barrier();
    if (timed) {
        MOTE_TRY(commands.resetTimestamps(timestamps, 0, 2));
        MOTE_TRY(commands.writeTimestamp(timestamps, 0));
    }
    MOTE_TRY(recordScale(commands, *pipeline, source, target, kCount, 2.0f));
    commands.barrier();
    MOTE_TRY_ASSIGN(const gpu::Pipeline *texels, device.pipelines().get(scaleTexelsDescription()));
    MOTE_TRY(recordScale(commands, *texels, source, target, kCount, 2.0f));
    if (timed) {
        MOTE_TRY(commands.writeTimestamp(timestamps, 1));
    }
    MOTE_TRY(commands.end());
    for (int round = 0; round < 2; ++round) {
        MOTE_TRY(device.queue().submit(commands, fence));
        const Status polled = fence.poll();
        MOTE_TRY(polled.code == StatusCode::NotReady ? fence.wait() : polled);
    }
    if (timed) {
        MOTE_TRY_ASSIGN(const std::vector<double> times, timestamps.milliseconds(0, 2));
        (void)times;
    }
    MOTE_TRY(gpu::readBack(device, target, 0, values.data(), kBytes, 256));
    if (values != std::vector<float>(kCount, 6.0f)) {
        return makeStatus(StatusCode::CheckFailed, "wrong result after a success");
    }
    return uploader.finish();
}

StatusCode expectedCode(VkResult result) {
    return result == VK_ERROR_DEVICE_LOST ? StatusCode::DeviceLost : StatusCode::OutOfMemory;
}

// Walks the calls of device creation and of the run; returns how many there are.
int walk(VkResult result, const std::string &cacheDirectory) {
    for (int call = 1; call < 500; ++call) {
        ScopedFaults faults;
        faults.failCall(call, result);
        gpu::DeviceOptions options;
        options.instance.getInstanceProcAddr = faults.entry();
        options.cacheDirectory = cacheDirectory.c_str();
        Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
        if (!device.ok()) {
            EXPECT_NE(faults.hit(), nullptr);
            EXPECT_TRUE(failed(device.status(), expectedCode(result), faults.hit())) << "call " << call;
            continue;
        }
        const Status status = runEverything(*device.value());
        if (faults.hit() == nullptr) {
            EXPECT_TRUE(succeeded(status));
            return call - 1;
        }
        EXPECT_TRUE(failed(status, expectedCode(result), faults.hit())) << "call " << call;
        EXPECT_EQ(device.value()->memoryUse().liveBytes, 0u) << "after a failed " << faults.hit();
        EXPECT_EQ(device.value()->lost(), result == VK_ERROR_DEVICE_LOST);
        if (!device.value()->lost()) { // what failed once works when it is tried again
            EXPECT_TRUE(succeeded(runEverything(*device.value()))) << "after a failed " << faults.hit();
        }
    }
    return -1;
}

TEST(FaultInjection, EveryCallMayRunOutOfDeviceMemory) {
    EXPECT_GT(walk(VK_ERROR_OUT_OF_DEVICE_MEMORY, ""), 50);
}

TEST(FaultInjection, EveryCallMayRunOutOfHostMemory) {
    const ScratchFolder folder;
    EXPECT_GT(walk(VK_ERROR_OUT_OF_HOST_MEMORY, folder.path()), 50);
}

TEST(FaultInjection, EveryCallMayLoseTheDevice) {
    EXPECT_GT(walk(VK_ERROR_DEVICE_LOST, ""), 50);
}

// What fails while a device is being closed reaches the log and nobody else.
TEST(FaultInjection, ClosingADeviceSurvivesFailures) {
    for (int call = 1; call <= 3; ++call) {
        for (const VkResult result : {VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_DEVICE_LOST}) {
            const ScratchFolder folder;
            ScopedFaults faults;
            int warnings = 0;
            gpu::DeviceOptions options;
            options.instance.getInstanceProcAddr = faults.entry();
            options.cacheDirectory = folder.path().c_str();
            options.log.user = &warnings;
            options.log.write = [](void *user, gpu::LogLevel level, const char *) {
                *static_cast<int *>(user) += level == gpu::LogLevel::Warning ? 1 : 0;
            };
            Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
            ASSERT_TRUE(succeeded(device));
            ASSERT_TRUE(succeeded(runEverything(*device.value())));
            faults.failCall(call, result);
            device.value().reset();
            const bool reached = faults.hit() != nullptr;
            EXPECT_TRUE(reached) << "call " << call;
            EXPECT_EQ(warnings, reached ? 1 : 0) << faults.hit();
        }
    }
}

} // namespace
} // namespace mote::test
