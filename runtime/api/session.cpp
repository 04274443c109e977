// Sessions: making, binding, running, inspecting.
#include "api/call.h"
#include "api/handles.h"
#include "api/session_desc.h"

#include "model/describe.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

namespace mote::api {
namespace {

pipeline::Progress progressOf(mote_progress_callback callback, void *user) {
    if (callback == nullptr)
        return {};
    return [callback, user](float fraction, const char *what) { callback(user, fraction, what); };
}

Status readRunDesc(const mote_run_desc *desc, pipeline::RunOptions &options) {
    mote_run_desc given = MOTE_RUN_DESC_INIT;
    if (desc != nullptr)
        MOTE_TRY(readDescriptor(desc, given, "mote_run_desc"));
    options.seed = given.seed;
    if (given.noise != MOTE_NOISE_PHILOX && given.noise != MOTE_NOISE_TORCH)
        return makeStatus(StatusCode::InvalidArgument,
                          "mote_run_desc.noise: found %d, expected 0 (Philox) or 1 (PyTorch)",
                          static_cast<int>(given.noise));
    options.noise =
        given.noise == MOTE_NOISE_TORCH ? pipeline::NoiseSource::Torch : pipeline::NoiseSource::Philox;
    options.progress = progressOf(given.progress, given.progress_user);
    options.otherSeed = given.other_seed;
    options.mix = given.seed_mix;
    if (given.preview != nullptr) {
        const mote_preview_callback preview = given.preview;
        void *user = given.preview_user;
        options.preview = [preview, user](uint32_t step, uint32_t image, const pipeline::ImageView &picture) {
            mote_image out = MOTE_IMAGE_INIT;
            out.format = MOTE_RGBA8;
            out.width = picture.width;
            out.height = picture.height;
            out.stride = picture.stride;
            out.pixels = picture.pixels;
            preview(user, step, image, &out);
        };
    }
    if (given.trace == nullptr)
        return {};
    mote_trace trace = MOTE_TRACE_INIT;
    MOTE_TRY(readDescriptor(given.trace, trace, "mote_trace"));
    if (trace.callback == nullptr)
        return makeStatus(StatusCode::InvalidArgument, "mote_trace.callback is null");
    options.trace = [trace](uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
        trace.callback(trace.user, step, tensor, shape, data);
    };
    options.traceOps = trace.ops != 0;
    return {};
}

Status readImage(const mote_image *from, pipeline::ImageView &image) {
    mote_image given = MOTE_IMAGE_INIT;
    MOTE_TRY(readDescriptor(from, given, "mote_image"));
    image.bytesPerPixel = static_cast<uint32_t>(given.format);
    image.width = given.width;
    image.height = given.height;
    image.stride = given.stride != 0 ? given.stride : size_t{given.width} * image.bytesPerPixel;
    image.pixels = static_cast<uint8_t *>(given.pixels);
    return {};
}

// Elements are as far apart as the first says that they are long.
Status readImages(const mote_image *from, uint32_t count, std::vector<pipeline::ImageView> &images) {
    if (from == nullptr)
        return {};
    if (count == 0)
        return makeStatus(StatusCode::InvalidArgument,
                          "images: found none, expected one for each of the batch");
    const auto *bytes = reinterpret_cast<const char *>(from);
    size_t size = 0;
    std::memcpy(&size, from, sizeof size);
    images.resize(count);
    for (uint32_t i = 0; i < count; ++i)
        MOTE_TRY(readImage(reinterpret_cast<const mote_image *>(bytes + i * size), images[i]));
    return {};
}

Status readTensor(const mote_tensor *from, pipeline::TensorView &tensor) {
    mote_tensor given = MOTE_TENSOR_INIT;
    MOTE_TRY(readDescriptor(from, given, "mote_tensor"));
    tensor = {given.shape[0], given.shape[1], given.shape[2], given.shape[3], given.data};
    return {};
}

} // namespace
} // namespace mote::api

using namespace mote;
using namespace mote::api;

mote_status mote_session_create(mote_model *model, const mote_session_desc *desc, mote_session **session) {
    return guarded([&]() -> Status {
        if (model == nullptr)
            return nullArgument("mote_session_create", "model");
        if (desc == nullptr)
            return nullArgument("mote_session_create", "desc");
        if (session == nullptr)
            return nullArgument("mote_session_create", "session");
        pipeline::SessionOptions options;
        MOTE_TRY(readSessionDesc(desc, options));
        MOTE_TRY_ASSIGN(std::unique_ptr<pipeline::Session> made,
                        pipeline::Session::create(model->loaded, options));
        *session = new mote_session(std::move(made));
        return {};
    });
}

