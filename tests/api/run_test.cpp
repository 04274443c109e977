// Running: pictures in and out, other threads, cancelling, inspection.
#include "api/api_rig.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

namespace mote::test {
namespace {

using Clock = std::chrono::steady_clock;

class Running : public testing::Test {
protected:
    void SetUp() override { model_ = openModel(sharedApiDevice(), smallModelPath()); }
    void TearDown() override { mote_model_destroy(model_); }

    mote_model *model_ = nullptr;
};

TEST_F(Running, GrayColourAndAlphaGoInAndOutWithAnyStride) {
    constexpr uint32_t w = 21, h = 13;
    mote_session *session = createSession(model_, w, h, 1);
    // What RGB gives is the reference for all.
    std::vector<uint8_t> rgb = somePixels(w, h, 3, 3 * w), expected(3 * w * h);
    const mote_image in = imageOf(rgb, MOTE_RGB8, w, h), out = imageOf(expected, MOTE_RGB8, w, h);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));

    // RGBA with gaps between rows: the same colours, alpha as it came, gaps untouched.
    constexpr size_t inStride = 4 * w + 5, outStride = 4 * w + 12;
    std::vector<uint8_t> rgba = somePixels(w, h, 4, inStride), found(outStride * h, 0x55);
    const mote_image in4 = imageOf(rgba, MOTE_RGBA8, w, h, inStride),
                     out4 = imageOf(found, MOTE_RGBA8, w, h, outStride);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in4)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out4)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    for (uint32_t y = 0; y < h; ++y) {
        for (uint32_t x = 0; x < w; ++x) {
            for (uint32_t c = 0; c < 3; ++c)
                ASSERT_EQ(found[y * outStride + 4 * x + c], expected[(y * w + x) * 3 + c]);
            ASSERT_EQ(found[y * outStride + 4 * x + 3], rgba[y * inStride + 4 * x + 3]);
        }
        for (size_t gap = 4 * w; gap < outStride; ++gap)
            ASSERT_EQ(found[y * outStride + gap], 0x55);
    }
    // RGBA out of what has no alpha is opaque.
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    EXPECT_EQ(found[3], 255);

    // Gray in is equal red, green and blue; gray out is their luma.
    std::vector<uint8_t> gray = somePixels(w, h, 1, w), threefold, grayOut(w * h);
    for (uint8_t value : gray)
        threefold.insert(threefold.end(), 3, value);
    const mote_image in1 = imageOf(gray, MOTE_GRAY8, w, h), in3 = imageOf(threefold, MOTE_RGB8, w, h),
                     out1 = imageOf(grayOut, MOTE_GRAY8, w, h);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in3)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in1)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out1)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    for (size_t i = 0; i < grayOut.size(); ++i) {
        const double luma =
            0.299 * expected[3 * i] + 0.587 * expected[3 * i + 1] + 0.114 * expected[3 * i + 2];
        ASSERT_NEAR(grayOut[i], luma, 0.51);
    }
    mote_session_destroy(session);
}

TEST_F(Running, ImageAndTensorOfOneRunAgree) {
    constexpr uint32_t w = 10, h = 6;
    mote_session *session = createSession(model_, w, h, 1);
    std::vector<uint8_t> pixels = somePixels(w, h, 3, 3 * w);
    const mote_image image = imageOf(pixels, MOTE_RGB8, w, h); // in place
    std::vector<float> floats(3 * w * h);
    mote_tensor tensor = MOTE_TENSOR_INIT;
    const uint32_t shape[4] = {1, 3, h, w};
    std::memcpy(tensor.shape, shape, sizeof shape);
    tensor.data = floats.data();
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &image)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &image)));
    ASSERT_TRUE(worked(mote_session_bind_output_tensor(session, &tensor)));
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    for (uint32_t i = 0; i < w * h; ++i)
        for (uint32_t c = 0; c < 3; ++c) {
            const double value = (floats[size_t{c} * w * h + i] + 1) * 127.5;
            ASSERT_NEAR(pixels[3 * i + c], std::fmin(std::fmax(value, 0), 255), 0.51);
        }
    mote_session_destroy(session);
}

