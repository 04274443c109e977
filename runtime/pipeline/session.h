// A session: the memory and the recorded commands of one image size and recipe, its inputs and its runs.
// session.cpp makes and records it, session_prepare.cpp compiles and measures, session_bindings.cpp takes and
// checks what the app gives, session_data.cpp moves it, session_run.cpp runs, session_preview.cpp shows what
// a run is coming to, session_inspect.cpp is for tools and tests.
#pragma once

#include "gpu/command.h"
#include "gpu/timestamps.h"
#include "kernels/image_kernels.h"
#include "pipeline/commands.h"
#include "pipeline/io.h"
#include "pipeline/loaded_model.h"
#include "pipeline/session_plan.h"
#include "pipeline/staging.h"
#include "pipeline/submitter.h"
#include "pipeline/torch_generator.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mote::pipeline {

// Callbacks may be empty. They come from the thread that runs.
using Progress = std::function<void(float fraction, const char *what)>;
using TraceCallback =
    std::function<void(uint32_t step, const char *tensor, const uint32_t shape[4], const float *data)>;

enum class NoiseSource : uint8_t {
    Philox = 0, // drawn on the device, by pixel
    Torch = 1,  // PyTorch's CPU generator, drawn on the host and uploaded
};

// The sampler's present estimate of image `image` of the batch, as a picture that lives until this returns.
using PreviewCallback = std::function<void(uint32_t step, uint32_t image, const ImageView &picture)>;

struct RunOptions {
    uint64_t seed = 0;
    // The share of a quarter circle from `seed` towards this one, 0..1.
    uint64_t otherSeed = 0;
    float mix = 0;
    NoiseSource noise = NoiseSource::Philox;
    Progress progress;
    PreviewCallback preview; // after every forward pass
    TraceCallback trace;
    bool traceOps = false;
};

// Tensors that an app may bind beside the graph's own inputs.
constexpr const char *kStartName = "x_start", *kNoiseName = "step_noise";

constexpr uint32_t kSamplerCode = 0xffff; // in place of an op in error codes

// Before anything was measured: operations and bytes a millisecond, on the safe side.
double assumedRate(const Traits &traits);
constexpr double kAssumedBytesPerMillisecond = 2e6;

struct OpTime {
    uint32_t op = 0;
    uint32_t dispatches = 0;
    double milliseconds = 0;
};

// Used by one thread at a time; threads, cancelling and waiting are the business of pipeline/worker.h.
class Session {
public:
    // OutOfMemory with the figure needed where the budget does not allow it.
    static Result<std::unique_ptr<Session>> create(std::shared_ptr<LoadedModel> model,
                                                   const SessionOptions &options);
    ~Session();
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    // NULL or no images unbind; otherwise one image for each of the batch. "x_start" and "step_noise" are
    // tensors only.
    Status bindImages(const std::string &port, const std::vector<ImageView> &images);
    Status bindTensor(const std::string &port, const TensorView *tensor);
    Status bindOutputImages(const std::vector<ImageView> &images);
    Status bindOutputTensor(const TensorView *tensor);

    // One label, or one vector, for each image of the batch; none unbinds. Copied.
    Status setClassLabels(const std::vector<int64_t> &labels);
    Status setClassVectors(const float *vectors, uint32_t count, uint32_t length);
    // Of all guided rows from now on; NULL: the recipe's own.
    Status setGuidance(const float *scale);

    // cancel (may be null) is looked at before every submission.
    Status prepare(const Progress &progress, bool selfCheck, const std::atomic<bool> *cancel);
    Status run(const RunOptions &options, const std::atomic<bool> *cancel);

    // -- inspection
    const LoadedModel &model() const { return *model_; }
    const SessionPlan &plan() const { return plan_; }
    uint32_t steps() const { return static_cast<uint32_t>(recipe().rows.size()); }
    uint32_t dispatchCount() const; // of one forward pass, as cut at present
    uint32_t pipelineCount() const;
    uint32_t submissionCount() const; // of a run, as cut at present
    double createMilliseconds() const { return createMilliseconds_; }
    double prepareMilliseconds() const { return prepareMilliseconds_; }

    // From "x_start", taken as the scheduler's state before row `step`, so that it can be one that was
    // traced.
    Status evaluate(uint32_t step, const TensorView &output);
    Result<std::vector<OpTime>> measure();

    // The command buffers of one step with their barriers, as recorded: of the first tile where tiled.
    Result<std::vector<std::vector<Command>>> recordedStep(uint32_t step) const;
    const BufferTable &buffers() const { return table_; }

