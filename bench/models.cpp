// mote-bench MODEL [Google Benchmark's options]
//
// Whole runs of a model through mote.h, and where the GPU's time goes, kind of op by kind of op, at sizes
// that show how both grow. `mote bench` says the same about one size in words; this is for comparing two
// builds.
#include "mote/mote.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

namespace {

constexpr int64_t kSizes[] = {64, 128, 256}; // pixels on a side
constexpr int64_t kSteps[] = {1, 2, 4}; // recipes of the shipped model; those that a file lacks are left out

mote_model *sharedModel = nullptr;

// A session with a picture bound to every image port that the shipped models have. Null, with the benchmark
// marked as skipped, when the model refuses.
struct Run {
    mote_session *session = nullptr;
    std::vector<unsigned char> pixels;

    Run(benchmark::State &state, uint32_t size, uint32_t steps) : pixels(3u * size * size, 128) {
        mote_session_desc desc = MOTE_SESSION_DESC_INIT;
        desc.width = desc.height = size;
        desc.steps = steps;
        mote_image image = MOTE_IMAGE_INIT;
        image.format = MOTE_RGB8;
        image.width = image.height = size;
        image.pixels = pixels.data();
        mote_prepare_desc prepare = MOTE_PREPARE_DESC_INIT;
        prepare.skip_self_check = 1;
        if (mote_session_create(sharedModel, &desc, &session) != MOTE_OK ||
            mote_session_bind_image(session, "condition", &image) != MOTE_OK ||
            mote_session_prepare(session, &prepare) != MOTE_OK) {
            fail(state);
        }
    }
    ~Run() { mote_session_destroy(session); }
    Run(const Run &) = delete;
    Run &operator=(const Run &) = delete;

    void fail(benchmark::State &state) {
        state.SkipWithError(mote_last_message());
        mote_session_destroy(session);
        session = nullptr;
    }
};

// Wall time of a whole run: all steps, input and output.
void wholeRun(benchmark::State &state) {
    Run run(state, static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)));
    while (run.session && state.KeepRunning()) {
        if (mote_session_run(run.session, nullptr) != MOTE_OK) {
            run.fail(state);
        }
    }
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    if (run.session && mote_session_get_info(run.session, &info) == MOTE_OK) {
        state.counters["dispatches"] = info.dispatches;
        state.counters["device_MB"] = static_cast<double>(info.peak_allocated_bytes) / 1e6;
    }
}

// GPU time of all ops of one kind in one forward pass.
void opsOfKind(benchmark::State &state, const std::string &kind) {
    Run run(state, static_cast<uint32_t>(state.range(0)), 0);
    uint64_t operations = 0;
    uint64_t bytes = 0;
    while (run.session && state.KeepRunning()) {
        uint32_t count = 0;
        mote_status status = mote_session_measure(run.session, nullptr, &count);
        const mote_op_time initial = MOTE_OP_TIME_INIT;
        std::vector<mote_op_time> ops(count, initial);
        if (status == MOTE_OK) {
            status = mote_session_measure(run.session, ops.data(), &count);
        }
        if (status != MOTE_OK) {
            run.fail(state);
            break;
        }
        double milliseconds = 0;
        for (const mote_op_time &op : ops) {
            if (kind == op.kind) {
                milliseconds += op.milliseconds;
                operations += op.operations;
                bytes += op.bytes;
            }
        }
        if (operations == 0) {
            state.SkipWithError("the model has no such op");
            break;
        }
        state.SetIterationTime(milliseconds / 1e3);
    }
    state.counters["operations"] =
        benchmark::Counter(static_cast<double>(operations), benchmark::Counter::kIsRate);
    state.counters["bytes"] = benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kIsRate);
}

} // namespace

int main(int count, char **arguments) {
    benchmark::Initialize(&count, arguments);
    if (count != 2) {
        std::fputs("usage: mote-bench MODEL [--benchmark_filter=...]\n", stderr);
        return 2;
    }
    mote_device *device = nullptr;
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.path = arguments[1];
    if (mote_device_create(nullptr, &device) != MOTE_OK ||
        mote_model_open(device, &desc, &sharedModel) != MOTE_OK) {
        std::fprintf(stderr, "mote-bench: %s\n", mote_last_message());
        mote_device_destroy(device);
        return 1;
    }
    for (const int64_t size : kSizes) {
        for (const int64_t steps : kSteps) {
            benchmark::RegisterBenchmark("run", wholeRun)
                ->ArgNames({"size", "steps"})
                ->Args({size, steps})
                ->Unit(benchmark::kMillisecond)
                ->UseRealTime();
        }
        for (const char *kind : {"Concat", "Conv2d", "GroupNorm", "Attention"}) {
            benchmark::RegisterBenchmark((std::string("ops/") + kind).c_str(), opsOfKind, kind)
                ->ArgNames({"size"})
                ->Args({size})
                ->Iterations(3) // each is a whole forward pass
                ->Unit(benchmark::kMillisecond)
                ->UseManualTime();
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    mote_model_destroy(sharedModel);
    mote_device_destroy(device);
    return 0;
}
