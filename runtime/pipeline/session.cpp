#include "pipeline/session.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace mote::pipeline {
namespace {

// Assumed until a device is measured, on the safe side: operations a millisecond.
constexpr double kAssumedRateCpu = 5e6, kAssumedRateGpu = 10e6;
constexpr uint32_t kDefaultSubmissionMilliseconds = 50;

} // namespace

double assumedRate(const Traits &traits) {
    return traits.cpu ? kAssumedRateCpu : kAssumedRateGpu;
}

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<LoadedModel> model,
                                                 const SessionOptions &options) {
    const double start = millisecondsNow();
    if (!model->device())
        return makeStatus(
            StatusCode::InvalidArgument,
            "the model was opened without a device: it can be described and estimated, not run");
    std::unique_ptr<Session> session(new Session);
    session->model_ = std::move(model);
    LoadedModel &loaded = *session->model_;
    MOTE_TRY(loaded.device()->alive());
    for (;;) {
        MOTE_TRY_ASSIGN(PlannedSession planned, planSession(loaded, options));
        MOTE_TRY(planned.fits);
        session->plan_ = std::move(planned.plan);
        bool choiceChanged = false;
        const Status made = loaded.makePipelines(pipelinesOf(session->plan_.forward.kernels), choiceChanged);
        if (choiceChanged)
            continue;
        MOTE_TRY(made);
        break;
    }
    MOTE_TRY(session->checkPacking());
    session->budgetMilliseconds_ =
        options.submissionMilliseconds != 0 ? options.submissionMilliseconds : kDefaultSubmissionMilliseconds;
    MOTE_TRY(session->allocate());
    MOTE_TRY(session->writeFeather());
    MOTE_TRY(session->recordEverything());
    session->createMilliseconds_ = millisecondsNow() - start;
    return session;
}

Session::~Session() = default;

// The weights were packed when the model was opened; the kernels of this size must want them so.
Status Session::checkPacking() const {
    const WeightPlan &packed = model_->weightPlan();
    for (size_t i = 0; i < graph().ops.size(); ++i) {
        const OpKernel &kernel = plan_.forward.kernels.ops[i];
        const auto bytes = [](const BufferRange &range) { return range.end - range.begin; };
        if (kernel.weightBytes != bytes(packed.ops[i].weights) ||
            kernel.biasBytes != bytes(packed.ops[i].bias) ||
            kernel.affineBytes != bytes(packed.ops[i].affine))
            return makeStatus(StatusCode::Internal, "op '%s': kernel '%s' wants weights packed differently",
                              graph().ops[i].name.c_str(), kernel.name.c_str());
    }
    return {};
}

Status Session::allocate() {
    const Graph &net = graph();
    for (const gpu::Allocation &chunk : model_->weightChunks())
        table_.add(chunk);
    // All are made before the table points at them: vectors that grow move their elements.
    for (uint64_t bytes : plan_.forward.memory.chunkBytes) {
        MOTE_TRY_ASSIGN(
            gpu::Allocation chunk,
            gpu::Allocation::create(device(), bytes, gpu::MemoryKind::DeviceLocal, "activations"));
        arena_.push_back(std::move(chunk));
    }
    for (const SessionBuffer &buffer : plan_.buffers) {
        MOTE_TRY_ASSIGN(gpu::Allocation allocation,
                        gpu::Allocation::create(device(), buffer.bytes, buffer.kind, buffer.what.c_str()));
        allocations_.push_back(std::move(allocation));
    }
    for (const gpu::Allocation &chunk : arena_)
        table_.add(chunk);
    for (const gpu::Allocation &allocation : allocations_)
        table_.add(allocation);

    const uint32_t channels = net.tensors[statePort(net).tensor].channels;
    extent_ = {1, channels, plan_.paddedHeight, plan_.paddedWidth};
    tileExtent_ = {1, channels, plan_.rows.tile, plan_.columns.tile};

    forward_.firstWeightChunk = 0;
    forward_.firstArenaChunk = plan_.firstArenaChunk;
    forward_.weights = &model_->weightPlan();
    forward_.ports.resize(net.tensors.size());
    forward_.planes.resize(net.tensors.size());
    for (size_t i = 0; i < net.ports.size(); ++i) {
        const Port &port = net.ports[i];
        uint32_t buffer = plan_.portPlanes[i];
        if (port.source == PortSource::State)
            buffer = plan_.state;
        else if (port.source == PortSource::ModelOutput)
            buffer = plan_.modelOutput;
        forward_.ports[port.tensor] = {buffer, 0, planeBytes(plan_, net.tensors[port.tensor].channels)};
        forward_.planes[port.tensor] = {plan_.paddedHeight, plan_.paddedWidth, plan_.tiled()};
    }
    forward_.session = {plan_.session, 0, sizeof(SessionWords)};

    const uint32_t first = plan_.firstBuffer;
    MOTE_TRY_ASSIGN(Staging staging, Staging::create(device(), allocations_[plan_.upload - first],
                                                     allocations_[plan_.readback - first]));
    staging_ = std::make_unique<Staging>(std::move(staging));
    MOTE_TRY_ASSIGN(Submitter submitter, Submitter::create(device()));
    submitter_ = std::make_unique<Submitter>(std::move(submitter));
    return {};
}

