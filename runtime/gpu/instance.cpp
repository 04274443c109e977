#include "gpu/instance.h"

#include <cctype>
#include <cstring>

namespace mote::gpu {

namespace {

Status instanceFailure(const char *call, VkResult result) {
    const bool memory = result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
    return makeStatus(memory ? StatusCode::OutOfMemory : StatusCode::NoVulkan, "%s returned %s", call,
                      resultName(result).c_str());
}

} // namespace

Result<std::unique_ptr<Instance>> Instance::create(const InstanceOptions &options) {
    MOTE_TRY_ASSIGN(Loader loader, Loader::open(options.getInstanceProcAddr, options.loaderPath));
    const PFN_vkGetInstanceProcAddr getInstanceProcAddr = loader.getInstanceProcAddr();
    LoaderTable loaderTable;
    MOTE_TRY(loadTable(getInstanceProcAddr, loaderTable));
    uint32_t version = VK_API_VERSION_1_0; // of a loader that has no function to tell
    if (loaderTable.vkEnumerateInstanceVersion != nullptr &&
        loaderTable.vkEnumerateInstanceVersion(&version) != VK_SUCCESS)
        return makeStatus(StatusCode::NoVulkan, "the Vulkan loader does not tell its version");
    if (version < VK_API_VERSION_1_1)
        return makeStatus(StatusCode::NoVulkan, "the Vulkan loader is of version %u.%u, 1.1 is needed",
                          VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));

    VkApplicationInfo application = {};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.pEngineName = "mote";
    application.apiVersion = VK_API_VERSION_1_1;
    VkInstanceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;

    std::unique_ptr<Instance> instance(new Instance(std::move(loader)));
    VkInstance handle = VK_NULL_HANDLE;
    const VkResult created = loaderTable.vkCreateInstance(&info, nullptr, &handle);
    if (created == VK_ERROR_INCOMPATIBLE_DRIVER)
        return makeStatus(StatusCode::NoVulkan, "there is no Vulkan driver (vkCreateInstance returned %s)",
                          resultName(created).c_str());
    if (created != VK_SUCCESS)
        return instanceFailure("vkCreateInstance", created);
    instance->handle_ = handle;
    instance->owned_ = true;
    MOTE_TRY(loadTable(getInstanceProcAddr, handle, instance->table_));
    return instance;
}

Result<std::unique_ptr<Instance>> Instance::borrow(const InstanceOptions &options, VkInstance handle) {
    MOTE_TRY_ASSIGN(Loader loader, Loader::open(options.getInstanceProcAddr, options.loaderPath));
    std::unique_ptr<Instance> instance(new Instance(std::move(loader)));
    instance->handle_ = handle;
    MOTE_TRY(loadTable(instance->loader_.getInstanceProcAddr(), handle, instance->table_));
    return instance;
}

Instance::~Instance() {
    if (owned_ && table_.vkDestroyInstance != nullptr)
        table_.vkDestroyInstance(handle_, nullptr);
}

Result<std::vector<VkPhysicalDevice>> Instance::physicalDevices() const {
    std::vector<VkPhysicalDevice> devices;
    for (;;) { // VK_INCOMPLETE: a device came between the two calls
        uint32_t count = 0;
        VkResult result = table_.vkEnumeratePhysicalDevices(handle_, &count, nullptr);
        if (result == VK_SUCCESS) {
            devices.resize(count);
            result = table_.vkEnumeratePhysicalDevices(handle_, &count, devices.data());
        }
        if (result == VK_INCOMPLETE)
            continue;
        if (result != VK_SUCCESS)
            return instanceFailure("vkEnumeratePhysicalDevices", result);
        devices.resize(count);
        return devices;
    }
}

namespace {

std::vector<VkExtensionProperties> extensionsOf(const InstanceTable &vk, VkPhysicalDevice device) {
    std::vector<VkExtensionProperties> extensions;
    uint32_t count = 0;
    if (vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr) != VK_SUCCESS)
        return extensions;
    extensions.resize(count);
    // VK_INCOMPLETE leaves a shorter list, which is as good: extensions are used when present, never
    // required.
    if (vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data()) < 0)
        count = 0;
    extensions.resize(count);
    return extensions;
}

