#include "gpu/transfer.h"

#include <algorithm>
#include <cstring>

namespace mote::gpu {

Result<Uploader> Uploader::create(Device &device, uint64_t chunkBytes) {
    Uploader uploader;
    uploader.device_ = &device;
    for (Slot &slot : uploader.slots_) {
        MOTE_TRY_ASSIGN(slot.staging,
                        Allocation::create(device, chunkBytes, MemoryKind::Upload, "upload staging"));
        MOTE_TRY_ASSIGN(slot.commands, CommandBuffer::create(device));
        MOTE_TRY_ASSIGN(slot.fence, Fence::create(device));
    }
    uploader.chunkBytes_ = uploader.slots_[0].staging.size();
    return uploader;
}

Result<std::byte *> Uploader::chunk() {
    Slot &slot = slots_[current_];
    MOTE_TRY(slot.fence.wait());
    chunkTaken_ = true;
    return slot.staging.mapped();
}

Status Uploader::send(uint64_t bytes, const Allocation &to, uint64_t offset) {
    if (!chunkTaken_ || bytes == 0 || bytes > chunkBytes_ || bytes % 4 != 0)
        return makeStatus(StatusCode::InvalidArgument,
                          "send: %llu bytes of a chunk of %llu, a multiple of 4 after chunk() is needed",
                          static_cast<unsigned long long>(bytes),
                          static_cast<unsigned long long>(chunkBytes_));
    Slot &slot = slots_[current_];
    MOTE_TRY(slot.staging.flush(0, bytes));
    MOTE_TRY(slot.commands.begin());
    slot.commands.barrier();
    MOTE_TRY(slot.commands.copy(slot.staging, 0, to, offset, bytes));
    slot.commands.barrier();
    MOTE_TRY(slot.commands.end());
    MOTE_TRY(device_->queue().submit(slot.commands, slot.fence));
    current_ = 1 - current_;
    chunkTaken_ = false;
    return {};
}

Status Uploader::upload(const Allocation &to, uint64_t offset, const void *data, uint64_t bytes) {
    const std::byte *from = static_cast<const std::byte *>(data);
    while (bytes > 0) {
        const uint64_t part = std::min(bytes, chunkBytes_);
        MOTE_TRY_ASSIGN(std::byte *const staging, chunk());
        std::memcpy(staging, from, static_cast<size_t>(part));
        MOTE_TRY(send(part, to, offset));
        from += part;
        offset += part;
        bytes -= part;
    }
    return {};
}

Status Uploader::finish() {
    for (Slot &slot : slots_)
        MOTE_TRY(slot.fence.wait());
    return {};
}

Status readBack(Device &device, const Allocation &from, uint64_t offset, void *data, uint64_t bytes,
                uint64_t chunkBytes) {
    if (bytes == 0)
        return {};
    if (chunkBytes < 4)
        return makeStatus(StatusCode::InvalidArgument, "readBack: chunks of %llu bytes",
                          static_cast<unsigned long long>(chunkBytes));
    MOTE_TRY_ASSIGN(const Allocation staging, Allocation::create(device, std::min(bytes, chunkBytes),
                                                                 MemoryKind::Readback, "readback staging"));
    MOTE_TRY_ASSIGN(CommandBuffer commands, CommandBuffer::create(device));
    MOTE_TRY_ASSIGN(Fence fence, Fence::create(device));
    std::byte *to = static_cast<std::byte *>(data);
    while (bytes > 0) {
        const uint64_t part = std::min(bytes, staging.size());
        MOTE_TRY(commands.begin());
        commands.barrier();
        MOTE_TRY(commands.copy(from, offset, staging, 0, part));
        commands.barrierToHost();
        MOTE_TRY(commands.end());
        MOTE_TRY(device.queue().submit(commands, fence));
        MOTE_TRY(fence.wait());
        MOTE_TRY(staging.invalidate(0, part));
        std::memcpy(to, staging.mapped(), static_cast<size_t>(part));
        to += part;
        offset += part;
        bytes -= part;
    }
    return {};
}

} // namespace mote::gpu
