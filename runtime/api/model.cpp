// Models: opening, describing, estimating, checking.
#include "api/call.h"
#include "api/handles.h"
#include "api/session_desc.h"

#include "model/reader.h"
#include "pipeline/self_check.h"
#include "pipeline/session_plan.h"
#include "pipeline/tuner.h"

#include <utility>

namespace mote::api {
namespace {

Result<Source> sourceOf(const mote_model_desc &given) {
    const std::string name =
        given.name != nullptr ? given.name : (given.path != nullptr ? given.path : "model");
    const int ways =
        (given.path != nullptr) + (given.data != nullptr) + (given.use_fd != 0) + (given.read != nullptr);
    if (ways != 1)
        return makeStatus(StatusCode::InvalidArgument,
                          "mote_model_desc: found %d of path, data, fd and read, expected exactly one", ways);
    if (given.path != nullptr)
        return Source::fromPath(given.path);
    if (given.data != nullptr) {
        if (given.size > SIZE_MAX)
            return makeStatus(StatusCode::InvalidArgument,
                              "mote_model_desc.size is more than memory can hold");
        return Source::fromMemory(given.data, static_cast<size_t>(given.size), name);
    }
    if (given.use_fd != 0)
        return Source::fromDescriptor(given.fd, given.offset, given.size, name);
    const mote_read_callback read = given.read;
    void *user = given.read_user;
    return Source::fromCallback(
        [read, user](uint64_t offset, void *to, size_t bytes) { return read(user, offset, to, bytes) == 0; },
        given.size, name);
}

mote_estimate estimateOf(const pipeline::SessionPlan &plan) {
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    estimate.peak_bytes = plan.peakBytes;
    estimate.weight_bytes = plan.weightBytes;
    estimate.activation_bytes = plan.activationBytes;
    estimate.activation_bound_bytes = plan.forward.memory.lowerBound;
    estimate.image_bytes = plan.imageBytes;
    estimate.staging_bytes = plan.stagingBytes;
    estimate.operations = plan.operations;
    estimate.tile_width = plan.columns.tile;
    estimate.tile_height = plan.rows.tile;
    estimate.tile_count = plan.tileCount();
    // Of the axes that are cut, the smaller.
    const uint32_t x = plan.columns.origins.size() > 1 ? plan.columns.overlap : UINT32_MAX;
    const uint32_t y = plan.rows.origins.size() > 1 ? plan.rows.overlap : UINT32_MAX;
    estimate.tile_overlap = plan.tiled() ? (x < y ? x : y) : 0;
    return estimate;
}

} // namespace

Status readSessionDesc(const mote_session_desc *desc, pipeline::SessionOptions &options) {
    mote_session_desc given = MOTE_SESSION_DESC_INIT;
    MOTE_TRY(readDescriptor(desc, given, "mote_session_desc"));
    options.width = given.width;
    options.height = given.height;
    options.steps = given.steps;
    options.recipe = given.recipe;
    options.memoryBudget = given.memory_budget;
    options.tileWidth = given.tile_width;
    options.tileHeight = given.tile_height;
    options.submissionMilliseconds = given.submission_milliseconds;
    options.batch = given.batch;
    return {};
}

} // namespace mote::api

using namespace mote;
using namespace mote::api;

mote_status mote_model_open(mote_device *device, const mote_model_desc *desc, mote_model **model) {
    return guarded([&]() -> Status {
        if (desc == nullptr)
            return nullArgument("mote_model_open", "desc");
        if (model == nullptr)
            return nullArgument("mote_model_open", "model");
        mote_model_desc given = MOTE_MODEL_DESC_INIT;
        MOTE_TRY(readDescriptor(desc, given, "mote_model_desc"));
        MOTE_TRY_ASSIGN(const Source source, sourceOf(given));
        std::shared_ptr<gpu::Device> shared;
        if (device != nullptr) // keeps the whole state alive
            shared = std::shared_ptr<gpu::Device>(device->state, device->state->device.get());
        MOTE_TRY_ASSIGN(std::shared_ptr<pipeline::LoadedModel> loaded,
                        pipeline::LoadedModel::open(std::move(shared), source));
        *model = new mote_model{std::move(loaded)};
        return {};
    });
}

