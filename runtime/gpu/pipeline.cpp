#include "gpu/pipeline.h"

#include <cstring>

#include "gpu/cache_file.h"
#include "gpu/packed_spirv.h"
#include "gpu/spirv_info.h"
#include "gpu/unpack_half.h"

namespace mote::gpu {

namespace {

constexpr const char *kCacheName = "pipelines";

// The driver's own header, which it checks too, but not every driver has done so well.
bool belongsTo(const std::vector<uint8_t> &data, const DeviceInfo &info) {
    VkPipelineCacheHeaderVersionOne header = {};
    if (data.size() < sizeof header)
        return false;
    std::memcpy(&header, data.data(), sizeof header);
    return header.headerSize >= sizeof header && header.headerSize <= data.size() &&
           header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && header.vendorID == info.vendorId &&
           header.deviceID == info.deviceId &&
           std::memcmp(header.pipelineCacheUUID, info.pipelineCacheUuid, VK_UUID_SIZE) == 0;
}

} // namespace

Result<std::unique_ptr<PipelineCache>> PipelineCache::create(Device &device) {
    std::unique_ptr<PipelineCache> cache(new PipelineCache(device));
    std::vector<uint8_t> data;
    if (!device.cacheDirectory().empty()) {
        Result<std::vector<uint8_t>> read = readCacheFile(device, kCacheName);
        if (read.ok() && belongsTo(read.value(), device.info()))
            data = std::move(read.value());
        else
            device.log(LogLevel::Info, "pipeline cache: %s",
                       read.ok() ? "the driver's header differs" : read.status().message.c_str());
    }
    VkPipelineCacheCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
    info.initialDataSize = data.size();
    info.pInitialData = data.data();
    VkPipelineCache handle = VK_NULL_HANDLE;
    VkResult result = device.vk().vkCreatePipelineCache(device.handle(), &info, nullptr, &handle);
    cache->loadedFromDisk_ = result == VK_SUCCESS && !data.empty();
    if (result != VK_SUCCESS && !data.empty()) { // data that the driver does not take is a miss as well
        info.initialDataSize = 0;
        info.pInitialData = nullptr;
        result = device.vk().vkCreatePipelineCache(device.handle(), &info, nullptr, &handle);
    }
    MOTE_TRY(device.check(result, "vkCreatePipelineCache"));
    cache->cache_ = handle;
    return cache;
}

PipelineCache::~PipelineCache() {
    DeviceTable &vk = device_.vk();
    for (const auto &[key, entry] : entries_) {
        (void)key;
        if (entry->pipeline.handle != VK_NULL_HANDLE)
            vk.vkDestroyPipeline(device_.handle(), entry->pipeline.handle, nullptr);
    }
    for (const auto &[key, layout] : layouts_) {
        (void)key;
        if (layout != VK_NULL_HANDLE)
            vk.vkDestroyPipelineLayout(device_.handle(), layout, nullptr);
    }
    for (const auto &[key, layout] : setLayouts_) {
        (void)key;
        if (layout != VK_NULL_HANDLE)
            vk.vkDestroyDescriptorSetLayout(device_.handle(), layout, nullptr);
    }
    if (cache_ != VK_NULL_HANDLE)
        vk.vkDestroyPipelineCache(device_.handle(), cache_, nullptr);
}

Result<const Pipeline *> PipelineCache::get(const PipelineDescription &description) {
    MOTE_TRY(device_.alive());
    const uint64_t address = reinterpret_cast<uintptr_t>(description.shader.packed);
    Key key = {description.shader.id, static_cast<uint32_t>(address),  static_cast<uint32_t>(address >> 32),
               description.bindings,  description.texelBindings,       description.addressBindings,
               description.pushBytes, description.requiredSubgroupSize};
    key.insert(key.end(), description.constants.begin(), description.constants.end());
    Entry *entry = nullptr;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::unique_ptr<Entry> &slot = entries_[std::move(key)];
        if (slot == nullptr)
            slot = std::make_unique<Entry>();
        entry = slot.get();
    }
    const std::lock_guard<std::mutex> lock(entry->mutex);
    if (!entry->made) {
        Status status = make(description, entry->pipeline);
        if (!status.ok()) {
            status.message = std::string("pipeline ") + description.shader.name + ": " + status.message;
            return status;
        }
        entry->made = true;
        const std::lock_guard<std::mutex> counting(mutex_);
        ++madeCount_;
    }
    return &entry->pipeline;
}

