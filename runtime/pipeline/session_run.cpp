// A run: inputs up, the recorded steps in submissions, outputs down.
#include "pipeline/session.h"
#include "pipeline/submissions.h"

#include <cstdio>
#include <utility>

namespace mote::pipeline {

// In submissions of at most the budget each.
Status Session::submitItems(const std::vector<Item> &items) {
    std::vector<double> milliseconds;
    std::vector<const gpu::CommandBuffer *> commands;
    for (const Item &item : items) {
        milliseconds.push_back(item.recorded->milliseconds);
        commands.push_back(&item.recorded->commands);
    }
    // All before the first, so that nothing is left to do between two.
    std::vector<Submission> submissions;
    size_t first = 0;
    for (size_t end : cutSubmissions(milliseconds, budgetMilliseconds_)) {
        Submission submission;
        MOTE_TRY_ASSIGN(submission.batch, gpu::Batch::of(&commands[first], end - first));
        for (; first < end; ++first)
            submission.milliseconds += milliseconds[first];
        submissions.push_back(std::move(submission));
    }
    return submitter_->submit(submissions);
}

// Before row `step`, in the scheduler's own scale.
Status Session::traceState(const RunOptions &options, uint32_t step) {
    if (!options.trace)
        return {};
    MOTE_TRY(submitter_->drain());
    std::vector<float> values;
    MOTE_TRY(readPlanes(plan_.state, 1.0f / scaleBefore(step), values));
    const uint32_t shape[4] = {plan_.batch, stateChannels(), plan_.paddedHeight, plan_.paddedWidth};
    options.trace(step, "x", shape, values.data());
    return {};
}

Status Session::traceModelOutput(const RunOptions &options, uint32_t step) {
    MOTE_TRY(submitter_->drain());
    std::vector<float> values;
    MOTE_TRY(readPlanes(plan_.modelOutput, 1.0f, values));
    const uint32_t shape[4] = {plan_.batch, stateChannels(), plan_.paddedHeight, plan_.paddedWidth};
    options.trace(step, "model_output", shape, values.data());
    return {};
}

// The forward pass of a step op by op, with every output read back.
Status Session::runOpsTraced(const RunOptions &options, uint32_t step, const std::atomic<bool> *cancel) {
    MOTE_TRY(submitter_->drain());
    MOTE_TRY_ASSIGN(const std::vector<Command> commands, forwardCommands(step, passesOf(step)));
    std::vector<float> values;
    size_t next = 0;
    // Of one tile; run() refuses more.
    if (plan_.copiesTiles()) {
        MOTE_TRY_ASSIGN(std::vector<Command> before, tileCommands(0, passesOf(step)));
        MOTE_TRY(runCut(std::move(before)));
    }
    for (uint32_t i = 0; i < graph().ops.size(); ++i) {
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed))
            return makeStatus(StatusCode::Cancelled, "the run was cancelled");
        std::vector<Command> ofOp;
        for (; next < commands.size() && commands[next].op == i; ++next)
            ofOp.push_back(commands[next]);
        for (std::vector<Command> &piece : cutCommands(ofOp, budgetMilliseconds_, model_->traits()))
            MOTE_TRY(staging_->runNow(table_, std::move(piece)));
        if (plan_.forward.kernels.ops[i].within != kNone)
            continue; // its output is nowhere
        const Op &op = graph().ops[i];
        const TensorShape &shape = plan_.forward.shapes.tensors[op.output];
        MOTE_TRY(readTensor(op.output, imagesOf(step), values));
        const uint32_t dimensions[4] = {imagesOf(step), shape.c, shape.h, shape.w};
        options.trace(step, op.name.c_str(), dimensions, values.data());
    }
    if (plan_.copiesTiles()) {
        MOTE_TRY_ASSIGN(std::vector<Command> after, tileCommands(1, passesOf(step)));
        MOTE_TRY(runCut(std::move(after)));
    }
    return {};
}

Status Session::readTensor(uint32_t tensor, uint32_t images, std::vector<float> &values) {
    const TensorShape &shape = plan_.forward.shapes.tensors[tensor];
    const uint64_t bytes = plan_.forward.tensorBytes[tensor] / shape.n * images;
    const gpu::BufferRange from = table_.bound(tensorRange(plan_.forward, forward_, tensor));
    const size_t ofImage = size_t{shape.c} * shape.h * shape.w;
    values.resize(images * ofImage);
    if (graph().tensors[tensor].kind == TensorKind::Port)
        return staging_->read(from, bytes, values.data());
    std::vector<uint16_t> blocks(bytes / sizeof(uint16_t));
    MOTE_TRY(staging_->read(from, bytes, blocks.data()));
    for (size_t n = 0; n < images; ++n)
        unpackActivation(&blocks[n * (blocks.size() / images)], shape.c, shape.h, shape.w,
                         &values[n * ofImage]);
    return {};
}

