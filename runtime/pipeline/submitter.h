// Keeps at most two submissions in flight, tells of each one that completes, and stops when asked to.
#pragma once

#include "gpu/command.h"
#include "gpu/queue.h"
#include "model/status.h"

#include <atomic>
#include <functional>
#include <vector>

namespace mote::pipeline {

class Submitter {
public:
    static Result<Submitter> create(gpu::Device &device);

    // What holds until the next start(): `cancel` (may be null) is looked at before each submission;
    // `completed` (may be empty) is called with the milliseconds of each submission that completes.
    void start(const std::atomic<bool> *cancel, std::function<void(double)> completed);

    // Waits until fewer than two submissions are in flight, then submits. Cancelled: nothing was submitted.
    Status submit(const std::vector<const gpu::CommandBuffer *> &commands, double milliseconds);
    // Waits for all.
    Status drain();

private:
    struct Slot {
        gpu::Fence fence;
        double milliseconds = 0;
        bool counted = true; // completed() was called for it
    };

    Submitter() = default;
    Status await(Slot &slot);

    gpu::Device *device_ = nullptr;
    Slot slots_[2];
    int next_ = 0; // the older one
    const std::atomic<bool> *cancel_ = nullptr;
    std::function<void(double)> completed_;
};

} // namespace mote::pipeline
