#include "gpu/memory.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

namespace mote::test {
namespace {

using gpu::MemoryKind;

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
constexpr VkMemoryPropertyFlags kCoherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
constexpr VkMemoryPropertyFlags kLazy = VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT;

struct TypeCase {
    const char *device;
    bool unified;
    std::vector<VkMemoryPropertyFlags> types;
    int deviceLocal, upload, readback; // expected
};

const TypeCase kTypeCases[] = {
    {"discrete card, as drivers list it",
     false,
     {kLocal, kVisible | kCoherent, kVisible | kCoherent | kCached, kLocal | kVisible | kCoherent},
     0,
     1,
     2},
    {"phone: all local, cached apart",
     true,
     {kLocal, kLocal | kVisible | kCoherent, kLocal | kVisible | kCached},
     0,
     1,
     2},
    {"phone: cached and coherent too",
     true,
     {kLocal | kLazy, kLocal | kVisible | kCoherent, kLocal | kVisible | kCached,
      kLocal | kVisible | kCoherent | kCached},
     1,
     1,
     3},
    {"board without cached memory", true, {kLocal | kVisible | kCoherent}, 0, 0, 0},
    {"software", true, {kLocal | kVisible | kCoherent | kCached}, 0, 0, 0},
    {"no local memory", false, {kVisible | kCoherent}, 0, 0, 0},
    {"nothing for the host", true, {kLocal}, 0, -1, -1},
    {"only what is not coherent", true, {kLocal, kLocal | kVisible | kCached}, 0, 1, 1},
};

TEST(ChooseMemoryType, TakesTheRightTypeOfEachKindOfDevice) {
    for (const TypeCase &test : kTypeCases) {
        VkPhysicalDeviceMemoryProperties properties{};
        properties.memoryTypeCount = static_cast<uint32_t>(test.types.size());
        for (size_t i = 0; i < test.types.size(); ++i) {
            properties.memoryTypes[i].propertyFlags = test.types[i];
        }
        const auto choose = [&](MemoryKind kind) {
            return gpu::chooseMemoryType(properties, ~0u, kind, test.unified);
        };
        EXPECT_EQ(choose(MemoryKind::DeviceLocal), test.deviceLocal) << test.device;
        EXPECT_EQ(choose(MemoryKind::Weights), test.deviceLocal) << test.device;
        EXPECT_EQ(choose(MemoryKind::Upload), test.upload) << test.device;
        EXPECT_EQ(choose(MemoryKind::Readback), test.readback) << test.device;
    }
}

TEST(ChooseMemoryType, TakesOnlyTypesThatTheBufferAllows) {
    VkPhysicalDeviceMemoryProperties properties{};
    properties.memoryTypeCount = 2;
    properties.memoryTypes[0].propertyFlags = kLocal;
    properties.memoryTypes[1].propertyFlags = kVisible | kCoherent;
    EXPECT_EQ(gpu::chooseMemoryType(properties, 2, MemoryKind::DeviceLocal, false), 1);
    EXPECT_EQ(gpu::chooseMemoryType(properties, 1, MemoryKind::Upload, false), -1);
}

TEST_F(Gpu, EachKindOfMemoryHasItsProperties) {
    const gpu::Allocation local = allocate(1000, MemoryKind::DeviceLocal);
    const gpu::Allocation upload = allocate(1001, MemoryKind::Upload);
    const gpu::Allocation readback = allocate(1, MemoryKind::Readback);
    EXPECT_EQ(local.size(), 1000u);
    EXPECT_EQ(upload.size(), 1004u); // a multiple of 4
    EXPECT_EQ(readback.size(), 4u);
    EXPECT_EQ(local.mapped(), nullptr);
    ASSERT_NE(upload.mapped(), nullptr);
    ASSERT_NE(readback.mapped(), nullptr);
    upload.mapped()[1003] = std::byte{7};
    EXPECT_TRUE(succeeded(upload.flush(1000, 4)));
    EXPECT_TRUE(succeeded(readback.invalidate(0, 4)));
}

TEST_F(Gpu, WeightsAreMappedWhereMemoryIsUnifiedAndCoherent) {
    gpu::LimitsClamp clamp;
    clamp.noUnifiedMemory = true;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> apart = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(apart));
    for (gpu::Device *each : {&device(), apart.value().get()}) {
        const Result<gpu::Allocation> weights =
            gpu::Allocation::create(*each, 1000, MemoryKind::Weights, "weights");
        ASSERT_TRUE(succeeded(weights));
        const int type =
            gpu::chooseMemoryType(each->memoryTypes(), ~0u, MemoryKind::Weights, each->caps().unifiedMemory);
        const VkMemoryPropertyFlags flags = each->memoryTypes().memoryTypes[type].propertyFlags;
        const bool inPlace = (flags & kVisible) != 0 && (flags & kCoherent) != 0;
        EXPECT_EQ(weights->mapped() != nullptr, inPlace && each->caps().unifiedMemory);
    }
}

TEST_F(Gpu, MemoryIsCountedLiveAndAtItsPeak) {
    EXPECT_EQ(device().memoryUse().liveBytes, 0u);
    uint64_t both = 0;
    {
        const gpu::Allocation first = allocate(100000);
        const gpu::Allocation second = allocate(50000, MemoryKind::Upload);
        both = first.memoryBytes() + second.memoryBytes();
        EXPECT_GE(both, 150000u);
        EXPECT_EQ(device().memoryUse().liveBytes, both);
        EXPECT_EQ(device().memoryUse().liveCount, 2u);
    }
    EXPECT_EQ(device().memoryUse().liveBytes, 0u);
    EXPECT_EQ(device().memoryUse().liveCount, 0u);
    EXPECT_EQ(device().memoryUse().peakBytes, both);
    device().resetPeak();
    EXPECT_EQ(device().memoryUse().peakBytes, 0u);
}

TEST_F(Gpu, MemoryMovesAndIsFreedOnce) {
    gpu::Allocation first = allocate(4096);
    const VkBuffer buffer = first.buffer();
    gpu::Allocation second = std::move(first);
    EXPECT_EQ(first.size(), 0u); // NOLINT(bugprone-use-after-move): that it is empty then is the promise
    EXPECT_EQ(second.buffer(), buffer);
    second = allocate(8192);
    EXPECT_EQ(device().memoryUse().liveCount, 1u);
}

TEST_F(Gpu, MemoryHasAnAddressWhereTheDeviceGivesThem) {
    const bool given = device().caps().bufferDeviceAddress;
    for (const MemoryKind kind : {MemoryKind::DeviceLocal, MemoryKind::Upload, MemoryKind::Readback}) {
        gpu::Allocation first = allocate(4096, kind);
        const VkDeviceAddress address = first.address();
        EXPECT_EQ(address != 0, given);
        const gpu::Allocation second = std::move(first);
        EXPECT_EQ(second.address(), address);
        EXPECT_EQ(first.address(), 0u); // NOLINT(bugprone-use-after-move): as its size
    }
    gpu::LimitsClamp clamp;
    clamp.noBufferDeviceAddress = true;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> without = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(without));
    const Result<gpu::Allocation> made =
        gpu::Allocation::create(*without.value(), 4096, MemoryKind::DeviceLocal, "test");
    ASSERT_TRUE(succeeded(made));
    EXPECT_EQ(made->address(), 0u);
}

