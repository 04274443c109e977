#include "gpu/device.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

namespace mote::test {
namespace {

// Why a device cannot be made through these faults; fails the test where it can.
Status failureOf(const ScopedFaults &faults) {
    gpu::DeviceOptions options;
    options.instance.getInstanceProcAddr = faults.entry();
    const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    EXPECT_FALSE(device.ok());
    return device.status();
}

TEST(Device, ListNamesEveryDeviceWithItsLimits) {
    const Result<std::vector<gpu::DeviceInfo>> devices = gpu::listDevices({});
    ASSERT_TRUE(succeeded(devices));
    ASSERT_FALSE(devices.value().empty());
    uint32_t index = 0;
    for (const gpu::DeviceInfo &info : devices.value()) {
        EXPECT_EQ(info.index, index++);
        EXPECT_FALSE(info.name.empty());
        if (!info.unusable.empty()) {
            continue;
        }
        EXPECT_GE(info.apiVersion, VK_API_VERSION_1_1);
        // What Vulkan 1.1 guarantees.
        EXPECT_GE(info.caps.maxWorkgroupInvocations, 128u);
        EXPECT_GE(info.caps.maxSharedBytes, 16384u);
        EXPECT_GE(info.caps.maxStorageBuffers, 4u);
        EXPECT_GE(info.caps.maxPushConstantBytes, 128u);
        EXPECT_GE(info.caps.maxStorageBufferRange, 128u << 20);
        EXPECT_LE(info.caps.minStorageBufferOffsetAlignment, 256u);
        EXPECT_LE(info.caps.minTexelBufferOffsetAlignment, 256u);
        EXPECT_GE(info.caps.maxWorkgroupCount[0], 65535u);
        EXPECT_FALSE(info.caps.heaps.empty());
    }
}

TEST(Device, MissingLoaderIsNoVulkanWithTheLinkersReason) {
    gpu::DeviceOptions options;
    options.instance.loaderPath = "/nowhere/libvulkan.so.1";
    EXPECT_TRUE(
        failed(gpu::Device::create(options).status(), StatusCode::NoVulkan, "/nowhere/libvulkan.so.1"));
}

TEST(Device, LibraryThatIsNoLoaderIsNoVulkan) {
    gpu::DeviceOptions options;
    options.instance.loaderPath = "libm.so.6";
    EXPECT_TRUE(failed(gpu::Device::create(options).status(), StatusCode::NoVulkan, "vkGetInstanceProcAddr"));
}

TEST(Device, LoaderOfVulkan10IsNoVulkan) {
    ScopedFaults faults;
    faults.replace("vkEnumerateInstanceVersion", nullptr);
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "version 1.0, 1.1 is needed"));
}

TEST(Device, LoaderThatCannotTellItsVersionIsNoVulkan) {
    ScopedFaults faults;
    faults.replace("vkEnumerateInstanceVersion", asVoid(failWith<VK_ERROR_UNKNOWN, uint32_t *>));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "does not tell its version"));
}

TEST(Device, FailedInstanceSaysWhy) {
    const std::pair<PFN_vkCreateInstance, const char *> cases[] = {
        {failWith<VK_ERROR_INCOMPATIBLE_DRIVER>, "no Vulkan driver"},
        {failWith<VK_ERROR_INITIALIZATION_FAILED>, "VK_ERROR_INITIALIZATION_FAILED"},
    };
    for (const auto &[function, text] : cases) {
        ScopedFaults faults;
        faults.replace("vkCreateInstance", asVoid(function));
        EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, text));
    }
    ScopedFaults faults;
    const PFN_vkCreateInstance noMemory = failWith<VK_ERROR_OUT_OF_HOST_MEMORY>;
    faults.replace("vkCreateInstance", asVoid(noMemory));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::OutOfMemory, "vkCreateInstance"));
}

TEST(Device, MachineWithoutDevicesIsNoVulkan) {
    ScopedFaults faults;
    const PFN_vkEnumeratePhysicalDevices none = [](VkInstance, uint32_t *count, VkPhysicalDevice *) {
        *count = 0;
        return VK_SUCCESS;
    };
    faults.replace("vkEnumeratePhysicalDevices", asVoid(none));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "no device"));
    gpu::InstanceOptions options;
    options.getInstanceProcAddr = faults.entry();
    const Result<std::vector<gpu::DeviceInfo>> devices = gpu::listDevices(options);
    ASSERT_TRUE(succeeded(devices));
    EXPECT_TRUE(devices.value().empty());
}

TEST(Device, FailedEnumerationIsAStatus) {
    ScopedFaults faults;
    const PFN_vkEnumeratePhysicalDevices fails = failWith<VK_ERROR_INITIALIZATION_FAILED>;
    faults.replace("vkEnumeratePhysicalDevices", asVoid(fails));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "vkEnumeratePhysicalDevices"));
}

