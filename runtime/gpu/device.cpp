#include "gpu/device.h"

#include <cstdarg>
#include <cstdio>

#include "gpu/memory.h"
#include "gpu/pipeline.h"
#include "gpu/queue.h"

namespace mote::gpu {

Result<std::unique_ptr<Device>> Device::create(const DeviceOptions &options) {
    std::unique_ptr<Device> device(new Device());
    MOTE_TRY(device->open(options));
    return device;
}

Status Device::open(const DeviceOptions &options) {
    log_ = options.log;
    if (options.cacheDirectory != nullptr)
        cacheDirectory_ = options.cacheDirectory;
    cacheVersion_ = options.cacheVersion;
    VkQueue queue = VK_NULL_HANDLE;
    if (options.lent != nullptr) {
        MOTE_TRY(openLent(options));
        queue = options.lent->queue;
        queue_ = std::make_unique<Queue>(*this, queue, options.lent->lock, options.lent->unlock,
                                         options.lent->user);
    } else {
        MOTE_TRY(openOwn(options));
        table_.vkGetDeviceQueue(handle_, queueFamily_, 0, &queue);
        queue_ = std::make_unique<Queue>(*this, queue, nullptr, nullptr, nullptr);
    }
    if (table_.vkGetBufferDeviceAddressKHR == nullptr)
        caps_.bufferDeviceAddress = false;
    VkPhysicalDeviceMemoryProperties2 memory = {};
    memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
    instance_->vk().vkGetPhysicalDeviceMemoryProperties2(physicalDevice_, &memory);
    memoryTypes_ = memory.memoryProperties;
    MOTE_TRY_ASSIGN(pipelines_, PipelineCache::create(*this));
    log(LogLevel::Info, "device %u '%s' (%s), Vulkan %u.%u.%u, %s %s", info_.index, info_.name.c_str(),
        deviceTypeName(info_.type), VK_API_VERSION_MAJOR(info_.apiVersion),
        VK_API_VERSION_MINOR(info_.apiVersion), VK_API_VERSION_PATCH(info_.apiVersion),
        info_.driverName.c_str(), info_.driverInfo.c_str());
    return {};
}

Status Device::openOwn(const DeviceOptions &options) {
    MOTE_TRY_ASSIGN(instance_, Instance::create(options.instance));
    MOTE_TRY_ASSIGN(const std::vector<VkPhysicalDevice> handles, instance_->physicalDevices());
    std::vector<DeviceInfo> infos;
    for (size_t i = 0; i < handles.size(); ++i)
        infos.push_back(instance_->describe(handles[i], static_cast<uint32_t>(i)));
    MOTE_TRY_ASSIGN(const size_t picked, pickDevice(infos, options.index, options.nameContains));
    physicalDevice_ = handles[picked];
    info_ = infos[picked];
    queueFamily_ = info_.queueFamily;
    caps_ = info_.caps;
    if (options.clamp != nullptr)
        applyClamp(*options.clamp, caps_);
    return createOwnDevice();
}

Status Device::createOwnDevice() {
    // Only what the (clamped) caps say is enabled, so that validation notices a shader that uses more.
    std::vector<const char *> extensions;
    VkPhysicalDeviceFeatures2 features = {};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    void **tail = &features.pNext;
    VkPhysicalDevice16BitStorageFeatures storage16 = {};
    storage16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    storage16.storageBuffer16BitAccess = VK_TRUE;
    if (caps_.storage16) {
        *tail = &storage16;
        tail = &storage16.pNext;
    }
    VkPhysicalDeviceShaderFloat16Int8Features float16 = {};
    float16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    float16.shaderFloat16 = VK_TRUE;
    if (caps_.fp16Arithmetic) {
        extensions.push_back(VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
        *tail = &float16;
        tail = &float16.pNext;
    }
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizeControl = {};
    sizeControl.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT;
    sizeControl.subgroupSizeControl = VK_TRUE;
    sizeControl.computeFullSubgroups = VK_TRUE;
    if (caps_.subgroupSizeControl) {
        extensions.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
        *tail = &sizeControl;
        tail = &sizeControl.pNext;
    }
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices = {};
    matrices.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    matrices.cooperativeMatrix = VK_TRUE;
    VkPhysicalDeviceVulkanMemoryModelFeatures memoryModel = {};
    memoryModel.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
    memoryModel.vulkanMemoryModel = VK_TRUE;
    memoryModel.vulkanMemoryModelDeviceScope =
        VK_TRUE; // or the atomics of other kernels are not valid any more
    if (!caps_.matrices.empty()) {
        extensions.push_back(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME);
        extensions.push_back(VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
        matrices.pNext = &memoryModel;
        *tail = &matrices;
        tail = &memoryModel.pNext;
    }
    VkPhysicalDeviceBufferDeviceAddressFeatures addresses = {};
    addresses.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
    addresses.bufferDeviceAddress = VK_TRUE;
    if (caps_.bufferDeviceAddress) {
        extensions.push_back(VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME);
        features.features.shaderInt64 = VK_TRUE;
        *tail = &addresses;
        tail = &addresses.pNext;
    }
    if (caps_.memoryBudget)
        extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);

    const float priority = 1.0f;
    VkDeviceQueueCreateInfo queue = {};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueFamilyIndex = queueFamily_;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkDeviceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &features;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    VkDevice handle = VK_NULL_HANDLE;
    const VkResult result = instance_->vk().vkCreateDevice(physicalDevice_, &info, nullptr, &handle);
    if (result != VK_SUCCESS) {
        Status status = check(result, "vkCreateDevice");
        status.message += " for '" + info_.name + "'";
        return status;
    }
    handle_ = handle;
    owned_ = true;
    Status loaded = loadTable(instance_->vk().vkGetDeviceProcAddr, handle_, table_);
    if (!loaded.ok() && table_.vkDestroyDevice == nullptr)
        owned_ = false; // a device without its own destroy function cannot be destroyed
    return loaded;
}

Status Device::openLent(const DeviceOptions &options) {
    const LentDevice &lent = *options.lent;
    if (lent.instance == VK_NULL_HANDLE || lent.physicalDevice == VK_NULL_HANDLE ||
        lent.device == VK_NULL_HANDLE || lent.queue == VK_NULL_HANDLE)
        return makeStatus(StatusCode::InvalidArgument,
                          "a lent device needs instance, physical device, device and queue");
    if ((lent.lock == nullptr) != (lent.unlock == nullptr))
        return makeStatus(StatusCode::InvalidArgument,
                          "a lent device needs both lock and unlock, or neither");
    MOTE_TRY_ASSIGN(instance_, Instance::borrow(options.instance, lent.instance));
    physicalDevice_ = lent.physicalDevice;
    info_ = instance_->describe(physicalDevice_, 0);
    MOTE_TRY_ASSIGN(const std::vector<VkPhysicalDevice> handles, instance_->physicalDevices());
    for (size_t i = 0; i < handles.size(); ++i)
        if (handles[i] == physicalDevice_)
            info_.index = static_cast<uint32_t>(i);
    if (!info_.unusable.empty())
        return makeStatus(StatusCode::NoVulkan, "the lent device '%s' cannot be used: %s", info_.name.c_str(),
                          info_.unusable.c_str());

    uint32_t familyCount = 0;
    instance_->vk().vkGetPhysicalDeviceQueueFamilyProperties(physicalDevice_, &familyCount, nullptr);
    std::vector<VkQueueFamilyProperties> families(familyCount);
    instance_->vk().vkGetPhysicalDeviceQueueFamilyProperties(physicalDevice_, &familyCount, families.data());
    if (lent.queueFamily >= familyCount)
        return makeStatus(StatusCode::InvalidArgument,
                          "the lent queue family %u is not one of the device's %u", lent.queueFamily,
                          familyCount);
    if ((families[lent.queueFamily].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0)
        return makeStatus(StatusCode::InvalidArgument, "the lent queue family %u cannot compute",
                          lent.queueFamily);
    queueFamily_ = info_.queueFamily = lent.queueFamily;
    info_.caps.timestampValidBits = families[queueFamily_].timestampValidBits;
    info_.caps.timestamps = info_.caps.timestampValidBits != 0 && info_.caps.timestampPeriodNs > 0;

    caps_ = info_.caps;
    caps_.storage16 = caps_.storage16 && lent.storage16;
    caps_.fp16Arithmetic = caps_.fp16Arithmetic && lent.fp16Arithmetic;
    caps_.subgroupSizeControl = caps_.subgroupSizeControl && lent.subgroupSizeControl;
    caps_.bufferDeviceAddress = caps_.bufferDeviceAddress && lent.bufferDeviceAddress;
    if (!lent.matrices)
        caps_.matrices.clear();
    if (options.clamp != nullptr)
        applyClamp(*options.clamp, caps_);
    handle_ = lent.device;
    return loadTable(instance_->vk().vkGetDeviceProcAddr, handle_, table_);
}

Device::~Device() {
    if (queue_ != nullptr) {
        const Status idle = queue_->waitIdle();
        if (!idle.ok())
            log(LogLevel::Warning, "while closing the device: %s", idle.message.c_str());
    }
    if (pipelines_ != nullptr) {
        const Status saved = pipelines_->save();
        if (!saved.ok())
            log(LogLevel::Warning, "the pipeline cache was not written: %s", saved.message.c_str());
    }
    pipelines_.reset();
    queue_.reset();
    if (owned_)
        table_.vkDestroyDevice(handle_, nullptr);
}

Status Device::lostStatus() const {
    return makeStatus(StatusCode::DeviceLost, "the device '%s' is lost", info_.name.c_str());
}

Status Device::failure(VkResult result, const char *call) {
    StatusCode code = StatusCode::Internal;
    switch (result) {
    case VK_NOT_READY:
    case VK_TIMEOUT:
        code = StatusCode::NotReady;
        break;
    case VK_ERROR_DEVICE_LOST:
        code = StatusCode::DeviceLost;
        if (!lost_.exchange(true, std::memory_order_acq_rel))
            log(LogLevel::Error, "%s: the device '%s' is lost", call, info_.name.c_str());
        break;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED:
        code = StatusCode::OutOfMemory;
        break;
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_INVALID_SHADER_NV:
        code = StatusCode::Unsupported;
        break;
    default:
        break;
    }
    return makeStatus(code, "%s returned %s", call, resultName(result).c_str());
}

MemoryUse Device::memoryUse() const {
    MemoryUse use;
    use.liveBytes = liveBytes_.load(std::memory_order_relaxed);
    use.peakBytes = peakBytes_.load(std::memory_order_relaxed);
    use.liveCount = liveCount_.load(std::memory_order_relaxed);
    return use;
}

void Device::resetPeak() {
    peakBytes_.store(liveBytes_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

void Device::countAllocated(uint32_t heapIndex, uint64_t bytes) {
    heapBytes_[heapIndex].fetch_add(bytes, std::memory_order_relaxed);
    liveCount_.fetch_add(1, std::memory_order_relaxed);
    const uint64_t live = liveBytes_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    uint64_t peak = peakBytes_.load(std::memory_order_relaxed);
    while (peak < live && !peakBytes_.compare_exchange_weak(peak, live, std::memory_order_relaxed)) {
    }
}

void Device::countFreed(uint32_t heapIndex, uint64_t bytes) {
    heapBytes_[heapIndex].fetch_sub(bytes, std::memory_order_relaxed);
    liveBytes_.fetch_sub(bytes, std::memory_order_relaxed);
    liveCount_.fetch_sub(1, std::memory_order_relaxed);
}

uint64_t Device::availableBytes(uint32_t heapIndex) const {
    if (heapIndex >= memoryTypes_.memoryHeapCount)
        return 0;
    uint64_t total = memoryTypes_.memoryHeaps[heapIndex].size;
    uint64_t used = heapBytes_[heapIndex].load(std::memory_order_relaxed);
    if (caps_.memoryBudget) {
        VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {};
        budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
        VkPhysicalDeviceMemoryProperties2 memory = {};
        memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
        memory.pNext = &budget;
        instance_->vk().vkGetPhysicalDeviceMemoryProperties2(physicalDevice_, &memory);
        total = budget.heapBudget[heapIndex];
        used = budget.heapUsage[heapIndex];
    }
    return total > used ? total - used : 0;
}

uint64_t Device::availableDeviceLocalBytes() const {
    const int type = chooseMemoryType(memoryTypes_, ~0u, MemoryKind::DeviceLocal, caps_.unifiedMemory);
    return type < 0 ? 0 : availableBytes(memoryTypes_.memoryTypes[type].heapIndex);
}

void Device::log(LogLevel level, const char *format, ...) const {
    if (log_.write == nullptr)
        return;
    char text[1024]; // longer lines are cut
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_.write(log_.user, level, text);
}

} // namespace mote::gpu
