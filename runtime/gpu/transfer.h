// Host to device and back in bounded chunks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gpu/command.h"
#include "gpu/memory.h"
#include "gpu/queue.h"

namespace mote::gpu {

constexpr uint64_t kDefaultChunkBytes = 4u << 20;

// Copies host data to allocations through two staging chunks, so that packing one overlaps copying the other.
//
//   MOTE_TRY_ASSIGN(auto uploader, gpu::Uploader::create(device, gpu::kDefaultChunkBytes));
//   MOTE_TRY_ASSIGN(std::byte *chunk, uploader.chunk());       // pack up to chunkBytes() into it
//   MOTE_TRY(uploader.send(bytes, weights, offset));           // starts the copy
//   MOTE_TRY(uploader.finish());                               // all copies complete
//
// Each copy stands between full barriers: what is submitted after send() on this queue sees the data, and
// earlier work that still reads the target is waited for on the device. Move-only.
class Uploader {
public:
    // Two chunks of chunkBytes (rounded up to 4) are allocated; they count as device memory until
    // destruction.
    static Result<Uploader> create(Device &device, uint64_t chunkBytes);

    uint64_t chunkBytes() const { return chunkBytes_; }

    // A mapped chunk that the device is finished with; its contents are undefined.
    Result<std::byte *> chunk();
    // Copies the first `bytes` (a multiple of 4) of the chunk last returned by chunk() to `to` at offset.
    Status send(uint64_t bytes, const Allocation &to, uint64_t offset);
    // Both of the above, as often as needed. Offset and bytes are multiples of 4.
    Status upload(const Allocation &to, uint64_t offset, const void *data, uint64_t bytes);
    // Waits until all that was sent has arrived.
    Status finish();

private:
    struct Slot {
        Allocation staging;
        CommandBuffer commands;
        Fence fence; // declared last: its destructor waits before the others go
    };

    Uploader() = default;

    Device *device_ = nullptr;
    uint64_t chunkBytes_ = 0;
    Slot slots_[2];
    int current_ = 0;
    bool chunkTaken_ = false;
};

// Copies `bytes` (a multiple of 4) of `from` to host memory through a Readback chunk of at most chunkBytes,
// behind a full barrier, and waits.
Status readBack(Device &device, const Allocation &from, uint64_t offset, void *data, uint64_t bytes,
                uint64_t chunkBytes = kDefaultChunkBytes);

} // namespace mote::gpu
