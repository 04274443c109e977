// How long dispatches take: timestamps where the device has them, the host's clock elsewhere.
#pragma once

#include "pipeline/commands.h"
#include "pipeline/loaded_model.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace mote::pipeline {

// Dispatches of which those that are alike need to be timed once: bands of an op, and ops of the same shape.
struct DistinctDispatches {
    std::vector<Command> commands; // one of each
    std::vector<size_t> indices;   // into commands, of each that was added

    void add(const Command &command);

private:
    std::map<std::tuple<uint64_t, uint64_t, uint32_t, PipelineKey>, size_t>
        seen_; // operations, bytes, workgroups, pipeline
};

// Runs the dispatches one after the other, each between barriers, and gives the milliseconds of each. Where
// `estimate` says (Command::milliseconds) that one takes longer than sampleMilliseconds only that share of
// its workgroups runs, and the time is scaled up. Submissions are cut by the estimates. The results of the
// dispatches mean nothing. `advance`, where given, is called with the number done so far.
Result<std::vector<double>> timeDispatches(gpu::Device &device, gpu::PipelineCache &pipelines,
                                           const BufferTable &buffers, const std::vector<Command> &commands,
                                           const Traits &traits, double sampleMilliseconds,
                                           double budgetMilliseconds, const std::atomic<bool> *cancel,
                                           const std::function<void(size_t)> &advance);

} // namespace mote::pipeline