TEST_F(Gpu, AvailableMemoryIsPositiveAndWithinTheHeap) {
    const uint64_t available = device().availableDeviceLocalBytes();
    EXPECT_GT(available, 0u);
    uint64_t largest = 0;
    for (const gpu::HeapCaps &heap : device().caps().heaps) {
        largest = std::max(largest, heap.sizeBytes);
    }
    EXPECT_LE(available, largest);
    EXPECT_EQ(device().availableBytes(VK_MAX_MEMORY_HEAPS), 0u);
}

TEST_F(Gpu, ImpossibleSizesAreRefusedWithTheFigures) {
    const auto status = [&](uint64_t bytes) {
        return gpu::Allocation::create(device(), bytes, MemoryKind::DeviceLocal, "arena").status();
    };
    EXPECT_TRUE(failed(status(0), StatusCode::InvalidArgument, "arena: an allocation of 0 bytes"));
    EXPECT_TRUE(failed(status(~0ull), StatusCode::OutOfMemory, "arena: 18446744073709551615 bytes"));
    EXPECT_TRUE(failed(status(~0ull - 4), StatusCode::OutOfMemory,
                       std::to_string(device().caps().maxAllocationBytes)));
}

TEST(Memory, ClampedAllocationSizeIsHonoured) {
    gpu::LimitsClamp clamp;
    clamp.maxAllocationBytes = 1u << 20;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    const auto create = [&](uint64_t bytes) {
        return gpu::Allocation::create(*device.value(), bytes, MemoryKind::DeviceLocal, "weights");
    };
    EXPECT_TRUE(succeeded(create(1u << 20)));
    EXPECT_TRUE(
        failed(create((1u << 20) + 1).status(), StatusCode::OutOfMemory,
               "weights: 1048577 bytes of device memory asked, the device's largest allocation is 1048576"));
}

