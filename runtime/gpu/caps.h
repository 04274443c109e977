// What a physical device is, what the runtime may use of it, and the clamp that lowers the latter for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/vk_table.h"

namespace mote::gpu {

struct HeapCaps {
    uint64_t sizeBytes = 0;
    bool deviceLocal = false;
};

// A product that a subgroup makes together: [m][k] halfs times [k][n] halfs, added to [m][n] floats.
struct MatrixShape {
    uint32_t m = 0, n = 0, k = 0;
};

// What the rest of the runtime may use: the device's limits after the clamp. Nothing here is required beyond
// the limits that Vulkan 1.1 guarantees.
struct Caps {
    uint32_t maxWorkgroupInvocations = 0;
    uint32_t maxWorkgroupSize[3] = {};
    uint32_t maxWorkgroupCount[3] = {};
    uint32_t maxSharedBytes = 0;
    uint32_t maxStorageBuffers = 0; // in one compute stage
    uint32_t maxPushConstantBytes = 0;
    uint32_t maxTexelBufferElements = 0; // that one texel buffer binding may span
    uint64_t maxStorageBufferRange = 0;  // bytes that one binding may span
    // Bytes; Mote plans with 256, which every device accepts.
    uint64_t minStorageBufferOffsetAlignment = 0;
    uint64_t minTexelBufferOffsetAlignment = 0;
    uint64_t nonCoherentAtomBytes = 0;
    uint64_t maxAllocationBytes = 0; // one vkAllocateMemory
    uint32_t maxAllocationCount = 0;

    uint32_t subgroupSize = 0;                     // 0: no subgroup operations in compute shaders
    VkSubgroupFeatureFlags subgroupOperations = 0; // those usable in compute shaders
    bool subgroupSizeControl = false;              // a required size between the two below may be asked for
    uint32_t minSubgroupSize = 0;
    uint32_t maxSubgroupSize = 0;

    bool storage16 = false;      // 16-bit types in storage buffers
    bool fp16Arithmetic = false; // shaderFloat16
    // The driver's compiler fails at unpackHalf2x16; modules are given to it without, see unpack_half.h.
    bool noUnpackHalf = false;
    bool bufferDeviceAddress = false; // VK_KHR_buffer_device_address, and shaderInt64 to reckon with them
    // VK_KHR_cooperative_matrix with Vulkan's memory model, which it asks for; empty without.
    std::vector<MatrixShape> matrices;

    bool timestamps = false;
    uint32_t timestampValidBits = 0;
    double timestampPeriodNs = 0; // nanoseconds a tick

    bool unifiedMemory = false; // every heap is device local: host and device share their memory
    bool memoryBudget = false;  // VK_EXT_memory_budget
    std::vector<HeapCaps> heaps;
};

// Lowers Caps, for tests of what a smaller device would do. A limit of 0 is left as the device has it.
struct LimitsClamp {
    uint32_t maxWorkgroupInvocations = 0;
    uint32_t maxSharedBytes = 0;
    uint32_t maxStorageBuffers = 0;
    uint32_t maxTexelBufferElements = 0;
    uint64_t maxStorageBufferRange = 0;
    uint64_t maxAllocationBytes = 0;
    bool noSubgroups = false;
    bool noStorage16 = false;
    bool noFp16Arithmetic = false;
    bool noUnpackHalf = false;
    bool noBufferDeviceAddress = false;
    bool noTimestamps = false;
    bool noUnifiedMemory = false;
};

// The least device that Mote promises to run on: 256 invocations, 16 KiB shared, 8 storage buffers a stage,
// 65,536 texels, 128 MiB a binding, no subgroups, no 16-bit storage, no fp16 arithmetic, no buffer
// addresses, memory that the host does not see.
LimitsClamp floorClamp();

void applyClamp(const LimitsClamp &clamp, Caps &caps);

// A physical device as `mote devices` shows it.
struct DeviceInfo {
    uint32_t index = 0; // in the order of vkEnumeratePhysicalDevices
    std::string name;
    VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
    uint32_t apiVersion = 0; // VK_MAKE_API_VERSION
    uint32_t driverVersion = 0;
    uint32_t vendorId = 0;
    uint32_t deviceId = 0;
    std::string driverName; // empty where the driver does not say
    std::string driverInfo;
    uint8_t deviceUuid[VK_UUID_SIZE] = {};
    uint8_t driverUuid[VK_UUID_SIZE] = {};
    uint8_t pipelineCacheUuid[VK_UUID_SIZE] = {};
    uint32_t queueFamily = 0; // the one with compute that Mote would use
    Caps caps;                // unclamped
    std::string unusable;     // empty, or why Mote cannot use this device
};

// "discrete", "integrated", "virtual", "cpu" or "other".
const char *deviceTypeName(VkPhysicalDeviceType type);

} // namespace mote::gpu
