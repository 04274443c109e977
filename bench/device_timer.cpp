#include "device_timer.h"

#include "expect.h"

#include <chrono>

namespace mote::bench {

DeviceTimer::DeviceTimer(gpu::Device &device, const std::function<Status(gpu::CommandBuffer &)> &fill)
    : device_(device), commands_(expect(gpu::CommandBuffer::create(device))),
      fence_(expect(gpu::Fence::create(device))) {
    const bool stamps = device.caps().timestamps;
    if (stamps)
        timestamps_ = expect(gpu::Timestamps::create(device, 2));
    expect(commands_.begin());
    if (stamps) {
        expect(commands_.resetTimestamps(timestamps_, 0, 2));
        commands_.barrier();
        expect(commands_.writeTimestamp(timestamps_, 0));
    }
    expect(fill(commands_));
    if (stamps)
        expect(commands_.writeTimestamp(timestamps_, 1));
    expect(commands_.end());
}

DeviceTimer::DeviceTimer(gpu::Device &device, const pipeline::BufferTable &buffers,
                         std::vector<pipeline::Command> commands)
    : DeviceTimer(device, [&](gpu::CommandBuffer &into) -> Status {
          for (const pipeline::Command &command : withBarriers(std::move(commands)))
              MOTE_TRY(record(device.pipelines(), buffers, command, into));
          return {};
      }) {}

Time DeviceTimer::run() {
    const auto start = std::chrono::steady_clock::now();
    expect(device_.queue().submit(commands_, fence_));
    expect(fence_.wait());
    Time time;
    time.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    time.gpu = device_.caps().timestamps ? expect(timestamps_.milliseconds(0, 2))[1] / 1e3 : time.wall;
    return time;
}

} // namespace mote::bench
