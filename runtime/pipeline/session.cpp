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
            kernel.affineBytes != bytes(packed.ops[i].affine) ||
            kernel.projectionBytes != bytes(packed.ops[i].projection))
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

    forward_.firstWeightChunk = 0;
    forward_.firstArenaChunk = plan_.firstArenaChunk;
    forward_.weights = &model_->weightPlan();
    forward_.ports.resize(net.tensors.size());
    for (size_t i = 0; i < net.ports.size() && !plan_.copiesTiles(); ++i) {
        const Port &port = net.ports[i];
        forward_.ports[port.tensor] = plan_.band(plan_.portPlanes[i], 0,
                                                 uint64_t{port.output ? plan_.images() : plan_.batch} *
                                                     net.tensors[port.tensor].channels);
    }
    // Planes of the arena are read once for each pass.
    forward_.inputImages = plan_.copiesTiles() ? plan_.images() : plan_.batch;
    forward_.madeRows = plan_.conditioning.rows;
    for (const BufferRange &table : plan_.conditioning.tables)
        forward_.madeTables.push_back(inChunks(table, plan_.firstConditioning));
    forward_.session = {plan_.session, 0, sizeof(SessionWords)};

    const uint32_t first = plan_.firstBuffer;
    MOTE_TRY_ASSIGN(Staging staging, Staging::create(device(), allocations_[plan_.upload - first],
                                                     allocations_[plan_.readback - first]));
    staging_ = std::make_unique<Staging>(std::move(staging));
    MOTE_TRY_ASSIGN(Submitter submitter, Submitter::create(device()));
    submitter_ = std::make_unique<Submitter>(std::move(submitter));
    // What chooses among conditions must never lie beyond them, also before the first run.
    if (plan_.conditioning.length != 0)
        return staging_->runNow(table_,
                                {updateCommand(inChunks(plan_.conditioning.chosen, plan_.firstConditioning),
                                               std::vector<uint32_t>(plan_.images(), 0))});
    return {};
}

// Column weights of all tile columns, then row weights of all tile rows.
Status Session::writeFeather() {
    if (!plan_.copiesTiles())
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

ImageExtent Session::bandExtent(size_t band, uint32_t channels, uint32_t images) const {
    return {images, channels, plan_.bands[band].count, plan_.paddedWidth, plan_.bands[band].first};
}

TilePlace Session::tilePlace(uint32_t tile, uint32_t channels, uint32_t images) const {
    const uint32_t tileColumns = static_cast<uint32_t>(plan_.columns.origins.size());
    const uint32_t column = tile % tileColumns, row = tile / tileColumns;
    TilePlace place;
    place.tile = {images, channels, plan_.rows.tile, plan_.columns.tile};
    place.x = plan_.columns.origins[column];
    place.y = plan_.rows.origins[row];
    place.featherX = column * plan_.columns.tile;
    place.featherY = tileColumns * plan_.columns.tile + row * plan_.rows.tile;
    return place;
}

// The commands of one port before `tile`, see tileCommands.
Status Session::appendTilePort(uint32_t tile, uint32_t images, const Port &port,
                               std::vector<Command> &commands) const {
    const auto append = [&](Result<Dispatch> dispatch) -> Status {
        MOTE_TRY(dispatch.status());
        commands.push_back(dispatchCommand(std::move(dispatch.value())));
        return {};
    };
    const uint32_t channels = graph().tensors[port.tensor].channels;
    const uint32_t planes = plan_.portPlanes[static_cast<size_t>(&port - graph().ports.data())];
    const BufferRange ofTile = tensorRange(plan_.forward, forward_, port.tensor);
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        const uint32_t ofWhole = port.output ? images : plan_.batch;
        const ImageExtent extent = bandExtent(band, channels, ofWhole);
        const BufferRange whole = plan_.band(planes, band, uint64_t{ofWhole} * channels);
        if (!port.output) {
            if (tile == plan_.tileCount())
                continue; // nothing is read after the last tile
            const TilePlace place = tilePlace(tile, channels, images);
            if (tileTouches(place, extent))
                MOTE_TRY(append(buildTileRead(place, extent, ofTile, whole, model_->traits())));
        } else if (tile == 0) {
            MOTE_TRY(append(buildClear(extent, whole, forward_.session, model_->traits())));
        } else {
            const TilePlace place = tilePlace(tile - 1, channels, images);
            if (tileTouches(place, extent))
                MOTE_TRY(append(
                    buildTileAdd(place, extent, ofTile, whole, plan_.all(plan_.feather), model_->traits())));
        }
    }
    return {};
}

// What comes before a tile's forward pass: the model output cleared before the first tile, that of the tile
// before added to it, the tile's inputs read. For the number after the last tile: what comes after all.
Result<std::vector<Command>> Session::tileCommands(uint32_t tile, uint32_t passes) const {
    const uint32_t images = plan_.batch * passes;
    std::vector<Command> commands;
    // What the tile before has made is taken first: what is read may go where that is.
    for (const bool output : {true, false}) {
        for (const Port &port : graph().ports) {
            // no op touches the others
            if (port.output == output && plan_.forward.tensors[port.tensor] != kNone)
                MOTE_TRY(appendTilePort(tile, images, port, commands));
        }
    }
    estimateByBytes(commands);
    return commands;
}

