// Keeps at most two submissions in flight, tells of each one that completes, and stops when asked to.
#pragma once

#include "gpu/command.h"
#include "gpu/queue.h"
#include "model/status.h"

#include <atomic>
#include <cstddef>
#include <functional>
#include <vector>

namespace mote::pipeline {

struct Submission {
    gpu::Batch batch;
    double milliseconds = 0; // as estimated
};

class Submitter {
public:
    static Result<Submitter> create(gpu::Device &device);

    // What holds until the next start(): `cancel` (may be null) is looked at before each submission;
    // `completed` (may be empty) is called with the milliseconds of each submission that completes.
    void start(const std::atomic<bool> *cancel, std::function<void(double)> completed);

    // One after the other, each when fewer than two are in flight. Cancelled: what was not submitted stays
    // so.
    Status submit(const std::vector<Submission> &submissions);
    // Waits for all.
    Status drain();

private:
    // Reset by halves: a half is free when the first of it is due.
    static constexpr size_t kFences = 32, kMostInFlight = 2;

    Submitter() = default;
    Status awaitOldest();

    gpu::Device *device_ = nullptr;
    std::vector<gpu::Fence> fences_;
    double milliseconds_[kFences] = {}; // of the submission with each fence
    size_t next_ = 0;                   // the fence of the next submission
    size_t inFlight_ = 0;               // the submissions before it that nobody has waited for
    const std::atomic<bool> *cancel_ = nullptr;
    std::function<void(double)> completed_;
};

} // namespace mote::pipeline
