#include "pipeline/submitter.h"

#include <utility>

namespace mote::pipeline {

Result<Submitter> Submitter::create(gpu::Device &device) {
    Submitter submitter;
    submitter.device_ = &device;
    submitter.fences_.resize(kFences);
    for (gpu::Fence &fence : submitter.fences_) {
        MOTE_TRY_ASSIGN(fence, gpu::Fence::create(device));
    }
    return submitter;
}

void Submitter::start(const std::atomic<bool> *cancel, std::function<void(double)> completed) {
    cancel_ = cancel;
    completed_ = std::move(completed);
}

inline Status Submitter::awaitOldest() {
    const size_t oldest = (next_ + kFences - inFlight_) % kFences;
    MOTE_TRY(fences_[oldest].wait());
    --inFlight_;
    if (completed_)
        completed_(milliseconds_[oldest]);
    return {};
}

Status Submitter::submit(const std::vector<Submission> &submissions) {
    gpu::Queue &queue = device_->queue();
    for (const Submission &submission : submissions) {
        if (inFlight_ == kMostInFlight)
            MOTE_TRY(awaitOldest());
        if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed))
            return makeStatus(StatusCode::Cancelled, "the run was cancelled");
        if (next_ % (kFences / 2) == 0)
            MOTE_TRY(gpu::Fence::reset(&fences_[next_], kFences / 2));
        MOTE_TRY(queue.submit(submission.batch, fences_[next_]));
        milliseconds_[next_] = submission.milliseconds;
        next_ = (next_ + 1) % kFences;
        ++inFlight_;
    }
    return {};
}

Status Submitter::drain() {
    while (inFlight_ > 0)
        MOTE_TRY(awaitOldest());
    return {};
}

} // namespace mote::pipeline
