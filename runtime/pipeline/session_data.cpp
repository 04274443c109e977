// Inputs and outputs of a session: uploading, reading back.
#include "pipeline/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>

namespace mote::pipeline {
namespace {

// Weights of the two seeds, on a quarter circle: normals of different seeds are orthogonal but for chance,
// and stay normal with these.
void seedWeights(float mix, float &own, float &other) {
    const double angle = std::clamp(double(mix), 0.0, 1.0) * 1.57079632679489661923;
    own = mix >= 1 ? 0.0f : static_cast<float>(std::cos(angle));
    other = static_cast<float>(std::sin(angle));
}

} // namespace

Result<Command> Session::importCommand(const Input &input, uint32_t image, uint32_t bytesPerPixel,
                                       size_t band, uint32_t first, uint32_t count) const {
    PackedRows packed;
    packed.image = image;
    packed.firstRow = first;
    packed.rows = count;
    packed.width = plan_.width;
    packed.bytesPerPixel = bytesPerPixel;
    packed.strideBytes = uint64_t{plan_.width} * bytesPerPixel;
    packed.buffer = {plan_.upload, 0, (packed.strideBytes * count + 3) / 4 * 4};
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    buildImageImport(packed, bandExtent(band, input.channels, plan_.batch), input.low,
                                     input.high,
                                     plan_.band(input.planes, band, uint64_t{plan_.batch} * input.channels),
                                     model_->traits()));
    return dispatchCommand(std::move(dispatch));
}

Result<Command> Session::enlargeCommand(const Input &input, uint32_t image, const ImageView &from,
                                        size_t band, uint32_t first, uint32_t count,
                                        const SourceRows &sources) const {
    EnlargedRows rows;
    rows.packed.image = image;
    rows.packed.firstRow = first;
    rows.packed.rows = count;
    rows.packed.width = plan_.width;
    rows.packed.bytesPerPixel = from.bytesPerPixel;
    rows.packed.strideBytes = uint64_t{from.width} * from.bytesPerPixel;
    rows.packed.buffer = {plan_.upload, 0,
                          (rows.packed.strideBytes * (sources.end - sources.first) + 3) / 4 * 4};
    rows.factor = scaleOf(input);
    rows.sourceHeight = from.height;
    rows.sourceWidth = from.width;
    rows.sourceRow = sources.first;
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    buildImageEnlarge(rows, bandExtent(band, input.channels, plan_.batch), input.low,
                                      input.high,
                                      plan_.band(input.planes, band, uint64_t{plan_.batch} * input.channels),
                                      model_->traits()));
    return dispatchCommand(std::move(dispatch));
}

Result<std::vector<Command>> Session::maskCommands() const {
    MOTE_TRY_ASSIGN(const Input mask, findInput(kMaskPort, true));
    MOTE_TRY_ASSIGN(const Input known, findInput(kKnownPort, true));
    std::vector<Command> commands;
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        MOTE_TRY_ASSIGN(Dispatch dispatch,
                        buildMaskKnown(bandExtent(band, known.channels, plan_.batch),
                                       plan_.band(mask.planes, band, plan_.batch),
                                       plan_.band(known.planes, band, uint64_t{plan_.batch} * known.channels),
                                       model_->traits()));
        commands.push_back(dispatchCommand(std::move(dispatch)));
    }
    return commands;
}

ExportPlanes Session::exportPlanes(size_t band, const StepRow *estimate) const {
    const Port &port = statePort(graph());
    const uint64_t statePlanes = uint64_t{plan_.batch} * stateChannels();
    // The estimate is the picture itself, the state is kept in the model's scale.
    const float scale = estimate != nullptr ? 1.0f : scaleBefore(steps());
    ExportPlanes planes;
    planes.state = plan_.band(plan_.state, band, statePlanes);
    planes.low = port.valueLow * scale;
    planes.high = port.valueHigh * scale;
    if (estimate != nullptr) {
        const bool clamped = estimate->clip == ClipKind::Clamp;
        planes.modelOutput = plan_.band(plan_.modelOutput, band, statePlanes);
        planes.stateFactor = estimate->p;
        planes.outputFactor = estimate->q;
        planes.clipLow = clamped ? estimate->clipLow : -std::numeric_limits<float>::max();
        planes.clipHigh = clamped ? estimate->clipHigh : std::numeric_limits<float>::max();
    }
    // What is known stays as it is: where a model fills, and in the estimate of a row that mixes it in.
    const bool fills = model_->task().kind == TaskKind::Inpaint || (estimate != nullptr && estimate->known);
    for (const Input &input : appInputs()) {
        const bool luma = model_->task().kind == TaskKind::Colourise && input.name == kConditionPort;
        const BufferRange range = plan_.band(input.planes, band, uint64_t{plan_.batch} * input.channels);
        if (luma || (fills && input.name == kMaskPort)) {
            planes.side = luma ? ExportSide::Luma : ExportSide::Mask;
            planes.sidePlanes = range;
        }
        if (fills && input.name == kKnownPort)
            planes.known = range;
        if (luma || (fills && input.name == kKnownPort)) {
            planes.sideLow = input.low;
            planes.sideHigh = input.high;
        }
    }
    return planes;
}

