#include "gpu/command.h"

#include <cstring>
#include <utility>

#include "gpu/timestamps.h"

namespace mote::gpu {

namespace {

constexpr uint32_t kSetsPerPool = 64;
constexpr uint32_t kBuffersPerPool = kSetsPerPool * 8; // of each kind
constexpr uint64_t kTexelBytes = 16;

} // namespace

Result<CommandBuffer> CommandBuffer::create(Device &device) {
    MOTE_TRY(device.alive());
    CommandBuffer commands;
    commands.device_ = &device;
    VkCommandPoolCreateInfo poolInfo = {};
    poolInfo.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    poolInfo.queueFamilyIndex = device.queueFamily();
    VkCommandPool pool = VK_NULL_HANDLE;
    MOTE_TRY(device.check(device.vk().vkCreateCommandPool(device.handle(), &poolInfo, nullptr, &pool),
                          "vkCreateCommandPool"));
    commands.pool_ = pool;
    VkCommandBufferAllocateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    info.commandPool = pool;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    MOTE_TRY(device.check(device.vk().vkAllocateCommandBuffers(device.handle(), &info, &commands.handle_),
                          "vkAllocateCommandBuffers"));
    return commands;
}

CommandBuffer::CommandBuffer(CommandBuffer &&other) noexcept {
    *this = std::move(other);
}

CommandBuffer &CommandBuffer::operator=(CommandBuffer &&other) noexcept {
    if (this == &other)
        return *this;
    destroy();
    device_ = std::exchange(other.device_, nullptr);
    pool_ = std::exchange(other.pool_, VK_NULL_HANDLE);
    handle_ = std::exchange(other.handle_, VK_NULL_HANDLE);
    descriptorPools_ = std::exchange(other.descriptorPools_, {});
    views_ = std::exchange(other.views_, {});
    currentPool_ = other.currentPool_;
    boundPipeline_ = other.boundPipeline_;
    state_ = std::exchange(other.state_, State::Empty);
    return *this;
}

CommandBuffer::~CommandBuffer() {
    destroy();
}

void CommandBuffer::destroy() {
    for (const VkDescriptorPool pool : descriptorPools_)
        device_->vk().vkDestroyDescriptorPool(device_->handle(), pool, nullptr);
    descriptorPools_.clear();
    destroyViews();
    if (pool_ != VK_NULL_HANDLE) // and its command buffer with it
        device_->vk().vkDestroyCommandPool(device_->handle(), pool_, nullptr);
    pool_ = VK_NULL_HANDLE;
}

void CommandBuffer::destroyViews() {
    for (const auto &[key, view] : views_) {
        (void)key;
        if (view != VK_NULL_HANDLE)
            device_->vk().vkDestroyBufferView(device_->handle(), view, nullptr);
    }
    views_.clear();
}

Status CommandBuffer::begin() {
    if (handle_ == VK_NULL_HANDLE)
        return makeStatus(StatusCode::InvalidArgument, "an empty command buffer cannot record");
    MOTE_TRY(device_->alive());
    DeviceTable &vk = device_->vk();
    state_ = State::Empty;
    boundPipeline_ = VK_NULL_HANDLE;
    MOTE_TRY(device_->check(vk.vkResetCommandPool(device_->handle(), pool_, 0), "vkResetCommandPool"));
    for (const VkDescriptorPool pool : descriptorPools_)
        MOTE_TRY(
            device_->check(vk.vkResetDescriptorPool(device_->handle(), pool, 0), "vkResetDescriptorPool"));
    currentPool_ = 0;
    destroyViews();
    VkCommandBufferBeginInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    info.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
    MOTE_TRY(device_->check(vk.vkBeginCommandBuffer(handle_, &info), "vkBeginCommandBuffer"));
    state_ = State::Recording;
    return {};
}

Status CommandBuffer::end() {
    MOTE_TRY(recording("end"));
    state_ = State::Empty;
    MOTE_TRY(device_->check(device_->vk().vkEndCommandBuffer(handle_), "vkEndCommandBuffer"));
    state_ = State::Recorded;
    return {};
}

Status CommandBuffer::recording(const char *call) const {
    if (state_ == State::Recording)
        return {};
    return makeStatus(StatusCode::InvalidArgument, "%s: the command buffer is not being recorded", call);
}

namespace {

Status checkRange(const BufferRange &range, const char *what) {
    if (range.allocation == nullptr || range.allocation->buffer() == VK_NULL_HANDLE)
        return makeStatus(StatusCode::InvalidArgument, "%s: no allocation", what);
    const uint64_t size = range.allocation->size();
    if (range.size == 0 || range.offset > size || range.size > size - range.offset)
        return makeStatus(StatusCode::InvalidArgument, "%s: %llu bytes at %llu of an allocation of %llu",
                          what, static_cast<unsigned long long>(range.size),
                          static_cast<unsigned long long>(range.offset),
                          static_cast<unsigned long long>(size));
    return {};
}

Status checkWords(const BufferRange &range, const char *what) {
    MOTE_TRY(checkRange(range, what));
    if (range.offset % 4 != 0 || range.size % 4 != 0)
        return makeStatus(StatusCode::InvalidArgument, "%s: %llu bytes at %llu, multiples of 4 are needed",
                          what, static_cast<unsigned long long>(range.size),
                          static_cast<unsigned long long>(range.offset));
    return {};
}

Status checkBinding(const BufferRange &range, const Caps &caps, const Pipeline &pipeline, size_t index) {
    const bool texels = isTexelBinding(pipeline.texelBindings, index);
    const uint64_t alignment =
        texels ? caps.minTexelBufferOffsetAlignment : caps.minStorageBufferOffsetAlignment;
    const uint64_t most = texels ? kTexelBytes * caps.maxTexelBufferElements : caps.maxStorageBufferRange;
    Status status = checkRange(range, "binding");
    if (status.ok() && range.offset % alignment != 0)
        status = makeStatus(StatusCode::InvalidArgument, "offset %llu, the device's alignment is %llu",
                            static_cast<unsigned long long>(range.offset),
                            static_cast<unsigned long long>(alignment));
    if (status.ok() && texels && range.size % kTexelBytes != 0)
        status = makeStatus(StatusCode::InvalidArgument, "%llu bytes, texels have 16",
                            static_cast<unsigned long long>(range.size));
    if (status.ok() && range.size > most)
        status =
            makeStatus(StatusCode::Unsupported, "%llu bytes, the device binds at most %llu",
                       static_cast<unsigned long long>(range.size), static_cast<unsigned long long>(most));
    if (!status.ok())
        status.message = pipeline.name + ", binding " + std::to_string(index) + ": " + status.message;
    return status;
}

} // namespace

Result<VkDescriptorSet> CommandBuffer::descriptorSet(const Pipeline &pipeline) {
    DeviceTable &vk = device_->vk();
    for (;; ++currentPool_) {
        const bool fresh = currentPool_ == descriptorPools_.size();
        if (fresh) {
            descriptorPools_.reserve(descriptorPools_.size() +
                                     1); // nothing below may throw while a pool hangs loose
            VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kBuffersPerPool},
                                            {VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER, kBuffersPerPool}};
            if (pipeline.bindings > kBuffersPerPool)
                sizes[0].descriptorCount = pipeline.bindings;
            VkDescriptorPoolCreateInfo info = {};
            info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
            info.maxSets = kSetsPerPool;
            info.poolSizeCount = 2;
            info.pPoolSizes = sizes;
            VkDescriptorPool pool = VK_NULL_HANDLE;
            MOTE_TRY(device_->check(vk.vkCreateDescriptorPool(device_->handle(), &info, nullptr, &pool),
                                    "vkCreateDescriptorPool"));
            descriptorPools_.push_back(pool);
        }
        VkDescriptorSetAllocateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
        info.descriptorPool = descriptorPools_[currentPool_];
        info.descriptorSetCount = 1;
        info.pSetLayouts = &pipeline.setLayout;
        VkDescriptorSet set = VK_NULL_HANDLE;
        const VkResult result = vk.vkAllocateDescriptorSets(device_->handle(), &info, &set);
        if (result == VK_SUCCESS)
            return set;
        const bool full = result == VK_ERROR_OUT_OF_POOL_MEMORY || result == VK_ERROR_FRAGMENTED_POOL;
        if (fresh || !full)
            return device_->check(result, "vkAllocateDescriptorSets");
    }
}

