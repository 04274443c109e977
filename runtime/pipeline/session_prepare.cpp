// Making the first run as fast as the next: pipelines compiled by using each once, dispatches timed so that
// submissions are cut where they should be.
#include "pipeline/dispatch_times.h"
#include "pipeline/self_check.h"
#include "pipeline/session.h"
#include "pipeline/timing.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace mote::pipeline {
namespace {

// A dispatch is timed on as many of its workgroups as should take this long.
constexpr double kSampleMilliseconds = 10;

} // namespace

Result<std::vector<Command>> Session::usedCommands() const {
    std::vector<Command> commands;
    const auto append = [&](std::vector<Command> more) {
        for (Command &command : more)
            commands.push_back(std::move(command));
    };
    MOTE_TRY_ASSIGN(std::vector<Command> conditioning,
                    buildConditioning(graph(), plan_.conditioning, model_->weightPlan(),
                                      plan_.firstConditioning, 0, model_->traits()));
    append(std::move(conditioning));
    MOTE_TRY_ASSIGN(std::vector<Command> forward, forwardCommands(0, plan_.passes));
    append(std::move(forward));
    MOTE_TRY_ASSIGN(std::vector<Command> start, startCommands(false));
    append(std::move(start));
    for (uint32_t tile : {0u, 1u})
        if (plan_.copiesTiles()) {
            MOTE_TRY_ASSIGN(std::vector<Command> ofTile, tileCommands(tile, plan_.passes));
            append(std::move(ofTile));
        }
    for (uint32_t step = 0; step < steps(); ++step) {
        if (recipe().rows[step].guided) {
            MOTE_TRY_ASSIGN(std::vector<Command> guidance, guidanceCommands(step));
            append(std::move(guidance));
        }
        MOTE_TRY_ASSIGN(std::vector<Command> sampler, samplerCommands(step, false));
        append(std::move(sampler));
    }
    for (const Input &input : appInputs())
        if (input.image) {
            const uint32_t scale = scaleOf(input);
            const ImageView photo{3, plan_.width / scale, plan_.height / scale, 0, nullptr};
            MOTE_TRY_ASSIGN(Command fromBytes, scale > 1
                                                   ? enlargeCommand(input, 0, photo, 0, 0, 1,
                                                                    enlargeSources(0, 1, photo.height, scale))
                                                   : importCommand(input, 0, photo.bytesPerPixel, 0, 0, 1));
            commands.push_back(std::move(fromBytes));
        }
    if (model_->task().kind == TaskKind::Inpaint) {
        MOTE_TRY_ASSIGN(std::vector<Command> mask, maskCommands());
        append(std::move(mask));
    }
    if (checkShowable().ok()) {
        MOTE_TRY_ASSIGN(Command toBytes, exportCommand(0, 0, 0, 1, nullptr));
        commands.push_back(std::move(toBytes));
    }
    return commands;
}

// Several drivers compile at the first dispatch: one workgroup of each pipeline does it. What the dispatches
// write is rubbish that a run overwrites.
Status Session::warmUp(const Progress &progress, float from, float to, const std::atomic<bool> *cancel) {
    MOTE_TRY_ASSIGN(std::vector<Command> commands, usedCommands());
    std::set<PipelineKey> seen;
    std::vector<Command> once;
    for (Command &command : commands)
        if (command.kind == CommandKind::Dispatch && seen.insert(keyOf(command.dispatch.pipeline)).second) {
            command.dispatch = slice(command.dispatch, 0, 1, model_->traits());
            once.push_back(std::move(command));
        }
    for (size_t i = 0; i < once.size(); ++i) {
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed))
            return makeStatus(StatusCode::Cancelled, "the run was cancelled");
        if (progress)
            progress(from + (to - from) * static_cast<float>(i) / static_cast<float>(once.size()),
                     "compiling");
        MOTE_TRY(staging_->runNow(table_, {once[i]}));
    }
    return {};
}

