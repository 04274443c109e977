// The queue and its fences. What happens at every submission of a run is inline: the host comes to it with
// cold caches, when the GPU (or the driver's threads on the same cores) has worked for some tens of
// milliseconds, and pays for each line and page that it touches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "gpu/device.h"

namespace mote::gpu {

class CommandBuffer;

constexpr uint64_t kWaitForever = ~0ull; // nanoseconds

// Signalled when a submission is complete. Move-only, reusable. Its destructor waits, so a fence that is
// declared after the command buffers, allocations and timestamps that its submissions use makes them safe to
// destroy on every path.
class Fence {
public:
    static Result<Fence> create(Device &device);

    Fence() = default;
    Fence(Fence &&other) noexcept;
    Fence &operator=(Fence &&other) noexcept;
    // Waits for a pending submission.
    ~Fence();

    // A submission was made with it, and no wait or poll has seen it complete yet.
    bool pending() const { return pending_; }

    // Ok when complete (also when nothing is pending); NotReady when the time is over; DeviceLost.
    Status wait(uint64_t timeoutNanoseconds = kWaitForever);
    // Ok when complete; NotReady; DeviceLost. Does not block.
    Status poll() { return wait(0); }

    // Of one device, none pending: makes those that were used usable again, in one call. A submission does it
    // for its own fence where that is left out.
    static Status reset(Fence *fences, size_t count);

private:
    friend class Queue;
    void destroy();

    Device *device_ = nullptr;
    VkFence handle_ = VK_NULL_HANDLE;
    bool pending_ = false;
    bool signalled_ = false; // to be reset before the next submission
};

// Command buffers that are submitted together, in order: checked and gathered once, submitted as often as
// wanted. They must live and stay as they are recorded.
class Batch {
public:
    static Result<Batch> of(const CommandBuffer *const *commands, size_t count);

private:
    friend class Queue;
    std::vector<VkCommandBuffer> handles_;
};

// The device's one compute queue; safe from any thread.
class Queue {
public:
    // lock, unlock: the app's, around each use of a lent queue; or null.
    Queue(Device &device, VkQueue handle, void (*lock)(void *), void (*unlock)(void *), void *user)
        : device_(device), handle_(handle), lock_(lock), unlock_(unlock), user_(user) {}

    // The fence must not be pending. Submissions start in order but may overlap: see
    // CommandBuffer::barrier().
    Status submit(const Batch &batch, Fence &fence);
    Status submit(const CommandBuffer &commands, Fence &fence);

    // Waits for all that was submitted to the queue, so that everything may be destroyed. Works on a lost
    // device too.
    Status waitIdle();

    VkQueue handle() const { return handle_; }

private:
    class Guard;

    static Status refused(const Fence &fence);

    Device &device_;
    VkQueue handle_;
    void (*lock_)(void *);
    void (*unlock_)(void *);
    void *user_;
    std::mutex mutex_;
};

inline Status Fence::wait(uint64_t timeoutNanoseconds) {
    if (!pending_)
        return {};
    MOTE_TRY(device_->alive());
    const VkResult result =
        timeoutNanoseconds == 0
            ? device_->vk().vkGetFenceStatus(device_->handle(), handle_)
            : device_->vk().vkWaitForFences(device_->handle(), 1, &handle_, VK_TRUE, timeoutNanoseconds);
    MOTE_TRY(device_->check(result, timeoutNanoseconds == 0 ? "vkGetFenceStatus" : "vkWaitForFences"));
    pending_ = false;
    signalled_ = true;
    return {};
}

// The app's lock around a lent queue, our own otherwise.
class Queue::Guard {
public:
    explicit Guard(Queue &queue) : queue_(queue) {
        queue_.mutex_.lock();
        if (queue_.lock_ != nullptr)
            queue_.lock_(queue_.user_);
    }
    Guard(const Guard &) = delete;
    Guard &operator=(const Guard &) = delete;
    ~Guard() {
        if (queue_.unlock_ != nullptr)
            queue_.unlock_(queue_.user_);
        queue_.mutex_.unlock();
    }

private:
    Queue &queue_;
};

inline Status Queue::submit(const Batch &batch, Fence &fence) {
    MOTE_TRY(device_.alive());
    if (fence.handle_ == VK_NULL_HANDLE || fence.pending_)
        return refused(fence);
    if (fence.signalled_)
        MOTE_TRY(Fence::reset(&fence, 1));
    VkSubmitInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.commandBufferCount = static_cast<uint32_t>(batch.handles_.size());
    info.pCommandBuffers = batch.handles_.data();
    VkResult result = VK_SUCCESS;
    {
        const Guard guard(*this);
        result = device_.vk().vkQueueSubmit(handle_, 1, &info, fence.handle_);
    }
    MOTE_TRY(device_.check(result, "vkQueueSubmit"));
    fence.pending_ = true;
    return {};
}

} // namespace mote::gpu
