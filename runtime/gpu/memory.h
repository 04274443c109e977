// Device memory: one buffer with its own memory, by kind of use.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gpu/device.h"

namespace mote::gpu {

enum class MemoryKind {
    DeviceLocal, // for shaders; not mapped
    Weights,     // the same memory; mapped where it is unified and coherent, to be written in place once
    Upload, // mapped, written by the host once, read by the device; coherent where the device has such a type
    Readback, // mapped, written by the device, read by the host; HOST_CACHED where the device has such a type
};

// The memory type for a kind among those allowed by typeBits, or -1. A pure function, so that a table of
// devices can be tested. unifiedMemory: Upload then prefers a device-local type.
int chooseMemoryType(const VkPhysicalDeviceMemoryProperties &properties, uint32_t typeBits, MemoryKind kind,
                     bool unifiedMemory);

// A VkBuffer bound to its own VkDeviceMemory, usable as storage buffer, as uniform texel buffer, as source
// and target of copies and, where Caps::bufferDeviceAddress, by its address. Move-only; an empty one (default
// constructed or moved from) has size 0.
//
// The contents are undefined after creation. Offset 0 satisfies every alignment.
class Allocation {
public:
    // sizeBytes is rounded up to a multiple of 4 (VkCmdFill and friends want that). `what` names the
    // allocation in messages ("weights"); it is not kept. InvalidArgument: 0 bytes. OutOfMemory: names the
    // size asked, what the heap has free and the device's limits.
    static Result<Allocation> create(Device &device, uint64_t sizeBytes, MemoryKind kind, const char *what);

    Allocation() = default;
    Allocation(Allocation &&other) noexcept;
    Allocation &operator=(Allocation &&other) noexcept;
    // The device must have finished with it: wait for the fences of what uses it, or Queue::waitIdle().
    ~Allocation();

    VkBuffer buffer() const { return buffer_; }
    uint64_t size() const { return sizeBytes_; }          // bytes, rounded up to 4
    uint64_t memoryBytes() const { return memoryBytes_; } // what vkAllocateMemory was asked for
    // Where shaders find it; 0 without Caps::bufferDeviceAddress.
    VkDeviceAddress address() const { return address_; }
    std::byte *mapped() const { return mapped_; } // null for DeviceLocal and, on many devices, Weights
    bool coherent() const { return coherent_; }

    // After host writes and before the submission that reads them; does nothing on coherent memory.
    Status flush(uint64_t offset, uint64_t sizeBytes) const;
    // After the fence of the submission that wrote (which ended with CommandBuffer::barrierToHost) and before
    // host reads; does nothing on coherent memory.
    Status invalidate(uint64_t offset, uint64_t sizeBytes) const;

private:
    Status mappedRange(uint64_t offset, uint64_t sizeBytes, VkMappedMemoryRange &range) const;
    void destroy();

    Device *device_ = nullptr;
    VkBuffer buffer_ = VK_NULL_HANDLE;
    VkDeviceMemory memory_ = VK_NULL_HANDLE;
    VkDeviceAddress address_ = 0;
    std::byte *mapped_ = nullptr;
    uint64_t sizeBytes_ = 0;
    uint64_t memoryBytes_ = 0;
    uint32_t heapIndex_ = 0;
    bool coherent_ = false;
};

// A part of an allocation, as bound to a shader or copied. The offset of a binding is a multiple of
// Caps::minStorageBufferOffsetAlignment or minTexelBufferOffsetAlignment (multiples of 256 always are).
struct BufferRange {
    const Allocation *allocation = nullptr;
    uint64_t offset = 0;
    uint64_t size = 0; // bytes, not 0
};

} // namespace mote::gpu
