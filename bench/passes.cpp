#include "passes.h"

#include "device_timer.h"
#include "expect.h"
#include "ops.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

namespace mote::bench {
namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The commands of one forward pass, submitted as one.
void timePass(benchmark::State &state, Subject &subject, const Ceilings &ceilings) {
    pipeline::Session &session = subject.session();
    std::vector<pipeline::Command> commands;
    for (std::vector<pipeline::Command> &list : expect(session.recordedStep(0)))
        for (pipeline::Command &command : list)
            if (command.kind != pipeline::CommandKind::Barrier && command.op != kNone)
                commands.push_back(std::move(command));
    const size_t count = commands.size();
    DeviceTimer timer(*subject.device(), session.buffers(), std::move(commands));
    timer.run();
    Time total;
    for (auto _ : state) {
        const Time time = timer.run();
        state.SetIterationTime(time.gpu);
        total.gpu += time.gpu;
        total.wall += time.wall;
    }
    const double runs = static_cast<double>(state.iterations());
    const OpCost &cost = subject.shapes().total;
    state.counters["wall_ms"] = 1e3 * total.wall / runs;
    state.counters["GFLOP/s"] = 1e-9 * static_cast<double>(cost.operations) * runs / total.gpu;
    state.counters["%arithmetic"] =
        100 * static_cast<double>(cost.operations) * runs / total.gpu / ceilings.operationsPerSecond;
    addFloor(state, floorOfPass(subject.model(), subject.graph(), subject.shapes(), ceilings));
    state.counters["dispatches"] = static_cast<double>(count);
}

void timeLoad(benchmark::State &state, Subject &subject) {
    for (auto _ : state)
        benchmark::DoNotOptimize(subject.open(subject.device()));
}

// Everything from opening the device to the first picture, as a program that has just started; what the
// driver keeps on disk is there from the second time on.
void timeFirst(benchmark::State &state, Subject &subject, const gpu::DeviceOptions &options) {
    double create = INFINITY;
    for (auto _ : state) {
        const std::shared_ptr<gpu::Device> device = expect(gpu::Device::create(options));
        std::unique_ptr<pipeline::Session> session = subject.newSession(subject.open(device));
        expect(session->run({}, nullptr));
        state.PauseTiming();
        create = std::min(create, session->createMilliseconds());
        session.reset();
        state.ResumeTiming();
    }
    state.counters["create_ms"] = create; // of it: making the session, nearly all in vkCreateComputePipelines
}

void timeNext(benchmark::State &state, Subject &subject) {
    const std::unique_ptr<pipeline::Session> session = subject.newSession(subject.open(subject.device()));
    expect(session->run({}, nullptr));
    for (auto _ : state)
        expect(session->run({}, nullptr));
    state.counters["passes"] = session->steps();
}

// Whether a device that grows warm, or a machine that has other things to do, keeps up.
void timeSustained(benchmark::State &state, Subject &subject, double seconds) {
    const std::unique_ptr<pipeline::Session> session = subject.newSession(subject.open(subject.device()));
    for (auto _ : state) {
        std::vector<double> images;
        const double start = now();
        while (now() - start < seconds || images.empty()) {
            const double before = now();
            expect(session->run({}, nullptr));
            images.push_back(now() - before);
        }
        const auto median = [&](size_t first, size_t count) {
            std::vector<double> part(images.begin() + static_cast<std::ptrdiff_t>(first),
                                     images.begin() + static_cast<std::ptrdiff_t>(first + count));
            std::sort(part.begin(), part.end());
            return 1e3 * part[part.size() / 2];
        };
        const size_t tenth = std::max<size_t>(1, images.size() / 10);
        state.SetIterationTime(median(0, images.size()) / 1e3);
        state.counters["images"] = static_cast<double>(images.size());
        state.counters["first_tenth_ms"] = median(0, tenth);
        state.counters["last_tenth_ms"] = median(images.size() - tenth, tenth);
        state.counters["slowest_ms"] = 1e3 * *std::max_element(images.begin(), images.end());
    }
}

} // namespace

void registerPasses(const std::shared_ptr<Subject> &subject, const std::shared_ptr<Ceilings> &ceilings,
                    double sustain, const gpu::DeviceOptions &deviceOptions) {
    const auto add = [&](const char *what, auto function) {
        return benchmark::RegisterBenchmark((std::string(what) + "/" + subject->name()).c_str(), function)
            ->Unit(benchmark::kMillisecond);
    };
    add("load", [=](benchmark::State &state) { timeLoad(state, *subject); })->UseRealTime();
    add("first image", [=](benchmark::State &state) {
        timeFirst(state, *subject, deviceOptions);
    })->UseRealTime();
    add("next image", [=](benchmark::State &state) { timeNext(state, *subject); })->UseRealTime();
    add("pass", [=](benchmark::State &state) { timePass(state, *subject, *ceilings); })->UseManualTime();
    if (sustain > 0)
        add("sustained", [=](benchmark::State &state) { timeSustained(state, *subject, sustain); })
            ->Iterations(1)
            ->Repetitions(1)
            ->UseManualTime();
}

} // namespace mote::bench
