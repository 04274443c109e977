#include "pipeline/staging.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mote::pipeline {

Result<Staging> Staging::create(gpu::Device &device, const gpu::Allocation &upload,
                                const gpu::Allocation &readback) {
    Staging staging;
    staging.device_ = &device;
    staging.upload_ = &upload;
    staging.readback_ = &readback;
    MOTE_TRY_ASSIGN(staging.commands_, gpu::CommandBuffer::create(device));
    MOTE_TRY_ASSIGN(staging.fence_, gpu::Fence::create(device));
    return staging;
}

Status Staging::finish() {
    MOTE_TRY(commands_.end());
    MOTE_TRY(device_->queue().submit(commands_, fence_));
    return fence_.wait();
}

Status Staging::write(const gpu::BufferRange &to, uint64_t floats, const Fill &fill) {
    const uint64_t piece = upload_->size() / sizeof(float);
    for (uint64_t first = 0; first < floats; first += piece) {
        const uint64_t count = std::min(piece, floats - first);
        fill(first, count, reinterpret_cast<float *>(upload_->mapped()));
        MOTE_TRY(upload_->flush(0, count * sizeof(float)));
        MOTE_TRY(commands_.begin());
        commands_.barrier();
        MOTE_TRY(commands_.copy(*upload_, 0, *to.allocation, to.offset + first * sizeof(float),
                                count * sizeof(float)));
        MOTE_TRY(finish());
    }
    return {};
}

Status Staging::read(const gpu::BufferRange &from, uint64_t bytes, void *to) {
    for (uint64_t first = 0; first < bytes; first += readback_->size()) {
        const uint64_t count = std::min(readback_->size(), bytes - first);
        MOTE_TRY(commands_.begin());
        commands_.barrier();
        MOTE_TRY(commands_.copy(*from.allocation, from.offset + first, *readback_, 0, count));
        commands_.barrierToHost();
        MOTE_TRY(finish());
        MOTE_TRY(readback_->invalidate(0, count));
        std::memcpy(static_cast<char *>(to) + first, readback_->mapped(), count);
    }
    return {};
}

Status Staging::runNow(const BufferTable &buffers, std::vector<Command> commands) {
    MOTE_TRY(commands_.begin());
    for (const Command &command : withBarriers(std::move(commands)))
        MOTE_TRY(record(device_->pipelines(), buffers, command, commands_));
    commands_.barrierToHost();
    return finish();
}

} // namespace mote::pipeline
