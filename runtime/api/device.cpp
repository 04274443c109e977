// Devices: listing, making, describing.
#include "api/call.h"
#include "api/handles.h"

#include "gpu/instance.h"

#include <cstdio>
#include <utility>
#include <vector>

namespace mote::api {
namespace {

mote_device_type typeOf(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return MOTE_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return MOTE_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return MOTE_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return MOTE_DEVICE_CPU;
    default:
        return MOTE_DEVICE_OTHER;
    }
}

mote_device_properties propertiesOf(const gpu::DeviceInfo &info, const gpu::Caps &caps) {
    mote_device_properties properties = MOTE_DEVICE_PROPERTIES_INIT;
    properties.index = info.index;
    properties.type = typeOf(info.type);
    std::snprintf(properties.name, sizeof properties.name, "%s", info.name.c_str());
    if (info.driverName.empty())
        std::snprintf(properties.driver, sizeof properties.driver, "0x%08x", info.driverVersion);
    else
        std::snprintf(properties.driver, sizeof properties.driver, "%s%s%s", info.driverName.c_str(),
                      info.driverInfo.empty() ? "" : " ", info.driverInfo.c_str());
    properties.api_version = info.apiVersion;
    properties.vendor_id = info.vendorId;
    properties.device_id = info.deviceId;
    for (const gpu::HeapCaps &heap : caps.heaps)
        if (heap.deviceLocal && heap.sizeBytes > properties.device_local_bytes)
            properties.device_local_bytes = heap.sizeBytes;
    properties.max_allocation_bytes = caps.maxAllocationBytes;
    properties.max_storage_buffer_bytes = caps.maxStorageBufferRange;
    properties.max_workgroup_invocations = caps.maxWorkgroupInvocations;
    properties.max_shared_memory_bytes = caps.maxSharedBytes;
    properties.subgroup_size = caps.subgroupSize;
    properties.has_fp16_arithmetic = caps.fp16Arithmetic;
    properties.has_16bit_storage = caps.storage16;
    properties.has_timestamps = caps.timestamps;
    return properties;
}

void writeLog(void *user, gpu::LogLevel level, const char *text) {
    const auto &state = *static_cast<const DeviceState *>(user);
    switch (level) {
    case gpu::LogLevel::Info:
        return state.log(state.logUser, MOTE_LOG_INFO, text);
    case gpu::LogLevel::Warning:
        return state.log(state.logUser, MOTE_LOG_WARNING, text);
    case gpu::LogLevel::Error:
        return state.log(state.logUser, MOTE_LOG_ERROR, text);
    }
}

Status readLent(const mote_vulkan_device *from, gpu::LentDevice &lent, gpu::InstanceOptions &instance) {
    mote_vulkan_device given = MOTE_VULKAN_DEVICE_INIT;
    MOTE_TRY(readDescriptor(from, given, "mote_vulkan_device"));
    const struct {
        const void *value;
        const char *name;
    } needed[] = {{given.get_instance_proc_addr, "get_instance_proc_addr"},
                  {given.instance, "instance"},
                  {given.physical_device, "physical_device"},
                  {given.device, "device"},
                  {given.queue, "queue"}};
    for (const auto &field : needed)
        if (field.value == nullptr)
            return makeStatus(StatusCode::InvalidArgument, "mote_vulkan_device.%s is null", field.name);
    if ((given.lock == nullptr) != (given.unlock == nullptr))
        return makeStatus(StatusCode::InvalidArgument,
                          "mote_vulkan_device.lock and unlock: found one, expected "
                          "both or neither");
    // Function pointers travel as void pointers in C, as POSIX's dlsym has it.
    static_assert(sizeof instance.getInstanceProcAddr == sizeof given.get_instance_proc_addr, "");
    std::memcpy(&instance.getInstanceProcAddr, &given.get_instance_proc_addr,
                sizeof given.get_instance_proc_addr);
    lent.instance = static_cast<VkInstance>(given.instance);
    lent.physicalDevice = static_cast<VkPhysicalDevice>(given.physical_device);
    lent.device = static_cast<VkDevice>(given.device);
    lent.queue = static_cast<VkQueue>(given.queue);
    lent.queueFamily = given.queue_family;
    lent.lock = given.lock;
    lent.unlock = given.unlock;
    lent.user = given.user;
    return {};
}

} // namespace
} // namespace mote::api

