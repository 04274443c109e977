#include "gpu/vk_table.h"

namespace mote::gpu {

// The loader hands out functions of one type, to be cast to their own.
#define MOTE_VK_REQUIRED(name)                                                                               \
    table.name = reinterpret_cast<PFN_##name>(find(#name));                                                  \
    if (table.name == nullptr)                                                                               \
        return makeStatus(StatusCode::NoVulkan, "%s: function missing, Vulkan 1.1 is needed", #name);
#define MOTE_VK_OPTIONAL(name) table.name = reinterpret_cast<PFN_##name>(find(#name));

Status loadTable(PFN_vkGetInstanceProcAddr getInstanceProcAddr, LoaderTable &table) {
    const auto find = [&](const char *name) { return getInstanceProcAddr(VK_NULL_HANDLE, name); };
    MOTE_VK_LOADER_FUNCTIONS(MOTE_VK_REQUIRED, MOTE_VK_OPTIONAL)
    return {};
}

Status loadTable(PFN_vkGetInstanceProcAddr getInstanceProcAddr, VkInstance instance, InstanceTable &table) {
    const auto find = [&](const char *name) { return getInstanceProcAddr(instance, name); };
    MOTE_VK_INSTANCE_FUNCTIONS(MOTE_VK_REQUIRED, MOTE_VK_OPTIONAL)
    return {};
}

Status loadTable(PFN_vkGetDeviceProcAddr getDeviceProcAddr, VkDevice device, DeviceTable &table) {
    const auto find = [&](const char *name) { return getDeviceProcAddr(device, name); };
    MOTE_VK_DEVICE_FUNCTIONS(MOTE_VK_REQUIRED, MOTE_VK_OPTIONAL)
    return {};
}

#undef MOTE_VK_REQUIRED
#undef MOTE_VK_OPTIONAL

std::string resultName(VkResult result) {
#define MOTE_VK_RESULT(name)                                                                                 \
    case name:                                                                                               \
        return #name;
    switch (result) {
        MOTE_VK_RESULT(VK_SUCCESS)
        MOTE_VK_RESULT(VK_NOT_READY)
        MOTE_VK_RESULT(VK_TIMEOUT)
        MOTE_VK_RESULT(VK_INCOMPLETE)
        MOTE_VK_RESULT(VK_ERROR_OUT_OF_HOST_MEMORY)
        MOTE_VK_RESULT(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        MOTE_VK_RESULT(VK_ERROR_INITIALIZATION_FAILED)
        MOTE_VK_RESULT(VK_ERROR_DEVICE_LOST)
        MOTE_VK_RESULT(VK_ERROR_MEMORY_MAP_FAILED)
        MOTE_VK_RESULT(VK_ERROR_LAYER_NOT_PRESENT)
        MOTE_VK_RESULT(VK_ERROR_EXTENSION_NOT_PRESENT)
        MOTE_VK_RESULT(VK_ERROR_FEATURE_NOT_PRESENT)
        MOTE_VK_RESULT(VK_ERROR_INCOMPATIBLE_DRIVER)
        MOTE_VK_RESULT(VK_ERROR_TOO_MANY_OBJECTS)
        MOTE_VK_RESULT(VK_ERROR_FRAGMENTED_POOL)
        MOTE_VK_RESULT(VK_ERROR_UNKNOWN)
        MOTE_VK_RESULT(VK_ERROR_OUT_OF_POOL_MEMORY)
        MOTE_VK_RESULT(VK_ERROR_INVALID_SHADER_NV)
    default:
        return "VkResult " + std::to_string(static_cast<int>(result));
    }
#undef MOTE_VK_RESULT
}

} // namespace mote::gpu