float Session::guidanceOf(uint32_t step) const {
    return hasGuidance_ ? guidanceScale_ : recipe().rows[step].guidance;
}

uint32_t Session::passesOf(uint32_t step) const {
    return recipe().rows[step].guided && guidanceOf(step) != 1 ? 2 : 1;
}

Result<std::vector<Command>> Session::guidanceCommands(uint32_t step) const {
    const uint32_t channels = stateChannels();
    const float rescale = recipe().rows[step].guidanceRescale;
    const std::vector<uint32_t> &entries = plan_.guidanceEntries;
    std::vector<Command> commands;
    for (const bool rescaling : {false, true}) {
        for (size_t band = 0; band < plan_.bands.size() && (!rescaling || rescale > 0); ++band) {
            const ImageExtent extent = bandExtent(band, channels, plan_.batch);
            GuidanceBuffers buffers;
            buffers.outputs = plan_.band(plan_.modelOutput, band, uint64_t{plan_.images()} * channels);
            buffers.scales = plan_.all(plan_.guidanceScales);
            if (plan_.guidanceStatistics != kNone)
                buffers.statistics = plan_.all(plan_.guidanceStatistics);
            MOTE_TRY_ASSIGN(Dispatch dispatch,
                            rescaling ? buildGuidanceRescale(extent, buffers, rescale, entries[band],
                                                             entries.back(), model_->traits())
                                      : buildGuidance(extent, buffers, step, rescale, entries[band],
                                                      entries.back(), model_->traits()));
            commands.push_back(dispatchCommand(std::move(dispatch)));
        }
    }
    estimateByBytes(commands);
    return commands;
}

Result<std::vector<Command>> Session::forwardCommands(uint32_t step, uint32_t passes) const {
    const StepRow &row = recipe().rows[step];
    const GraphShapes &shapes = passes < plan_.passes ? plan_.passShapes : plan_.forward.shapes;
    MOTE_TRY_ASSIGN(std::vector<Command> commands,
                    buildForward(model_->model(), graph(), plan_.forward, shapes, forward_, row.timestepIndex,
                                 step, model_->traits()));
    estimateTimes(commands, assumedRate(model_->traits()));
    const std::vector<double> &measured = wholeMilliseconds_[passes - 1];
    for (Command &command : commands)
        if (command.whole < measured.size())
            command.milliseconds = measured[command.whole];
    return commands;
}

SamplerBuffers Session::samplerBuffers(size_t band) const {
    const uint32_t channels = stateChannels();
    const uint64_t planes = uint64_t{plan_.batch} * channels;
    SamplerBuffers buffers;
    buffers.state = plan_.band(plan_.state, band, planes);
    buffers.modelOutput = plan_.band(plan_.modelOutput, band, planes); // of the first pass, guided
    // The condition y of the algebra is the first port of the app's that is shaped like the state.
    for (size_t i = graph().ports.size(); i-- > 0;) {
        const Port &port = graph().ports[i];
        if (port.source == PortSource::App && !port.output &&
            graph().tensors[port.tensor].channels == channels)
            buffers.condition = plan_.band(plan_.portPlanes[i], band, planes);
        if (port.source == PortSource::ModelVariance) // of the first pass
            buffers.variance = plan_.band(plan_.portPlanes[i], band, planes);
    }
    if (plan_.mask != kNone) {
        buffers.mask = plan_.band(plan_.mask, band, plan_.batch);
        buffers.known = plan_.band(plan_.known, band, planes);
    }
    if (plan_.registers != kNone) {
        buffers.registers = plan_.band(plan_.registers, band, planes * registerCount(recipe()));
        buffers.registerStride = elementsOf(bandExtent(band, channels, plan_.batch));
    }
    buffers.session = {plan_.session, 0, sessionBytes(plan_.batch)};
    return buffers;
}

std::vector<SamplerBand> Session::samplerBands(bool givenNoise) const {
    std::vector<SamplerBand> bands;
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        bands.push_back({bandExtent(band, stateChannels(), plan_.batch), samplerBuffers(band)});
        if (givenNoise && plan_.noise != kNone)
            bands.back().buffers.noise =
                plan_.band(plan_.noise, band, uint64_t{plan_.batch} * stateChannels());
    }
    return bands;
}

Result<std::vector<Command>>
Session::measureCommands(const StepRow &row, const std::vector<SamplerBand> &bands, uint32_t draw) const {
    const BufferRange memory = plan_.measures != kNone ? plan_.all(plan_.measures) : BufferRange{};
    MOTE_TRY_ASSIGN(std::vector<Dispatch> measures,
                    buildRowMeasures(row, bands, memory, draw, model_->traits()));
    std::vector<Command> commands;
    for (Dispatch &dispatch : measures)
        commands.push_back(dispatchCommand(std::move(dispatch)));
    return commands;
}