// Answers VK_INCOMPLETE once, as when a device is plugged in between the two calls.
VKAPI_ATTR VkResult VKAPI_CALL incompleteOnce(VkInstance instance, uint32_t *count,
                                              VkPhysicalDevice *devices) {
    static int calls = 0;
    if (devices != nullptr && calls++ == 0) {
        return VK_INCOMPLETE;
    }
    return real<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices")(instance, count, devices);
}

TEST(Device, EnumerationIsRepeatedWhenItWasIncomplete) {
    ScopedFaults faults;
    faults.replace("vkEnumeratePhysicalDevices", asVoid(incompleteOnce));
    gpu::InstanceOptions options;
    options.getInstanceProcAddr = faults.entry();
    const Result<std::vector<gpu::DeviceInfo>> devices = gpu::listDevices(options);
    ASSERT_TRUE(succeeded(devices));
    EXPECT_FALSE(devices.value().empty());
}

TEST(Device, DeviceWithoutComputeIsNoVulkanAndSaysSo) {
    ScopedFaults faults;
    const PFN_vkGetPhysicalDeviceQueueFamilyProperties graphicsOnly = [](VkPhysicalDevice, uint32_t *count,
                                                                         VkQueueFamilyProperties *families) {
        *count = 1;
        if (families != nullptr) {
            families[0] = {};
            families[0].queueFlags = VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_TRANSFER_BIT;
            families[0].queueCount = 1;
        }
    };
    faults.replace("vkGetPhysicalDeviceQueueFamilyProperties", asVoid(graphicsOnly));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "none of its queues can compute"));
}

TEST(Device, DeviceOfVulkan10IsNoVulkanAndSaysSo) {
    ScopedFaults faults;
    const PFN_vkGetPhysicalDeviceProperties old = [](VkPhysicalDevice,
                                                     VkPhysicalDeviceProperties *properties) {
        *properties = {};
        properties->apiVersion = VK_API_VERSION_1_0;
        std::strcpy(properties->deviceName, "Old Card");
    };
    faults.replace("vkGetPhysicalDeviceProperties", asVoid(old));
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan,
                       "0 'Old Card' (cannot be used: it has Vulkan 1.0, 1.1 is needed)"));
}

TEST(Device, FailedDeviceSaysWhichAndWhy) {
    const std::pair<PFN_vkCreateDevice, StatusCode> cases[] = {
        {failWith<VK_ERROR_INITIALIZATION_FAILED>, StatusCode::Unsupported},
        {failWith<VK_ERROR_FEATURE_NOT_PRESENT>, StatusCode::Unsupported},
        {failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>, StatusCode::OutOfMemory},
        {failWith<VK_ERROR_DEVICE_LOST>, StatusCode::DeviceLost},
    };
    for (const auto &[function, code] : cases) {
        ScopedFaults faults;
        faults.replace("vkCreateDevice", asVoid(function));
        EXPECT_TRUE(failed(failureOf(faults), code, "vkCreateDevice returned"));
    }
}

TEST(Device, MissingFunctionIsNamed) {
    ScopedFaults faults;
    faults.replace("vkCmdDispatch", nullptr);
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "vkCmdDispatch"));
    faults.replace("vkCreateDevice", nullptr);
    EXPECT_TRUE(failed(failureOf(faults), StatusCode::NoVulkan, "vkCreateDevice"));
}

TEST(Device, MissingFunctionOfAnExtensionIsAMissingExtension) {
    ScopedFaults faults;
    faults.replace("vkGetBufferDeviceAddressKHR", nullptr);
    gpu::DeviceOptions options;
    options.instance.getInstanceProcAddr = faults.entry();
    const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    EXPECT_FALSE(device.value()->caps().bufferDeviceAddress);
    EXPECT_TRUE(succeeded(
        gpu::Allocation::create(*device.value(), 4, gpu::MemoryKind::DeviceLocal, "test").status()));
}

TEST(Device, UnknownNameAndIndexListWhatThereIs) {
    gpu::DeviceOptions options;
    options.nameContains = "no such device";
    EXPECT_TRUE(failed(gpu::Device::create(options).status(), StatusCode::NotFound, "there are: 0 '"));
    options.nameContains = nullptr;
    options.index = 1000;
    EXPECT_TRUE(failed(gpu::Device::create(options).status(), StatusCode::NotFound, "no device 1000"));
}

TEST_F(Gpu, DeviceIsFoundAgainByItsIndexAndName) {
    gpu::DeviceOptions options;
    options.index = static_cast<int>(device().info().index);
    const Result<std::unique_ptr<gpu::Device>> byIndex = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(byIndex));
    EXPECT_EQ(byIndex.value()->info().name, device().info().name);
    options.index = -1;
    options.nameContains = device().info().name.c_str();
    const Result<std::unique_ptr<gpu::Device>> byName = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(byName));
    EXPECT_EQ(byName.value()->info().name, device().info().name);
}