TEST_F(Running, RefusesImagesOfAnotherSizeFormatOrStride) {
    mote_session *session = createSession(model_, 16, 8);
    std::vector<uint8_t> pixels = somePixels(16, 8, 3, 48);
    mote_image image = imageOf(pixels, MOTE_RGB8, 15, 8);
    EXPECT_TRUE(
        refused(mote_session_bind_image(session, "condition", &image), MOTE_INVALID_ARGUMENT, "15 x 8"));
    image = imageOf(pixels, static_cast<mote_pixel_format>(2), 16, 8);
    EXPECT_TRUE(
        refused(mote_session_bind_image(session, "condition", &image), MOTE_INVALID_ARGUMENT, "format"));
    image = imageOf(pixels, MOTE_RGB8, 16, 8, 47);
    EXPECT_TRUE(refused(mote_session_bind_image(session, "condition", &image), MOTE_INVALID_ARGUMENT, "47"));
    image.pixels = nullptr;
    EXPECT_TRUE(refused(mote_session_bind_output_image(session, &image), MOTE_INVALID_ARGUMENT, "null"));
    image = imageOf(pixels, MOTE_RGB8, 16, 8);
    EXPECT_TRUE(refused(mote_session_bind_image(session, "x_start", &image), MOTE_NOT_FOUND, "x_start"));
    EXPECT_TRUE(refused(mote_session_run(session, nullptr), MOTE_INVALID_ARGUMENT, "'condition'"));
    EXPECT_NE(std::string(mote_session_message(session)).find("'condition'"), std::string::npos);
    mote_session_destroy(session);
}

struct Seen {
    std::atomic<float> fraction{0};
    std::atomic<int> calls{0};
    std::atomic<bool> grows{true};
    mote_session *toCancel = nullptr;
};

void watch(void *user, float fraction, const char *what) {
    Seen &seen = *static_cast<Seen *>(user);
    if (fraction < seen.fraction || what == nullptr)
        seen.grows = false;
    seen.fraction = fraction;
    ++seen.calls;
    if (seen.toCancel != nullptr)
        mote_session_cancel(seen.toCancel);
}

TEST_F(Running, PreparesAndRunsWithGrowingProgress) {
    mote_session *session = createSession(model_, 48, 48, 2);
    Seen preparing, running;
    mote_prepare_desc prepare = MOTE_PREPARE_DESC_INIT;
    prepare.progress = watch;
    prepare.progress_user = &preparing;
    ASSERT_TRUE(worked(mote_session_prepare(session, &prepare)));
    EXPECT_GT(preparing.calls, 10);
    EXPECT_EQ(preparing.fraction, 1.0f);
    EXPECT_TRUE(preparing.grows);
    std::vector<uint8_t> pixels = somePixels(48, 48, 3, 144);
    const mote_image image = imageOf(pixels, MOTE_RGB8, 48, 48);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &image)));
    mote_run_desc run = MOTE_RUN_DESC_INIT;
    run.progress = watch;
    run.progress_user = &running;
    ASSERT_TRUE(worked(mote_session_run(session, &run)));
    EXPECT_GE(running.calls, 1);
    EXPECT_NEAR(running.fraction, 1.0f, 1e-3f);
    EXPECT_TRUE(running.grows);
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    ASSERT_TRUE(worked(mote_session_get_info(session, &info)));
    EXPECT_GT(info.prepare_milliseconds, 0);
    mote_session_destroy(session);
}

TEST_F(Running, SubmittedRunsArePolledAndWaitedFor) {
    mote_session *session = createSession(model_, 24, 24, 2);
    std::vector<uint8_t> pixels = somePixels(24, 24, 3, 72), blocking(72 * 24), submitted(72 * 24);
    const mote_image in = imageOf(pixels, MOTE_RGB8, 24, 24), out = imageOf(blocking, MOTE_RGB8, 24, 24),
                     out2 = imageOf(submitted, MOTE_RGB8, 24, 24);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out)));
    mote_run_desc run = MOTE_RUN_DESC_INIT;
    run.seed = 8;
    ASSERT_TRUE(worked(mote_session_run(session, &run)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out2)));
    for (int repeat = 0; repeat < 3; ++repeat) {
        std::fill(submitted.begin(), submitted.end(), uint8_t{0});
        ASSERT_TRUE(worked(mote_session_submit(session, &run)));
        mote_status busy = mote_session_run(session, &run); // either still under way, or over already
        EXPECT_TRUE(busy == MOTE_INVALID_ARGUMENT || busy == MOTE_OK);
        float fraction = -1;
        mote_status status = MOTE_NOT_READY;
        while ((status = mote_session_poll(session, &fraction)) == MOTE_NOT_READY)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        EXPECT_TRUE(worked(status));
        EXPECT_EQ(fraction, 1.0f);
        EXPECT_TRUE(worked(mote_session_wait(session, UINT32_MAX))); // again and again
        EXPECT_TRUE(worked(mote_session_poll(session, nullptr)));
        EXPECT_STREQ(mote_session_message(session), "");
        EXPECT_EQ(submitted, blocking);
    }
    mote_session_destroy(session);
}