// RGBA, behind the session's words in the readback buffer.
Result<Command> Session::exportCommand(uint32_t image, size_t band, uint32_t first, uint32_t count,
                                       const StepRow *estimate) const {
    PackedRows packed;
    packed.image = image;
    packed.firstRow = first;
    packed.rows = count;
    packed.width = plan_.width;
    packed.bytesPerPixel = 4;
    packed.strideBytes = uint64_t{plan_.width} * 4;
    packed.buffer = {plan_.readback, kReadbackHeaderBytes, kReadbackHeaderBytes + packed.strideBytes * count};
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    buildImageExport(packed, bandExtent(band, stateChannels(), plan_.batch),
                                     exportPlanes(band, estimate), model_->traits()));
    return dispatchCommand(std::move(dispatch));
}

// Four bytes a pixel at most, in both directions.
uint32_t Session::rowsOfPiece(uint32_t left) const {
    const uint64_t rows = plan_.all(plan_.upload).end / (uint64_t{4} * plan_.width);
    return static_cast<uint32_t>(std::min<uint64_t>(rows, left));
}

Status Session::uploadTensor(const TensorView &tensor, uint32_t firstImage, uint32_t planes, float scale) {
    PaddedReader reader;
    reader.height = tensor.h;
    reader.width = tensor.w;
    reader.paddedWidth = plan_.paddedWidth;
    reader.scale = scale;
    for (uint32_t image = 0; image < plan_.batch; ++image) {
        reader.planes = tensor.data + size_t{firstImage + image} * tensor.c * tensor.h * tensor.w;
        for (size_t band = 0; band < plan_.bands.size(); ++band) {
            reader.firstRow = plan_.bands[band].first;
            reader.rows = plan_.bands[band].count;
            const uint64_t elements = elementsOf(bandExtent(band, tensor.c, 1));
            const BufferRange to{planes + static_cast<uint32_t>(band), image * elements * sizeof(float),
                                 (image + 1) * elements * sizeof(float)};
            MOTE_TRY(staging_->write(
                table_.bound(to), elements,
                [&](uint64_t first, uint64_t count, float *values) { reader.read(first, count, values); }));
        }
    }
    return {};
}

Status Session::uploadImage(const ImageView &from, uint32_t image, const Input &input) {
    const gpu::Allocation &upload = allocations_[plan_.upload - plan_.firstBuffer];
    const uint32_t scale = scaleOf(input);
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        const RowBand &rows = plan_.bands[band];
        for (uint32_t first = 0, count = 0; first < rows.count; first += count) {
            count = rowsOfPiece(rows.count - first);
            SourceRows sources{rows.first + first, rows.first + first + count};
            if (scale > 1) {
                const uint64_t room = upload.size() / (uint64_t{from.width} * from.bytesPerPixel);
                sources = enlargeSources(rows.first + first, count, from.height, scale);
                while (count > 1 && sources.end - sources.first > room) {
                    count = (count + 1) / 2;
                    sources = enlargeSources(rows.first + first, count, from.height, scale);
                }
            }
            packRows(from, sources.first, sources.end - sources.first,
                     reinterpret_cast<uint8_t *>(upload.mapped()));
            MOTE_TRY(upload.flush(0, upload.size()));
            MOTE_TRY_ASSIGN(Command import,
                            scale > 1 ? enlargeCommand(input, image, from, band, first, count, sources)
                                      : importCommand(input, image, from.bytesPerPixel, band, first, count));
            MOTE_TRY(runCut({import}));
        }
    }
    return {};
}