Result<PipelineCache::Layout> PipelineCache::layoutFor(const PipelineDescription &description) {
    const uint32_t bindings = description.bindings, pushBytes = description.pushBytes;
    const std::lock_guard<std::mutex> lock(mutex_);
    VkDescriptorSetLayout &setLayout = setLayouts_[{bindings, description.texelBindings}];
    if (setLayout == VK_NULL_HANDLE) {
        std::vector<VkDescriptorSetLayoutBinding> list(bindings);
        for (uint32_t i = 0; i < bindings; ++i) {
            list[i].binding = i;
            list[i].descriptorType = isTexelBinding(description.texelBindings, i)
                                         ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                         : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            list[i].descriptorCount = 1;
            list[i].stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
            list[i].pImmutableSamplers = nullptr;
        }
        VkDescriptorSetLayoutCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
        info.bindingCount = bindings;
        info.pBindings = list.data();
        VkDescriptorSetLayout made = VK_NULL_HANDLE;
        MOTE_TRY(
            device_.check(device_.vk().vkCreateDescriptorSetLayout(device_.handle(), &info, nullptr, &made),
                          "vkCreateDescriptorSetLayout"));
        setLayout = made;
    }
    VkPipelineLayout &layout = layouts_[{{bindings, description.texelBindings}, pushBytes}];
    if (layout == VK_NULL_HANDLE) {
        VkPushConstantRange range = {};
        range.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
        range.size = pushBytes;
        VkPipelineLayoutCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
        info.setLayoutCount = 1;
        info.pSetLayouts = &setLayout;
        info.pushConstantRangeCount = pushBytes > 0 ? 1 : 0;
        info.pPushConstantRanges = &range;
        VkPipelineLayout made = VK_NULL_HANDLE;
        MOTE_TRY(device_.check(device_.vk().vkCreatePipelineLayout(device_.handle(), &info, nullptr, &made),
                               "vkCreatePipelineLayout"));
        layout = made;
    }
    return Layout{setLayout, layout};
}