// A view of the range as uvec4, one for all dispatches of a recording.
Result<VkBufferView> CommandBuffer::texelView(const BufferRange &range) {
    VkBufferView &view = views_[{range.allocation->buffer(), range.offset, range.size}];
    if (view == VK_NULL_HANDLE) {
        VkBufferViewCreateInfo info = {};
        info.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO;
        info.buffer = range.allocation->buffer();
        info.format = VK_FORMAT_R32G32B32A32_UINT; // every device can read texel buffers of it
        info.offset = range.offset;
        info.range = range.size;
        VkBufferView made = VK_NULL_HANDLE;
        MOTE_TRY(device_->check(device_->vk().vkCreateBufferView(device_->handle(), &info, nullptr, &made),
                                "vkCreateBufferView"));
        view = made;
    }
    return view;
}

namespace {

// The push constants with the addresses in their last words.
Result<std::vector<std::byte>> withAddresses(const Pipeline &pipeline, const BufferRange *ranges,
                                             size_t count, const void *push) {
    std::vector<std::byte> words(pipeline.pushBytes);
    std::memcpy(words.data(), push, words.size());
    size_t end = words.size();
    for (size_t i = count; i-- > 0;) {
        if (!isAddressBinding(pipeline.addressBindings, i))
            continue;
        const uint64_t base = ranges[i].allocation->address();
        if (base == 0)
            return makeStatus(StatusCode::InvalidArgument, "%s, binding %zu: an allocation without address",
                              pipeline.name.c_str(), i);
        const uint64_t address = base + ranges[i].offset;
        const uint32_t halves[] = {static_cast<uint32_t>(address), static_cast<uint32_t>(address >> 32)};
        end -= kAddressBytes; // the pipeline was made with room for all of them
        std::memcpy(&words[end], halves, kAddressBytes);
    }
    return words;
}

} // namespace