bool contains(const std::vector<VkExtensionProperties> &extensions, const char *name) {
    for (const VkExtensionProperties &extension : extensions)
        if (std::strcmp(extension.extensionName, name) == 0)
            return true;
    return false;
}

// A family that computes without drawing leaves the display alone, and its watchdog is more patient. One that
// keeps time is preferred among equals.
int chooseQueueFamily(const std::vector<VkQueueFamilyProperties> &families) {
    int best = -1;
    int bestScore = -1;
    for (size_t i = 0; i < families.size(); ++i) {
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0)
            continue;
        const int score = ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0 ? 1 : 0) +
                          (families[i].timestampValidBits != 0 ? 2 : 0);
        if (score > bestScore) {
            best = static_cast<int>(i);
            bestScore = score;
        }
    }
    return best;
}

// Appends a structure to a pNext chain.
template <typename T> void append(void **&tail, T &structure, VkStructureType type) {
    structure = {};
    structure.sType = type;
    *tail = &structure;
    tail = &structure.pNext;
}

void readLimits(const VkPhysicalDeviceLimits &limits, Caps &caps) {
    caps.maxWorkgroupInvocations = limits.maxComputeWorkGroupInvocations;
    for (int i = 0; i < 3; ++i) {
        caps.maxWorkgroupSize[i] = limits.maxComputeWorkGroupSize[i];
        caps.maxWorkgroupCount[i] = limits.maxComputeWorkGroupCount[i];
    }
    caps.maxSharedBytes = limits.maxComputeSharedMemorySize;
    caps.maxStorageBuffers = limits.maxPerStageDescriptorStorageBuffers;
    if (limits.maxDescriptorSetStorageBuffers < caps.maxStorageBuffers)
        caps.maxStorageBuffers = limits.maxDescriptorSetStorageBuffers;
    caps.maxPushConstantBytes = limits.maxPushConstantsSize;
    caps.maxTexelBufferElements = limits.maxTexelBufferElements;
    caps.maxStorageBufferRange = limits.maxStorageBufferRange;
    caps.minStorageBufferOffsetAlignment = limits.minStorageBufferOffsetAlignment;
    caps.minTexelBufferOffsetAlignment = limits.minTexelBufferOffsetAlignment;
    caps.nonCoherentAtomBytes = limits.nonCoherentAtomSize;
    caps.maxAllocationCount = limits.maxMemoryAllocationCount;
    caps.timestampPeriodNs = static_cast<double>(limits.timestampPeriod);
}

// Of halfs with sums in fp32. Asked only where the extension is there: elsewhere a loader's function may lead
// nowhere.
std::vector<MatrixShape> matricesOf(const InstanceTable &vk, VkPhysicalDevice device) {
    std::vector<MatrixShape> shapes;
    uint32_t count = 0;
    if (vk.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR == nullptr ||
        vk.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, nullptr) != VK_SUCCESS)
        return shapes;
    VkCooperativeMatrixPropertiesKHR empty = {};
    empty.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    std::vector<VkCooperativeMatrixPropertiesKHR> all(count, empty);
    // VK_INCOMPLETE leaves a shorter list, which is as good.
    if (vk.vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, all.data()) < 0)
        return shapes;
    all.resize(count);
    for (const VkCooperativeMatrixPropertiesKHR &one : all)
        if (one.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && one.BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
            one.CType == VK_COMPONENT_TYPE_FLOAT32_KHR && one.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
            one.scope == VK_SCOPE_SUBGROUP_KHR)
            shapes.push_back({one.MSize, one.NSize, one.KSize});
    return shapes;
}

} // namespace