TEST_F(Running, FailureOfASubmittedRunIsHeardByEveryThread) {
    mote_session *session = createSession(model_, 8, 8);
    ASSERT_TRUE(worked(mote_session_submit(session, nullptr))); // nothing is bound: the run fails
    std::thread([&] {
        EXPECT_TRUE(refused(mote_session_wait(session, UINT32_MAX), MOTE_INVALID_ARGUMENT, "'condition'"));
    }).join();
    EXPECT_TRUE(refused(mote_session_poll(session, nullptr), MOTE_INVALID_ARGUMENT, "'condition'"));
    EXPECT_NE(std::string(mote_session_message(session)).find("'condition'"), std::string::npos);
    mote_session_destroy(session);
}

TEST_F(Running, DestroyingASessionCancelsItsRun) {
    mote_session *session = createSession(model_, 64, 64, 2);
    std::vector<uint8_t> pixels = somePixels(64, 64, 3, 192);
    const mote_image image = imageOf(pixels, MOTE_RGB8, 64, 64);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &image)));
    ASSERT_TRUE(worked(mote_session_submit(session, nullptr)));
    mote_session_destroy(session);
}

TEST_F(Running, ManySessionsOfOneModelRunAtOnce) {
    constexpr int kSessions = 4;
    std::vector<uint8_t> pixels = somePixels(16, 16, 3, 48);
    std::vector<std::vector<uint8_t>> expected(kSessions), found(kSessions);
    const auto runOne = [&](int i, std::vector<uint8_t> &to, int repeats) {
        to.assign(48 * 16, 0);
        mote_session *session = createSession(model_, 16, 16, 1 + static_cast<uint32_t>(i) % 2);
        const mote_image in = imageOf(pixels, MOTE_RGB8, 16, 16), out = imageOf(to, MOTE_RGB8, 16, 16);
        EXPECT_TRUE(worked(mote_session_bind_image(session, "condition", &in)));
        EXPECT_TRUE(worked(mote_session_bind_output_image(session, &out)));
        mote_run_desc run = MOTE_RUN_DESC_INIT;
        run.seed = static_cast<uint64_t>(i);
        for (int repeat = 0; repeat < repeats; ++repeat)
            EXPECT_TRUE(worked(mote_session_run(session, &run)));
        mote_session_destroy(session);
    };
    for (int i = 0; i < kSessions; ++i)
        runOne(i, expected[i], 1);
    std::vector<std::thread> threads;
    for (int i = 0; i < kSessions; ++i)
        threads.emplace_back([&, i] { runOne(i, found[i], 3); });
    for (std::thread &thread : threads)
        thread.join();
    for (int i = 0; i < kSessions; ++i)
        EXPECT_EQ(found[i], expected[i]) << i;
    EXPECT_NE(expected[0], expected[2]);
}

// Large enough to take many submissions.
TEST(Cancelling, EndsTheRunWithinASubmissionAndLeavesTheSessionUsable) {
    constexpr uint32_t kSize = 96;
    mote_model *model = openModel(sharedApiDevice(), shippedModelPath());
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = desc.height = kSize;
    desc.steps = 2;
    desc.submission_milliseconds = 10;
    mote_session *session = nullptr;
    ASSERT_TRUE(worked(mote_session_create(model, &desc, &session)));
    mote_prepare_desc prepare = MOTE_PREPARE_DESC_INIT;
    prepare.skip_self_check = 1;
    ASSERT_TRUE(worked(mote_session_prepare(session, &prepare)));
    std::vector<uint8_t> pixels = somePixels(kSize, kSize, 3, 3 * kSize), output(pixels.size(), 0x77);
    const mote_image in = imageOf(pixels, MOTE_RGB8, kSize, kSize),
                     out = imageOf(output, MOTE_RGB8, kSize, kSize);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &in)));
    ASSERT_TRUE(worked(mote_session_bind_output_image(session, &out)));
    mote_session_cancel(session); // none is under way: does nothing

    const Clock::time_point whole = Clock::now();
    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    const double runMilliseconds = std::chrono::duration<double, std::milli>(Clock::now() - whole).count();
    const std::vector<uint8_t> expected = output;

    // From its own progress callback: after the first submission, with many to come.
    std::fill(output.begin(), output.end(), uint8_t{0x77});
    Seen seen;
    seen.toCancel = session;
    mote_run_desc run = MOTE_RUN_DESC_INIT;
    run.progress = watch;
    run.progress_user = &seen;
    EXPECT_TRUE(refused(mote_session_run(session, &run), MOTE_CANCELLED, "cancelled"));
    EXPECT_LE(seen.calls, 3); // the two in flight
    for (uint8_t byte : output)
        ASSERT_EQ(byte, 0x77);

    // From another thread, in the middle.
    ASSERT_TRUE(worked(mote_session_submit(session, nullptr)));
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    EXPECT_TRUE(refused(mote_session_get_info(session, &info), MOTE_INVALID_ARGUMENT, "under way"));
    float fraction = 0;
    while (mote_session_poll(session, &fraction) == MOTE_NOT_READY && fraction < 0.1f)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const Clock::time_point cancelled = Clock::now();
    mote_session_cancel(session);
    EXPECT_TRUE(refused(mote_session_wait(session, UINT32_MAX), MOTE_CANCELLED, "cancelled"));
    const double latency = std::chrono::duration<double, std::milli>(Clock::now() - cancelled).count();
    std::printf("run %.0f ms, cancelled within %.1f ms\n", runMilliseconds, latency);
    EXPECT_LT(latency, runMilliseconds / 2);

    ASSERT_TRUE(worked(mote_session_run(session, nullptr)));
    EXPECT_EQ(output, expected);
    mote_session_destroy(session);
    mote_model_destroy(model);
}

