// One op at a time on a model's device, with made-up inputs of its real sizes and the model's own weights, to
// time its variants and to hold their results against each other.
#pragma once

#include "pipeline/forward.h"
#include "pipeline/loaded_model.h"
#include "pipeline/timing.h"

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mote::pipeline {

// One variant of the op: its dispatches and those of the norms that make its inputs, because some variants do
// a norm's work on the way.
struct TrialVariant {
    std::string name;
    ForwardPlan plan;
    ForwardBuffers buffers;
    std::vector<Command> commands;
    DistinctDispatches distinct;
    std::vector<double> milliseconds; // per distinct one: the least that was measured
    uint32_t op = 0;

    double least() const; // of all dispatches
};

// What a variant made: parts of the output, all of a small one, and of its statistics for each channel how
// many values they count, mean and standard deviation.
struct TrialResult {
    std::vector<float> values, statistics;
};
// Whether two variants agree as kernels do that round in different places.
bool agree(const TrialResult &a, const TrialResult &b);

class OpTrial {
public:
    // Submissions are kept to budgetMilliseconds. `cancel` may be null. Pipelines are made apart from the
    // device's and live as long as this does.
    static Result<std::unique_ptr<OpTrial>> create(const LoadedModel &model, double budgetMilliseconds,
                                                   const std::atomic<bool> *cancel);

    // `kernels`: with the variant in question at `op`; `shapes`: of one image.
    Result<TrialVariant> setUp(uint32_t op, const GraphShapes &shapes, GraphKernels kernels);
    // Compiles: one workgroup of each dispatch. Unsupported: the device cannot.
    Status warmUp(TrialVariant &variant);
    // Runs each distinct dispatch once, of long ones a part; the first time for an estimate of what a part
    // takes, which is not counted. The milliseconds of all dispatches.
    Result<double> time(TrialVariant &variant);
    Result<TrialResult> run(TrialVariant &variant);

private:
    // Halves, Floats: inputs; Statistics: of inputs; Made: whatever the dispatches write.
    enum class Use { Halves, Floats, Statistics, Made };

    OpTrial(const LoadedModel &model, double budgetMilliseconds, const std::atomic<bool> *cancel)
        : model_(model), budgetMilliseconds_(budgetMilliseconds), cancel_(cancel) {}
    gpu::Device &device() { return *model_.device(); }
    Result<uint32_t> buffer(Use use, uint64_t bytes);
    Status fillPattern(Use use, const gpu::Allocation &allocation);
    Status writeStatistics(const TrialVariant &variant);
    Status submit(const std::vector<Command> &commands);

    const LoadedModel &model_;
    double budgetMilliseconds_;
    const std::atomic<bool> *cancel_;
    std::unique_ptr<gpu::PipelineCache> pipelines_;
    BufferTable table_; // the model's weights, then allocations_
    std::deque<gpu::Allocation> allocations_;
    std::map<std::pair<Use, uint32_t>, uint32_t> numbers_; // by use and how many of it came before: in table_
    std::map<Use, uint32_t> taken_;                        // of the variant that is being set up
};

} // namespace mote::pipeline
