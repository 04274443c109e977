// A device that the app makes and keeps: a program of its own with plain Vulkan calls.
#include "gpu/device.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

namespace mote::test {
namespace {

class LentDevice : public testing::Test {
protected:
    void SetUp() override { open(VK_API_VERSION_1_1); }

    void open(uint32_t apiVersion) {
        const auto createInstance =
            reinterpret_cast<PFN_vkCreateInstance>(faults_.entry()(VK_NULL_HANDLE, "vkCreateInstance"));
        VkApplicationInfo application{};
        application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
        application.apiVersion = apiVersion;
        VkInstanceCreateInfo instanceInfo{};
        instanceInfo.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        instanceInfo.pApplicationInfo = &application;
        ASSERT_EQ(createInstance(&instanceInfo, nullptr, &lent_.instance), VK_SUCCESS);
        ASSERT_TRUE(succeeded(gpu::loadTable(faults_.entry(), lent_.instance, instance_)));

        uint32_t count = 1;
        ASSERT_GE(instance_.vkEnumeratePhysicalDevices(lent_.instance, &count, &lent_.physicalDevice), 0);
        ASSERT_EQ(count, 1u);
        uint32_t familyCount = 0;
        instance_.vkGetPhysicalDeviceQueueFamilyProperties(lent_.physicalDevice, &familyCount, nullptr);
        std::vector<VkQueueFamilyProperties> families(familyCount);
        instance_.vkGetPhysicalDeviceQueueFamilyProperties(lent_.physicalDevice, &familyCount,
                                                           families.data());
        while ((families[lent_.queueFamily].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) {
            ++lent_.queueFamily;
            ASSERT_LT(lent_.queueFamily, familyCount);
        }

        const float priority = 0.5f;
        VkDeviceQueueCreateInfo queueInfo{};
        queueInfo.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
        queueInfo.queueFamilyIndex = lent_.queueFamily;
        queueInfo.queueCount = 1;
        queueInfo.pQueuePriorities = &priority;
        VkDeviceCreateInfo deviceInfo{};
        deviceInfo.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
        deviceInfo.queueCreateInfoCount = 1;
        deviceInfo.pQueueCreateInfos = &queueInfo;
        ASSERT_EQ(instance_.vkCreateDevice(lent_.physicalDevice, &deviceInfo, nullptr, &lent_.device),
                  VK_SUCCESS);
        ASSERT_TRUE(succeeded(gpu::loadTable(instance_.vkGetDeviceProcAddr, lent_.device, device_)));
        device_.vkGetDeviceQueue(lent_.device, lent_.queueFamily, 0, &lent_.queue);
    }

    // Also the proof that nothing of the app's was destroyed: validation would say so.
    void TearDown() override {
        if (device_.vkDestroyDevice != nullptr) {
            ASSERT_EQ(device_.vkQueueWaitIdle(lent_.queue), VK_SUCCESS);
            device_.vkDestroyDevice(lent_.device, nullptr);
        }
        if (instance_.vkDestroyInstance != nullptr) {
            instance_.vkDestroyInstance(lent_.instance, nullptr);
        }
    }

    Result<std::unique_ptr<gpu::Device>> borrow() const {
        gpu::DeviceOptions options;
        options.instance.getInstanceProcAddr = faults_.entry();
        options.lent = &lent_;
        return gpu::Device::create(options);
    }

    ScopedFaults faults_;
    gpu::InstanceTable instance_;
    gpu::DeviceTable device_;
    gpu::LentDevice lent_;
};

struct LockCount {
    int locked = 0;
    int held = 0;
    int heldAtMost = 0;
};

TEST_F(LentDevice, RunsUnderTheAppsLockAndIsLeftWhole) {
    LockCount count;
    lent_.user = &count;
    lent_.lock = [](void *user) {
        LockCount &lock = *static_cast<LockCount *>(user);
        ++lock.locked;
        lock.heldAtMost = std::max(lock.heldAtMost, ++lock.held);
    };
    lent_.unlock = [](void *user) { --static_cast<LockCount *>(user)->held; };
    {
        Result<std::unique_ptr<gpu::Device>> device = borrow();
        ASSERT_TRUE(succeeded(device));
        const std::vector<float> sent = {1, 2, 3, 4};
        std::vector<float> received(4);
        Result<gpu::Allocation> memory =
            gpu::Allocation::create(*device.value(), 16, gpu::MemoryKind::DeviceLocal, "test");
        ASSERT_TRUE(succeeded(memory));
        Result<gpu::Uploader> uploader = gpu::Uploader::create(*device.value(), 16);
        ASSERT_TRUE(succeeded(uploader));
        ASSERT_TRUE(succeeded(uploader->upload(memory.value(), 0, sent.data(), 16)));
        ASSERT_TRUE(succeeded(gpu::readBack(*device.value(), memory.value(), 0, received.data(), 16)));
        EXPECT_EQ(received, sent);
        EXPECT_EQ(count.locked, 2); // two submissions
    }
    EXPECT_GE(count.locked, 3); // and the wait at the end
    EXPECT_EQ(count.held, 0);
    EXPECT_EQ(count.heldAtMost, 1);
}

TEST_F(LentDevice, UsesNoFeatureThatTheAppDidNotEnable) {
    const Result<std::unique_ptr<gpu::Device>> device = borrow();
    ASSERT_TRUE(succeeded(device));
    EXPECT_FALSE(device.value()->caps().storage16);
    EXPECT_FALSE(device.value()->caps().fp16Arithmetic);
    EXPECT_FALSE(device.value()->caps().bufferDeviceAddress);
    EXPECT_FALSE(device.value()->caps().subgroupSizeControl);
    EXPECT_TRUE(device.value()->caps().matrices.empty());
}

TEST_F(LentDevice, IsRefusedWhereAHandleIsMissing) {
    const gpu::LentDevice whole = lent_;
    lent_.queue = VK_NULL_HANDLE;
    EXPECT_TRUE(failed(borrow().status(), StatusCode::InvalidArgument, "needs instance"));
    lent_ = whole;
    lent_.lock = [](void *) {};
    EXPECT_TRUE(failed(borrow().status(), StatusCode::InvalidArgument, "both lock and unlock"));
    lent_ = whole;
    lent_.queueFamily = 1000;
    EXPECT_TRUE(failed(borrow().status(), StatusCode::InvalidArgument, "queue family 1000"));
}

TEST_F(LentDevice, IsRefusedWhereItsQueueCannotCompute) {
    const PFN_vkGetPhysicalDeviceQueueFamilyProperties transferFirst = [](VkPhysicalDevice, uint32_t *count,
                                                                          VkQueueFamilyProperties *families) {
        *count = 2;
        if (families != nullptr) {
            families[0] = {};
            families[1] = {};
            families[0].queueFlags = VK_QUEUE_TRANSFER_BIT;
            families[1].queueFlags = VK_QUEUE_COMPUTE_BIT;
            families[0].queueCount = families[1].queueCount = 1;
        }
    };
    faults_.replace("vkGetPhysicalDeviceQueueFamilyProperties", asVoid(transferFirst));
    EXPECT_TRUE(failed(borrow().status(), StatusCode::InvalidArgument, "queue family 0 cannot compute"));
}

} // namespace
} // namespace mote::test