void mote_model_destroy(mote_model *model) {
    delete model;
}

const char *mote_model_describe(const mote_model *model) {
    if (model == nullptr) {
        finish(StatusCode::InvalidArgument, "mote_model_describe: model is null");
        return "";
    }
    return model->loaded->description().c_str();
}

mote_status mote_model_estimate(const mote_model *model, const mote_session_desc *desc,
                                mote_estimate *estimate) {
    return guarded([&]() -> Status {
        if (model == nullptr)
            return nullArgument("mote_model_estimate", "model");
        if (desc == nullptr)
            return nullArgument("mote_model_estimate", "desc");
        if (estimate == nullptr)
            return nullArgument("mote_model_estimate", "estimate");
        size_t size = 0;
        MOTE_TRY(outputSize(estimate, "mote_estimate", sizeof(mote_estimate), size));
        pipeline::SessionOptions options;
        MOTE_TRY(readSessionDesc(desc, options));
        MOTE_TRY_ASSIGN(const pipeline::PlannedSession planned,
                        pipeline::planSession(*model->loaded, options));
        writeOutput(estimateOf(planned.plan), estimate, size);
        return planned.fits;
    });
}

mote_status mote_model_tune(mote_model *model, const mote_session_desc *desc, const mote_tune_desc *tune,
                            mote_tuning *tuning) {
    return guarded([&]() -> Status {
        if (model == nullptr)
            return nullArgument("mote_model_tune", "model");
        if (desc == nullptr)
            return nullArgument("mote_model_tune", "desc");
        pipeline::SessionOptions session;
        MOTE_TRY(readSessionDesc(desc, session));
        mote_tune_desc given = MOTE_TUNE_DESC_INIT;
        if (tune != nullptr)
            MOTE_TRY(readDescriptor(tune, given, "mote_tune_desc"));
        size_t size = 0;
        if (tuning != nullptr)
            MOTE_TRY(outputSize(tuning, "mote_tuning", sizeof(mote_tuning), size));
        pipeline::TuneOptions options;
        options.milliseconds = given.milliseconds;
        if (given.progress != nullptr)
            options.progress = [&given](float fraction, const char *what) {
                given.progress(given.progress_user, fraction, what);
            };
        pipeline::TuneResult result;
        MOTE_TRY(pipeline::tuneKernels(*model->loaded, session, options, result));
        if (tuning != nullptr) {
            mote_tuning found = MOTE_TUNING_INIT;
            found.shapes = result.shapes;
            found.timed = result.timed;
            found.changed = result.changed;
            found.milliseconds = result.milliseconds;
            writeOutput(found, tuning, size);
        }
        return {};
    });
}

void mote_model_cancel_tuning(mote_model *model) {
    if (model != nullptr)
        model->loaded->cancelTuning = true;
}

mote_status mote_model_check(mote_model *model, mote_check_callback callback, void *user) {
    return guarded([&]() -> Status {
        if (model == nullptr)
            return nullArgument("mote_model_check", "model");
        pipeline::LoadedModel &loaded = *model->loaded;
        if (!loaded.device())
            return makeStatus(StatusCode::InvalidArgument,
                              "the model was opened without a device: there is nothing to check it on");
        pipeline::CheckCallback call;
        if (callback != nullptr)
            call = [callback, user](uint32_t op, const char *name, const char *kind, float fraction) {
                callback(user, op, name, kind, fraction);
            };
        std::lock_guard<std::mutex> lock(loaded.selfCheckMutex);
        MOTE_TRY(pipeline::playSelfCheck(loaded, {}, call));
        loaded.selfChecked = true;
        return {};
    });
}