TEST_F(Gpu, FailedAllocationNamesWhatWasAskedAndAvailable) {
    const gpu::DeviceTable whole = device().vk();
    const auto attempt = [&](MemoryKind kind = MemoryKind::Upload) {
        Status status = gpu::Allocation::create(device(), 123456, kind, "weights").status();
        device().vk() = whole;
        EXPECT_EQ(device().memoryUse().liveBytes, 0u);
        return status;
    };
    device().vk().vkCreateBuffer = failWith<VK_ERROR_OUT_OF_HOST_MEMORY>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory,
                       "weights: vkCreateBuffer returned VK_ERROR_OUT_OF_HOST_MEMORY (123456 bytes asked, "));
    device().vk().vkAllocateMemory = failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory,
                       "weights: vkAllocateMemory returned VK_ERROR_OUT_OF_DEVICE_MEMORY"));
    device().vk().vkAllocateMemory = failWith<VK_ERROR_TOO_MANY_OBJECTS>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory, "0 allocations of at most"));
    device().vk().vkBindBufferMemory = failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory, "vkBindBufferMemory"));
    device().vk().vkMapMemory = failWith<VK_ERROR_MEMORY_MAP_FAILED>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory, "vkMapMemory"));
    device().vk().vkAllocateMemory = failWith<VK_ERROR_DEVICE_LOST>;
    EXPECT_TRUE(failed(attempt(), StatusCode::DeviceLost, "weights: vkAllocateMemory"));
    EXPECT_TRUE(failed(attempt(), StatusCode::DeviceLost, "is lost")); // and it stays so
}

// A device whose host-visible memory is cached and not coherent, with atoms of 64 bytes.
VKAPI_ATTR void VKAPI_CALL nonCoherentTypes(VkPhysicalDevice device,
                                            VkPhysicalDeviceMemoryProperties2 *properties) {
    real<PFN_vkGetPhysicalDeviceMemoryProperties2>("vkGetPhysicalDeviceMemoryProperties2")(device,
                                                                                           properties);
    VkPhysicalDeviceMemoryProperties &memory = properties->memoryProperties;
    for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
        memory.memoryTypes[i].propertyFlags &= ~kCoherent;
    }
}
VKAPI_ATTR void VKAPI_CALL atomsOf64(VkPhysicalDevice device, VkPhysicalDeviceProperties *properties) {
    real<PFN_vkGetPhysicalDeviceProperties>("vkGetPhysicalDeviceProperties")(device, properties);
    properties->limits.nonCoherentAtomSize = 64;
}

