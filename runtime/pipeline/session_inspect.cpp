// For tools and tests: single forward passes, timings, the recorded list, statistics held fixed.
#include "pipeline/self_check.h"
#include "pipeline/session.h"
#include "pipeline/timing.h"

#include <cmath>
#include <cstring>
#include <set>
#include <utility>

namespace mote::pipeline {

Status Session::checkOnce() {
    if (model_->model().selfCheck.ops.empty())
        return {};
    std::lock_guard<std::mutex> lock(model_->selfCheckMutex);
    if (model_->selfChecked)
        return {};
    BorrowedMemory borrowed;
    for (const gpu::Allocation &chunk : arena_)
        borrowed.local.push_back(&chunk);
    for (size_t i = 0; i < allocations_.size(); ++i)
        if (plan_.buffers[i].kind == gpu::MemoryKind::DeviceLocal && plan_.firstBuffer + i != plan_.feather)
            borrowed.local.push_back(&allocations_[i]);
    borrowed.upload = &allocations_[plan_.upload - plan_.firstBuffer];
    borrowed.readback = &allocations_[plan_.readback - plan_.firstBuffer];
    MOTE_TRY(playSelfCheck(*model_, borrowed, {}));
    model_->selfChecked = true;
    return {};
}

uint32_t Session::dispatchCount() const {
    const Result<std::vector<Command>> commands =
        buildForward(model_->model(), graph(), plan_.forward, plan_.forward.shapes, forward_,
                     recipe().rows[0].timestepIndex, 0, model_->traits());
    uint32_t count = 0;
    if (commands.ok())
        for (const Command &command : commands.value())
            count += command.kind == CommandKind::Dispatch;
    return count;
}

uint32_t Session::pipelineCount() const {
    std::set<PipelineKey> seen;
    const auto add = [&](const Result<std::vector<Command>> &commands) {
        if (commands.ok())
            for (const Command &command : commands.value())
                if (command.kind == CommandKind::Dispatch)
                    seen.insert(keyOf(command.dispatch.pipeline));
    };
    add(usedCommands());
    return static_cast<uint32_t>(seen.size());
}

Status Session::evaluate(uint32_t step, const TensorView &output) {
    MOTE_TRY(device().alive());
    if (step >= steps())
        return makeStatus(StatusCode::InvalidArgument, "step: found %u, expected less than the recipe's %u",
                          step, steps());
    if (plan_.tiled())
        return makeStatus(StatusCode::Unsupported,
                          "one forward pass of a tiled session; this one has %u tiles", plan_.tileCount());
    MOTE_TRY(checkTensor("output", output, plan_.batch, stateChannels()));
    MOTE_TRY(submitter_->drain());
    if (!prepared_)
        MOTE_TRY(prepare({}, false, nullptr));
    MOTE_TRY(uploadInputs({}));
    MOTE_TRY(uploadStart(step));
    MOTE_TRY(submitItems(stepItems(step)));
    MOTE_TRY(submitter_->drain());
    MOTE_TRY(checkFinite());
    std::vector<float> planes;
    MOTE_TRY(readPlanes(plan_.modelOutput, 1.0f, planes));
    cropPlanes(planes.data(), plan_.batch * stateChannels(), plan_.paddedHeight, plan_.paddedWidth, output.h,
               output.w, 1.0f, output.data);
    return {};
}

Result<std::vector<OpTime>> Session::measure() {
    MOTE_TRY(device().alive());
    if (!device().caps().timestamps)
        return makeStatus(StatusCode::Unsupported, "the device '%s' has no timestamps",
                          device().info().name.c_str());
    MOTE_TRY(submitter_->drain());
    if (!prepared_)
        MOTE_TRY(prepare({}, false, nullptr));
    MOTE_TRY_ASSIGN(const std::vector<Command> commands, forwardCommands(0, passesOf(0)));
    std::vector<Command> dispatches;
    for (const Command &command : commands)
        if (command.kind == CommandKind::Dispatch && command.op != kNone)
            for (std::vector<Command> &piece : cutCommands({command}, budgetMilliseconds_, model_->traits()))
                for (Command &part : piece)
                    dispatches.push_back(std::move(part));
    MOTE_TRY_ASSIGN(const std::vector<double> milliseconds,
                    timeDispatches(device(), device().pipelines(), table_, dispatches, model_->traits(),
                                   INFINITY, budgetMilliseconds_, nullptr, {}));
    std::vector<OpTime> times(graph().ops.size());
    std::vector<uint32_t> lastWhole(times.size(), kNone);
    for (uint32_t i = 0; i < times.size(); ++i)
        times[i].op = i;
    for (size_t i = 0; i < dispatches.size(); ++i) {
        OpTime &time = times[dispatches[i].op];
        time.milliseconds += milliseconds[i];
        // Slices of one dispatch count once.
        time.dispatches += lastWhole[dispatches[i].op] != dispatches[i].whole;
        lastWhole[dispatches[i].op] = dispatches[i].whole;
    }
    return times;
}

Result<std::vector<std::vector<Command>>> Session::recordedStep(uint32_t step) const {
    std::vector<std::vector<Command>> lists;
    std::vector<Command> before, after;
    if (plan_.copiesTiles()) {
        MOTE_TRY_ASSIGN(before, tileCommands(0, passesOf(step)));
        MOTE_TRY_ASSIGN(after, tileCommands(1, passesOf(step)));
    }
    MOTE_TRY_ASSIGN(const std::vector<Command> forward, forwardCommands(step, passesOf(step)));
    std::vector<Command> guidance;
    if (passesOf(step) > 1) {
        MOTE_TRY_ASSIGN(guidance, guidanceCommands(step));
    }
    MOTE_TRY_ASSIGN(const std::vector<Command> sampler, samplerCommands(step, samplersGivenNoise_));
    for (const std::vector<Command> &commands : {before, forward, after, guidance, sampler})
        for (std::vector<Command> &piece : cutCommands(commands, budgetMilliseconds_, model_->traits()))
            lists.push_back(withBarriers(std::move(piece)));
    return lists;
}

Result<Session::Statistics> Session::statisticsOf(uint32_t step) {
    if (plan_.copiesTiles() || plan_.images() > 1)
        return makeStatus(StatusCode::Unsupported,
                          "statistics of a session that copies tiles or has a batch");
    if (!prepared_)
        MOTE_TRY(prepare({}, false, nullptr));
    MOTE_TRY(uploadInputs({}));
    MOTE_TRY(uploadStart(step));
    MOTE_TRY_ASSIGN(const std::vector<Command> commands, forwardCommands(step, 1));
    Statistics result(graph().tensors.size());
    size_t next = 0;
    for (uint32_t i = 0; i < graph().ops.size(); ++i) {
        std::vector<Command> ofOp;
        for (; next < commands.size() && commands[next].op == i; ++next)
            ofOp.push_back(commands[next]);
        MOTE_TRY(staging_->runNow(table_, std::move(ofOp)));
        const uint32_t tensor = graph().ops[i].output;
        const TensorStatistics &statistics = plan_.forward.kernels.statistics[tensor];
        if (statistics.bytes == 0)
            continue;
        std::vector<float> raw(statistics.bytes / sizeof(float));
        MOTE_TRY(staging_->read(table_.bound(statisticsRange(plan_.forward, forward_, tensor)),
                                statistics.bytes, raw.data()));
        // [C/8][tiles][8] of (count, mean, M2, 0), combined by Chan's formula in tile order.
        const uint32_t channels = graph().tensors[tensor].channels;
        for (uint32_t c = 0; c < channels; ++c) {
            double count = 0, mean = 0, squares = 0;
            for (uint32_t tile = 0; tile < statistics.tiles; ++tile) {
                const float *entry = &raw[((size_t{c / 8} * statistics.tiles + tile) * 8 + c % 8) * 4];
                const double n = entry[0];
                if (n == 0)
                    continue;
                const double delta = entry[1] - mean, sum = count + n;
                mean += delta * n / sum;
                squares += entry[2] + delta * delta * count * n / sum;
                count = sum;
            }
            for (double value : {count, mean, squares})
                result[tensor].push_back(static_cast<float>(value));
        }
    }
    return result;
}

Status Session::fixStatistics(const Statistics &fixed) {
    MOTE_TRY(submitter_->drain());
    forward_.fixedStatistics.assign(graph().tensors.size(), {});
    for (uint32_t tensor = 0; tensor < graph().tensors.size(); ++tensor) {
        const TensorStatistics &statistics = plan_.forward.kernels.statistics[tensor];
        if (fixed[tensor].empty() || statistics.bytes == 0)
            continue;
        // All in the first tile's entry; the others count nothing.
        std::vector<float> raw(statistics.bytes / sizeof(float), 0.0f);
        for (uint32_t c = 0; c < graph().tensors[tensor].channels; ++c)
            std::memcpy(&raw[(size_t{c / 8} * statistics.tiles * 8 + c % 8) * 4],
                        &fixed[tensor][size_t{3} * c], 3 * sizeof(float));
        MOTE_TRY_ASSIGN(gpu::Allocation allocation,
                        gpu::Allocation::create(device(), statistics.bytes, gpu::MemoryKind::DeviceLocal,
                                                "fixed statistics"));
        fixedStatistics_.push_back(std::make_unique<gpu::Allocation>(std::move(allocation)));
        const uint32_t number = static_cast<uint32_t>(table_.entries.size());
        table_.add(*fixedStatistics_.back());
        const BufferRange range{number, 0, statistics.bytes};
        MOTE_TRY(
            staging_->write(table_.bound(range), raw.size(), [&](uint64_t first, uint64_t count, float *to) {
                std::memcpy(to, &raw[first], count * sizeof(float));
            }));
        forward_.fixedStatistics[tensor] = range;
    }
    return recordEverything();
}

} // namespace mote::pipeline