void mote_session_destroy(mote_session *session) {
    delete session;
}

mote_status mote_session_prepare(mote_session *session, const mote_prepare_desc *desc) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_prepare", "session");
        mote_prepare_desc given = MOTE_PREPARE_DESC_INIT;
        if (desc != nullptr)
            MOTE_TRY(readDescriptor(desc, given, "mote_prepare_desc"));
        return session->worker.exclusive([&](pipeline::Session &of, const std::atomic<bool> *cancel) {
            return of.prepare(progressOf(given.progress, given.progress_user), given.skip_self_check == 0,
                              cancel);
        });
    });
}

mote_status mote_session_bind_image(mote_session *session, const char *port, const mote_image *image) {
    return mote_session_bind_images(session, port, image, 1);
}

mote_status mote_session_bind_images(mote_session *session, const char *port, const mote_image *images,
                                     uint32_t count) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_bind_images", "session");
        if (port == nullptr)
            return nullArgument("mote_session_bind_images", "port");
        std::vector<pipeline::ImageView> views;
        MOTE_TRY(readImages(images, count, views));
        return session->worker.exclusive(
            [&](pipeline::Session &of, const std::atomic<bool> *) { return of.bindImages(port, views); });
    });
}

mote_status mote_session_bind_tensor(mote_session *session, const char *port, const mote_tensor *tensor) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_bind_tensor", "session");
        if (port == nullptr)
            return nullArgument("mote_session_bind_tensor", "port");
        pipeline::TensorView view;
        if (tensor != nullptr)
            MOTE_TRY(readTensor(tensor, view));
        return session->worker.exclusive([&](pipeline::Session &of, const std::atomic<bool> *) {
            return of.bindTensor(port, tensor != nullptr ? &view : nullptr);
        });
    });
}

mote_status mote_session_bind_output_image(mote_session *session, const mote_image *image) {
    return mote_session_bind_output_images(session, image, 1);
}

mote_status mote_session_bind_output_images(mote_session *session, const mote_image *images, uint32_t count) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_bind_output_images", "session");
        std::vector<pipeline::ImageView> views;
        MOTE_TRY(readImages(images, count, views));
        return session->worker.exclusive(
            [&](pipeline::Session &of, const std::atomic<bool> *) { return of.bindOutputImages(views); });
    });
}

mote_status mote_session_set_class_labels(mote_session *session, const int64_t *labels, uint32_t count) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_set_class_labels", "session");
        std::vector<int64_t> copied;
        if (labels != nullptr)
            copied.assign(labels, labels + count);
        if (labels != nullptr && count == 0)
            return makeStatus(StatusCode::InvalidArgument,
                              "class labels: found none, expected one for each image");
        return session->worker.exclusive(
            [&](pipeline::Session &of, const std::atomic<bool> *) { return of.setClassLabels(copied); });
    });
}

mote_status mote_session_set_class_vectors(mote_session *session, const float *vectors, uint32_t count,
                                           uint32_t length) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_set_class_vectors", "session");
        return session->worker.exclusive([&](pipeline::Session &of, const std::atomic<bool> *) {
            return of.setClassVectors(vectors, count, length);
        });
    });
}

mote_status mote_session_set_guidance(mote_session *session, const float *scale) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_set_guidance", "session");
        return session->worker.exclusive(
            [&](pipeline::Session &of, const std::atomic<bool> *) { return of.setGuidance(scale); });
    });
}

mote_status mote_session_bind_output_tensor(mote_session *session, const mote_tensor *tensor) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_bind_output_tensor", "session");
        pipeline::TensorView view;
        if (tensor != nullptr)
            MOTE_TRY(readTensor(tensor, view));
        return session->worker.exclusive([&](pipeline::Session &of, const std::atomic<bool> *) {
            return of.bindOutputTensor(tensor != nullptr ? &view : nullptr);
        });
    });
}

mote_status mote_session_run(mote_session *session, const mote_run_desc *desc) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_run", "session");
        pipeline::RunOptions options;
        MOTE_TRY(readRunDesc(desc, options));
        return session->worker.run(options);
    });
}

mote_status mote_session_submit(mote_session *session, const mote_run_desc *desc) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_submit", "session");
        pipeline::RunOptions options;
        MOTE_TRY(readRunDesc(desc, options));
        return session->worker.submit(options);
    });
}

mote_status mote_session_poll(mote_session *session, float *fraction) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_poll", "session");
        return session->worker.poll(fraction);
    });
}