// The photo's own size, without gaps.
Status Session::readImage(uint32_t image, const StepRow *estimate, std::vector<uint8_t> &rgba) {
    rgba.resize(size_t{4} * plan_.width * plan_.height);
    const gpu::Allocation &readback = allocations_[plan_.readback - plan_.firstBuffer];
    uint8_t *to = rgba.data();
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        const RowBand &rows = plan_.bands[band];
        const uint32_t end = std::min(rows.count, std::max(plan_.height, rows.first) - rows.first);
        for (uint32_t first = 0, count = 0; first < end; first += count) {
            count = rowsOfPiece(end - first);
            MOTE_TRY_ASSIGN(Command toBytes, exportCommand(image, band, first, count, estimate));
            MOTE_TRY(runCut({toBytes}));
            const size_t bytes = size_t{4} * plan_.width * count;
            MOTE_TRY(readback.invalidate(0, readback.size()));
            std::memcpy(to, readback.mapped() + kReadbackHeaderBytes, bytes);
            to += bytes;
        }
    }
    return {};
}

// Guidance scales, and the tables that depend on each image's class.
Status Session::uploadConditioning() {
    if (plan_.guidanceScales != kNone)
        MOTE_TRY(staging_->write(table_.bound(plan_.all(plan_.guidanceScales)), steps(),
                                 [&](uint64_t first, uint64_t count, float *to) {
                                     for (uint64_t i = 0; i < count; ++i)
                                         to[i] = guidanceOf(static_cast<uint32_t>(first + i));
                                 }));
    const ConditioningPlan &conditioning = plan_.conditioning;
    if (conditioning.length == 0)
        return {};
    // The second pass has the images again, without a class.
    std::vector<uint32_t> chosen(plan_.images(), graph().conditioning.nullClass);
    if (graph().conditioning.kind == ConditioningKind::Labels)
        std::copy(labels_.begin(), labels_.end(), chosen.begin());
    else
        std::iota(chosen.begin(), chosen.end(), 0u);
    MOTE_TRY(staging_->runNow(
        table_, {updateCommand(inChunks(conditioning.chosen, plan_.firstConditioning), std::move(chosen))}));
    if (conditioning.given.end != 0)
        MOTE_TRY(staging_->write(table_.bound(inChunks(conditioning.given, plan_.firstConditioning)),
                                 uint64_t{plan_.images()} * conditioning.length,
                                 [&](uint64_t first, uint64_t count, float *to) {
                                     for (uint64_t i = first; i < first + count; ++i)
                                         *to++ = i < vectors_.size() ? vectors_[i] : 0.0f;
                                 }));
    MOTE_TRY_ASSIGN(std::vector<Command> make,
                    buildConditioning(graph(), conditioning, model_->weightPlan(), plan_.firstConditioning, 0,
                                      model_->traits()));
    return runCut(std::move(make));
}

// Everything that a run reads but does not make: the session's words, the app's inputs, a given first state.
Status Session::uploadInputs(const RunOptions &options) {
    MOTE_TRY(checkBound());
    SessionWords all;
    all.seedLow = static_cast<uint32_t>(options.seed);
    all.seedHigh = static_cast<uint32_t>(options.seed >> 32);
    all.otherSeedLow = static_cast<uint32_t>(options.otherSeed);
    all.otherSeedHigh = static_cast<uint32_t>(options.otherSeed >> 32);
    seedWeights(options.mix, all.seedWeight, all.otherSeedWeight);
    all.noiseWidth = plan_.width;
    std::vector<uint32_t> raw(sizeof all / sizeof(uint32_t));
    std::memcpy(raw.data(), &all, sizeof all);
    MOTE_TRY(staging_->runNow(table_, {updateCommand(forward_.session, std::move(raw))}));
    for (const Input &input : appInputs()) {
        const BoundInput &bound = inputs_.at(input.name);
        for (uint32_t image = 0; image < bound.images.size(); ++image)
            MOTE_TRY(uploadImage(bound.images[image], image, input));
        if (bound.images.empty())
            MOTE_TRY(uploadTensor(bound.tensor, 0, input.planes, 1.0f));
    }
    if (model_->task().kind == TaskKind::Inpaint) {
        MOTE_TRY_ASSIGN(std::vector<Command> mask, maskCommands());
        MOTE_TRY(runCut(std::move(mask)));
    }
    return uploadConditioning();
}

float Session::scaleBefore(uint32_t step) const {
    return step == 0 ? recipe().initScale : recipe().rows[step - 1].scale;
}

