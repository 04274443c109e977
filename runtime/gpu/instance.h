// The Vulkan instance and the list of physical devices behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gpu/caps.h"
#include "gpu/loader.h"
#include "gpu/vk_table.h"

namespace mote::gpu {

struct InstanceOptions {
    PFN_vkGetInstanceProcAddr getInstanceProcAddr = nullptr; // the app's; null: we open the loader
    const char *loaderPath = nullptr; // another loader library; null: the platform's names
};

// Owns a VkInstance, or refers to an app's. At a stable address: made and held by unique_ptr.
class Instance {
public:
    // NoVulkan: no loader, a loader or a driver older than Vulkan 1.1, or the instance refused to be made.
    static Result<std::unique_ptr<Instance>> create(const InstanceOptions &options);

    // An app's instance, made with apiVersion 1.1 or higher; it is not destroyed here. Only the loader fields
    // of the options are used.
    static Result<std::unique_ptr<Instance>> borrow(const InstanceOptions &options, VkInstance instance);

    Instance(const Instance &) = delete;
    Instance &operator=(const Instance &) = delete;
    ~Instance();

    VkInstance handle() const { return handle_; }
    const InstanceTable &vk() const { return table_; }

    // All physical devices in the loader's order, usable or not. Result of vkEnumeratePhysicalDevices.
    Result<std::vector<VkPhysicalDevice>> physicalDevices() const;

    // Everything known of one of them; it cannot fail, an unusable device says so in DeviceInfo::unusable.
    DeviceInfo describe(VkPhysicalDevice device, uint32_t index) const;

private:
    explicit Instance(Loader loader) : loader_(std::move(loader)) {}

    Loader loader_;
    InstanceTable table_;
    VkInstance handle_ = VK_NULL_HANDLE;
    bool owned_ = false;
};

// All devices of the machine, in the loader's order, for `mote devices`. NoVulkan where there is no
// Vulkan 1.1; an empty list where there is, but no device.
Result<std::vector<DeviceInfo>> listDevices(const InstanceOptions &options);

// Picks a usable device: by index, or else by a case-insensitive part of its name, or else the best type:
// discrete, integrated, virtual, cpu; the first of its type. index < 0 and a null or empty name mean "not
// given". NotFound lists what there is; NoVulkan where there is no usable device at all. Returns the position
// in `devices`.
Result<size_t> pickDevice(const std::vector<DeviceInfo> &devices, int index, const char *nameContains);

} // namespace mote::gpu
