// A model as sessions use it: checked, on a device (or on none: then it can be described and estimated).
#pragma once

#include "gpu/device.h"
#include "kernels/kernels.h"
#include "model/reader.h"
#include "model/task.h"
#include "pipeline/weights.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace mote::pipeline {

// Tells pipelines apart: shader, constants, subgroup size, bindings by address.
using PipelineKey = std::pair<uint32_t, std::vector<uint32_t>>;
PipelineKey keyOf(const gpu::PipelineDescription &pipeline);

// Shared by its handle and its sessions; safe from several threads.
class LoadedModel {
public:
    // Reads and checks everything, and with a device puts the weights there. Unsupported: names what this
    // version does not run (several graphs, ports that are not planes of the image's size, ...).
    // preferredKernel: Traits::preferred.
    static Result<std::shared_ptr<LoadedModel>> open(std::shared_ptr<gpu::Device> device,
                                                     const Source &source, std::string preferredKernel = {});

    LoadedModel(const LoadedModel &) = delete;
    LoadedModel &operator=(const LoadedModel &) = delete;

    const std::shared_ptr<gpu::Device> &device() const { return device_; } // may be null
    const Model &model() const { return model_; }
    const Graph &graph() const { return model_.graphs[0]; }
    const Task &task() const { return task_; }
    const Traits &traits() const { return traits_; }
    // What a tuner found, null before; sessions that are made afterwards go by it. With it another self-check
    // is due.
    std::shared_ptr<const KernelChoices> choices() const;
    void setChoices(std::shared_ptr<const KernelChoices> choices);
    const WeightPlan &weightPlan() const { return weightPlan_; }
    const std::vector<gpu::Allocation> &weightChunks() const { return weightChunks_; }
    const std::string &description() const { return description_; } // JSON
    double openMilliseconds() const { return openMilliseconds_; }
    // Ok, or what of the file this version does not run; only models without a device can have that.
    const Status &runnable() const { return runnable_; }

    // The least of the device's limits on one allocation and one binding, in whole pages.
    uint64_t maxChunkBytes() const;

    // For chooseKernels: Unsupported for pipelines that this device failed to make, ok for all others.
    std::function<Status(const gpu::PipelineDescription &)> usable() const;
    // Makes all pipelines of the kernels. Where the device cannot make one it is remembered, so that the
    // kernels must be chosen again: then Unsupported is returned, and `choiceChanged` is set when it is the
    // first time for this pipeline.
    Status makePipelines(const std::vector<gpu::PipelineDescription> &pipelines, bool &choiceChanged);

    // Serialises tunings; the flag asks the present one to stop.
    std::mutex tuneMutex;
    std::atomic<bool> cancelTuning{false};

    // Serialises self-checks; `selfChecked` is what the lock guards.
    std::mutex selfCheckMutex;
    bool selfChecked = false;

private:
    Result<GraphKernels> nominalKernels() const; // with which weights are packed
    LoadedModel() = default;

    std::shared_ptr<gpu::Device> device_; // first: outlives the weights
    Model model_;
    Task task_;
    Traits traits_;
    WeightPlan weightPlan_;
    std::vector<gpu::Allocation> weightChunks_;
    std::string description_;
    double openMilliseconds_ = 0;
    Status runnable_;
    mutable std::mutex choicesMutex_;
    std::shared_ptr<const KernelChoices> choices_;
    mutable std::mutex failedMutex_;
    std::set<PipelineKey> failed_;
};

// All distinct pipelines of some kernels.
std::vector<gpu::PipelineDescription> pipelinesOf(const GraphKernels &kernels);

double millisecondsNow(); // of a clock that never goes back

} // namespace mote::pipeline
