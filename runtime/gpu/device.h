// The device: a VkDevice of our own or of the app's, its compute queue, caps, counters, log and caches.
//
//   gpu::DeviceOptions options;
//   MOTE_TRY_ASSIGN(auto device, gpu::Device::create(options));    // std::unique_ptr<gpu::Device>
//   MOTE_TRY_ASSIGN(auto weights, gpu::Allocation::create(*device, bytes, gpu::MemoryKind::DeviceLocal,
//   "weights")); MOTE_TRY_ASSIGN(const gpu::Pipeline *pipeline, device->pipelines().get(description));
//
// Everything made from a Device (allocations, command buffers, fences, ...) is destroyed before it.
//
// Threads: a Device may be used from any thread; the objects made from it by one thread at a time.
//
// Device loss is sticky: once a call has reported VK_ERROR_DEVICE_LOST, lost() is true, every later
// submission, wait or creation returns StatusCode::DeviceLost without calling Vulkan, and everything stays
// destroyable.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "gpu/caps.h"
#include "gpu/instance.h"
#include "gpu/vk_table.h"

namespace mote::gpu {

class PipelineCache;
class Queue;

enum class LogLevel { Error, Warning, Info };

// Where the library speaks; the text is one line without newline. Called from any thread that uses the
// device.
struct LogHook {
    void (*write)(void *user, LogLevel level, const char *text) = nullptr; // null: silence
    void *user = nullptr;
};

// A device that the app made and keeps: nothing of it is destroyed here, and it must outlive the Device.
struct LentDevice {
    VkInstance instance = VK_NULL_HANDLE; // made with apiVersion 1.1 or higher
    VkPhysicalDevice physicalDevice = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    uint32_t queueFamily = 0; // must support compute
    VkQueue queue = VK_NULL_HANDLE;

    // Around each use of the queue, where the app uses it too (Vulkan wants that synchronised). Both or
    // neither.
    void (*lock)(void *user) = nullptr;
    void (*unlock)(void *user) = nullptr;
    void *user = nullptr;

    // What the app enabled when it made the device; what it did not enable is not used.
    bool storage16 = false;           // storageBuffer16BitAccess
    bool fp16Arithmetic = false;      // shaderFloat16
    bool subgroupSizeControl = false; // VK_EXT_subgroup_size_control with computeFullSubgroups
    bool bufferDeviceAddress = false; // VK_KHR_buffer_device_address with its feature, and shaderInt64
    // VK_KHR_cooperative_matrix with vulkanMemoryModel, vulkanMemoryModelDeviceScope and shaderFloat16
    bool matrices = false;
};

struct DeviceOptions {
    InstanceOptions instance;
    int index = -1;                     // in the loader's order; -1: not given
    const char *nameContains = nullptr; // case-insensitive part of the device's name; null: not given
    const LentDevice *lent = nullptr;   // then index and name are not used
    LogHook log;
    const char *cacheDirectory = nullptr; // null: nothing is read from or written to disk
    uint32_t cacheVersion = 0;            // Mote's version; cache files of another version are misses
    const LimitsClamp *clamp = nullptr;   // for tests
};

// Bytes held through vkAllocateMemory.
struct MemoryUse {
    uint64_t liveBytes = 0;
    uint64_t peakBytes = 0; // highest liveBytes since creation or resetPeak()
    uint32_t liveCount = 0; // allocations
};

class Device {
public:
    // NoVulkan: no loader, no Vulkan 1.1, no device with compute. NotFound: no such index or name.
    static Result<std::unique_ptr<Device>> create(const DeviceOptions &options);

    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    // Waits for the queue, writes the pipeline cache where there is something new, destroys.
    ~Device();

    const DeviceInfo &info() const { return info_; }
    const Caps &caps() const { return caps_; } // after the clamp
    Queue &queue() { return *queue_; }
    PipelineCache &pipelines() { return *pipelines_; }

    VkDevice handle() const { return handle_; }
    VkPhysicalDevice physicalDevice() const { return physicalDevice_; }
    const Instance &instance() const { return *instance_; }
    uint32_t queueFamily() const { return queueFamily_; }
    const VkPhysicalDeviceMemoryProperties &memoryTypes() const { return memoryTypes_; }
    const std::string &cacheDirectory() const { return cacheDirectory_; } // empty: no disk
    uint32_t cacheVersion() const { return cacheVersion_; }

    // Writable so that a test can replace a function.
    DeviceTable &vk() { return table_; }

    bool lost() const { return lost_.load(std::memory_order_acquire); }
    // Ok, or DeviceLost where the device is lost. Called first by what would otherwise use a dead device.
    Status alive() const { return lost() ? lostStatus() : Status(); }

    // Turns the result of `call` (the function's name) into a status; ok for VK_SUCCESS only. Notes device
    // loss.
    Status check(VkResult result, const char *call) {
        return result == VK_SUCCESS ? Status() : failure(result, call);
    }

    // Unsigned so that all callers compare in bytes. liveBytes counts what the driver was asked for.
    MemoryUse memoryUse() const;
    void resetPeak();
    // Free bytes of a heap: from VK_EXT_memory_budget where it is there, else the heap's size less what this
    // Device holds of it. Never more than is true by those figures, but other programs may take it meanwhile.
    uint64_t availableBytes(uint32_t heapIndex) const;
    // The same for the heap that MemoryKind::DeviceLocal allocations come from.
    uint64_t availableDeviceLocalBytes() const;

    // printf-style, to the hook; costs nothing without one.
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    void
    log(LogLevel level, const char *format, ...) const;

    // For memory.cpp: keeps the counters.
    void countAllocated(uint32_t heapIndex, uint64_t bytes);
    void countFreed(uint32_t heapIndex, uint64_t bytes);

private:
    Device() = default;
    Status open(const DeviceOptions &options);
    Status openOwn(const DeviceOptions &options);
    Status openLent(const DeviceOptions &options);
    Status createOwnDevice();
    Status lostStatus() const;
    Status failure(VkResult result, const char *call);

    std::unique_ptr<Instance> instance_;
    DeviceInfo info_;
    Caps caps_;
    VkPhysicalDevice physicalDevice_ = VK_NULL_HANDLE;
    VkPhysicalDeviceMemoryProperties memoryTypes_ = {};
    VkDevice handle_ = VK_NULL_HANDLE;
    uint32_t queueFamily_ = 0;
    bool owned_ = false;
    DeviceTable table_;
    LogHook log_;
    std::string cacheDirectory_;
    uint32_t cacheVersion_ = 0;
    std::atomic<bool> lost_{false};
    std::atomic<uint64_t> liveBytes_{0};
    std::atomic<uint64_t> peakBytes_{0};
    std::atomic<uint32_t> liveCount_{0};
    std::atomic<uint64_t> heapBytes_[VK_MAX_MEMORY_HEAPS] = {};
    std::unique_ptr<Queue> queue_;
    std::unique_ptr<PipelineCache> pipelines_;
};

} // namespace mote::gpu