// Column weights of all tile columns, then row weights of all tile rows.
Status Session::writeFeather() {
    if (!plan_.tiled())
        return {};
    std::vector<float> weights;
    for (const TileAxis *axis : {&plan_.columns, &plan_.rows}) {
        const std::vector<float> ofAxis =
            featherWeights(axis->origins, axis->tile, axis->length, featherMargin(*axis));
        weights.insert(weights.end(), ofAxis.begin(), ofAxis.end());
    }
    return staging_->write(table_.bound(plan_.all(plan_.feather)), weights.size(),
                           [&](uint64_t from, uint64_t count, float *to) {
                               std::copy_n(weights.begin() + static_cast<std::ptrdiff_t>(from), count, to);
                           });
}

SessionWords Session::words(uint64_t seed, uint32_t tile) const {
    const uint32_t tileColumns = static_cast<uint32_t>(plan_.columns.origins.size());
    const uint32_t column = tile % tileColumns, row = tile / tileColumns;
    SessionWords words;
    words.seedLow = static_cast<uint32_t>(seed);
    words.seedHigh = static_cast<uint32_t>(seed >> 32);
    words.tileX = plan_.columns.origins[column];
    words.tileY = plan_.rows.origins[row];
    words.featherX = column * plan_.columns.tile;
    words.featherY = tileColumns * plan_.columns.tile + row * plan_.rows.tile;
    words.noiseWidth = plan_.width;
    return words;
}

Command Session::tileCommand(uint32_t tile) const {
    const SessionWords all = words(0, tile);
    const uint64_t at = offsetof(SessionWords, tileX);
    return updateCommand({plan_.session, at, at}, {all.tileX, all.tileY, all.featherX, all.featherY});
}

// Before the tiles of a step are added up.
Result<std::vector<Command>> Session::stepBeginCommands() const {
    const BufferRange m{plan_.modelOutput, 0, planeBytes(plan_, stateChannels())};
    MOTE_TRY_ASSIGN(Dispatch clear, buildClear(m, forward_.session, m.end / sizeof(float), model_->traits()));
    std::vector<Command> one(1, dispatchCommand(std::move(clear)));
    estimateByBytes(one);
    return one;
}

Result<std::vector<Command>> Session::forwardCommands(uint32_t step) const {
    const StepRow &row = recipe().rows[step];
    MOTE_TRY_ASSIGN(std::vector<Command> commands,
                    buildForward(model_->model(), graph(), plan_.forward, forward_, row.timestepIndex, step,
                                 model_->traits()));
    if (plan_.tiled()) {
        const Port *output = nullptr;
        for (const Port &port : graph().ports)
            if (port.source == PortSource::ModelOutput)
                output = &port;
        MOTE_TRY_ASSIGN(Dispatch add,
                        buildAccumulate(tileExtent_, extent_,
                                        tensorRange(plan_.forward, forward_, output->tensor),
                                        {plan_.modelOutput, 0, planeBytes(plan_, stateChannels())},
                                        plan_.all(plan_.feather), forward_.session, model_->traits()));
        Command accumulate = dispatchCommand(std::move(add));
        accumulate.whole = 0; // the number after the last
        for (const Command &command : commands)
            if (command.whole != kNone)
                accumulate.whole = command.whole + 1;
        commands.push_back(std::move(accumulate));
    }
    estimateTimes(commands, assumedRate(model_->traits()));
    for (Command &command : commands)
        if (command.whole < wholeMilliseconds_.size())
            command.milliseconds = wholeMilliseconds_[command.whole];
    return commands;
}

SamplerBuffers Session::samplerBuffers() const {
    const uint64_t bytes = planeBytes(plan_, stateChannels());
    SamplerBuffers buffers;
    buffers.state = {plan_.state, 0, bytes};
    buffers.modelOutput = {plan_.modelOutput, 0, bytes};
    // The condition y of the algebra is the first port of the app's that is shaped like the state.
    for (size_t i = graph().ports.size(); i-- > 0;) {
        const Port &port = graph().ports[i];
        if (port.source == PortSource::App && !port.output &&
            graph().tensors[port.tensor].channels == stateChannels())
            buffers.condition = {plan_.portPlanes[i], 0, bytes};
    }
    if (plan_.registers != kNone) {
        buffers.registers = {plan_.registers, 0, bytes * registerCount(recipe())};
        buffers.registerStride = bytes / sizeof(float);
    }
    buffers.session = forward_.session;
    buffers.elements = bytes / sizeof(float);
    return buffers;
}

Result<Command> Session::samplerCommand(uint32_t step, bool givenNoise) const {
    uint32_t draw = 0, written = 0;
    for (uint32_t i = 0; i < step; ++i) {
        draw += recipe().rows[i].draws;
        if (recipe().rows[i].store != kNone)
            written |= 1u << recipe().rows[i].store;
    }
    SamplerBuffers buffers = samplerBuffers();
    if (givenNoise && plan_.noise != kNone)
        buffers.noise = {plan_.noise, 0, planeBytes(plan_, stateChannels())};
    MOTE_TRY_ASSIGN(Dispatch dispatch, buildSamplerRow(recipe().rows[step], written, extent_, buffers, draw,
                                                       step << 16 | kSamplerCode, model_->traits()));
    std::vector<Command> one(1, dispatchCommand(std::move(dispatch)));
    estimateByBytes(one);
    return std::move(one[0]);
}

