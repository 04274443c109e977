// Times a recording on the device (timestamps) and on the host (from submission to the end of its fence).
#pragma once

#include "gpu/command.h"
#include "gpu/queue.h"
#include "gpu/timestamps.h"
#include "pipeline/commands.h"

#include <functional>
#include <vector>

namespace mote::bench {

struct Time {
    double gpu = 0, wall = 0; // seconds; gpu is wall where the device has no timestamps
};

class DeviceTimer {
public:
    // `fill` records what is to be timed, barriers included.
    DeviceTimer(gpu::Device &device, const std::function<Status(gpu::CommandBuffer &)> &fill);
    // Commands of a session, with the barriers that they need.
    DeviceTimer(gpu::Device &device, const pipeline::BufferTable &buffers,
                std::vector<pipeline::Command> commands);

    Time run();

private:
    gpu::Device &device_;
    gpu::Timestamps timestamps_;
    gpu::CommandBuffer commands_;
    gpu::Fence fence_;
};

} // namespace mote::bench