    // Statistics of every tensor that has them, after a forward pass of the bound inputs at `step`, per graph
    // tensor (empty: none), per channel: count, mean, sum of squared deviations. Not for tiled sessions.
    using Statistics = std::vector<std::vector<float>>;
    Result<Statistics> statisticsOf(uint32_t step);
    // From now on every GroupNorm uses these instead of what its tile has; DESIGN calls it statistics held
    // fixed. Allocates memory beyond the plan: for tests of tiling.
    Status fixStatistics(const Statistics &statistics);

private:
    // Command buffers that are submitted one after the other, and their estimated time.
    struct Recorded {
        gpu::CommandBuffer commands;
        double milliseconds = 0;
    };
    using Pieces = std::vector<Recorded>; // each within the submission budget
    struct Item {
        const Recorded *recorded = nullptr;
    };
    // What the app gives before a run can start.
    struct Input {
        std::string name;
        bool image = false; // may be given as 8-bit pixels
        uint32_t channels = 0, planes = kNone;
        float low = -1, high = 1; // of pixels 0 and 255
    };
    struct BoundInput {
        std::vector<ImageView> images; // empty: a tensor
        TensorView tensor;
    };

    Session() = default;

    gpu::Device &device() const { return *model_->device(); }
    const Graph &graph() const { return model_->graph(); }
    const Recipe &recipe() const { return model_->model().recipes[plan_.recipe]; }
    uint32_t stateChannels() const { return graph().tensors[statePort(graph()).tensor].channels; }

    // session.cpp
    Status checkPacking() const;
    Status allocate();
    Status writeFeather();
    float guidanceOf(uint32_t step) const;  // the scale of a guided row
    uint32_t passesOf(uint32_t step) const; // in this run
    uint32_t imagesOf(uint32_t step) const { return plan_.batch * passesOf(step); }     // of a forward pass
    Result<std::vector<Command>> forwardCommands(uint32_t step, uint32_t passes) const; // whole, timed
    Result<std::vector<Command>> guidanceCommands(uint32_t step) const;
    ImageExtent bandExtent(size_t band, uint32_t channels, uint32_t images) const;
    TilePlace tilePlace(uint32_t tile, uint32_t channels, uint32_t images) const;
    SamplerBuffers samplerBuffers(size_t band) const;
    std::vector<SamplerBand> samplerBands(bool givenNoise) const;
    // Of the whole image, for rows that depend on it.
    Result<std::vector<Command>> measureCommands(const StepRow &row, const std::vector<SamplerBand> &bands,
                                                 uint32_t draw) const;
    Result<std::vector<Command>> samplerCommands(uint32_t step, bool givenNoise) const;
    Result<std::vector<Command>> startCommands(bool givenNoise) const;
    Status appendTilePort(uint32_t tile, uint32_t images, const Port &port,
                          std::vector<Command> &commands) const;
    Result<std::vector<Command>> tileCommands(uint32_t tile, uint32_t passes) const;
    void estimateByBytes(std::vector<Command> &commands) const;
    Status recordOne(std::vector<Command> commands, Recorded &recorded);
    Status recordPieces(const std::vector<Command> &commands, Pieces &pieces);
    Status runCut(std::vector<Command> commands); // at once, in submissions of the budget
    Status recordEverything();
    Status recordSamplers(bool givenNoise);
    static void append(const Pieces &pieces, std::vector<Item> &items);
    std::vector<Item> stepItems(uint32_t step) const; // without the sampler
    std::vector<Item> runItems() const;

    // session_prepare.cpp
    Result<std::vector<Command>> usedCommands() const; // each kind of command that a run needs, at least once
    Status warmUp(const Progress &progress, float from, float to, const std::atomic<bool> *cancel);
    // Milliseconds of each.
    Result<std::vector<double>> measure(const std::vector<Command> &commands, const Progress &progress,
                                        float from, float to, const std::atomic<bool> *cancel);
    Status calibrate(const Progress &progress, float from, float to, const std::atomic<bool> *cancel);
    // Whether a run's milliseconds are near enough to the estimate, where that was kept from an earlier
    // process: the device may have been throttled or busy then, or be so now.
    bool timesHold(double estimated, double elapsed) const;

    // session_bindings.cpp
    std::vector<Input> appInputs() const; // of the graph, then of the recipe
    Result<Input> findInput(const std::string &name, bool asImage) const;
    Status checkTensor(const std::string &what, const TensorView &tensor, uint32_t n,
                       uint32_t channels) const;
    // Of the session's size divided by `scale`.
    Status checkImages(const std::string &what, const std::vector<ImageView> &images, uint32_t scale) const;
    Status checkShowable() const;
    uint32_t scaleOf(const Input &input) const; // of the session's size to that of the input's images
    Status checkBound() const;
    bool isGiven(const char *name) const;

