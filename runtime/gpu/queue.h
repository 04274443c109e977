// The queue and its fences.
#pragma once

#include <cstdint>
#include <mutex>

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

private:
    friend class Queue;
    void destroy();

    Device *device_ = nullptr;
    VkFence handle_ = VK_NULL_HANDLE;
    bool pending_ = false;
    bool signalled_ = false; // to be reset before the next submission
};

// The device's one compute queue; safe from any thread.
class Queue {
public:
    // lock, unlock: the app's, around each use of a lent queue; or null.
    Queue(Device &device, VkQueue handle, void (*lock)(void *), void (*unlock)(void *), void *user)
        : device_(device), handle_(handle), lock_(lock), unlock_(unlock), user_(user) {}

    // Submits the command buffers, in order, as one batch. All must be recorded; the fence must not be
    // pending. Submissions start in order but may overlap: see CommandBuffer::barrier().
    Status submit(const CommandBuffer *const *commands, size_t count, Fence &fence);
    Status submit(const CommandBuffer &commands, Fence &fence);

    // Waits for all that was submitted to the queue, so that everything may be destroyed. Works on a lost
    // device too.
    Status waitIdle();

    VkQueue handle() const { return handle_; }

private:
    class Guard;

    Device &device_;
    VkQueue handle_;
    void (*lock_)(void *);
    void (*unlock_)(void *);
    void *user_;
    std::mutex mutex_;
};

} // namespace mote::gpu
