#include "gpu/queue.h"

#include <utility>
#include <vector>

#include "gpu/command.h"

namespace mote::gpu {

Result<Fence> Fence::create(Device &device) {
    MOTE_TRY(device.alive());
    Fence fence;
    VkFenceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    VkFence handle = VK_NULL_HANDLE;
    MOTE_TRY(
        device.check(device.vk().vkCreateFence(device.handle(), &info, nullptr, &handle), "vkCreateFence"));
    fence.device_ = &device;
    fence.handle_ = handle;
    return fence;
}

Fence::Fence(Fence &&other) noexcept {
    *this = std::move(other);
}

Fence &Fence::operator=(Fence &&other) noexcept {
    if (this == &other)
        return *this;
    destroy();
    device_ = std::exchange(other.device_, nullptr);
    handle_ = std::exchange(other.handle_, VK_NULL_HANDLE);
    pending_ = std::exchange(other.pending_, false);
    signalled_ = std::exchange(other.signalled_, false);
    return *this;
}

Fence::~Fence() {
    destroy();
}

void Fence::destroy() {
    if (handle_ == VK_NULL_HANDLE)
        return;
    // A fence that cannot be waited for belongs to a lost device or to one out of memory; the queue's own
    // wait is what remains to make destruction safe.
    if (pending_ && !wait().ok())
        (void)device_->queue().waitIdle();
    device_->vk().vkDestroyFence(device_->handle(), handle_, nullptr);
    handle_ = VK_NULL_HANDLE;
    pending_ = false;
}

Status Fence::wait(uint64_t timeoutNanoseconds) {
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

Status Queue::submit(const CommandBuffer *const *commands, size_t count, Fence &fence) {
    MOTE_TRY(device_.alive());
    if (fence.handle_ == VK_NULL_HANDLE || fence.pending_)
        return makeStatus(StatusCode::InvalidArgument, "submit: the fence is %s",
                          fence.pending_ ? "still pending" : "empty");
    std::vector<VkCommandBuffer> handles(count);
    for (size_t i = 0; i < count; ++i) {
        if (!commands[i]->recorded())
            return makeStatus(StatusCode::InvalidArgument,
                              "submit: command buffer %zu of %zu is not recorded", i, count);
        handles[i] = commands[i]->handle();
    }
    if (fence.signalled_) {
        MOTE_TRY(
            device_.check(device_.vk().vkResetFences(device_.handle(), 1, &fence.handle_), "vkResetFences"));
        fence.signalled_ = false;
    }
    VkSubmitInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.commandBufferCount = static_cast<uint32_t>(count);
    info.pCommandBuffers = handles.data();
    VkResult result = VK_SUCCESS;
    {
        const Guard guard(*this);
        result = device_.vk().vkQueueSubmit(handle_, 1, &info, fence.handle_);
    }
    MOTE_TRY(device_.check(result, "vkQueueSubmit"));
    fence.pending_ = true;
    return {};
}

Status Queue::submit(const CommandBuffer &commands, Fence &fence) {
    const CommandBuffer *const list[] = {&commands};
    return submit(list, 1, fence);
}

Status Queue::waitIdle() {
    VkResult result = VK_SUCCESS;
    {
        const Guard guard(*this);
        result = device_.vk().vkQueueWaitIdle(handle_);
    }
    return device_.check(result, "vkQueueWaitIdle");
}

} // namespace mote::gpu