TEST_F(Running, InspectionTracesEvaluatesChecksAndMeasures) {
    mote_session *session = createSession(model_, 16, 16, 2);
    std::vector<uint8_t> pixels = somePixels(16, 16, 3, 48);
    const mote_image image = imageOf(pixels, MOTE_RGB8, 16, 16);
    ASSERT_TRUE(worked(mote_session_bind_image(session, "condition", &image)));
    constexpr uint32_t kStep = 1;
    struct Traced {
        std::vector<float> start, output;
    } traced;
    mote_trace trace = MOTE_TRACE_INIT;
    trace.user = &traced;
    mote_run_desc run = MOTE_RUN_DESC_INIT;
    run.trace = &trace;
    EXPECT_TRUE(refused(mote_session_run(session, &run), MOTE_INVALID_ARGUMENT, "mote_trace.callback"));
    trace.callback = [](void *user, uint32_t step, const char *tensor, const uint32_t shape[4],
                        const float *data) {
        if (step != kStep)
            return;
        const size_t count = size_t{shape[0]} * shape[1] * shape[2] * shape[3];
        auto &to = *static_cast<Traced *>(user);
        (std::strcmp(tensor, "x") == 0 ? to.start : to.output).assign(data, data + count);
    };
    ASSERT_TRUE(worked(mote_session_run(session, &run)));
    ASSERT_EQ(traced.start.size(), 768u);
    ASSERT_EQ(traced.output.size(), 768u);

    // One forward pass from the traced state gives the traced output.
    std::vector<float> found(768);
    mote_tensor start = MOTE_TENSOR_INIT, output = MOTE_TENSOR_INIT;
    const uint32_t shape[4] = {1, 3, 16, 16};
    std::memcpy(start.shape, shape, sizeof shape);
    std::memcpy(output.shape, shape, sizeof shape);
    start.data = traced.start.data();
    output.data = found.data();
    EXPECT_TRUE(refused(mote_session_evaluate(session, kStep, &output), MOTE_INVALID_ARGUMENT, "x_start"));
    ASSERT_TRUE(worked(mote_session_bind_tensor(session, "x_start", &start)));
    ASSERT_TRUE(worked(mote_session_evaluate(session, kStep, &output)));
    EXPECT_EQ(found, traced.output);

    size_t results = 0;
    EXPECT_TRUE(worked(mote_model_check(
        model_,
        [](void *user, uint32_t, const char *name, const char *kind, float fraction) {
            EXPECT_NE(name, nullptr);
            EXPECT_NE(kind[0], 0);
            EXPECT_LE(fraction, 1.0f);
            ++*static_cast<size_t *>(user);
        },
        &results)));
    EXPECT_GT(results, 50u);

    uint32_t count = 0;
    ASSERT_TRUE(worked(mote_session_measure(session, nullptr, &count)));
    EXPECT_GT(count, 50u);
    std::vector<mote_op_time> times(count, mote_op_time MOTE_OP_TIME_INIT);
    ASSERT_TRUE(worked(mote_session_measure(session, times.data(), &count)));
    for (const mote_op_time &time : times) {
        EXPECT_NE(time.name[0], 0);
        EXPECT_GE(time.milliseconds, 0);
        // A norm may be made by the convolution that reads it.
        EXPECT_TRUE(time.dispatches > 0 || std::string(time.name).find("norm") != std::string::npos)
            << time.name;
        EXPECT_GT(time.bytes, 0u);
    }
    mote_session_destroy(session);
}

} // namespace
} // namespace mote::test
