#include "pipeline/session_plan.h"

#include "kernels/image_kernels.h"

#include <algorithm>
#include <limits>

namespace mote::pipeline {
namespace {

// Data goes to and from the device in pieces of at most this, where a row of the image is not longer.
constexpr uint64_t kStagingChunkBytes = 4u << 20;

uint64_t roundUp(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

unsigned long long wide(uint64_t value) {
    return value;
}

Result<uint32_t> findRecipe(const Model &model, const SessionOptions &options) {
    std::string have;
    for (uint32_t i = 0; i < model.recipes.size(); ++i) {
        const Recipe &recipe = model.recipes[i];
        const bool named = options.recipe == nullptr || recipe.name == options.recipe;
        const bool long_ = options.steps == 0 || recipe.steps == options.steps;
        if (named && long_)
            return i;
        have += (i == 0 ? "'" : ", '") + recipe.name + "' (" + std::to_string(recipe.steps) +
                (recipe.steps == 1 ? " step)" : " steps)");
    }
    std::string wanted;
    if (options.recipe != nullptr)
        wanted += " named '" + std::string(options.recipe) + "'";
    if (options.steps != 0)
        wanted += " with " + std::to_string(options.steps) + (options.steps == 1 ? " step" : " steps");
    return makeStatus(StatusCode::NotFound, "no recipe%s; the model has %s", wanted.c_str(), have.c_str());
}

// The overlap that a tile wants: what one forward pass sees to one side. A model that looks everywhere
// (attention) gets the most that cutAxis gives, half a tile.
uint32_t wantedOverlap(const Model &model, uint32_t longest) {
    return model.receptiveField == kNone ? longest : std::min(model.receptiveField, longest);
}

class Planner {
public:
    Planner(const LoadedModel &model, const SessionOptions &options)
        : model_(model), options_(options), choices_(model.choices()) {}

    Status start(uint32_t recipe) {
        const Graph &graph = model_.graph();
        fixed_ = fixedSize(graph);
        if (fixed_ && (options_.width != fixed_.width || options_.height != fixed_.height))
            return makeStatus(
                StatusCode::InvalidArgument,
                "an image of %u x %u pixels was asked for, the model makes %u x %u (width x height) only",
                options_.width, options_.height, fixed_.width, fixed_.height);
        const uint64_t multiple = graph.sizeMultiple;
        const uint64_t w = roundUp(options_.width, multiple), h = roundUp(options_.height, multiple);
        base_.batch = std::max(options_.batch, 1u);
        for (const StepRow &row : model_.model().recipes[recipe].rows)
            if (row.guided)
                base_.passes = 2;
        const uint32_t registers = registerCount(model_.model().recipes[recipe]);
        uint64_t most = uint64_t{graph.tensors[statePort(graph).tensor].channels} * std::max(registers, 1u);
        for (const Port &port : graph.ports)
            most = std::max(most,
                            uint64_t{graph.tensors[port.tensor].channels} * (port.output ? base_.passes : 1));
        most *= base_.batch;
        // One row of everything, and for images of 8 bits beside what else is read back.
        const uint64_t limit = model_.maxChunkBytes();
        if (w > limit / sizeof(float) / most ||
            sizeof(float) * w * (model_.task().scale > 1 ? 3 : 1) > stagingLimit())
            return makeStatus(
                StatusCode::Unsupported,
                "%u images of %u x %u pixels (%llu x %llu padded) need %llu channels of fp32 of a "
                "row in one piece, this device binds or allocates at most %llu bytes",
                base_.batch, options_.width, options_.height, wide(w), wide(h), wide(most), wide(limit));
        // Pixels are counted in 32 bits, by the noise for one.
        if (w * h > std::numeric_limits<uint32_t>::max())
            return makeStatus(
                StatusCode::Unsupported,
                "an image of %u x %u pixels (%llu x %llu padded): expected less than 2^32 pixels",
                options_.width, options_.height, wide(w), wide(h));
        base_.recipe = recipe;
        base_.width = options_.width;
        base_.height = options_.height;
        base_.paddedWidth = static_cast<uint32_t>(w);
        base_.paddedHeight = static_cast<uint32_t>(h);
        // As few bands as possible, of nearly equal height.
        const uint64_t rows = limit / sizeof(float) / most / w, count = (h + rows - 1) / rows;
        for (uint64_t i = 0; i < count; ++i) {
            const uint64_t first = i * h / count, end = (i + 1) * h / count;
            base_.bands.push_back({static_cast<uint32_t>(first), static_cast<uint32_t>(end - first)});
        }
        return {};
    }

    // The plan for tiles of this size. Fails where the device's limits forbid it. A tuner's choices may need
    // more memory than the rules': where they exceed the budget, or cannot be had at all, the rules hold.
    Result<SessionPlan> plan(uint32_t tileWidth, uint32_t tileHeight, uint64_t budget) const {
        Traits traits = model_.traits();
        traits.choices = choices_;
        Result<SessionPlan> plan = planWith(tileWidth, tileHeight, traits);
        if (choices_ && (!plan.ok() || plan->peakBytes > budget))
            return planWith(tileWidth, tileHeight, model_.traits());
        return plan;
    }

    uint32_t roundTile(uint32_t tile, uint32_t padded) const {
        if (fixed_)
            return padded;
        return static_cast<uint32_t>(std::min<uint64_t>(roundUp(tile, model_.graph().sizeMultiple), padded));
    }

    const SessionPlan &base() const { return base_; }

private:
    Result<SessionPlan> planWith(uint32_t tileWidth, uint32_t tileHeight, const Traits &traits) const {
        const Model &model = model_.model();
        const Graph &graph = model_.graph();
        SessionPlan plan = base_;
        const uint32_t overlap = wantedOverlap(model, std::max(plan.paddedWidth, plan.paddedHeight));
        plan.columns = cutAxis(plan.paddedWidth, tileWidth, overlap, graph.sizeMultiple);
        plan.rows = cutAxis(plan.paddedHeight, tileHeight, overlap, graph.sizeMultiple);
        MOTE_TRY_ASSIGN(plan.forward,
                        planForward(model, graph, plan.images(), plan.rows.tile, plan.columns.tile,
                                    plan.copiesTiles(), traits, model_.usable(), model_.maxChunkBytes()));
        if (plan.passes > 1) {
            MOTE_TRY_ASSIGN(plan.passShapes,
                            inferShapes(model, graph, plan.batch, plan.rows.tile, plan.columns.tile));
        }
        std::vector<uint32_t> tableRows;
        for (const StepRow &row : model.recipes[plan.recipe].rows)
            tableRows.push_back(row.timestepIndex);
        MOTE_TRY_ASSIGN(plan.conditioning, planConditioning(model, graph, model_.weightPlan(), tableRows,
                                                            plan.images(), model_.maxChunkBytes()));
        addBuffers(plan);
        MOTE_TRY(checkLimits(plan));
        return plan;
    }

    uint32_t add(SessionPlan &plan, const char *what, uint64_t bytes, gpu::MemoryKind kind) const {
        plan.buffers.push_back({what, roundUp(bytes, kPageBytes), kind});
        return plan.firstBuffer + static_cast<uint32_t>(plan.buffers.size() - 1);
    }

    // The first band's number; the others follow.
    uint32_t addPlanes(SessionPlan &plan, const char *what, uint64_t planeCount) const {
        const uint32_t first = plan.firstBuffer + static_cast<uint32_t>(plan.buffers.size());
        for (const RowBand &band : plan.bands)
            add(plan, what, sizeof(float) * planeCount * band.count * plan.paddedWidth,
                gpu::MemoryKind::DeviceLocal);
        return first;
    }

    // The most that staging memory may hold, beside the readback buffer's first bytes.
    uint64_t stagingLimit() const { return model_.maxChunkBytes() - kPageBytes; }

    void addBuffers(SessionPlan &plan) const {
        const Graph &graph = model_.graph();
        const Recipe &recipe = model_.model().recipes[plan.recipe];
        const uint32_t channels = graph.tensors[statePort(graph).tensor].channels;
        plan.firstArenaChunk = static_cast<uint32_t>(model_.weightPlan().chunkBytes.size());
        plan.firstBuffer =
            plan.firstArenaChunk + static_cast<uint32_t>(plan.forward.memory.chunkBytes.size());

        const uint64_t statePlanes = uint64_t{plan.batch} * channels;
        plan.state = addPlanes(plan, "state", statePlanes);
        plan.modelOutput = addPlanes(plan, "model output", statePlanes * plan.passes);
        plan.portPlanes.assign(graph.ports.size(), kNone);
        uint32_t mostChannels = channels;
        for (size_t i = 0; i < graph.ports.size(); ++i) {
            const Port &port = graph.ports[i];
            const uint32_t ofPort = graph.tensors[port.tensor].channels;
            const uint64_t planes = uint64_t{plan.batch} * ofPort;
            if (port.source == PortSource::State)
                plan.portPlanes[i] = plan.state;
            else if (port.source == PortSource::ModelOutput)
                plan.portPlanes[i] = plan.modelOutput;
            else if (port.source == PortSource::ModelVariance)
                plan.portPlanes[i] = addPlanes(plan, "model variance", planes * plan.passes);
            else if (!port.output)
                plan.portPlanes[i] = addPlanes(plan, "input planes", planes);
            mostChannels = std::max(mostChannels, ofPort);
        }
        if (hasKnownRegion(recipe)) {
            plan.mask = addPlanes(plan, "mask", plan.batch);
            plan.known = addPlanes(plan, "known image", statePlanes);
        }
        bool draws = false; // then noise may be given instead of drawn
        for (const StepRow &row : recipe.rows)
            draws = draws || row.draws != 0;
        if (draws)
            plan.noise = addPlanes(plan, "noise", statePlanes);
        if (registerCount(recipe) != 0)
            plan.registers = addPlanes(plan, "sampler registers", registerCount(recipe) * statePlanes);
        if (plan.copiesTiles())
            plan.feather = add(plan, "tile weights",
                               sizeof(float) * (uint64_t{plan.columns.tile} * plan.columns.origins.size() +
                                                uint64_t{plan.rows.tile} * plan.rows.origins.size()),
                               gpu::MemoryKind::DeviceLocal);
        if (const uint64_t bytes =
                measureBytes(recipe, {plan.batch, channels, plan.paddedHeight, plan.paddedWidth, 0}))
            plan.measures = add(plan, "measures of rows", bytes, gpu::MemoryKind::DeviceLocal);
        plan.session = add(plan, "session", sessionBytes(plan.batch), gpu::MemoryKind::DeviceLocal);
        plan.firstConditioning = plan.firstBuffer + static_cast<uint32_t>(plan.buffers.size());
        for (const uint64_t bytes : plan.conditioning.chunkBytes)
            add(plan, "conditioning", bytes, gpu::MemoryKind::DeviceLocal);
        if (plan.passes > 1)
            addGuidance(plan, channels);
        for (const SessionBuffer &buffer : plan.buffers)
            plan.imageBytes += buffer.bytes;

        // Floats and rows of 8-bit pixels go up and down in pieces: of a row at least, at four bytes a pixel.
        // An enlarged row needs up to five of the photo's, which are at most half as long.
        const uint64_t rowBytes = sizeof(float) * uint64_t{plan.paddedWidth};
        const uint64_t rows = model_.task().scale > 1 ? 3 : 1;
        const uint64_t piece = std::max(
            rows * rowBytes,
            std::min({rowBytes * plan.paddedHeight * mostChannels, kStagingChunkBytes, stagingLimit()}));
        plan.upload = add(plan, "upload staging", piece, gpu::MemoryKind::Upload);
        plan.readback =
            add(plan, "readback staging", kReadbackHeaderBytes + piece, gpu::MemoryKind::Readback);
        plan.stagingBytes = plan.all(plan.upload).end + plan.all(plan.readback).end;

        plan.weightBytes = model_.weightPlan().totalBytes;
        plan.activationBytes = plan.forward.memory.peakBytes;
        plan.peakBytes = plan.weightBytes + plan.activationBytes + plan.imageBytes + plan.stagingBytes;
        uint64_t passes = 0;
        for (const StepRow &row : recipe.rows)
            passes += row.guided && row.guidance != 1 ? 2 : 1;
        plan.operations = plan.forward.shapes.total.operations / plan.passes * plan.tileCount() * passes;
    }

    void addGuidance(SessionPlan &plan, uint32_t channels) const {
        const std::vector<StepRow> &rows = model_.model().recipes[plan.recipe].rows;
        plan.guidanceScales =
            add(plan, "guidance scales", sizeof(float) * rows.size(), gpu::MemoryKind::DeviceLocal);
        plan.guidanceEntries = {0};
        for (const RowBand &band : plan.bands)
            plan.guidanceEntries.push_back(
                plan.guidanceEntries.back() +
                guidanceEntries({plan.batch, channels, band.count, plan.paddedWidth, band.first}));
        if (std::any_of(rows.begin(), rows.end(), [](const StepRow &row) { return row.guidanceRescale > 0; }))
            plan.guidanceStatistics = add(plan, "guidance statistics",
                                          guidanceStatisticsBytes(plan.batch, plan.guidanceEntries.back()),
                                          gpu::MemoryKind::DeviceLocal);
    }

    Status checkLimits(const SessionPlan &plan) const {
        const uint64_t limit = model_.maxChunkBytes();
        for (const SessionBuffer &buffer : plan.buffers)
            if (buffer.bytes > limit)
                return makeStatus(StatusCode::Unsupported,
                                  "%s: %llu bytes are needed in one piece, this device binds or allocates at "
                                  "most %llu",
                                  buffer.what.c_str(), wide(buffer.bytes), wide(limit));
        return {};
    }

    const LoadedModel &model_;
    const SessionOptions &options_;
    const std::shared_ptr<const KernelChoices> choices_; // one state of them for all plans
    SessionPlan base_;
    FixedSize fixed_;
};

} // namespace

BufferRange SessionPlan::band(uint32_t planes, size_t band, uint64_t planeCount) const {
    const uint64_t bytes = sizeof(float) * planeCount * bands[band].count * paddedWidth;
    return {planes + static_cast<uint32_t>(band), 0, bytes};
}

bool hasKnownRegion(const Recipe &recipe) {
    for (const StepRow &row : recipe.rows)
        if (row.known)
            return true;
    return false;
}

const Port &statePort(const Graph &graph) {
    const Port *state = &graph.ports[0];
    for (const Port &port : graph.ports)
        if (!port.output && port.source == PortSource::State)
            state = &port;
    return *state;
}

Result<PlannedSession> planSession(const LoadedModel &model, const SessionOptions &options) {
    MOTE_TRY(model.runnable());
    if (options.width == 0 || options.height == 0)
        return makeStatus(StatusCode::InvalidArgument,
                          "width, height: found %u x %u, expected at least 1 x 1", options.width,
                          options.height);
    const uint32_t scale = model.task().scale;
    if (options.width % scale != 0 || options.height % scale != 0)
        return makeStatus(StatusCode::InvalidArgument,
                          "width, height: found %u x %u, expected multiples of %u: the model makes photos %u "
                          "times as large",
                          options.width, options.height, scale, scale);
    if (options.batch > kMaxBatch)
        return makeStatus(StatusCode::InvalidArgument, "batch: found %u images, expected at most %u",
                          options.batch, kMaxBatch);
    MOTE_TRY_ASSIGN(const uint32_t recipe, findRecipe(model.model(), options));
    Planner planner(model, options);
    MOTE_TRY(planner.start(recipe));

    uint64_t budget = options.memoryBudget;
    if (budget == 0)
        budget = model.device() ? model.device()->availableDeviceLocalBytes() + model.weightPlan().totalBytes
                                : std::numeric_limits<uint64_t>::max();
    const uint32_t paddedWidth = planner.base().paddedWidth, paddedHeight = planner.base().paddedHeight;
    // Where the caller leaves a side open it is `side`.
    const auto planSide = [&](uint32_t side) {
        return planner.plan(
            planner.roundTile(options.tileWidth != 0 ? options.tileWidth : side, paddedWidth),
            planner.roundTile(options.tileHeight != 0 ? options.tileHeight : side, paddedHeight), budget);
    };
    const auto fits = [&](const Result<SessionPlan> &plan) { return plan.ok() && plan->peakBytes <= budget; };

    const uint32_t multiple = model.graph().sizeMultiple;
    const uint32_t longest = std::max(paddedWidth, paddedHeight);
    Result<SessionPlan> best = planSide(longest);
    if (!fits(best)) {
        // The largest multiple that fits, by bisection; memory grows with the side.
        uint32_t low =
            static_cast<uint32_t>(std::min<uint64_t>(roundUp(kSmallestTile, multiple), longest)) / multiple;
        uint32_t high = longest / multiple; // does not fit
        best = planSide(low * multiple);
        if (fits(best)) {
            while (high - low > 1) {
                const uint32_t middle = low + (high - low) / 2;
                Result<SessionPlan> plan = planSide(middle * multiple);
                if (fits(plan)) {
                    low = middle;
                    best = std::move(plan);
                } else {
                    high = middle;
                }
            }
        }
    }
    MOTE_TRY(best.status());
    PlannedSession planned{std::move(best.value()), {}};
    const SessionPlan &plan = planned.plan;
    if (plan.peakBytes > budget)
        planned.fits = makeStatus(
            StatusCode::OutOfMemory,
            "%u images of %u x %u pixels need %llu bytes of device memory (weights %llu, activations %llu, "
            "images %llu, "
            "staging %llu) with tiles of %u x %u; %s is %llu",
            plan.batch, options.width, options.height, wide(plan.peakBytes), wide(plan.weightBytes),
            wide(plan.activationBytes), wide(plan.imageBytes), wide(plan.stagingBytes), plan.columns.tile,
            plan.rows.tile, options.memoryBudget != 0 ? "the budget" : "what the device has", wide(budget));
    return planned;
}

} // namespace mote::pipeline
