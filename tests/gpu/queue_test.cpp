#include "gpu/queue.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

#include <thread>

namespace mote::test {
namespace {

// A recording that writes one word.
gpu::CommandBuffer recordedFill(gpu::CommandBuffer commands, const gpu::Allocation &target) {
    EXPECT_TRUE(succeeded(commands.begin()));
    commands.barrier();
    EXPECT_TRUE(succeeded(commands.fill({&target, 0, 4}, 1)));
    EXPECT_TRUE(succeeded(commands.end()));
    return commands;
}

TEST_F(Gpu, FenceIsPolledWaitedForAndUsedAgain) {
    const gpu::Allocation target = allocate(4);
    const gpu::CommandBuffer commands = recordedFill(commandBuffer(), target);
    gpu::Fence done = fence();
    EXPECT_TRUE(succeeded(done.wait())); // nothing is pending
    for (int round = 0; round < 3; ++round) {
        ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
        EXPECT_TRUE(done.pending());
        Status polled = done.poll();
        while (polled.code == StatusCode::NotReady) {
            std::this_thread::yield();
            polled = done.poll();
        }
        EXPECT_TRUE(succeeded(polled));
        EXPECT_FALSE(done.pending());
    }
}

TEST_F(Gpu, WaitThatTakesTooLongIsNotReady) {
    const gpu::Allocation target = allocate(4);
    const gpu::CommandBuffer commands = recordedFill(commandBuffer(), target);
    gpu::Fence done = fence();
    ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
    const gpu::DeviceTable whole = device().vk();
    device().vk().vkWaitForFences = failWith<VK_TIMEOUT>;
    device().vk().vkGetFenceStatus = failWith<VK_NOT_READY>;
    EXPECT_TRUE(failed(done.wait(1000), StatusCode::NotReady, "VK_TIMEOUT"));
    EXPECT_TRUE(failed(done.poll(), StatusCode::NotReady, "VK_NOT_READY"));
    EXPECT_TRUE(done.pending());
    device().vk() = whole;
    EXPECT_TRUE(succeeded(done.wait()));
}

TEST_F(Gpu, PendingFenceIsWaitedForBeforeItGoes) {
    const gpu::Allocation target = allocate(16u << 20);
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(commands.fill({&target, 0, target.size()}, 1)));
    ASSERT_TRUE(succeeded(commands.end()));
    gpu::Fence done = fence();
    ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
    gpu::Fence moved = std::move(done);
    EXPECT_FALSE(done.pending()); // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(moved.pending());
} // validation would complain about a command buffer in use

TEST_F(Gpu, WrongSubmissionsAreRefused) {
    const gpu::Allocation target = allocate(4);
    const gpu::CommandBuffer commands = recordedFill(commandBuffer(), target);
    gpu::Fence done = fence();
    gpu::Fence none;
    const gpu::CommandBuffer unrecorded = commandBuffer();
    EXPECT_TRUE(
        failed(device().queue().submit(commands, none), StatusCode::InvalidArgument, "the fence is empty"));
    EXPECT_TRUE(
        failed(device().queue().submit(unrecorded, done), StatusCode::InvalidArgument, "is not recorded"));
    gpu::CommandBuffer empty;
    EXPECT_TRUE(failed(device().queue().submit(empty, done), StatusCode::InvalidArgument, "is not recorded"));
    EXPECT_TRUE(failed(empty.begin(), StatusCode::InvalidArgument, "cannot record"));
    ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
    EXPECT_TRUE(
        failed(device().queue().submit(commands, done), StatusCode::InvalidArgument, "still pending"));
    EXPECT_TRUE(succeeded(done.wait()));
}

TEST_F(Gpu, FailedSubmissionLeavesTheFenceUsable) {
    const gpu::Allocation target = allocate(4);
    const gpu::CommandBuffer commands = recordedFill(commandBuffer(), target);
    gpu::Fence done = fence();
    const gpu::DeviceTable whole = device().vk();
    device().vk().vkQueueSubmit = failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>;
    EXPECT_TRUE(failed(device().queue().submit(commands, done), StatusCode::OutOfMemory, "vkQueueSubmit"));
    EXPECT_FALSE(done.pending());
    device().vk() = whole;
    EXPECT_TRUE(succeeded(device().queue().submit(commands, done)));
    EXPECT_TRUE(succeeded(done.wait()));
}

// Everything answers DeviceLost from then on, without a call, and everything can be destroyed.
void expectLost(gpu::Device &device, const gpu::CommandBuffer &commands, gpu::Fence &fence) {
    EXPECT_TRUE(device.lost());
    EXPECT_EQ(device.queue().submit(commands, fence).code, StatusCode::DeviceLost);
    EXPECT_EQ(gpu::Allocation::create(device, 4, gpu::MemoryKind::Upload, "test").status().code,
              StatusCode::DeviceLost);
    EXPECT_EQ(gpu::CommandBuffer::create(device).status().code, StatusCode::DeviceLost);
    EXPECT_EQ(gpu::Fence::create(device).status().code, StatusCode::DeviceLost);
    EXPECT_EQ(device.pipelines().get(scaleDescription()).status().code, StatusCode::DeviceLost);
}

TEST_F(Gpu, LossAtSubmissionIsSticky) {
    const gpu::Allocation target = allocate(4);
    const gpu::CommandBuffer commands = recordedFill(commandBuffer(), target);
    gpu::Fence done = fence();
    const gpu::DeviceTable whole = device().vk();
    device().vk().vkQueueSubmit = failWith<VK_ERROR_DEVICE_LOST>;
    EXPECT_TRUE(failed(device().queue().submit(commands, done), StatusCode::DeviceLost, "vkQueueSubmit"));
    device().vk() = whole;
    expectLost(device(), commands, done);
}

TEST_F(Gpu, LossWhileWaitingIsStickyAndPendingWorkIsStillWaitedFor) {
    const gpu::Allocation target = allocate(16u << 20);
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(commands.fill({&target, 0, target.size()}, 1)));
    ASSERT_TRUE(succeeded(commands.end()));
    gpu::Fence done = fence();
    gpu::Fence other = fence();
    ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
    const gpu::DeviceTable whole = device().vk();
    device().vk().vkWaitForFences = failWith<VK_ERROR_DEVICE_LOST>;
    EXPECT_TRUE(failed(done.wait(), StatusCode::DeviceLost, "vkWaitForFences"));
    device().vk() = whole;
    EXPECT_TRUE(failed(done.poll(), StatusCode::DeviceLost, "is lost"));
    expectLost(device(), commands, other);
} // the pending fill must be over before its buffer goes: validation would complain

TEST_F(Gpu, LossIsLoggedOnce) {
    int errors = 0;
    gpu::DeviceOptions options;
    options.log.user = &errors;
    options.log.write = [](void *user, gpu::LogLevel level, const char *) {
        *static_cast<int *>(user) += level == gpu::LogLevel::Error ? 1 : 0;
    };
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(device.value()->check(VK_ERROR_DEVICE_LOST, "vkQueueSubmit").code, StatusCode::DeviceLost);
    }
    EXPECT_EQ(errors, 1);
}

TEST_F(Gpu, NewDeviceWorksAfterALoss) {
    (void)device().check(VK_ERROR_DEVICE_LOST, "vkQueueSubmit");
    EXPECT_TRUE(device().lost());
    SetUp();
    const gpu::Allocation values = allocate(std::vector<float>{1, 2});
    EXPECT_EQ(floatsOf(values), (std::vector<float>{1, 2}));
}

} // namespace
} // namespace mote::test
