#include "pipeline/loaded_model.h"

#include "graph/shapes.h"
#include "model/describe.h"
#include "pipeline/parallel.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

namespace mote::pipeline {
namespace {

// The size at which the packing of weights is asked for; it is the same for all sizes and variants.
constexpr uint32_t kNominalSize = 256;

// What an estimate without a device is made for: the least that Vulkan 1.1 devices have.
Traits floorTraits() {
    Traits traits;
    gpu::Caps &caps = traits.caps;
    caps.maxWorkgroupInvocations = 256;
    caps.maxWorkgroupSize[0] = caps.maxWorkgroupSize[1] = 256;
    caps.maxWorkgroupSize[2] = 64;
    for (uint32_t &count : caps.maxWorkgroupCount)
        count = 65535;
    caps.maxSharedBytes = 16384;
    caps.maxStorageBuffers = 8;
    caps.maxPushConstantBytes = 128;
    caps.maxTexelBufferElements = 65536;
    caps.maxStorageBufferRange = 128u << 20;
    caps.minStorageBufferOffsetAlignment = caps.minTexelBufferOffsetAlignment = kBindingAlignment;
    caps.nonCoherentAtomBytes = 256;
    caps.maxAllocationBytes = 1u << 30;
    caps.maxAllocationCount = 4096;
    return traits;
}

// What a well-formed file may hold and this version does not run.
Status checkRunnable(const Model &model, const std::string &file) {
    if (model.graphs.size() != 1 || model.graphs[0].phase != Phase::PerStep)
        return makeStatus(StatusCode::Unsupported,
                          "%s: found %zu graphs, this version runs one, of each step", file.c_str(),
                          model.graphs.size());
    if (model.recipes.empty())
        return makeStatus(StatusCode::Unsupported, "%s: it has no recipe, so there is nothing to run",
                          file.c_str());
    const Graph &graph = model.graphs[0];
    uint32_t states = 0, outputs = 0, stateChannels = 0, outputChannels = 0;
    for (const Port &port : graph.ports) {
        const char *name = port.name.c_str();
        const bool planes = port.kind == PortKind::Image || port.kind == PortKind::Tensor;
        if (!planes || port.shape.size() != 4)
            return makeStatus(
                StatusCode::Unsupported,
                "%s: port '%s' of graph '%s' is not an image or a tensor of four dimensions, this "
                "version has no other",
                file.c_str(), name, graph.name.c_str());
        const Dimension &h = port.shape[2], &w = port.shape[3];
        const bool fixed = h.symbol == DimensionSymbol::One && w.symbol == DimensionSymbol::One;
        if (!fixed && (h.symbol != DimensionSymbol::H || w.symbol != DimensionSymbol::W ||
                       h.numerator != h.denominator || w.numerator != w.denominator))
            return makeStatus(StatusCode::Unsupported,
                              "%s: port '%s' of graph '%s' does not have the image's height and width, this "
                              "version has no other",
                              file.c_str(), name, graph.name.c_str());
        const uint32_t channels = graph.tensors[port.tensor].channels;
        switch (port.source) {
        case PortSource::App:
        case PortSource::Noise:
            break;
        case PortSource::State:
            ++states;
            stateChannels = channels;
            break;
        case PortSource::ModelOutput:
            ++outputs;
            outputChannels = channels;
            break;
        case PortSource::ModelVariance: // as many channels as the output has: validated
            break;
        case PortSource::Graph:
        case PortSource::Constant:
            return makeStatus(
                StatusCode::Unsupported,
                "%s: port '%s' of graph '%s' is fed by another graph or a constant, this version "
                "feeds ports from the app, the state and the noise source",
                file.c_str(), name, graph.name.c_str());
        }
    }
    if (states != 1 || outputs != 1 || stateChannels != outputChannels)
        return makeStatus(StatusCode::Unsupported,
                          "%s: found %u state ports (%u channels) and %u model outputs (%u channels), this "
                          "version runs one of each with equal channels",
                          file.c_str(), states, stateChannels, outputs, outputChannels);
    return {};
}

} // namespace

PipelineKey keyOf(const gpu::PipelineDescription &pipeline) {
    std::vector<uint32_t> constants = pipeline.constants;
    constants.push_back(pipeline.requiredSubgroupSize);
    constants.push_back(pipeline.addressBindings);
    return {pipeline.shader.id, std::move(constants)};
}

double millisecondsNow() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

std::vector<gpu::PipelineDescription> pipelinesOf(const GraphKernels &kernels) {
    std::vector<gpu::PipelineDescription> list;
    std::set<PipelineKey> seen;
    for (const OpKernel &kernel : kernels.ops)
        for (const gpu::PipelineDescription &pipeline : kernel.pipelines)
            if (seen.insert(keyOf(pipeline)).second)
                list.push_back(pipeline);
    return list;
}

Result<std::shared_ptr<LoadedModel>> LoadedModel::open(std::shared_ptr<gpu::Device> device,
                                                       const Source &source, std::string preferredKernel) {
    const double start = millisecondsNow();
    std::shared_ptr<LoadedModel> loaded(new LoadedModel);
    loaded->device_ = std::move(device);
    MOTE_TRY_ASSIGN(loaded->model_, readModel(source));
    MOTE_TRY_ASSIGN(loaded->task_, taskNamed(loaded->model_.task));
    loaded->traits_ = loaded->device_ ? traitsOf(*loaded->device_) : floorTraits();
    loaded->traits_.preferred = std::move(preferredKernel);
    loaded->description_ = describeModel(loaded->model_);
    loaded->runnable_ = checkRunnable(loaded->model_, source.name());
    if (!loaded->device_) {
        MOTE_TRY(verifyWeights(source, loaded->model_));
        // A file for a later version can still be described.
        if (!loaded->runnable_.ok()) {
            loaded->openMilliseconds_ = millisecondsNow() - start;
            return loaded;
        }
    }
    MOTE_TRY(loaded->runnable_);

    const Graph &graph = loaded->graph();
    MOTE_TRY_ASSIGN(const GraphKernels kernels, loaded->nominalKernels());
    MOTE_TRY_ASSIGN(loaded->weightPlan_,
                    planWeights(loaded->model_, graph, kernels, loaded->maxChunkBytes()));
    if (loaded->device_) {
        MOTE_TRY_ASSIGN(loaded->weightChunks_, uploadWeights(*loaded->device_, source, loaded->model_, graph,
                                                             kernels, loaded->weightPlan_));
    }
    loaded->openMilliseconds_ = millisecondsNow() - start;
    return loaded;
}

// Attention over whole large maps may be more than any kernel takes: then smaller ones.
Result<GraphKernels> LoadedModel::nominalKernels() const {
    const FixedSize fixed = fixedSize(graph());
    const uint32_t multiple = graph().sizeMultiple;
    for (uint32_t size = kNominalSize;; size /= 2) {
        const uint32_t nominal = (size + multiple - 1) / multiple * multiple;
        MOTE_TRY_ASSIGN(
            const GraphShapes shapes,
            inferShapes(model_, graph(), 1, fixed ? fixed.height : nominal, fixed ? fixed.width : nominal));
        Result<GraphKernels> kernels = chooseKernels(model_, graph(), shapes, traits_, usable());
        if (kernels.ok() || kernels.status().code != StatusCode::Unsupported || fixed || nominal == multiple)
            return kernels;
    }
}

std::shared_ptr<const KernelChoices> LoadedModel::choices() const {
    const std::lock_guard<std::mutex> lock(choicesMutex_);
    return choices_;
}

void LoadedModel::setChoices(std::shared_ptr<const KernelChoices> choices) {
    {
        const std::lock_guard<std::mutex> lock(choicesMutex_);
        choices_ = std::move(choices);
    }
    const std::lock_guard<std::mutex> lock(selfCheckMutex);
    selfChecked = false;
}

uint64_t LoadedModel::maxChunkBytes() const {
    return std::min(traits_.caps.maxStorageBufferRange, traits_.caps.maxAllocationBytes) / kPageBytes *
           kPageBytes;
}

std::function<Status(const gpu::PipelineDescription &)> LoadedModel::usable() const {
    return [this](const gpu::PipelineDescription &pipeline) -> Status {
        std::lock_guard<std::mutex> lock(failedMutex_);
        if (failed_.count(keyOf(pipeline)) != 0)
            return makeStatus(StatusCode::Unsupported, "shader '%s' could not be compiled on this device",
                              pipeline.shader.name);
        return {};
    };
}

// Drivers spend most of a session's start here, each pipeline on one core: a few are made at a time.
Status LoadedModel::makePipelines(const std::vector<gpu::PipelineDescription> &pipelines,
                                  bool &choiceChanged) {
    choiceChanged = false;
    std::vector<Status> made(pipelines.size());
    MOTE_TRY(inParallel(pipelines.size(), [&](size_t i) {
        made[i] = device_->pipelines().get(pipelines[i]).status();
        return Status{};
    }));
    for (size_t i = 0; i < pipelines.size(); ++i) {
        if (made[i].ok())
            continue;
        if (made[i].code == StatusCode::Unsupported) {
            std::lock_guard<std::mutex> lock(failedMutex_);
            choiceChanged = failed_.insert(keyOf(pipelines[i])).second;
            device_->log(gpu::LogLevel::Warning, "falling back to another kernel: %s",
                         made[i].message.c_str());
        }
        return made[i];
    }
    return {};
}

} // namespace mote::pipeline
