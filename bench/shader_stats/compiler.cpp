#include "compiler.h"

#include "shaderdb.h"

#include <cstring>
#include <optional>

namespace mote::bench {
namespace {

constexpr uint32_t kBroadcom = 0x14e4, kArm = 0x13b5;

// Vulkan functions have no user pointer.
PFN_vkCreateComputePipelines driverCreate = nullptr;

VKAPI_ATTR VkResult VKAPI_CALL createWithStatistics(VkDevice device, VkPipelineCache cache, uint32_t count,
                                                    const VkComputePipelineCreateInfo *infos,
                                                    const VkAllocationCallbacks *allocator,
                                                    VkPipeline *pipelines) {
    std::vector<VkComputePipelineCreateInfo> captured(infos, infos + count);
    for (VkComputePipelineCreateInfo &info : captured)
        info.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    return driverCreate(device, cache, count, captured.data(), allocator, pipelines);
}

// Nothing is ever submitted, and RADV's null devices have nothing to wait with.
VKAPI_ATTR VkResult VKAPI_CALL alreadyIdle(VkQueue) {
    return VK_SUCCESS;
}

double valueOf(const VkPipelineExecutableStatisticKHR &statistic) {
    switch (statistic.format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return statistic.value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return static_cast<double>(statistic.value.i64);
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return static_cast<double>(statistic.value.u64);
    default:
        return statistic.value.f64;
    }
}

// The names of Mesa's drivers for the same thing.
struct Meaning {
    double Compiled::*what;
    const char *name;
};
constexpr Meaning kMeanings[] = {
    {&Compiled::registers, "VGPRs"},
    {&Compiled::registers, "Registers used"},
    {&Compiled::spills, "Spilled SGPRs"},
    {&Compiled::spills, "Spilled VGPRs"},
    {&Compiled::spills, "STP Count"},
    {&Compiled::spills, "LDP Count"},
    {&Compiled::spills, "Spill Size"},
    {&Compiled::spills, "spills"},
    {&Compiled::spills, "fills"},
    {&Compiled::instructions, "Instructions"},
    {&Compiled::instructions, "Instruction Count"},
    {&Compiled::instructions, "inst"},
    {&Compiled::waves, "Subgroups per SIMD"},
    {&Compiled::waves, "Max Waves Per Core"},
    {&Compiled::waves, "Thread Count"},
    {&Compiled::waves, "threads"},
    {&Compiled::codeBytes, "Code size"},
    {&Compiled::codeBytes, "Code Size"},
};

void add(Compiled &compiled, const std::string &name, double value) {
    compiled.all.emplace_back(name, value);
    for (const Meaning &meaning : kMeanings) {
        if (meaning.name != name)
            continue;
        double &sum = compiled.*meaning.what;
        sum = sum < 0 ? value : sum + value;
    }
}

bool offers(const gpu::Instance &instance, VkPhysicalDevice device, const char *extension) {
    uint32_t count = 0;
    instance.vk().vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> extensions(count);
    instance.vk().vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
    for (const VkExtensionProperties &offered : extensions)
        if (std::strcmp(offered.extensionName, extension) == 0)
            return true;
    return false;
}

} // namespace

Status Compiler::createDevice(const char *nameContains) {
    MOTE_TRY_ASSIGN(instance_, gpu::Instance::create({}));
    MOTE_TRY_ASSIGN(const std::vector<VkPhysicalDevice> handles, instance_->physicalDevices());
    std::vector<gpu::DeviceInfo> devices;
    for (size_t i = 0; i < handles.size(); ++i)
        devices.push_back(instance_->describe(handles[i], static_cast<uint32_t>(i)));
    MOTE_TRY_ASSIGN(const size_t picked, gpu::pickDevice(devices, -1, nameContains));
    const char *extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    if (!offers(*instance_, handles[picked], extension))
        return makeStatus(StatusCode::Unsupported,
                          "'%s' (%s) does not offer %s: its compiler does not report registers and spills",
                          devices[picked].name.c_str(), devices[picked].driverName.c_str(), extension);

    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {};
    feature.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
    feature.pipelineExecutableInfo = VK_TRUE;
    const float priority = 1;
    VkDeviceQueueCreateInfo queue = {};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueFamilyIndex = devices[picked].queueFamily;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    std::vector<const char *> extensions = {extension};
    VkPhysicalDeviceShaderFloat16Int8Features float16 = {};
    float16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    float16.shaderFloat16 = VK_TRUE;
    VkPhysicalDeviceVulkanMemoryModelFeatures memoryModel = {};
    memoryModel.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES;
    memoryModel.pNext = &float16;
    memoryModel.vulkanMemoryModel = memoryModel.vulkanMemoryModelDeviceScope = VK_TRUE;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices = {};
    matrices.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR;
    matrices.pNext = &memoryModel;
    matrices.cooperativeMatrix = VK_TRUE;
    if (!devices[picked].caps.matrices.empty()) {
        extensions.insert(extensions.end(), {VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME,
                                             VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME,
                                             VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME});
        feature.pNext = &matrices;
        lent_.fp16Arithmetic = lent_.matrices = true;
    }
    VkPhysicalDeviceBufferDeviceAddressFeatures addresses = {};
    addresses.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
    addresses.bufferDeviceAddress = VK_TRUE;
    VkPhysicalDeviceFeatures core = {};
    if (devices[picked].caps.bufferDeviceAddress) {
        extensions.push_back(VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME);
        core.shaderInt64 = VK_TRUE;
        addresses.pNext = feature.pNext;
        feature.pNext = &addresses;
        lent_.bufferDeviceAddress = true;
    }
    VkDeviceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &feature;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.pEnabledFeatures = &core;
    info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    lent_.instance = instance_->handle();
    lent_.physicalDevice = handles[picked];
    lent_.queueFamily = queue.queueFamilyIndex;
    const VkResult result =
        instance_->vk().vkCreateDevice(lent_.physicalDevice, &info, nullptr, &lent_.device);
    if (result != VK_SUCCESS)
        return makeStatus(StatusCode::Unsupported, "'%s': vkCreateDevice: %s", devices[picked].name.c_str(),
                          gpu::resultName(result).c_str());
    gpu::DeviceTable table;
    MOTE_TRY(gpu::loadTable(instance_->vk().vkGetDeviceProcAddr, lent_.device, table));
    destroyDevice_ = table.vkDestroyDevice;
    table.vkGetDeviceQueue(lent_.device, lent_.queueFamily, 0, &lent_.queue);
    executables_ = reinterpret_cast<PFN_vkGetPipelineExecutablePropertiesKHR>(
        instance_->vk().vkGetDeviceProcAddr(lent_.device, "vkGetPipelineExecutablePropertiesKHR"));
    statistics_ = reinterpret_cast<PFN_vkGetPipelineExecutableStatisticsKHR>(
        instance_->vk().vkGetDeviceProcAddr(lent_.device, "vkGetPipelineExecutableStatisticsKHR"));
    if (executables_ == nullptr || statistics_ == nullptr)
        return makeStatus(StatusCode::Unsupported, "'%s': offers %s without its functions",
                          devices[picked].name.c_str(), extension);
    return {};
}

Result<std::unique_ptr<Compiler>> Compiler::open(const char *nameContains) {
    std::unique_ptr<Compiler> compiler(new Compiler);
    MOTE_TRY(compiler->createDevice(nameContains));
    gpu::DeviceOptions options;
    options.lent = &compiler->lent_;
    MOTE_TRY_ASSIGN(compiler->device_, gpu::Device::create(options));
    driverCreate = compiler->device_->vk().vkCreateComputePipelines;
    compiler->device_->vk().vkCreateComputePipelines = createWithStatistics;
    compiler->device_->vk().vkQueueWaitIdle = alreadyIdle;
    return compiler;
}

Compiler::~Compiler() {
    const bool keep = device_ && device_->info().vendorId == kBroadcom;
    device_.reset();
    // v3dv over a kernel driver that does nothing falls over when a device is closed, one that was only
    // opened too: the thread that submits follows a null pointer.
    if (keep)
        static_cast<void>(instance_.release());
    else if (destroyDevice_ != nullptr)
        destroyDevice_(lent_.device, nullptr);
}

Result<Compiled> Compiler::compile(const gpu::PipelineDescription &description) {
    std::optional<StandardErrorCapture> capture;
    if (device_->info().vendorId == kArm)
        capture.emplace();
    MOTE_TRY_ASSIGN(const gpu::Pipeline *pipeline, device_->pipelines().get(description));
    Compiled compiled;
    if (capture)
        for (const std::string &line : capture->lines())
            for (const auto &[name, value] : shaderDbStatistics(line))
                add(compiled, name, value);
    capture.reset();
    VkPipelineInfoKHR info = {};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR;
    info.pipeline = pipeline->handle;
    uint32_t count = 0;
    executables_(device_->handle(), &info, &count, nullptr);
    for (uint32_t index = 0; index < count; ++index) {
        VkPipelineExecutableInfoKHR executable = {};
        executable.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR;
        executable.pipeline = pipeline->handle;
        executable.executableIndex = index;
        uint32_t size = 0;
        statistics_(device_->handle(), &executable, &size, nullptr);
        VkPipelineExecutableStatisticKHR empty = {};
        empty.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
        std::vector<VkPipelineExecutableStatisticKHR> list(size, empty);
        statistics_(device_->handle(), &executable, &size, list.data());
        for (const VkPipelineExecutableStatisticKHR &statistic : list)
            add(compiled, statistic.name, valueOf(statistic));
    }
    if (compiled.spills < 0)
        return makeStatus(StatusCode::Internal, "the driver says nothing of spills of %s",
                          description.shader.name);
    return compiled;
}

} // namespace mote::bench