mote_status mote_session_wait(mote_session *session, uint32_t milliseconds) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_wait", "session");
        return session->worker.wait(milliseconds);
    });
}

void mote_session_cancel(mote_session *session) {
    if (session != nullptr)
        session->worker.cancel();
}

const char *mote_session_message(const mote_session *session) {
    // Locks, which changes nothing that a caller sees.
    return session != nullptr ? const_cast<mote_session *>(session)->worker.message() : "";
}

mote_status mote_session_get_info(const mote_session *session, mote_session_info *info) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_get_info", "session");
        if (info == nullptr)
            return nullArgument("mote_session_get_info", "info");
        size_t size = 0;
        MOTE_TRY(outputSize(info, "mote_session_info", sizeof(mote_session_info), size));
        // Marks the session as busy, which changes nothing that a caller sees.
        pipeline::Worker &worker = const_cast<mote_session *>(session)->worker;
        return worker.exclusive([&](pipeline::Session &of, const std::atomic<bool> *) -> Status {
            const pipeline::SessionPlan &plan = of.plan();
            const gpu::MemoryUse memory = of.model().device()->memoryUse();
            mote_session_info out = MOTE_SESSION_INFO_INIT;
            out.width = plan.width;
            out.height = plan.height;
            out.padded_width = plan.paddedWidth;
            out.padded_height = plan.paddedHeight;
            out.steps = of.steps();
            out.batch = plan.batch;
            out.tile_width = plan.columns.tile;
            out.tile_height = plan.rows.tile;
            out.tile_count = plan.tileCount();
            out.dispatches = of.dispatchCount();
            out.pipelines = of.pipelineCount();
            out.submissions = of.submissionCount();
            out.planned_bytes = plan.peakBytes;
            out.allocated_bytes = memory.liveBytes;
            out.peak_allocated_bytes = memory.peakBytes;
            out.open_milliseconds = of.model().openMilliseconds();
            out.create_milliseconds = of.createMilliseconds();
            out.prepare_milliseconds = of.prepareMilliseconds();
            writeOutput(out, info, size);
            return {};
        });
    });
}

mote_status mote_session_evaluate(mote_session *session, uint32_t step, const mote_tensor *output) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_evaluate", "session");
        if (output == nullptr)
            return nullArgument("mote_session_evaluate", "output");
        pipeline::TensorView view;
        MOTE_TRY(readTensor(output, view));
        return session->worker.exclusive(
            [&](pipeline::Session &of, const std::atomic<bool> *) { return of.evaluate(step, view); });
    });
}

mote_status mote_session_measure(mote_session *session, mote_op_time *ops, uint32_t *count) {
    return guarded([&]() -> Status {
        if (session == nullptr)
            return nullArgument("mote_session_measure", "session");
        if (count == nullptr)
            return nullArgument("mote_session_measure", "count");
        if (ops == nullptr && *count != 0)
            return nullArgument("mote_session_measure", "ops (with *count > 0)");
        size_t size = 0;
        if (*count != 0)
            MOTE_TRY(outputSize(ops, "mote_op_time", sizeof(mote_op_time), size));
        const pipeline::Session &of = session->worker.session();
        const Graph &graph = of.model().graph();
        const uint32_t room = *count;
        if (room == 0) { // only asked how many
            *count = static_cast<uint32_t>(graph.ops.size());
            return {};
        }
        std::vector<pipeline::OpTime> times;
        MOTE_TRY(session->worker.exclusive([&](pipeline::Session &in, const std::atomic<bool> *) -> Status {
            MOTE_TRY_ASSIGN(times, in.measure());
            return {};
        }));
        for (uint32_t i = 0; i < std::min<size_t>(room, times.size()); ++i) {
            const Op &op = graph.ops[times[i].op];
            const OpCost &cost = of.plan().forward.shapes.costs[times[i].op];
            mote_op_time out = MOTE_OP_TIME_INIT;
            std::snprintf(out.name, sizeof out.name, "%s", op.name.c_str());
            std::snprintf(out.kind, sizeof out.kind, "%s", opKindName(op.kind));
            out.dispatches = times[i].dispatches;
            out.operations = cost.operations;
            out.bytes = cost.bytes;
            out.milliseconds = times[i].milliseconds;
            writeOutput(out, reinterpret_cast<mote_op_time *>(reinterpret_cast<char *>(ops) + i * size),
                        size);
        }
        *count = static_cast<uint32_t>(times.size());
        return {};
    });
}
