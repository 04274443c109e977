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

Status Fence::reset(Fence *fences, size_t count) {
    std::vector<VkFence> handles;
    for (size_t i = 0; i < count; ++i)
        if (fences[i].signalled_)
            handles.push_back(fences[i].handle_);
    if (handles.empty())
        return {};
    Device &device = *fences->device_;
    MOTE_TRY(device.alive());
    MOTE_TRY(device.check(
        device.vk().vkResetFences(device.handle(), static_cast<uint32_t>(handles.size()), handles.data()),
        "vkResetFences"));
    for (size_t i = 0; i < count; ++i)
        fences[i].signalled_ = false;
    return {};
}

Result<Batch> Batch::of(const CommandBuffer *const *commands, size_t count) {
    Batch batch;
    batch.handles_.resize(count);
    for (size_t i = 0; i < count; ++i) {
        if (!commands[i]->recorded())
            return makeStatus(StatusCode::InvalidArgument,
                              "submit: command buffer %zu of %zu is not recorded", i, count);
        batch.handles_[i] = commands[i]->handle();
    }
    return batch;
}

Status Queue::refused(const Fence &fence) {
    return makeStatus(StatusCode::InvalidArgument, "submit: the fence is %s",
                      fence.pending_ ? "still pending" : "empty");
}

Status Queue::submit(const CommandBuffer &commands, Fence &fence) {
    const CommandBuffer *const list[] = {&commands};
    MOTE_TRY_ASSIGN(const Batch batch, Batch::of(list, 1));
    return submit(batch, fence);
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