namespace {

Status exceeds(const char *what, uint64_t asked, uint64_t limit) {
    return makeStatus(StatusCode::Unsupported, "needs %llu %s, the device has %llu",
                      static_cast<unsigned long long>(asked), what, static_cast<unsigned long long>(limit));
}

// What a module declares must have been enabled. Numbers of SPIR-V 1.6, section 3.31.
Status checkCapabilities(const SpirvInfo &info, const Caps &caps) {
    for (const uint32_t capability : info.capabilities) {
        switch (capability) {
        case 0:  // Matrix
        case 1:  // Shader
        case 46: // SampledBuffer
            continue;
        case 9: // Float16
            if (caps.fp16Arithmetic)
                continue;
            return makeStatus(StatusCode::Unsupported, "needs fp16 arithmetic");
        case 4433: // StorageBuffer16BitAccess
            if (caps.storage16)
                continue;
            return makeStatus(StatusCode::Unsupported, "needs 16-bit storage");
        case 11:   // Int64, which is enabled for them only
        case 5347: // PhysicalStorageBufferAddresses
            if (caps.bufferDeviceAddress)
                continue;
            return makeStatus(StatusCode::Unsupported, "needs buffer addresses");
        case 5345: // VulkanMemoryModel
        case 6022: // CooperativeMatrixKHR
            if (!caps.matrices.empty())
                continue;
            return makeStatus(StatusCode::Unsupported, "needs cooperative matrices");
        default:
            break;
        }
        // GroupNonUniform and its kinds stand in the order of VkSubgroupFeatureFlagBits.
        if (capability >= 61 && capability <= 68) {
            if ((caps.subgroupOperations >> (capability - 61) & 1) != 0)
                continue;
            return makeStatus(StatusCode::Unsupported, "needs subgroup operations (SPIR-V capability %u)",
                              capability);
        }
        return makeStatus(StatusCode::Unsupported, "needs SPIR-V capability %u, which is never enabled",
                          capability);
    }
    return {};
}

// Every limit that a pipeline can exceed.
Status checkLimits(const PipelineDescription &description, const SpirvInfo &info, const Caps &caps) {
    uint64_t invocations = 1;
    for (int i = 0; i < 3; ++i) {
        if (info.workgroupSize[i] == 0)
            return makeStatus(StatusCode::InvalidArgument, "a workgroup of size 0");
        if (info.workgroupSize[i] > caps.maxWorkgroupSize[i])
            return exceeds("invocations in one dimension", info.workgroupSize[i], caps.maxWorkgroupSize[i]);
        invocations *=
            info.workgroupSize[i]; // each factor was just bounded, below 2^32; checked at each step
        if (invocations > caps.maxWorkgroupInvocations)
            return exceeds("invocations a workgroup", invocations, caps.maxWorkgroupInvocations);
    }
    if (info.sharedBytes > caps.maxSharedBytes)
        return exceeds("bytes of shared memory", info.sharedBytes, caps.maxSharedBytes);
    if (description.bindings >
        caps.maxStorageBuffers) // Vulkan promises more texel buffers than storage buffers
        return exceeds("storage buffers", description.bindings, caps.maxStorageBuffers);
    if (description.pushBytes > caps.maxPushConstantBytes)
        return exceeds("bytes of push constants", description.pushBytes, caps.maxPushConstantBytes);
    if (info.bindings > description.bindings)
        return makeStatus(StatusCode::InvalidArgument, "the module uses %u bindings, %u are described",
                          info.bindings, description.bindings);
    if ((info.storageBindings & description.texelBindings) != 0 ||
        (info.texelBindings & ~description.texelBindings) != 0)
        return makeStatus(
            StatusCode::InvalidArgument,
            "the module has texel buffers at bindings %#x and storage buffers at %#x, texel buffers "
            "at %#x are described",
            info.texelBindings, info.storageBindings, description.texelBindings);
    if (info.pushBytes > description.pushBytes)
        return makeStatus(StatusCode::InvalidArgument,
                          "the module uses %u push constant bytes, %u are described", info.pushBytes,
                          description.pushBytes);
    if (description.pushBytes % 4 != 0)
        return makeStatus(StatusCode::InvalidArgument, "%u push constant bytes, a multiple of 4 is needed",
                          description.pushBytes);
    const uint32_t addresses = description.addressBindings;
    if (addresses != 0 && !caps.bufferDeviceAddress)
        return makeStatus(StatusCode::Unsupported, "needs the addresses of bindings %#x, the device has none",
                          addresses);
    uint32_t addressBytes = 0;
    for (uint32_t i = 0; i < 32; ++i)
        addressBytes += isAddressBinding(addresses, i) ? kAddressBytes : 0;
    if ((description.bindings < 32 && addresses >> description.bindings != 0) ||
        addressBytes > description.pushBytes)
        return makeStatus(
            StatusCode::InvalidArgument,
            "the addresses of bindings %#x are described with %u bindings and %u push constant bytes",
            addresses, description.bindings, description.pushBytes);
    const uint32_t subgroup = description.requiredSubgroupSize;
    if (subgroup != 0 && (!caps.subgroupSizeControl || subgroup < caps.minSubgroupSize ||
                          subgroup > caps.maxSubgroupSize || (subgroup & (subgroup - 1)) != 0))
        return makeStatus(StatusCode::Unsupported, "needs subgroups of %u, the device gives %u to %u%s",
                          subgroup, caps.minSubgroupSize, caps.maxSubgroupSize,
                          caps.subgroupSizeControl ? "" : " without a choice");
    return {};
}

} // namespace

