// Proof that silence means something: in each GPU test program, three mistakes that must be caught.
#include "support/validation.h"

#include "gpu/device.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace mote::test {
namespace {

constexpr VkDeviceSize kBytes = 256;

// A device with one command pool and two buffers in one allocation, by plain Vulkan calls.
class Canary : public testing::Test {
protected:
    void SetUp() override {
        Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create({});
        ASSERT_TRUE(device.ok()) << device.status().message;
        device_ = std::move(device.value());

        VkCommandPoolCreateInfo poolInfo{};
        poolInfo.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
        poolInfo.queueFamilyIndex = device_->queueFamily();
        ASSERT_EQ(VK_SUCCESS, vk().vkCreateCommandPool(handle(), &poolInfo, nullptr, &pool_));

        VkMemoryAllocateInfo memoryInfo{};
        memoryInfo.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
        for (VkBuffer &buffer : buffers_) {
            buffer = makeBuffer();
            VkMemoryRequirements needs{};
            vk().vkGetBufferMemoryRequirements(handle(), buffer, &needs);
            memoryInfo.allocationSize = std::max(memoryInfo.allocationSize, needs.size);
            while (!(needs.memoryTypeBits >> memoryInfo.memoryTypeIndex & 1)) {
                memoryInfo.memoryTypeIndex++;
            }
        }
        for (int i = 0; i < 2; i++) {
            ASSERT_EQ(VK_SUCCESS, vk().vkAllocateMemory(handle(), &memoryInfo, nullptr, &memory_[i]));
            ASSERT_EQ(VK_SUCCESS, vk().vkBindBufferMemory(handle(), buffers_[i], memory_[i], 0));
        }
    }

    void TearDown() override {
        if (!device_) {
            return;
        }
        vk().vkQueueWaitIdle(queue());
        for (int i = 0; i < 2; i++) {
            vk().vkDestroyBuffer(handle(), buffers_[i], nullptr);
            vk().vkFreeMemory(handle(), memory_[i], nullptr);
        }
        vk().vkDestroyCommandPool(handle(), pool_, nullptr);
    }

    gpu::DeviceTable &vk() { return device_->vk(); }
    VkDevice handle() { return device_->handle(); }
    VkQueue queue() {
        VkQueue queue = VK_NULL_HANDLE;
        vk().vkGetDeviceQueue(handle(), device_->queueFamily(), 0, &queue);
        return queue;
    }

    VkBuffer makeBuffer() {
        VkBufferCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
        info.size = kBytes;
        info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
        VkBuffer buffer = VK_NULL_HANDLE;
        EXPECT_EQ(VK_SUCCESS, vk().vkCreateBuffer(handle(), &info, nullptr, &buffer));
        return buffer;
    }

    VkCommandBuffer begin() {
        VkCommandBufferAllocateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
        info.commandPool = pool_;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        VkCommandBuffer commands = VK_NULL_HANDLE;
        EXPECT_EQ(VK_SUCCESS, vk().vkAllocateCommandBuffers(handle(), &info, &commands));
        VkCommandBufferBeginInfo beginInfo{};
        beginInfo.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
        EXPECT_EQ(VK_SUCCESS, vk().vkBeginCommandBuffer(commands, &beginInfo));
        return commands;
    }

    void fill(VkCommandBuffer commands) { vk().vkCmdFillBuffer(commands, buffers_[0], 0, kBytes, 7); }
    void copy(VkCommandBuffer commands) {
        const VkBufferCopy region{0, 0, kBytes};
        vk().vkCmdCopyBuffer(commands, buffers_[0], buffers_[1], 1, &region);
    }
    void barrier(VkCommandBuffer commands) {
        VkMemoryBarrier barrier{};
        barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
        barrier.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
        barrier.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
        vk().vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
                                  1, &barrier, 0, nullptr, 0, nullptr);
    }

    void submit(VkCommandBuffer commands) {
        EXPECT_EQ(VK_SUCCESS, vk().vkEndCommandBuffer(commands));
        VkSubmitInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        info.commandBufferCount = 1;
        info.pCommandBuffers = &commands;
        EXPECT_EQ(VK_SUCCESS, vk().vkQueueSubmit(queue(), 1, &info, VK_NULL_HANDLE));
    }

    std::unique_ptr<gpu::Device> device_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkBuffer buffers_[2] = {};
    VkDeviceMemory memory_[2] = {};
};

TEST_F(Canary, MissingBarrierWithinACommandBufferIsCaught) {
    const ExpectedMessages messages;
    VkCommandBuffer commands = begin();
    fill(commands);
    copy(commands);
    submit(commands);
    EXPECT_EQ(1u, messages.count("SYNC-HAZARD-READ-AFTER-WRITE"));
}

TEST_F(Canary, MissingBarrierBetweenSubmissionsIsCaught) {
    const ExpectedMessages messages;
    VkCommandBuffer first = begin();
    fill(first);
    submit(first);
    EXPECT_EQ(0u, messages.ids().size());
    VkCommandBuffer second = begin();
    copy(second);
    submit(second);
    EXPECT_EQ(1u, messages.count("SYNC-HAZARD-READ-AFTER-WRITE"));
}

TEST_F(Canary, BarriersInPlaceAreSilent) {
    const ExpectedMessages messages;
    VkCommandBuffer first = begin();
    fill(first);
    barrier(first);
    copy(first);
    submit(first);
    EXPECT_EQ(0u, messages.ids().size());
}

TEST_F(Canary, MistakeThatNobodyExpectsFailsTheTest) {
    EXPECT_NONFATAL_FAILURE(
        {
            VkCommandBuffer commands = begin();
            fill(commands);
            copy(commands);
            submit(commands);
        },
        "SYNC-HAZARD-READ-AFTER-WRITE");
}

TEST_F(Canary, LeakedBufferIsCaught) {
    const ExpectedMessages messages;
    VkBuffer leaked = makeBuffer();
    ASSERT_NE(leaked, VkBuffer{VK_NULL_HANDLE});
    TearDown();
    device_.reset();
    EXPECT_EQ(1u, messages.count("VUID-vkDestroyDevice-device"));
}

} // namespace
} // namespace mote::test