using namespace mote;
using namespace mote::api;

mote_status mote_enumerate_devices(mote_device_properties *devices, uint32_t *count) {
    return guarded([&]() -> Status {
        if (count == nullptr)
            return nullArgument("mote_enumerate_devices", "count");
        if (devices == nullptr && *count != 0)
            return nullArgument("mote_enumerate_devices", "devices (with *count > 0)");
        size_t size = 0;
        for (uint32_t i = 0; i < *count; ++i) {
            // The first element's size is the distance from each to the next.
            auto *element =
                reinterpret_cast<mote_device_properties *>(reinterpret_cast<char *>(devices) + i * size);
            size_t ownSize = 0;
            MOTE_TRY(outputSize(element, "mote_device_properties", sizeof(mote_device_properties), ownSize));
            if (i > 0 && ownSize != size)
                return makeStatus(
                    StatusCode::InvalidArgument,
                    "mote_device_properties.struct_size: found %zu in element %u, expected %zu as in "
                    "the first",
                    ownSize, i, size);
            size = ownSize;
        }
        MOTE_TRY_ASSIGN(const std::vector<gpu::DeviceInfo> all, gpu::listDevices({}));
        uint32_t usable = 0;
        for (const gpu::DeviceInfo &info : all) {
            if (!info.unusable.empty())
                continue;
            if (usable < *count)
                writeOutput(propertiesOf(info, info.caps),
                            reinterpret_cast<mote_device_properties *>(reinterpret_cast<char *>(devices) +
                                                                       usable * size),
                            size);
            ++usable;
        }
        if (usable == 0)
            return makeStatus(StatusCode::NoVulkan,
                              "no Vulkan device with compute: %zu found, none usable%s%s", all.size(),
                              all.empty() ? "" : "; the first: ", all.empty() ? "" : all[0].unusable.c_str());
        *count = usable;
        return {};
    });
}

mote_status mote_device_create(const mote_device_desc *desc, mote_device **device) {
    return guarded([&]() -> Status {
        if (device == nullptr)
            return nullArgument("mote_device_create", "device");
        mote_device_desc given = MOTE_DEVICE_DESC_INIT;
        if (desc != nullptr)
            MOTE_TRY(readDescriptor(desc, given, "mote_device_desc"));
        auto state = std::make_shared<DeviceState>();
        state->log = given.log;
        state->logUser = given.log_user;
        gpu::DeviceOptions options;
        options.index = given.index;
        options.nameContains = given.name;
        options.cacheDirectory = given.cache_directory;
        options.cacheVersion = MOTE_VERSION;
        if (given.log != nullptr)
            options.log = {writeLog, state.get()};
        gpu::LentDevice lent;
        if (given.vulkan != nullptr) {
            MOTE_TRY(readLent(given.vulkan, lent, options.instance));
            options.lent = &lent;
        }
        MOTE_TRY_ASSIGN(state->device, gpu::Device::create(options));
        *device = new mote_device{std::move(state)};
        return {};
    });
}

void mote_device_destroy(mote_device *device) {
    delete device;
}

mote_status mote_device_get_properties(const mote_device *device, mote_device_properties *properties) {
    return guarded([&]() -> Status {
        if (device == nullptr)
            return nullArgument("mote_device_get_properties", "device");
        if (properties == nullptr)
            return nullArgument("mote_device_get_properties", "properties");
        size_t size = 0;
        MOTE_TRY(outputSize(properties, "mote_device_properties", sizeof(mote_device_properties), size));
        const gpu::Device &of = *device->state->device;
        writeOutput(propertiesOf(of.info(), of.caps()), properties, size);
        return {};
    });
}