Status CommandBuffer::dispatch(const Pipeline &pipeline, const BufferRange *ranges, size_t count,
                               const void *push, size_t pushBytes, uint32_t groupsX, uint32_t groupsY,
                               uint32_t groupsZ) {
    MOTE_TRY(recording("dispatch"));
    const Caps &caps = device_->caps();
    if (count != pipeline.bindings || pushBytes != pipeline.pushBytes)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: %zu buffers and %zu push constant bytes given, %u and %u expected",
                          pipeline.name.c_str(), count, pushBytes, pipeline.bindings, pipeline.pushBytes);
    const uint32_t groups[3] = {groupsX, groupsY, groupsZ};
    for (int i = 0; i < 3; ++i)
        if (groups[i] == 0 || groups[i] > caps.maxWorkgroupCount[i])
            return makeStatus(StatusCode::InvalidArgument,
                              "%s: %u workgroups in dimension %d, 1 to %u are possible",
                              pipeline.name.c_str(), groups[i], i, caps.maxWorkgroupCount[i]);
    for (size_t i = 0; i < count; ++i)
        MOTE_TRY(checkBinding(ranges[i], caps, pipeline, i));
    std::vector<std::byte> addressed;
    if (pipeline.addressBindings != 0) {
        MOTE_TRY_ASSIGN(addressed, withAddresses(pipeline, ranges, count, push));
        push = addressed.data();
    }

    MOTE_TRY_ASSIGN(const VkDescriptorSet set, descriptorSet(pipeline));
    std::vector<VkDescriptorBufferInfo> buffers(count);
    std::vector<VkBufferView> views(count);
    std::vector<VkWriteDescriptorSet> writes(count);
    for (size_t i = 0; i < count; ++i) {
        writes[i] = {};
        writes[i].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
        writes[i].dstSet = set;
        writes[i].dstBinding = static_cast<uint32_t>(i);
        writes[i].descriptorCount = 1;
        if (isTexelBinding(pipeline.texelBindings, i)) {
            MOTE_TRY_ASSIGN(views[i], texelView(ranges[i]));
            writes[i].descriptorType = VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
            writes[i].pTexelBufferView = &views[i];
        } else {
            buffers[i] = {ranges[i].allocation->buffer(), ranges[i].offset, ranges[i].size};
            writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            writes[i].pBufferInfo = &buffers[i];
        }
    }
    DeviceTable &vk = device_->vk();
    if (count > 0)
        vk.vkUpdateDescriptorSets(device_->handle(), static_cast<uint32_t>(count), writes.data(), 0, nullptr);
    if (boundPipeline_ != pipeline.handle)
        vk.vkCmdBindPipeline(handle_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.handle);
    boundPipeline_ = pipeline.handle;
    vk.vkCmdBindDescriptorSets(handle_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline.layout, 0, 1, &set, 0,
                               nullptr);
    if (pushBytes > 0)
        vk.vkCmdPushConstants(handle_, pipeline.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                              static_cast<uint32_t>(pushBytes), push);
    vk.vkCmdDispatch(handle_, groupsX, groupsY, groupsZ);
    return {};
}