Status PipelineCache::make(const PipelineDescription &description, Pipeline &pipeline) {
    const ShaderCode &shader = description.shader;
    std::vector<uint32_t> words = unpackSpirv(shader.packed, shader.packedCount);
    MOTE_TRY_ASSIGN(const SpirvInfo info, inspectSpirv(words.data(), words.size(), description.constants));
    if (device_.caps().noUnpackHalf)
        words = withoutUnpackHalf(words);
    MOTE_TRY(checkCapabilities(info, device_.caps()));
    MOTE_TRY(checkLimits(description, info, device_.caps()));
    MOTE_TRY_ASSIGN(const Layout layout, layoutFor(description));

    std::vector<VkSpecializationMapEntry> entries(description.constants.size());
    for (uint32_t i = 0; i < entries.size(); ++i)
        entries[i] = {i, i * 4, 4};
    VkSpecializationInfo specialization = {};
    specialization.mapEntryCount = static_cast<uint32_t>(entries.size());
    specialization.pMapEntries = entries.data();
    specialization.dataSize = description.constants.size() * 4;
    specialization.pData = description.constants.data();
    pipeline.name = shader.name;

    DeviceTable &vk = device_.vk();
    VkShaderModuleCreateInfo moduleInfo = {};
    moduleInfo.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    moduleInfo.codeSize = words.size() * 4;
    moduleInfo.pCode = words.data();
    VkShaderModule module = VK_NULL_HANDLE;
    MOTE_TRY(device_.check(vk.vkCreateShaderModule(device_.handle(), &moduleInfo, nullptr, &module),
                           "vkCreateShaderModule"));

    VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT required = {};
    required.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT;
    required.requiredSubgroupSize = description.requiredSubgroupSize;
    VkComputePipelineCreateInfo pipelineInfo = {};
    pipelineInfo.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    pipelineInfo.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    if (description.requiredSubgroupSize != 0) {
        pipelineInfo.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
        pipelineInfo.stage.pNext = &required;
    }
    pipelineInfo.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    pipelineInfo.stage.module = module;
    pipelineInfo.stage.pName = "main";
    pipelineInfo.stage.pSpecializationInfo = entries.empty() ? nullptr : &specialization;
    pipelineInfo.layout = layout.layout;
    VkPipeline handle = VK_NULL_HANDLE;
    const VkResult result =
        vk.vkCreateComputePipelines(device_.handle(), cache_, 1, &pipelineInfo, nullptr, &handle);
    vk.vkDestroyShaderModule(device_.handle(), module, nullptr);
    Status status = device_.check(result, "vkCreateComputePipelines");
    // Whatever else a driver's compiler answers, another variant may do; some answer success and no pipeline.
    if (status.code == StatusCode::Internal)
        status.code = StatusCode::Unsupported;
    if (status.ok() && handle == VK_NULL_HANDLE)
        status = makeStatus(StatusCode::Unsupported, "vkCreateComputePipelines returned no pipeline");
    if (!status.ok())
        return status;
    pipeline.handle = handle;
    pipeline.layout = layout.layout;
    pipeline.setLayout = layout.setLayout;
    pipeline.bindings = description.bindings;
    pipeline.texelBindings = description.texelBindings;
    pipeline.addressBindings = description.addressBindings;
    pipeline.pushBytes = description.pushBytes;
    std::memcpy(pipeline.workgroupSize, info.workgroupSize, sizeof pipeline.workgroupSize);
    return {};
}

Status PipelineCache::save() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (device_.cacheDirectory().empty() || madeCount_ == savedCount_ || device_.lost())
        return {};
    std::vector<uint8_t> data;
    for (;;) { // VK_INCOMPLETE: another thread made a pipeline between the two calls
        size_t size = 0;
        MOTE_TRY(device_.check(device_.vk().vkGetPipelineCacheData(device_.handle(), cache_, &size, nullptr),
                               "vkGetPipelineCacheData"));
        data.resize(size);
        const VkResult result =
            device_.vk().vkGetPipelineCacheData(device_.handle(), cache_, &size, data.data());
        if (result == VK_INCOMPLETE)
            continue;
        MOTE_TRY(device_.check(result, "vkGetPipelineCacheData"));
        data.resize(size);
        break;
    }
    MOTE_TRY(writeCacheFile(device_, kCacheName, data));
    savedCount_ = madeCount_;
    return {};
}

size_t PipelineCache::pipelineCount() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return madeCount_;
}

} // namespace mote::gpu