std::vector<VkMappedMemoryRange> flushed;
std::vector<VkMappedMemoryRange> invalidated;

TEST(Memory, NonCoherentMemoryIsFlushedAndInvalidatedInWholeAtoms) {
    ScopedFaults faults;
    faults.replace("vkGetPhysicalDeviceMemoryProperties2", asVoid(nonCoherentTypes));
    faults.replace("vkGetPhysicalDeviceProperties", asVoid(atomsOf64));
    gpu::DeviceOptions options;
    options.instance.getInstanceProcAddr = faults.entry();
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    flushed.clear();
    invalidated.clear();
    device.value()->vk().vkFlushMappedMemoryRanges = [](VkDevice, uint32_t,
                                                        const VkMappedMemoryRange *range) {
        flushed.push_back(*range);
        return VK_SUCCESS;
    };
    device.value()->vk().vkInvalidateMappedMemoryRanges = [](VkDevice, uint32_t,
                                                             const VkMappedMemoryRange *range) {
        invalidated.push_back(*range);
        return VK_SUCCESS;
    };
    Result<gpu::Allocation> memory =
        gpu::Allocation::create(*device.value(), 1000, MemoryKind::Upload, "test");
    ASSERT_TRUE(succeeded(memory));
    EXPECT_FALSE(memory->coherent());
    EXPECT_TRUE(succeeded(memory->flush(100, 50)));
    EXPECT_TRUE(succeeded(memory->invalidate(64, 64)));
    EXPECT_TRUE(succeeded(memory->flush(960, 40))); // reaches the end: the last atom may be a part of one
    EXPECT_TRUE(succeeded(memory->flush(10, 0)));   // nothing
    ASSERT_EQ(flushed.size(), 2u);
    ASSERT_EQ(invalidated.size(), 1u);
    EXPECT_EQ(flushed[0].offset, 64u);
    EXPECT_EQ(flushed[0].size, 128u);
    EXPECT_EQ(invalidated[0].offset, 64u);
    EXPECT_EQ(invalidated[0].size, 64u);
    EXPECT_EQ(flushed[1].offset, 960u);
    const uint64_t end = flushed[1].size == VK_WHOLE_SIZE ? memory->memoryBytes() : 960 + flushed[1].size;
    EXPECT_GE(end, 1000u);
    EXPECT_LE(end, memory->memoryBytes());

    // The helpers flush and invalidate as well.
    Result<gpu::Uploader> uploader = gpu::Uploader::create(*device.value(), 256);
    ASSERT_TRUE(succeeded(uploader));
    const uint32_t sent = 77;
    uint32_t received = 0;
    ASSERT_TRUE(succeeded(uploader->upload(memory.value(), 0, &sent, 4)));
    ASSERT_TRUE(succeeded(gpu::readBack(*device.value(), memory.value(), 0, &received, 4)));
    EXPECT_EQ(received, 77u);
    EXPECT_EQ(flushed.size(), 3u);
    EXPECT_EQ(invalidated.size(), 2u);
}

TEST_F(Gpu, RangesOutsideAMappedAllocationAreRefused) {
    const gpu::Allocation upload = allocate(1000, MemoryKind::Upload);
    EXPECT_TRUE(failed(upload.flush(996, 8), StatusCode::InvalidArgument, "8 bytes at 996"));
    EXPECT_TRUE(failed(upload.invalidate(~0ull, 2), StatusCode::InvalidArgument, "of 1000 bytes"));
    const gpu::Allocation local = allocate(1000, MemoryKind::DeviceLocal);
    EXPECT_TRUE(failed(local.flush(0, 4), StatusCode::InvalidArgument, "an unmapped allocation"));
}

} // namespace
} // namespace mote::test
