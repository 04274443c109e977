#include "gpu/caps.h"

#include "gpu/gpu_test.h"
#include "gpu/instance.h"

namespace mote::test {
namespace {

gpu::DeviceInfo described(uint32_t index, const char *name, VkPhysicalDeviceType type,
                          const char *unusable = "") {
    gpu::DeviceInfo info;
    info.index = index;
    info.name = name;
    info.type = type;
    info.unusable = unusable;
    return info;
}

const std::vector<gpu::DeviceInfo> kMachine = {
    described(0, "llvmpipe (LLVM 15)", VK_PHYSICAL_DEVICE_TYPE_CPU),
    described(1, "Board GPU", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU),
    described(2, "Old Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, "it has Vulkan 1.0, 1.1 is needed"),
    described(3, "First Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU),
    described(4, "Second Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU),
    described(5, "Guest", VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU),
};

TEST(PickDevice, PrefersDiscreteThenIntegratedThenVirtualThenCpu) {
    std::vector<gpu::DeviceInfo> machine = kMachine;
    const char *const order[] = {"First Card", "Second Card", "Board GPU", "Guest", "llvmpipe (LLVM 15)"};
    for (const char *name : order) {
        const Result<size_t> picked = gpu::pickDevice(machine, -1, nullptr);
        ASSERT_TRUE(succeeded(picked));
        EXPECT_EQ(machine[picked.value()].name, name);
        machine.erase(machine.begin() + static_cast<std::ptrdiff_t>(picked.value()));
    }
    EXPECT_TRUE(failed(gpu::pickDevice(machine, -1, nullptr).status(), StatusCode::NoVulkan,
                       "2 'Old Card' (cannot be used: it has Vulkan 1.0, 1.1 is needed)"));
}

TEST(PickDevice, TakesTheIndexAskedFor) {
    const Result<size_t> picked = gpu::pickDevice(kMachine, 5, nullptr);
    ASSERT_TRUE(succeeded(picked));
    EXPECT_EQ(picked.value(), 5u);
}

TEST(PickDevice, TakesTheBestWhoseNameHoldsThePartInAnyCase) {
    const Result<size_t> cards = gpu::pickDevice(kMachine, -1, "cArD");
    ASSERT_TRUE(succeeded(cards));
    EXPECT_EQ(cards.value(), 3u);
    const Result<size_t> board = gpu::pickDevice(kMachine, -1, "board gpu");
    ASSERT_TRUE(succeeded(board));
    EXPECT_EQ(board.value(), 1u);
}

TEST(PickDevice, ListsWhatThereIsWhenNothingMatches) {
    EXPECT_TRUE(failed(gpu::pickDevice(kMachine, -1, "Radeon").status(), StatusCode::NotFound,
                       "no device named like 'Radeon'; there are: 0 'llvmpipe (LLVM 15)', 1 'Board GPU'"));
    EXPECT_TRUE(failed(gpu::pickDevice(kMachine, 6, nullptr).status(), StatusCode::NotFound, "no device 6"));
    EXPECT_TRUE(failed(gpu::pickDevice(kMachine, 2, nullptr).status(), StatusCode::NotFound, "no device 2"));
    EXPECT_TRUE(failed(gpu::pickDevice({}, -1, nullptr).status(), StatusCode::NoVulkan, "no device"));
}

gpu::Caps largeCaps() {
    gpu::Caps caps;
    caps.maxWorkgroupInvocations = 1024;
    caps.maxWorkgroupSize[0] = caps.maxWorkgroupSize[1] = 1024;
    caps.maxWorkgroupSize[2] = 64;
    caps.maxSharedBytes = 48u << 10;
    caps.maxStorageBuffers = 1u << 20;
    caps.maxTexelBufferElements = 1u << 28;
    caps.maxStorageBufferRange = ~0u;
    caps.maxAllocationBytes = 4ull << 30;
    caps.subgroupSize = caps.minSubgroupSize = 32;
    caps.maxSubgroupSize = 64;
    caps.subgroupOperations = VK_SUBGROUP_FEATURE_BASIC_BIT;
    caps.subgroupSizeControl = true;
    caps.storage16 = caps.fp16Arithmetic = caps.bufferDeviceAddress = caps.timestamps = true;
    caps.matrices = {{16, 16, 16}};
    return caps;
}

TEST(LimitsClamp, FloorIsTheLeastDeviceThatIsPromised) {
    gpu::Caps caps = largeCaps();
    gpu::applyClamp(gpu::floorClamp(), caps);
    EXPECT_EQ(caps.maxWorkgroupInvocations, 256u);
    EXPECT_EQ(caps.maxWorkgroupSize[0], 256u);
    EXPECT_EQ(caps.maxWorkgroupSize[2], 64u);
    EXPECT_EQ(caps.maxSharedBytes, 16384u);
    EXPECT_EQ(caps.maxStorageBuffers, 8u);
    EXPECT_EQ(caps.maxTexelBufferElements, 65536u);
    EXPECT_EQ(caps.maxStorageBufferRange, 128u << 20);
    EXPECT_EQ(caps.maxAllocationBytes, 4ull << 30);
    EXPECT_EQ(caps.subgroupSize, 0u);
    EXPECT_EQ(caps.subgroupOperations, 0u);
    EXPECT_FALSE(caps.subgroupSizeControl);
    EXPECT_FALSE(caps.storage16);
    EXPECT_FALSE(caps.fp16Arithmetic);
    EXPECT_FALSE(caps.bufferDeviceAddress);
    EXPECT_TRUE(caps.matrices.empty());
    EXPECT_TRUE(caps.timestamps);
    EXPECT_FALSE(caps.noUnpackHalf);
}

TEST(LimitsClamp, NeverRaisesALimitAndLeavesTheRest) {
    gpu::Caps caps = largeCaps();
    gpu::LimitsClamp clamp;
    clamp.maxSharedBytes = 1u << 30;
    clamp.maxAllocationBytes = 1u << 20;
    clamp.noTimestamps = true;
    clamp.noUnpackHalf = true;
    gpu::applyClamp(clamp, caps);
    EXPECT_EQ(caps.maxSharedBytes, 48u << 10);
    EXPECT_EQ(caps.maxAllocationBytes, 1u << 20);
    EXPECT_EQ(caps.maxWorkgroupInvocations, 1024u);
    EXPECT_EQ(caps.subgroupSize, 32u);
    EXPECT_TRUE(caps.storage16);
    EXPECT_TRUE(caps.fp16Arithmetic);
    EXPECT_TRUE(caps.bufferDeviceAddress);
    EXPECT_EQ(caps.matrices.size(), 1u);
    EXPECT_FALSE(caps.timestamps);
    EXPECT_TRUE(caps.noUnpackHalf);
}

} // namespace
} // namespace mote::test
