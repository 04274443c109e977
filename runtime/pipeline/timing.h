// How long dispatches take: timestamps where the device has them, the host's clock elsewhere.
#pragma once

#include "pipeline/commands.h"

#include <atomic>
#include <functional>
#include <vector>

namespace mote::pipeline {

// Runs the dispatches one after the other, each between barriers, and gives the milliseconds of each. Where
// `estimate` says (Command::milliseconds) that one takes longer than sampleMilliseconds only that share of
// its workgroups runs, and the time is scaled up. Submissions are cut by the estimates. The results of the
// dispatches mean nothing. `advance` is called with the number done so far.
Result<std::vector<double>> timeDispatches(gpu::Device &device, const BufferTable &buffers,
                                           const std::vector<Command> &commands, const Traits &traits,
                                           double sampleMilliseconds, double budgetMilliseconds,
                                           const std::atomic<bool> *cancel,
                                           const std::function<void(size_t)> &advance);

} // namespace mote::pipeline