void CommandBuffer::barrier() {
    if (state_ != State::Recording)
        return;
    constexpr VkPipelineStageFlags kStages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    constexpr VkAccessFlags kAccess = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                                      VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    VkMemoryBarrier barrier = {};
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    barrier.srcAccessMask = kAccess;
    barrier.dstAccessMask = kAccess;
    device_->vk().vkCmdPipelineBarrier(handle_, kStages, kStages, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

void CommandBuffer::barrierToHost() {
    if (state_ != State::Recording)
        return;
    VkMemoryBarrier barrier = {};
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    device_->vk().vkCmdPipelineBarrier(handle_,
                                       VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                                       VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

Status CommandBuffer::copy(const Allocation &from, uint64_t fromOffset, const Allocation &to,
                           uint64_t toOffset, uint64_t bytes) {
    MOTE_TRY(recording("copy"));
    MOTE_TRY(checkRange({&from, fromOffset, bytes}, "copy from"));
    MOTE_TRY(checkRange({&to, toOffset, bytes}, "copy to"));
    if (&from == &to && fromOffset < toOffset + bytes && toOffset < fromOffset + bytes)
        return makeStatus(StatusCode::InvalidArgument, "copy: %llu bytes from %llu to %llu overlap",
                          static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(fromOffset),
                          static_cast<unsigned long long>(toOffset));
    VkBufferCopy region = {fromOffset, toOffset, bytes};
    device_->vk().vkCmdCopyBuffer(handle_, from.buffer(), to.buffer(), 1, &region);
    return {};
}

Status CommandBuffer::fill(const BufferRange &range, uint32_t pattern) {
    MOTE_TRY(recording("fill"));
    MOTE_TRY(checkWords(range, "fill"));
    device_->vk().vkCmdFillBuffer(handle_, range.allocation->buffer(), range.offset, range.size, pattern);
    return {};
}

Status CommandBuffer::update(const Allocation &to, uint64_t offset, const void *data, uint64_t bytes) {
    MOTE_TRY(recording("update"));
    MOTE_TRY(checkWords({&to, offset, bytes}, "update"));
    if (bytes > 65536) // the limit of vkCmdUpdateBuffer
        return makeStatus(StatusCode::InvalidArgument, "update: %llu bytes, at most 65536 are possible",
                          static_cast<unsigned long long>(bytes));
    device_->vk().vkCmdUpdateBuffer(handle_, to.buffer(), offset, bytes, data);
    return {};
}

namespace {

Status checkQueries(const Timestamps &timestamps, uint32_t first, uint32_t count) {
    if (count != 0 && first < timestamps.count() && count <= timestamps.count() - first)
        return {};
    return makeStatus(StatusCode::InvalidArgument, "timestamps %u to %u of %u", first, first + count,
                      timestamps.count());
}

} // namespace

Status CommandBuffer::resetTimestamps(const Timestamps &timestamps, uint32_t first, uint32_t count) {
    MOTE_TRY(recording("resetTimestamps"));
    MOTE_TRY(checkQueries(timestamps, first, count));
    device_->vk().vkCmdResetQueryPool(handle_, timestamps.handle(), first, count);
    return {};
}

Status CommandBuffer::writeTimestamp(const Timestamps &timestamps, uint32_t index) {
    MOTE_TRY(recording("writeTimestamp"));
    MOTE_TRY(checkQueries(timestamps, index, 1));
    device_->vk().vkCmdWriteTimestamp(handle_, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, timestamps.handle(),
                                      index);
    return {};
}

} // namespace mote::gpu