TEST(Device, ClampLowersWhatIsSeenButNotWhatIsListed) {
    const gpu::LimitsClamp clamp = gpu::floorClamp();
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    const gpu::Caps &caps = device.value()->caps();
    EXPECT_LE(caps.maxWorkgroupInvocations, 256u);
    EXPECT_LE(caps.maxSharedBytes, 16384u);
    EXPECT_LE(caps.maxStorageBuffers, 8u);
    EXPECT_EQ(caps.subgroupSize, 0u);
    EXPECT_FALSE(caps.storage16);
    EXPECT_FALSE(caps.fp16Arithmetic);
    EXPECT_FALSE(caps.bufferDeviceAddress);
    const Result<std::unique_ptr<gpu::Device>> plain = gpu::Device::create({});
    ASSERT_TRUE(succeeded(plain));
    EXPECT_EQ(device.value()->info().caps.maxSharedBytes, plain.value()->caps().maxSharedBytes);
}

TEST(Device, LogsToTheHookAndNowhereElse) {
    std::string heard;
    gpu::DeviceOptions options;
    options.log.user = &heard;
    options.log.write = [](void *user, gpu::LogLevel, const char *text) {
        *static_cast<std::string *>(user) += std::string(text) + "\n";
    };
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    {
        const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
        const Result<std::unique_ptr<gpu::Device>> silent = gpu::Device::create({});
        EXPECT_TRUE(succeeded(device));
        EXPECT_TRUE(succeeded(silent));
        EXPECT_NE(heard.find(device.value()->info().name), std::string::npos) << heard;
    }
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

// Doubles 1000 floats; what two devices and several threads do below.
testing::AssertionResult doubles(gpu::Device &device, float start) {
    const auto run = [&]() -> Status {
        constexpr uint32_t kCount = 1000;
        std::vector<float> values(kCount, start);
        const uint64_t bytes = kCount * sizeof(float);
        MOTE_TRY_ASSIGN(const gpu::Allocation source,
                        gpu::Allocation::create(device, bytes, gpu::MemoryKind::DeviceLocal, "source"));
        MOTE_TRY_ASSIGN(const gpu::Allocation target,
                        gpu::Allocation::create(device, bytes, gpu::MemoryKind::DeviceLocal, "target"));
        MOTE_TRY_ASSIGN(gpu::Uploader uploader, gpu::Uploader::create(device, 1024));
        MOTE_TRY(uploader.upload(source, 0, values.data(), bytes));
        MOTE_TRY_ASSIGN(const gpu::Pipeline *pipeline, device.pipelines().get(scaleDescription()));
        MOTE_TRY_ASSIGN(gpu::CommandBuffer commands, gpu::CommandBuffer::create(device));
        MOTE_TRY_ASSIGN(gpu::Fence fence, gpu::Fence::create(device));
        MOTE_TRY(commands.begin());
        commands.barrier();
        MOTE_TRY(recordScale(commands, *pipeline, source, target, kCount, 2.0f));
        MOTE_TRY(commands.end());
        MOTE_TRY(device.queue().submit(commands, fence));
        MOTE_TRY(fence.wait());
        MOTE_TRY(gpu::readBack(device, target, 0, values.data(), bytes));
        for (const float value : values) {
            if (value != 2 * start) {
                return makeStatus(StatusCode::CheckFailed, "%g instead of %g", static_cast<double>(value),
                                  static_cast<double>(2 * start));
            }
        }
        return {};
    };
    return succeeded(run());
}

TEST_F(Gpu, TwoDevicesWorkSideBySide) {
    Result<std::unique_ptr<gpu::Device>> second = gpu::Device::create({});
    ASSERT_TRUE(succeeded(second));
    EXPECT_TRUE(doubles(device(), 3));
    EXPECT_TRUE(doubles(*second.value(), 5));
    device_.reset();
    EXPECT_TRUE(doubles(*second.value(), 7));
}

TEST_F(Gpu, ThreadsShareADevice) {
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < 5; ++round) {
                if (!doubles(device(), static_cast<float>(10 * i + round))) {
                    ++failures;
                }
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failures, 0);
    EXPECT_EQ(device().pipelines().pipelineCount(), 1u);
    EXPECT_EQ(device().memoryUse().liveBytes, 0u);
}

TEST(Device, ThreadsMakeDevicesAtTheSameTime) {
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create({});
            if (!device.ok() || !doubles(*device.value(), 1)) {
                ++failures;
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failures, 0);
}

} // namespace
} // namespace mote::test