Result<std::vector<double>> Session::measure(const std::vector<Command> &commands, const Progress &progress,
                                             float from, float to, const std::atomic<bool> *cancel) {
    std::vector<double> milliseconds(commands.size(), INFINITY);
    // Twice: memory that nobody has touched yet is given at its first use, which takes longer than most
    // dispatches.
    for (size_t round = 0; round < 2 && !commands.empty(); ++round) {
        const auto advance = [&](size_t done) {
            const float share =
                static_cast<float>(round * commands.size() + done) / static_cast<float>(2 * commands.size());
            if (progress)
                progress(from + (to - from) * share, "measuring");
        };
        MOTE_TRY_ASSIGN(const std::vector<double> measured,
                        timeDispatches(device(), device().pipelines(), table_, commands, model_->traits(),
                                       kSampleMilliseconds, budgetMilliseconds_, cancel, advance));
        for (size_t i = 0; i < measured.size(); ++i)
            milliseconds[i] = std::min(milliseconds[i], measured[i]);
    }
    return milliseconds;
}

// What the cache directory has is not measured again, unless a run has shown that it no longer holds.
Status Session::calibrate(const Progress &progress, float from, float to, const std::atomic<bool> *cancel) {
    DistinctDispatches dispatches;
    size_t ends[2] = {0, 0}; // of the dispatches of one pass, and of two
    for (uint32_t passes = 1; passes <= plan_.passes; ++passes) {
        MOTE_TRY_ASSIGN(const std::vector<Command> commands, forwardCommands(0, passes));
        for (const Command &command : commands)
            if (command.kind == CommandKind::Dispatch)
                dispatches.add(command);
        ends[passes - 1] = dispatches.indices.size();
    }
    // And one of those that only move images: their times go with the bytes.
    MOTE_TRY_ASSIGN(std::vector<Command> sampler, samplerCommands(0, false));
    const double samplerBytes = static_cast<double>(sampler.back().dispatch.bytes);
    dispatches.commands.push_back(std::move(sampler.back()));
    DispatchTimes times;
    if (!timesStale_)
        times = DispatchTimes::read(device());
    std::vector<Command> unknown;
    for (const Command &command : dispatches.commands)
        if (!times.find(command))
            unknown.push_back(command);
    timesKept_ = unknown.size() < dispatches.commands.size();
    MOTE_TRY_ASSIGN(const std::vector<double> measured, measure(unknown, progress, from, to, cancel));
    for (size_t i = 0; i < unknown.size(); ++i)
        times.set(unknown[i], measured[i]);
    if (!unknown.empty())
        times.write(device());
    const auto timeOf = [&](size_t i) { return times.find(dispatches.commands[i]).value_or(0); };
    for (uint32_t passes = 1; passes <= plan_.passes; ++passes) {
        std::vector<double> &milliseconds = wholeMilliseconds_[passes - 1];
        milliseconds.clear();
        for (size_t i = passes > 1 ? ends[0] : 0; i < ends[passes - 1]; ++i)
            milliseconds.push_back(timeOf(dispatches.indices[i]));
    }
    bytesPerMillisecond_ = samplerBytes / std::max(timeOf(dispatches.commands.size() - 1), 1e-6);
    return {};
}

bool Session::timesHold(double estimated, double elapsed) const {
    return !timesKept_ || (elapsed < 3 * estimated + 20 && estimated < 3 * elapsed);
}

Status Session::prepare(const Progress &progress, bool selfCheck, const std::atomic<bool> *cancel) {
    const double start = millisecondsNow();
    MOTE_TRY(submitter_->drain());
    if (!prepared_) {
        MOTE_TRY(warmUp(progress, 0.0f, 0.6f, cancel));
        MOTE_TRY(calibrate(progress, 0.6f, 0.8f, cancel));
        MOTE_TRY(recordEverything());
        prepared_ = true;
    }
    if (selfCheck) {
        if (progress)
            progress(0.8f, "checking");
        MOTE_TRY(checkOnce());
    }
    if (progress)
        progress(1.0f, "ready");
    prepareMilliseconds_ += millisecondsNow() - start;
    return {};
}

} // namespace mote::pipeline