Status Session::runSteps(const RunOptions &options, const std::atomic<bool> *cancel) {
    const bool torch = options.noise == NoiseSource::Torch;
    std::vector<TorchGenerator> generators;
    for (uint32_t image = 0; image < plan_.batch; ++image)
        generators.emplace_back(options.seed + image);
    for (uint32_t image = 0; image < plan_.batch && options.mix > 0; ++image)
        generators.emplace_back(options.otherSeed + image);
    const bool givenNoise = torch || isGiven(kNoiseName);
    if (givenNoise != samplersGivenNoise_)
        MOTE_TRY(recordSamplers(givenNoise));
    std::vector<Item> pending; // not yet submitted: submissions may hold the end of one step and the next
    append(start_, pending);
    if (isGiven(kStartName)) {
        // Ports fed from the noise source were drawn by the start; the state is replaced.
        MOTE_TRY(submitItems(pending));
        pending.clear();
        MOTE_TRY(submitter_->drain());
        MOTE_TRY(uploadStart(0));
    } else if (torch && recipe().initNoise != 0) {
        MOTE_TRY(submitItems(pending));
        pending.clear();
        MOTE_TRY(submitter_->drain());
        MOTE_TRY(uploadNormals(generators, options.mix, plan_.state));
        MOTE_TRY_ASSIGN(std::vector<Command> start, startCommands(true));
        MOTE_TRY(runCut(std::move(start)));
    }
    if (options.trace) {
        MOTE_TRY(submitItems(pending));
        pending.clear();
    }
    for (uint32_t step = 0; step < steps(); ++step) {
        const StepRow &row = recipe().rows[step];
        if (options.trace)
            MOTE_TRY(traceState(options, step));
        if (options.trace && options.traceOps) {
            MOTE_TRY(runOpsTraced(options, step, cancel));
            if (passesOf(step) > 1)
                append(guidance_[step], pending);
        } else {
            const std::vector<Item> items = stepItems(step);
            pending.insert(pending.end(), items.begin(), items.end());
        }
        const bool noiseNow = givenNoise && row.draws != 0;
        if (options.trace || options.preview || noiseNow) {
            MOTE_TRY(submitItems(pending));
            pending.clear();
        }
        if (options.preview)
            MOTE_TRY(showPreview(options, step));
        if (options.trace)
            MOTE_TRY(traceModelOutput(options, step));
        if (noiseNow) {
            MOTE_TRY(submitter_->drain());
            MOTE_TRY(isGiven(kNoiseName) ? uploadStepNoise(step)
                                         : uploadNormals(generators, options.mix, plan_.noise));
        }
        append(samplers_[step], pending);
        if (options.trace) {
            MOTE_TRY(submitItems(pending));
            pending.clear();
        }
    }
    MOTE_TRY(submitItems(pending));
    if (options.trace)
        MOTE_TRY(traceState(options, steps()));
    return submitter_->drain();
}

Status Session::run(const RunOptions &options, const std::atomic<bool> *cancel) {
    MOTE_TRY(device().alive());
    // What an earlier run that failed has left in flight.
    MOTE_TRY(submitter_->drain());
    MOTE_TRY(checkBound());
    if (options.trace && options.traceOps && plan_.tiled())
        return makeStatus(StatusCode::Unsupported,
                          "ops can be traced in whole images only; this session has %u tiles",
                          plan_.tileCount());
    if (options.preview)
        MOTE_TRY(checkShowable());
    if (!(options.mix >= 0 && options.mix <= 1))
        return makeStatus(StatusCode::InvalidArgument, "seed_mix: found %g, expected 0 to 1",
                          static_cast<double>(options.mix));
    if (!prepared_)
        MOTE_TRY(prepare({}, false, cancel));
    if (timesStale_) {
        MOTE_TRY(calibrate({}, 0, 0, cancel));
        MOTE_TRY(recordEverything());
        timesStale_ = false;
    }
    MOTE_TRY(uploadInputs(options));

    double total = 0, done = 0;
    for (const Item &item : runItems())
        total += item.recorded->milliseconds;
    std::function<void(double)> completed;
    if (options.progress && total > 0)
        completed = [&](double milliseconds) {
            done += milliseconds;
            options.progress(static_cast<float>(done < total ? done / total : 1.0), "running");
        };
    submitter_->start(cancel, std::move(completed));
    // The submitter must not keep the references above, whichever way this ends.
    struct Forget {
        Submitter &submitter;
        ~Forget() { submitter.start(nullptr, {}); }
    } forget{*submitter_};
    const double start = millisecondsNow();
    Status status = runSteps(options, cancel);
    if (!status.ok()) {
        (void)submitter_->drain(); // its failure would be the same again
        return status;
    }
    if (!options.trace && !options.preview)
        timesStale_ = !timesHold(total, millisecondsNow() - start);
    return writeOutputs();
}

uint32_t Session::submissionCount() const {
    std::vector<double> milliseconds;
    for (const Item &item : runItems())
        milliseconds.push_back(item.recorded->milliseconds);
    return 1 +
           static_cast<uint32_t>(cutSubmissions(milliseconds, budgetMilliseconds_).size()); // and the start
}

} // namespace mote::pipeline
