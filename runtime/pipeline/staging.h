// Host data to and from device buffers, at once: each call waits for the device.
#pragma once

#include "gpu/command.h"
#include "gpu/queue.h"
#include "pipeline/commands.h"

#include <cstdint>
#include <functional>

namespace mote::pipeline {

// Uses mapped memory of its owner's; holds a command buffer and a fence of its own.
class Staging {
public:
    static Result<Staging> create(gpu::Device &device, const gpu::Allocation &upload,
                                  const gpu::Allocation &readback);

    // Fills `floats` floats of a device buffer, in pieces that `fill` writes: elements [first, first +
    // count).
    using Fill = std::function<void(uint64_t first, uint64_t count, float *to)>;
    Status write(const gpu::BufferRange &to, uint64_t floats, const Fill &fill);
    // Reads bytes (a multiple of 4) of a device buffer.
    Status read(const gpu::BufferRange &from, uint64_t bytes, void *to);
    // Records the list (with barriers), submits it and waits. The host may read readback memory afterwards.
    Status runNow(const BufferTable &buffers, std::vector<Command> commands);

private:
    Staging() = default;
    Status finish(); // ends, submits, waits

    gpu::Device *device_ = nullptr;
    const gpu::Allocation *upload_ = nullptr;
    const gpu::Allocation *readback_ = nullptr;
    gpu::CommandBuffer commands_;
    gpu::Fence fence_; // after commands_: its destructor waits for a pending submission first
};

} // namespace mote::pipeline