    // session_data.cpp
    // Rows [first, first + count) of a band of an image, from or to staging memory.
    Result<Command> importCommand(const Input &input, uint32_t image, uint32_t bytesPerPixel, size_t band,
                                  uint32_t first, uint32_t count) const;
    Result<Command> enlargeCommand(const Input &input, uint32_t image, const ImageView &from, size_t band,
                                   uint32_t first, uint32_t count, const SourceRows &sources) const;
    // Of the state, or of the row's estimate after its forward pass.
    ExportPlanes exportPlanes(size_t band, const StepRow *estimate) const;
    Result<Command> exportCommand(uint32_t image, size_t band, uint32_t first, uint32_t count,
                                  const StepRow *estimate) const;
    Result<std::vector<Command>> maskCommands() const; // of an inpainting model's inputs
    uint32_t rowsOfPiece(uint32_t left) const;         // of 8-bit pixels, through staging memory at once
    Status uploadInputs(const RunOptions &options);
    float scaleBefore(uint32_t step) const; // of the state that row `step` starts from
    Status uploadStart(uint32_t step);      // x_start, as the state before row `step`
    Status uploadStepNoise(uint32_t step);
    Status uploadConditioning();
    // Of the state's shape, from a generator for each image, then from one for each with the other seed.
    Status uploadNormals(std::vector<TorchGenerator> &generators, float mix, uint32_t planes);
    // The batch, from image `firstImage` of the tensor on.
    Status uploadTensor(const TensorView &tensor, uint32_t firstImage, uint32_t planes, float scale);
    Status uploadImage(const ImageView &from, uint32_t image, const Input &input);
    Status readImage(uint32_t image, const StepRow *estimate, std::vector<uint8_t> &rgba);
    Status readPlanes(uint32_t planes, float scale, std::vector<float> &to); // of the state's channels
    Status readTensor(uint32_t tensor, uint32_t images, std::vector<float> &to);
    Status checkFinite();
    Status writeOutputs();

    // session_run.cpp
    Status submitItems(const std::vector<Item> &items);
    Status runSteps(const RunOptions &options, const std::atomic<bool> *cancel);
    Status traceState(const RunOptions &options, uint32_t step);
    Status traceModelOutput(const RunOptions &options, uint32_t step);
    Status runOpsTraced(const RunOptions &options, uint32_t step, const std::atomic<bool> *cancel);

    // session_preview.cpp
    Status showPreview(const RunOptions &options, uint32_t step);
    Status measureThresholds(const StepRow &row, std::vector<float> &thresholds);

    // session_inspect.cpp
    Status checkOnce();

    std::shared_ptr<LoadedModel> model_; // first: keeps the device for all that follows
    SessionPlan plan_;
    double budgetMilliseconds_ = 50;
    std::vector<gpu::Allocation> arena_, allocations_;
    std::vector<std::unique_ptr<gpu::Allocation>> fixedStatistics_;
    BufferTable table_;
    ForwardBuffers forward_;
    std::vector<double> wholeMilliseconds_[2]; // by passes; measured, by Command::whole; empty: not yet
    double bytesPerMillisecond_ = kAssumedBytesPerMillisecond; // of what moves whole images
    bool timesKept_ = false, timesStale_ = false;              // see timesHold

    Pieces start_;
    // With one pass and with two, recorded where a row can have them.
    std::vector<Pieces> tiles_[2]; // what comes before each tile, and after the last
    std::vector<Pieces> steps_[2]; // by row
    std::vector<Pieces> guidance_; // by row, after two passes
    std::vector<Pieces> samplers_; // by row
    bool samplersGivenNoise_ = false;

    std::map<std::string, BoundInput> inputs_; // by port name
    bool hasOutputTensor_ = false;
    std::vector<ImageView> outputImages_;
    TensorView outputTensor_;
    std::vector<uint32_t> labels_; // per image; empty: not set
    std::vector<float> vectors_;   // likewise, [batch][length]
    bool hasGuidance_ = false;
    float guidanceScale_ = 1;

    bool prepared_ = false;
    double createMilliseconds_ = 0, prepareMilliseconds_ = 0;

    std::unique_ptr<Staging> staging_;
    std::unique_ptr<Submitter> submitter_; // last: waits for what is in flight before the rest goes
};

} // namespace mote::pipeline
