#include "pipeline/submitter.h"

#include <utility>

namespace mote::pipeline {

Result<Submitter> Submitter::create(gpu::Device &device) {
    Submitter submitter;
    submitter.device_ = &device;
    for (Slot &slot : submitter.slots_) {
        MOTE_TRY_ASSIGN(slot.fence, gpu::Fence::create(device));
    }
    return submitter;
}

void Submitter::start(const std::atomic<bool> *cancel, std::function<void(double)> completed) {
    cancel_ = cancel;
    completed_ = std::move(completed);
}

Status Submitter::await(Slot &slot) {
    MOTE_TRY(slot.fence.wait());
    if (!slot.counted) {
        slot.counted = true;
        if (completed_)
            completed_(slot.milliseconds);
    }
    return {};
}

Status Submitter::submit(const std::vector<const gpu::CommandBuffer *> &commands, double milliseconds) {
    Slot &slot = slots_[next_];
    MOTE_TRY(await(slot));
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed))
        return makeStatus(StatusCode::Cancelled, "the run was cancelled");
    MOTE_TRY(device_->queue().submit(commands.data(), commands.size(), slot.fence));
    slot.milliseconds = milliseconds;
    slot.counted = false;
    next_ = 1 - next_;
    return {};
}

Status Submitter::drain() {
    MOTE_TRY(await(slots_[next_])); // the older one first
    return await(slots_[1 - next_]);
}

} // namespace mote::pipeline