Result<std::vector<Command>> Session::samplerCommands(uint32_t step, bool givenNoise) const {
    uint32_t draw = 0, written = 0;
    for (uint32_t i = 0; i < step; ++i) {
        draw += recipe().rows[i].draws;
        if (recipe().rows[i].store != kNone)
            written |= 1u << recipe().rows[i].store;
    }
    const StepRow &row = recipe().rows[step];
    const std::vector<SamplerBand> bands = samplerBands(givenNoise);
    MOTE_TRY_ASSIGN(std::vector<Command> commands, measureCommands(row, bands, draw));
    for (const SamplerBand &band : bands) {
        MOTE_TRY_ASSIGN(Dispatch dispatch, buildSamplerRow(row, written, band.extent, band.buffers, draw,
                                                           step << 16 | kSamplerCode, model_->traits()));
        commands.push_back(dispatchCommand(std::move(dispatch)));
    }
    estimateByBytes(commands);
    return commands;
}

// The state before the first step, of normals that are drawn or lie in its place, and the planes of ports
// that the noise source feeds.
Result<std::vector<Command>> Session::startCommands(bool givenNoise) const {
    std::vector<Command> commands;
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        SamplerBuffers buffers = samplerBuffers(band);
        if (givenNoise) // where the state will be: each element is read before it is written
            buffers.noise = buffers.state;
        MOTE_TRY_ASSIGN(Dispatch start,
                        buildSamplerStart(recipe(), bandExtent(band, stateChannels(), plan_.batch), buffers,
                                          model_->traits()));
        commands.push_back(dispatchCommand(std::move(start)));
        for (uint32_t i = 0; i < graph().ports.size(); ++i) {
            const Port &port = graph().ports[i];
            if (port.output || port.source != PortSource::Noise)
                continue;
            const uint32_t channels = graph().tensors[port.tensor].channels;
            MOTE_TRY_ASSIGN(
                Dispatch noise,
                buildNoise(bandExtent(band, channels, plan_.batch),
                           plan_.band(plan_.portPlanes[i], band, uint64_t{plan_.batch} * channels),
                           forward_.session, kAppNoiseStream, i, model_->traits()));
            commands.push_back(dispatchCommand(std::move(noise)));
        }
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
    return recordAll(device().pipelines(), table_, withBarriers(std::move(commands)), recorded.commands);
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
        MOTE_TRY_ASSIGN(const std::vector<Command> commands, samplerCommands(step, givenNoise));
        MOTE_TRY(recordPieces(commands, samplers_[step]));
    }
    samplersGivenNoise_ = givenNoise;
    return {};
}

// Nothing may be in flight.
Status Session::recordEverything() {
    MOTE_TRY_ASSIGN(const std::vector<Command> start, startCommands(false));
    MOTE_TRY(recordPieces(start, start_));
    for (uint32_t passes = 1; passes <= plan_.passes; ++passes) {
        std::vector<Pieces> &tiles = tiles_[passes - 1], &rows = steps_[passes - 1];
        tiles.resize(plan_.copiesTiles() ? plan_.tileCount() + 1 : 0);
        for (uint32_t tile = 0; tile < tiles.size(); ++tile) {
            MOTE_TRY_ASSIGN(const std::vector<Command> commands, tileCommands(tile, passes));
            MOTE_TRY(recordPieces(commands, tiles[tile]));
        }
        rows.resize(steps());
        for (uint32_t step = 0; step < steps(); ++step) {
            if (passes > 1 && !recipe().rows[step].guided)
                continue;
            MOTE_TRY_ASSIGN(const std::vector<Command> forward, forwardCommands(step, passes));
            MOTE_TRY(recordPieces(forward, rows[step]));
        }
    }
    guidance_.resize(steps());
    for (uint32_t step = 0; step < steps(); ++step) {
        if (!recipe().rows[step].guided)
            continue;
        MOTE_TRY_ASSIGN(const std::vector<Command> commands, guidanceCommands(step));
        MOTE_TRY(recordPieces(commands, guidance_[step]));
    }
    return recordSamplers(samplersGivenNoise_);
}

void Session::append(const Pieces &pieces, std::vector<Item> &items) {
    for (const Recorded &piece : pieces)
        items.push_back({&piece});
}

std::vector<Session::Item> Session::stepItems(uint32_t step) const {
    const uint32_t passes = passesOf(step);
    const std::vector<Pieces> &tiles = tiles_[passes - 1];
    std::vector<Item> items;
    for (uint32_t tile = 0; tile < plan_.tileCount(); ++tile) {
        if (plan_.copiesTiles())
            append(tiles[tile], items);
        append(steps_[passes - 1][step], items);
    }
    if (plan_.copiesTiles())
        append(tiles.back(), items);
    if (passes > 1)
        append(guidance_[step], items);
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
