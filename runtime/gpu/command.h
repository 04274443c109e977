// Command buffers: recorded once, submitted as often as wanted.
//
//   MOTE_TRY_ASSIGN(auto commands, gpu::CommandBuffer::create(device));
//   MOTE_TRY(commands.begin());
//   commands.barrier();                                   // against what was submitted before
//   const gpu::BufferRange ranges[] = {{&weights, 0, 4096}, {&arena, 256, 1024}};
//   MOTE_TRY(commands.dispatch(*pipeline, ranges, 2, &push, sizeof push, groupsX, groupsY, groupsZ));
//   commands.barrierToHost();                             // where the host reads a Readback allocation
//   MOTE_TRY(commands.end());
//   MOTE_TRY(device.queue().submit(commands, fence));
//   MOTE_TRY(fence.wait());
//
// Nothing is inserted automatically: two commands of one queue may overlap, also across submissions, until a
// barrier() stands between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "gpu/memory.h"
#include "gpu/pipeline.h"

namespace mote::gpu {

class Timestamps;

// A command pool with one command buffer, the descriptor sets that it binds and the views of texel buffers.
// Recorded with SIMULTANEOUS_USE: the same recording may be pending twice. Move-only. Recorded by one thread
// at a time.
class CommandBuffer {
public:
    static Result<CommandBuffer> create(Device &device);

    CommandBuffer() = default;
    CommandBuffer(CommandBuffer &&other) noexcept;
    CommandBuffer &operator=(CommandBuffer &&other) noexcept;
    // No submission of it may be pending.
    ~CommandBuffer();

    // Drops what was recorded; no submission of it may be pending.
    Status begin();
    Status end();

    // One dispatch of groupsX * groupsY * groupsZ workgroups. ranges[i] is bound at binding i; `count` and
    // `pushBytes` are the pipeline's; the addresses that it asks for are written into a copy of `push`.
    // Checked in every build: alignment, maxStorageBufferRange or
    // maxTexelBufferElements, the end of each allocation, the group counts. A failed dispatch records
    // nothing.
    Status dispatch(const Pipeline &pipeline, const BufferRange *ranges, size_t count, const void *push,
                    size_t pushBytes, uint32_t groupsX, uint32_t groupsY, uint32_t groupsZ);

    // Full memory barrier between all shader and transfer work before and after, in this and in earlier
    // submissions. Narrower ones are dropped or mistaken by some drivers.
    void barrier();
    // Makes shader and transfer writes visible to host reads that follow the submission's fence.
    void barrierToHost();

    // Copies `bytes`; the two ranges of one allocation may not overlap. Offsets and sizes in bytes.
    Status copy(const Allocation &from, uint64_t fromOffset, const Allocation &to, uint64_t toOffset,
                uint64_t bytes);
    // Fills with a 32-bit pattern; offset and size are multiples of 4.
    Status fill(const BufferRange &range, uint32_t pattern);
    // Writes up to 65,536 bytes that are copied into the recording; offset and size are multiples of 4.
    Status update(const Allocation &to, uint64_t offset, const void *data, uint64_t bytes);

    // Must be recorded before the queries are written, in the same or an earlier command buffer.
    Status resetTimestamps(const Timestamps &timestamps, uint32_t first, uint32_t count);
    // Written when all earlier commands are complete.
    Status writeTimestamp(const Timestamps &timestamps, uint32_t index);

    VkCommandBuffer handle() const { return handle_; }
    bool recorded() const { return state_ == State::Recorded; }

private:
    enum class State { Empty, Recording, Recorded };

    Status recording(const char *call) const;
    Result<VkDescriptorSet> descriptorSet(const Pipeline &pipeline);
    Result<VkBufferView> texelView(const BufferRange &range);
    void destroyViews();
    void destroy();

    Device *device_ = nullptr;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkCommandBuffer handle_ = VK_NULL_HANDLE;
    std::vector<VkDescriptorPool> descriptorPools_;
    std::map<std::tuple<VkBuffer, uint64_t, uint64_t>, VkBufferView> views_; // by buffer, offset, size
    size_t currentPool_ = 0;
    VkPipeline boundPipeline_ = VK_NULL_HANDLE;
    State state_ = State::Empty;
};

} // namespace mote::gpu
