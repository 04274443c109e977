#include "pipeline/timing.h"

#include "gpu/queue.h"
#include "gpu/timestamps.h"
#include "pipeline/submissions.h"

#include <algorithm>
#include <utility>

namespace mote::pipeline {

void DistinctDispatches::add(const Command &command) {
    const Dispatch &dispatch = command.dispatch;
    const auto [found, first] = seen_.try_emplace(
        {dispatch.operations, dispatch.bytes, dispatch.groupCount, keyOf(dispatch.pipeline)},
        commands.size());
    if (first)
        commands.push_back(command);
    indices.push_back(found->second);
}

Result<std::vector<double>> timeDispatches(gpu::Device &device, gpu::PipelineCache &pipelines,
                                           const BufferTable &buffers, const std::vector<Command> &commands,
                                           const Traits &traits, double sampleMilliseconds,
                                           double budgetMilliseconds, const std::atomic<bool> *cancel,
                                           const std::function<void(size_t)> &advance) {
    std::vector<Command> samples;
    std::vector<double> share, estimates; // of each sample: part of the dispatch that it is, milliseconds
    for (const Command &command : commands) {
        Command sample = command;
        double part = 1;
        if (command.kind == CommandKind::Dispatch && command.milliseconds > sampleMilliseconds) {
            const uint32_t groups = command.dispatch.groupCount;
            const uint32_t count = std::clamp(
                static_cast<uint32_t>(groups * (sampleMilliseconds / command.milliseconds)), 1u, groups);
            sample.dispatch = slice(command.dispatch, 0, count, traits);
            part = static_cast<double>(count) / groups;
        }
        estimates.push_back(command.milliseconds * part);
        share.push_back(part);
        samples.push_back(std::move(sample));
    }

    const bool stamps = device.caps().timestamps;
    gpu::Timestamps timestamps;
    if (stamps) {
        MOTE_TRY_ASSIGN(timestamps,
                        gpu::Timestamps::create(device, static_cast<uint32_t>(2 * samples.size())));
    }
    MOTE_TRY_ASSIGN(gpu::CommandBuffer recording, gpu::CommandBuffer::create(device));
    MOTE_TRY_ASSIGN(gpu::Fence fence, gpu::Fence::create(device));
    std::vector<double> milliseconds(samples.size(), 0);
    size_t first = 0;
    for (size_t end : cutSubmissions(estimates, budgetMilliseconds)) {
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed))
            return makeStatus(StatusCode::Cancelled, "the run was cancelled");
        MOTE_TRY(recording.begin());
        if (stamps)
            MOTE_TRY(recording.resetTimestamps(timestamps, static_cast<uint32_t>(2 * first),
                                               static_cast<uint32_t>(2 * (end - first))));
        for (size_t i = first; i < end; ++i) {
            recording.barrier();
            if (stamps)
                MOTE_TRY(recording.writeTimestamp(timestamps, static_cast<uint32_t>(2 * i)));
            MOTE_TRY(record(pipelines, buffers, samples[i], recording));
            if (stamps)
                MOTE_TRY(recording.writeTimestamp(timestamps, static_cast<uint32_t>(2 * i + 1)));
        }
        MOTE_TRY(recording.end());
        const double start = millisecondsNow();
        MOTE_TRY(device.queue().submit(recording, fence));
        MOTE_TRY(fence.wait());
        const double wall = millisecondsNow() - start;
        double estimated = 0;
        for (size_t i = first; i < end; ++i)
            estimated += estimates[i];
        for (size_t i = first; i < end; ++i) {
            double time = estimated > 0 ? wall * estimates[i] / estimated : 0;
            if (stamps) {
                MOTE_TRY_ASSIGN(const std::vector<double> pair,
                                timestamps.milliseconds(static_cast<uint32_t>(2 * i), 2));
                time = pair[1];
            }
            milliseconds[i] = time / share[i];
        }
        if (advance)
            advance(end);
        first = end;
    }
    return milliseconds;
}

} // namespace mote::pipeline
