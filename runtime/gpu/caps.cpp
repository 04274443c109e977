#include "gpu/caps.h"

#include <algorithm>

namespace mote::gpu {

LimitsClamp floorClamp() {
    LimitsClamp clamp;
    clamp.maxWorkgroupInvocations = 256;
    clamp.maxSharedBytes = 16u << 10;
    clamp.maxStorageBuffers = 8;
    clamp.maxTexelBufferElements = 64u << 10;
    clamp.maxStorageBufferRange = 128u << 20;
    clamp.noSubgroups = true;
    clamp.noStorage16 = true;
    clamp.noFp16Arithmetic = true;
    clamp.noBufferDeviceAddress = true;
    clamp.noUnifiedMemory = true;
    return clamp;
}

namespace {

template <typename T> void lower(T limit, T &value) {
    if (limit != 0)
        value = std::min(limit, value);
}

} // namespace

void applyClamp(const LimitsClamp &clamp, Caps &caps) {
    lower(clamp.maxWorkgroupInvocations, caps.maxWorkgroupInvocations);
    for (uint32_t &size : caps.maxWorkgroupSize)
        lower(clamp.maxWorkgroupInvocations, size);
    lower(clamp.maxSharedBytes, caps.maxSharedBytes);
    lower(clamp.maxStorageBuffers, caps.maxStorageBuffers);
    lower(clamp.maxTexelBufferElements, caps.maxTexelBufferElements);
    lower(clamp.maxStorageBufferRange, caps.maxStorageBufferRange);
    lower(clamp.maxAllocationBytes, caps.maxAllocationBytes);
    if (clamp.noSubgroups) {
        caps.subgroupSize = caps.minSubgroupSize = caps.maxSubgroupSize = 0;
        caps.subgroupOperations = 0;
        caps.subgroupSizeControl = false;
    }
    caps.storage16 = caps.storage16 && !clamp.noStorage16;
    caps.fp16Arithmetic = caps.fp16Arithmetic && !clamp.noFp16Arithmetic;
    caps.bufferDeviceAddress = caps.bufferDeviceAddress && !clamp.noBufferDeviceAddress;
    caps.noUnpackHalf = caps.noUnpackHalf || clamp.noUnpackHalf;
    if (clamp.noSubgroups || clamp.noFp16Arithmetic)
        caps.matrices.clear();
    caps.timestamps = caps.timestamps && !clamp.noTimestamps;
    caps.unifiedMemory = caps.unifiedMemory && !clamp.noUnifiedMemory;
}

const char *deviceTypeName(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return "cpu";
    default:
        return "other";
    }
}

} // namespace mote::gpu