// The state before the first step, and the planes of ports that the noise source feeds.
Result<std::vector<Command>> Session::startCommands() const {
    MOTE_TRY_ASSIGN(Dispatch start, buildSamplerStart(recipe(), extent_, samplerBuffers(), model_->traits()));
    std::vector<Command> commands;
    commands.push_back(dispatchCommand(std::move(start)));
    for (uint32_t i = 0; i < graph().ports.size(); ++i) {
        const Port &port = graph().ports[i];
        if (port.output || port.source != PortSource::Noise)
            continue;
        ImageExtent extent = extent_;
        extent.channels = graph().tensors[port.tensor].channels;
        const uint64_t bytes = planeBytes(plan_, extent.channels);
        MOTE_TRY_ASSIGN(Dispatch noise,
                        buildNoise(extent, {plan_.portPlanes[i], 0, bytes}, forward_.session, 0,
                                   bytes / sizeof(float), kAppNoiseStream, i, model_->traits()));
        commands.push_back(dispatchCommand(std::move(noise)));
    }
    estimateByBytes(commands);
    return commands;
}

// What moves whole images takes as long as the moving.
void Session::estimateByBytes(std::vector<Command> &commands) const {
    for (Command &command : commands)
        command.milliseconds = static_cast<double>(command.dispatch.bytes) / bytesPerMillisecond_;
}

Status Session::recordOne(std::vector<Command> commands, Recorded &recorded) {
    recorded.milliseconds = totalMilliseconds(commands);
    if (!recorded.commands.recorded()) {
        MOTE_TRY_ASSIGN(recorded.commands, gpu::CommandBuffer::create(device()));
    }
    return recordAll(device(), table_, withBarriers(std::move(commands)), recorded.commands);
}

Status Session::recordPieces(const std::vector<Command> &commands, Pieces &pieces) {
    std::vector<std::vector<Command>> lists = cutCommands(commands, budgetMilliseconds_, model_->traits());
    pieces.resize(lists.size());
    for (size_t i = 0; i < lists.size(); ++i)
        MOTE_TRY(recordOne(std::move(lists[i]), pieces[i]));
    return {};
}

Status Session::runCut(std::vector<Command> commands) {
    estimateByBytes(commands);
    for (std::vector<Command> &list : cutCommands(commands, budgetMilliseconds_, model_->traits()))
        MOTE_TRY(staging_->runNow(table_, std::move(list)));
    return {};
}

Status Session::recordSamplers(bool givenNoise) {
    samplers_.resize(steps());
    for (uint32_t step = 0; step < steps(); ++step) {
        MOTE_TRY_ASSIGN(const Command command, samplerCommand(step, givenNoise));
        MOTE_TRY(recordPieces({command}, samplers_[step]));
    }
    samplersGivenNoise_ = givenNoise;
    return {};
}

// Nothing may be in flight.
Status Session::recordEverything() {
    MOTE_TRY_ASSIGN(const std::vector<Command> start, startCommands());
    MOTE_TRY(recordPieces(start, start_));
    if (plan_.tiled()) {
        MOTE_TRY_ASSIGN(const std::vector<Command> stepBegin, stepBeginCommands());
        MOTE_TRY(recordPieces(stepBegin, stepBegin_));
        tiles_.resize(plan_.tileCount());
        for (uint32_t tile = 0; tile < plan_.tileCount(); ++tile)
            MOTE_TRY(recordOne({tileCommand(tile)}, tiles_[tile]));
    }
    steps_.resize(steps());
    for (uint32_t step = 0; step < steps(); ++step) {
        MOTE_TRY_ASSIGN(const std::vector<Command> forward, forwardCommands(step));
        MOTE_TRY(recordPieces(forward, steps_[step]));
    }
    return recordSamplers(samplersGivenNoise_);
}

void Session::append(const Pieces &pieces, std::vector<Item> &items) {
    for (const Recorded &piece : pieces)
        items.push_back({&piece});
}

std::vector<Session::Item> Session::stepItems(uint32_t step) const {
    std::vector<Item> items;
    append(stepBegin_, items); // empty where not tiled
    for (uint32_t tile = 0; tile < plan_.tileCount(); ++tile) {
        if (plan_.tiled())
            items.push_back({&tiles_[tile]});
        append(steps_[step], items);
    }
    return items;
}

std::vector<Session::Item> Session::runItems() const {
    std::vector<Item> items;
    append(start_, items);
    for (uint32_t step = 0; step < steps(); ++step) {
        const std::vector<Item> forward = stepItems(step);
        items.insert(items.end(), forward.begin(), forward.end());
        append(samplers_[step], items);
    }
    return items;
}

} // namespace mote::pipeline
