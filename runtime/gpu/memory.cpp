#include "gpu/memory.h"

#include <utility>

namespace mote::gpu {

int chooseMemoryType(const VkPhysicalDeviceMemoryProperties &properties, uint32_t typeBits, MemoryKind kind,
                     bool unifiedMemory) {
    constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    constexpr VkMemoryPropertyFlags kCoherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    // Types for other purposes, some of which need features that are not enabled.
    constexpr VkMemoryPropertyFlags kForeign =
        VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |
        VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;
    int best = -1;
    int bestScore = -1;
    for (uint32_t i = 0; i < properties.memoryTypeCount; ++i) {
        const VkMemoryPropertyFlags flags = properties.memoryTypes[i].propertyFlags;
        const bool local = (flags & kLocal) != 0;
        const bool visible = (flags & kVisible) != 0;
        const bool coherent = (flags & kCoherent) != 0;
        const bool cached = (flags & kCached) != 0;
        if ((typeBits & (1u << i)) == 0 || (flags & kForeign) != 0)
            continue;
        int score = 0;
        switch (kind) {
        case MemoryKind::DeviceLocal:
        case MemoryKind::Weights:
            score = (local ? 2 : 0) + (visible ? 0 : 1);
            break;
        case MemoryKind::Upload: // written once in order: write-combined is right, and a discrete card's
                                 // window is small
            if (!visible)
                continue;
            score = (coherent ? 4 : 0) + (local == unifiedMemory ? 2 : 0) + (cached ? 0 : 1);
            break;
        case MemoryKind::Readback: // uncached reads run at a tenth of the speed or less
            if (!visible)
                continue;
            score = (cached ? 4 : 0) + (coherent ? 2 : 0) + (local == unifiedMemory ? 1 : 0);
            break;
        }
        // The first of equals: drivers list the faster ones first.
        if (score > bestScore) {
            best = static_cast<int>(i);
            bestScore = score;
        }
    }
    return best;
}

Result<Allocation> Allocation::create(Device &device, uint64_t sizeBytes, MemoryKind kind, const char *what) {
    MOTE_TRY(device.alive());
    if (sizeBytes == 0)
        return makeStatus(StatusCode::InvalidArgument, "%s: an allocation of 0 bytes", what);
    const Caps &caps = device.caps();
    const auto tooLarge = [&](uint64_t asked) {
        return makeStatus(StatusCode::OutOfMemory,
                          "%s: %llu bytes of device memory asked, the device's largest allocation is %llu",
                          what, static_cast<unsigned long long>(asked),
                          static_cast<unsigned long long>(caps.maxAllocationBytes));
    };
    if (sizeBytes > caps.maxAllocationBytes || sizeBytes > ~0ull - 3)
        return tooLarge(sizeBytes);

    Allocation allocation;
    allocation.device_ = &device;
    allocation.sizeBytes_ = (sizeBytes + 3) & ~3ull;
    VkBufferCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = allocation.sizeBytes_;
    info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                 VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    if (caps.bufferDeviceAddress)
        info.usage |= VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
    DeviceTable &vk = device.vk();
    // Adds to what went wrong the figures that tell whether it could have gone right.
    const auto explain = [&](Status status, uint64_t asked, uint64_t available) {
        status.message = std::string(what) + ": " +
                         makeStatus(status.code,
                                    "%s (%llu bytes asked, %llu available, the largest allocation is %llu, "
                                    "%u allocations of at most %u)",
                                    status.message.c_str(), static_cast<unsigned long long>(asked),
                                    static_cast<unsigned long long>(available),
                                    static_cast<unsigned long long>(caps.maxAllocationBytes),
                                    device.memoryUse().liveCount, caps.maxAllocationCount)
                             .message;
        return status;
    };
    VkBuffer buffer = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateBuffer(device.handle(), &info, nullptr, &buffer);
    if (result != VK_SUCCESS)
        return explain(device.check(result, "vkCreateBuffer"), allocation.sizeBytes_,
                       device.availableDeviceLocalBytes());
    allocation.buffer_ = buffer;

    VkMemoryRequirements requirements = {};
    vk.vkGetBufferMemoryRequirements(device.handle(), allocation.buffer_, &requirements);
    if (requirements.size > caps.maxAllocationBytes)
        return tooLarge(requirements.size);
    const VkPhysicalDeviceMemoryProperties &types = device.memoryTypes();
    const int type = chooseMemoryType(types, requirements.memoryTypeBits, kind, caps.unifiedMemory);
    if (type < 0)
        return makeStatus(StatusCode::Unsupported, "%s: the device has no memory type for this use", what);
    const VkMemoryPropertyFlags flags = types.memoryTypes[type].propertyFlags;
    const uint32_t heapIndex = types.memoryTypes[type].heapIndex;
    if (requirements.size > types.memoryHeaps[heapIndex].size ||
        device.memoryUse().liveCount >= caps.maxAllocationCount)
        return explain({StatusCode::OutOfMemory, "the heap or the number of allocations is exhausted"},
                       requirements.size, device.availableBytes(heapIndex));

    VkMemoryAllocateInfo memoryInfo = {};
    memoryInfo.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    memoryInfo.allocationSize = requirements.size;
    memoryInfo.memoryTypeIndex = static_cast<uint32_t>(type);
    VkMemoryAllocateFlagsInfo flagsInfo = {};
    flagsInfo.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
    flagsInfo.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    if (caps.bufferDeviceAddress)
        memoryInfo.pNext = &flagsInfo;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    result = vk.vkAllocateMemory(device.handle(), &memoryInfo, nullptr, &memory);
    if (result != VK_SUCCESS)
        return explain(device.check(result, "vkAllocateMemory"), requirements.size,
                       device.availableBytes(heapIndex));
    allocation.memory_ = memory;
    allocation.memoryBytes_ = requirements.size;
    allocation.heapIndex_ = heapIndex;
    allocation.coherent_ = (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
    device.countAllocated(heapIndex, requirements.size);
    result = vk.vkBindBufferMemory(device.handle(), allocation.buffer_, allocation.memory_, 0);
    if (result != VK_SUCCESS)
        return explain(device.check(result, "vkBindBufferMemory"), requirements.size,
                       device.availableBytes(heapIndex));
    if (caps.bufferDeviceAddress) {
        VkBufferDeviceAddressInfo addressInfo = {};
        addressInfo.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
        addressInfo.buffer = allocation.buffer_;
        allocation.address_ = vk.vkGetBufferDeviceAddressKHR(device.handle(), &addressInfo);
    }
    constexpr VkMemoryPropertyFlags kInPlace =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    if (kind == MemoryKind::Upload || kind == MemoryKind::Readback ||
        (kind == MemoryKind::Weights && caps.unifiedMemory && (flags & kInPlace) == kInPlace)) {
        void *mapped = nullptr;
        result = vk.vkMapMemory(device.handle(), allocation.memory_, 0, VK_WHOLE_SIZE, 0, &mapped);
        if (result != VK_SUCCESS)
            return explain(device.check(result, "vkMapMemory"), requirements.size,
                           device.availableBytes(heapIndex));
        allocation.mapped_ = static_cast<std::byte *>(mapped);
    }
    return allocation;
}

Allocation::Allocation(Allocation &&other) noexcept {
    *this = std::move(other);
}

Allocation &Allocation::operator=(Allocation &&other) noexcept {
    if (this == &other)
        return *this;
    destroy();
    device_ = std::exchange(other.device_, nullptr);
    buffer_ = std::exchange(other.buffer_, VK_NULL_HANDLE);
    memory_ = std::exchange(other.memory_, VK_NULL_HANDLE);
    address_ = std::exchange(other.address_, 0);
    mapped_ = std::exchange(other.mapped_, nullptr);
    sizeBytes_ = std::exchange(other.sizeBytes_, 0);
    memoryBytes_ = std::exchange(other.memoryBytes_, 0);
    heapIndex_ = other.heapIndex_;
    coherent_ = other.coherent_;
    return *this;
}

Allocation::~Allocation() {
    destroy();
}

void Allocation::destroy() {
    if (buffer_ != VK_NULL_HANDLE)
        device_->vk().vkDestroyBuffer(device_->handle(), buffer_, nullptr);
    if (memory_ != VK_NULL_HANDLE) { // freeing unmaps
        device_->vk().vkFreeMemory(device_->handle(), memory_, nullptr);
        device_->countFreed(heapIndex_, memoryBytes_);
    }
    buffer_ = VK_NULL_HANDLE;
    memory_ = VK_NULL_HANDLE;
}

// The range widened to whole atoms, as flush and invalidate want it.
Status Allocation::mappedRange(uint64_t offset, uint64_t sizeBytes, VkMappedMemoryRange &range) const {
    if (mapped_ == nullptr || offset > sizeBytes_ || sizeBytes > sizeBytes_ - offset)
        return makeStatus(
            StatusCode::InvalidArgument, "mapped range of %llu bytes at %llu in %s allocation of %llu bytes",
            static_cast<unsigned long long>(sizeBytes), static_cast<unsigned long long>(offset),
            mapped_ == nullptr ? "an unmapped" : "a mapped", static_cast<unsigned long long>(sizeBytes_));
    const uint64_t atom = device_->caps().nonCoherentAtomBytes > 0 ? device_->caps().nonCoherentAtomBytes : 1;
    const uint64_t begin = offset / atom * atom;
    const uint64_t end = offset + sizeBytes;
    const uint64_t toEnd = end % atom == 0 ? 0 : atom - end % atom;
    range = {};
    range.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE;
    range.memory = memory_;
    range.offset = begin;
    range.size = end > memoryBytes_ || toEnd >= memoryBytes_ - end ? VK_WHOLE_SIZE : end + toEnd - begin;
    return {};
}

Status Allocation::flush(uint64_t offset, uint64_t sizeBytes) const {
    VkMappedMemoryRange range;
    MOTE_TRY(mappedRange(offset, sizeBytes, range));
    if (coherent_ || sizeBytes == 0)
        return {};
    return device_->check(device_->vk().vkFlushMappedMemoryRanges(device_->handle(), 1, &range),
                          "vkFlushMappedMemoryRanges");
}

Status Allocation::invalidate(uint64_t offset, uint64_t sizeBytes) const {
    VkMappedMemoryRange range;
    MOTE_TRY(mappedRange(offset, sizeBytes, range));
    if (coherent_ || sizeBytes == 0)
        return {};
    return device_->check(device_->vk().vkInvalidateMappedMemoryRanges(device_->handle(), 1, &range),
                          "vkInvalidateMappedMemoryRanges");
}

} // namespace mote::gpu