Status Session::uploadStart(uint32_t step) {
    const auto start = inputs_.find(kStartName);
    if (start == inputs_.end())
        return makeStatus(StatusCode::InvalidArgument, "input '%s' is not bound", kStartName);
    // Given in the scheduler's own scale, kept in the model's.
    return uploadTensor(start->second.tensor, 0, plan_.state, scaleBefore(step));
}

Status Session::uploadStepNoise(uint32_t step) {
    return uploadTensor(inputs_.at(kNoiseName).tensor, step * plan_.batch, plan_.noise, 1.0f);
}

Status Session::uploadNormals(std::vector<TorchGenerator> &generators, float mix, uint32_t planes) {
    TensorView tensor{plan_.batch, stateChannels(), plan_.paddedHeight, plan_.paddedWidth, nullptr};
    const size_t ofImage = size_t{tensor.c} * tensor.h * tensor.w;
    std::vector<float> normals(generators.size() * ofImage);
    for (size_t image = 0; image < generators.size(); ++image)
        generators[image].normals(&normals[image * ofImage], ofImage);
    float own = 1, other = 0;
    seedWeights(mix, own, other);
    const size_t half = plan_.batch * ofImage; // where the other seed's begin
    for (size_t i = 0; i < half && half < normals.size(); ++i)
        normals[i] = own * normals[i] + other * normals[half + i];
    tensor.data = normals.data();
    return uploadTensor(tensor, 0, planes, 1.0f);
}

Status Session::readPlanes(uint32_t planes, float scale, std::vector<float> &to) {
    const uint32_t planeCount = plan_.batch * stateChannels();
    to.resize(size_t{planeCount} * plan_.paddedHeight * plan_.paddedWidth);
    for (size_t band = 0; band < plan_.bands.size(); ++band) {
        const RowBand &rows = plan_.bands[band];
        const uint64_t bytes = sizeof(float) * uint64_t{rows.count} * plan_.paddedWidth;
        for (uint32_t c = 0; c < planeCount; ++c) {
            const BufferRange from{planes + static_cast<uint32_t>(band), c * bytes, (c + 1) * bytes};
            const size_t row = size_t{c} * plan_.paddedHeight + rows.first;
            MOTE_TRY(staging_->read(table_.bound(from), bytes, &to[row * plan_.paddedWidth]));
        }
    }
    if (scale != 1)
        for (float &value : to)
            value *= scale;
    return {};
}

// What the kernels reported of infinities and NaNs.
Status Session::checkFinite() {
    SessionWords found;
    MOTE_TRY(staging_->read(table_.bound(forward_.session), sizeof found, &found));
    if (found.nonFinite == kNothingFound)
        return {};
    const uint32_t step = found.nonFinite >> 16, op = found.nonFinite & 0xffff;
    return makeStatus(StatusCode::NonFinite, "infinities or NaNs in step %u of %u, first seen by %s%s%s",
                      step + 1, steps(), op < graph().ops.size() ? "op '" : "",
                      op < graph().ops.size() ? graph().ops[op].name.c_str() : "the sampler",
                      op < graph().ops.size() ? "'" : "");
}

// Nothing of the app's is written before everything was read back.
Status Session::writeOutputs() {
    MOTE_TRY(checkFinite());
    std::vector<float> planes;
    if (hasOutputTensor_)
        MOTE_TRY(readPlanes(plan_.state, 1.0f / scaleBefore(steps()), planes));
    std::vector<std::vector<uint8_t>> pixels(outputImages_.size());
    for (uint32_t image = 0; image < pixels.size(); ++image)
        MOTE_TRY(readImage(image, nullptr, pixels[image]));
    for (size_t image = 0; image < pixels.size(); ++image) {
        const ImageView *alpha = nullptr;
        for (const Input &input : appInputs()) {
            const auto bound = inputs_.find(input.name);
            if (alpha == nullptr && input.name != kMaskPort && bound != inputs_.end() &&
                !bound->second.images.empty() && bound->second.images[image].bytesPerPixel == 4)
                alpha = &bound->second.images[image];
        }
        unpackRows(pixels[image].data(), outputImages_[image], alpha);
    }
    if (hasOutputTensor_) {
        if (outputTensor_.h == plan_.paddedHeight && outputTensor_.w == plan_.paddedWidth)
            std::copy(planes.begin(), planes.end(), outputTensor_.data);
        else
            cropPlanes(planes.data(), plan_.batch * stateChannels(), plan_.paddedHeight, plan_.paddedWidth,
                       plan_.height, plan_.width, 1.0f, outputTensor_.data);
    }
    return {};
}

} // namespace mote::pipeline