DeviceInfo Instance::describe(VkPhysicalDevice device, uint32_t index) const {
    DeviceInfo info;
    info.index = index;
    VkPhysicalDeviceProperties basic = {};
    table_.vkGetPhysicalDeviceProperties(device, &basic);
    info.name = basic.deviceName;
    info.type = basic.deviceType;
    info.apiVersion = basic.apiVersion;
    info.driverVersion = basic.driverVersion;
    info.vendorId = basic.vendorID;
    info.deviceId = basic.deviceID;
    std::memcpy(info.pipelineCacheUuid, basic.pipelineCacheUUID, VK_UUID_SIZE);
    readLimits(basic.limits, info.caps);
    if (basic.apiVersion < VK_API_VERSION_1_1) {
        info.unusable = "it has Vulkan " + std::to_string(VK_API_VERSION_MAJOR(basic.apiVersion)) + "." +
                        std::to_string(VK_API_VERSION_MINOR(basic.apiVersion)) + ", 1.1 is needed";
        return info;
    }

    const std::vector<VkExtensionProperties> extensions = extensionsOf(table_, device);
    const bool hasDriverProperties = contains(extensions, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME);
    const bool hasFloat16 = contains(extensions, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME);
    const bool hasSizeControl = contains(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    const bool hasMatrices = contains(extensions, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME) &&
                             contains(extensions, VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME);
    const bool hasAddresses = contains(extensions, VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME);
    info.caps.memoryBudget = contains(extensions, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);

    VkPhysicalDeviceProperties2 properties = {};
    properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    void **tail = &properties.pNext;
    VkPhysicalDeviceIDProperties ids;
    append(tail, ids, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES);
    VkPhysicalDeviceMaintenance3Properties maintenance;
    append(tail, maintenance, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
    VkPhysicalDeviceSubgroupProperties subgroup;
    append(tail, subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
    VkPhysicalDeviceDriverProperties driver = {};
    if (hasDriverProperties)
        append(tail, driver, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES);
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT sizeControl = {};
    if (hasSizeControl)
        append(tail, sizeControl, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT);
    VkPhysicalDeviceCooperativeMatrixPropertiesKHR matrix = {};
    if (hasMatrices)
        append(tail, matrix, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_PROPERTIES_KHR);
    table_.vkGetPhysicalDeviceProperties2(device, &properties);

    VkPhysicalDeviceFeatures2 features = {};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    tail = &features.pNext;
    VkPhysicalDevice16BitStorageFeatures storage16;
    append(tail, storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    VkPhysicalDeviceShaderFloat16Int8Features float16 = {};
    if (hasFloat16)
        append(tail, float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizeFeatures = {};
    if (hasSizeControl)
        append(tail, sizeFeatures, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT);
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrixFeatures = {};
    VkPhysicalDeviceVulkanMemoryModelFeatures memoryModel = {};
    if (hasMatrices) {
        append(tail, matrixFeatures, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
        append(tail, memoryModel, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES);
    }
    VkPhysicalDeviceBufferDeviceAddressFeatures addresses = {};
    if (hasAddresses)
        append(tail, addresses, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES);
    table_.vkGetPhysicalDeviceFeatures2(device, &features);

    std::memcpy(info.deviceUuid, ids.deviceUUID, VK_UUID_SIZE);
    std::memcpy(info.driverUuid, ids.driverUUID, VK_UUID_SIZE);
    info.driverName = driver.driverName;
    info.driverInfo = driver.driverInfo;

    Caps &caps = info.caps;
    caps.maxAllocationBytes = maintenance.maxMemoryAllocationSize;
    caps.storage16 = storage16.storageBuffer16BitAccess == VK_TRUE;
    caps.fp16Arithmetic = float16.shaderFloat16 == VK_TRUE;
    caps.bufferDeviceAddress =
        addresses.bufferDeviceAddress == VK_TRUE && features.features.shaderInt64 == VK_TRUE;
    // Mesa 22.3's software driver on processors without F16C, all of ARM's among them: it extends integers
    // where it should extend halfs, and LLVM ends the process ("Cannot select ... truncate").
    caps.noUnpackHalf = info.driverName == "llvmpipe" && !caps.fp16Arithmetic;
    if ((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0) {
        caps.subgroupSize = subgroup.subgroupSize;
        caps.subgroupOperations = subgroup.supportedOperations;
        caps.minSubgroupSize = caps.maxSubgroupSize = subgroup.subgroupSize;
        caps.subgroupSizeControl =
            sizeFeatures.subgroupSizeControl == VK_TRUE && sizeFeatures.computeFullSubgroups == VK_TRUE &&
            (sizeControl.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
        if (caps.subgroupSizeControl) {
            caps.minSubgroupSize = sizeControl.minSubgroupSize;
            caps.maxSubgroupSize = sizeControl.maxSubgroupSize;
        }
        if (matrixFeatures.cooperativeMatrix == VK_TRUE && memoryModel.vulkanMemoryModel == VK_TRUE &&
            memoryModel.vulkanMemoryModelDeviceScope == VK_TRUE && caps.fp16Arithmetic &&
            (matrix.cooperativeMatrixSupportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0)
            caps.matrices = matricesOf(table_, device);
    }

    VkPhysicalDeviceMemoryProperties2 memory = {};
    memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
    table_.vkGetPhysicalDeviceMemoryProperties2(device, &memory);
    caps.unifiedMemory = memory.memoryProperties.memoryHeapCount > 0;
    for (uint32_t i = 0; i < memory.memoryProperties.memoryHeapCount; ++i) {
        const VkMemoryHeap &heap = memory.memoryProperties.memoryHeaps[i];
        const bool local = (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
        caps.heaps.push_back({heap.size, local});
        caps.unifiedMemory = caps.unifiedMemory && local;
    }

    uint32_t familyCount = 0;
    table_.vkGetPhysicalDeviceQueueFamilyProperties(device, &familyCount, nullptr);
    std::vector<VkQueueFamilyProperties> families(familyCount);
    table_.vkGetPhysicalDeviceQueueFamilyProperties(device, &familyCount, families.data());
    families.resize(familyCount);
    const int family = chooseQueueFamily(families);
    if (family < 0) {
        info.unusable = "none of its queues can compute";
        return info;
    }
    info.queueFamily = static_cast<uint32_t>(family);
    caps.timestampValidBits = families[info.queueFamily].timestampValidBits;
    caps.timestamps = caps.timestampValidBits != 0 && caps.timestampPeriodNs > 0;
    return info;
}

Result<std::vector<DeviceInfo>> listDevices(const InstanceOptions &options) {
    MOTE_TRY_ASSIGN(const std::unique_ptr<Instance> instance, Instance::create(options));
    MOTE_TRY_ASSIGN(const std::vector<VkPhysicalDevice> devices, instance->physicalDevices());
    std::vector<DeviceInfo> infos;
    for (size_t i = 0; i < devices.size(); ++i)
        infos.push_back(instance->describe(devices[i], static_cast<uint32_t>(i)));
    return infos;
}

namespace {

bool containsIgnoringCase(const std::string &text, const char *part) {
    const size_t length = std::strlen(part);
    for (size_t start = 0; start + length <= text.size(); ++start) {
        size_t i = 0;
        while (i < length && std::tolower(static_cast<unsigned char>(text[start + i])) ==
                                 std::tolower(static_cast<unsigned char>(part[i])))
            ++i;
        if (i == length)
            return true;
    }
    return false;
}

int rank(VkPhysicalDeviceType type) {
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return 4;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return 3;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return 2;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return 1;
    default:
        return 0;
    }
}

std::string listOf(const std::vector<DeviceInfo> &devices) {
    std::string text;
    for (const DeviceInfo &device : devices) {
        text += (text.empty() ? "" : ", ") + std::to_string(device.index) + " '" + device.name + "'";
        if (!device.unusable.empty())
            text += " (cannot be used: " + device.unusable + ")";
    }
    return text;
}

} // namespace

Result<size_t> pickDevice(const std::vector<DeviceInfo> &devices, int index, const char *nameContains) {
    if (devices.empty())
        return makeStatus(StatusCode::NoVulkan, "Vulkan is there, but it has no device");
    const bool byName = nameContains != nullptr && nameContains[0] != '\0';
    int best = -1;
    bool anyUsable = false;
    for (size_t i = 0; i < devices.size(); ++i) {
        if (!devices[i].unusable.empty())
            continue;
        anyUsable = true;
        if (index >= 0 ? devices[i].index != static_cast<uint32_t>(index)
                       : byName && !containsIgnoringCase(devices[i].name, nameContains))
            continue;
        if (best < 0 || rank(devices[i].type) > rank(devices[static_cast<size_t>(best)].type))
            best = static_cast<int>(i);
    }
    if (best >= 0)
        return static_cast<size_t>(best);
    const std::string list = listOf(devices);
    if (!anyUsable)
        return makeStatus(StatusCode::NoVulkan, "no Vulkan device can be used: %s", list.c_str());
    if (index >= 0)
        return makeStatus(StatusCode::NotFound, "no device %d that can be used; there are: %s", index,
                          list.c_str());
    return makeStatus(StatusCode::NotFound, "no device named like '%s'; there are: %s", nameContains,
                      list.c_str());
}

} // namespace mote::gpu
