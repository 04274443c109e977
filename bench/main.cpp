// mote-bench [--device NAME] [--sustain SECONDS] [MODEL.mote@WxH ...] [Google Benchmark's options]
// mote-bench [--device NAME] --serve SHAPE
//
// Kernels and models with the time that the device's own clock gives, the host's beside it, and the share of
// two ceilings measured first, on the same device. Without a model: ops of the shapes on which Mote is held
// against its peers. With models: each distinct op of theirs, and whole passes and images.
#include "ceilings.h"
#include "expect.h"
#include "host_time.h"
#include "made_ops.h"
#include "mote/mote.h"
#include "ops.h"
#include "passes.h"
#include "serve.h"
#include "subject.h"

#include <benchmark/benchmark.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace mote;
using namespace mote::bench;

constexpr const char *kUsage =
    "usage: mote-bench [--device NAME] [--sustain SECONDS] [MODEL.mote@WxH ...] [--benchmark_...]\n"
    "       mote-bench [--device NAME] --serve SHAPE\n";

struct Arguments {
    std::string device;
    double sustain = 0;
    std::string serve; // a single shape: answers peers.py instead of measuring on its own
    std::vector<std::string> models;
};

template <typename T> bool parse(const std::string &text, T &value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size();
}

bool parseArguments(int count, char **arguments, Arguments &result) {
    for (int i = 1; i < count; ++i) {
        const std::string argument = arguments[i];
        if (argument == "--device" && i + 1 < count)
            result.device = arguments[++i];
        else if (argument == "--sustain" && i + 1 < count && parse(arguments[i + 1], result.sustain))
            ++i;
        else if (argument == "--serve" && i + 1 < count)
            result.serve = arguments[++i];
        else if (argument[0] != '-')
            result.models.push_back(argument);
        else
            return false;
    }
    return true;
}

// "build/edge.mote@128x128" is called "edge 128x128".
std::shared_ptr<Subject> subjectOf(const std::shared_ptr<gpu::Device> &device, const std::string &argument) {
    const size_t at = argument.rfind('@'), by = argument.find('x', at == std::string::npos ? 0 : at);
    uint32_t width = 0, height = 0;
    if (at == std::string::npos || by == std::string::npos ||
        !parse(argument.substr(at + 1, by - at - 1), width) || !parse(argument.substr(by + 1), height))
        throw std::runtime_error(argument + ": expected FILE.mote@WIDTHxHEIGHT");
    const std::string path = argument.substr(0, at);
    std::string name = path.substr(path.rfind('/') + 1);
    name = name.substr(0, name.rfind('.'));
    return std::make_shared<Subject>(device, name + " " + argument.substr(at + 1), path, width, height);
}

// As Linux calls it: what a software device runs on.
std::string processorName() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (const size_t value = line.find(": ");
            line.rfind("model name", 0) == 0 && value != std::string::npos)
            return line.substr(value + 2);
    return "unknown processor";
}

// Measured again with each repetition, because the machine may be quieter then.
void registerCeilings(const std::shared_ptr<gpu::Device> &device, const std::shared_ptr<Ceilings> &ceilings) {
    benchmark::RegisterBenchmark("ceilings",
                                 [=](benchmark::State &state) {
                                     for (auto _ : state)
                                         *ceilings = better(*ceilings, measureCeilings(*device));
                                     state.counters["GFLOP/s"] = ceilings->operationsPerSecond * 1e-9;
                                     state.counters["GB/s, copy"] = ceilings->bytesPerSecond * 1e-9;
                                     state.counters["GB/s, load"] = ceilings->loadedBytesPerSecond * 1e-9;
                                     state.counters["GB/s, store"] = ceilings->storedBytesPerSecond * 1e-9;
                                     state.counters["Gexp/s"] = ceilings->exponentialsPerSecond * 1e-9;
                                     state.counters["apart"] = ceilings->apart;
                                     state.counters["dispatch_us"] = ceilings->dispatchSeconds * 1e6;
                                 })
        ->Unit(benchmark::kMillisecond)
        ->Iterations(1)
        ->UseRealTime();
}

void registerMadeOps(const std::shared_ptr<gpu::Device> &device, const std::shared_ptr<Ceilings> &ceilings) {
    for (const MadeOp &made : makeOps()) {
        const auto subject = std::make_shared<Subject>(device, made.name, made.path, made.width, made.height);
        const Unit unit = unitOf(made, *subject);
        registerUnits("op", subject, {unit}, ceilings);
        registerOneDnn("op/" + made.name, *subject, unit);
    }
}

void registerModel(const std::shared_ptr<Subject> &subject, const Arguments &arguments,
                   const gpu::DeviceOptions &options, const std::shared_ptr<Ceilings> &ceilings) {
    registerPasses(subject, ceilings, arguments.sustain, options);
    registerHostTime(subject);
    const std::vector<Unit> units = distinctOps(*subject);
    registerUnits("op/" + subject->name(), subject, units, ceilings);
    for (const Unit &unit : units)
        registerOneDnn("op/" + subject->name() + "/" + unit.name, *subject, unit);
}

void run(const Arguments &arguments) {
    gpu::DeviceOptions options;
    options.nameContains = arguments.device.empty() ? nullptr : arguments.device.c_str();
    const std::shared_ptr<gpu::Device> device = expect(gpu::Device::create(options));
    if (!arguments.serve.empty())
        return serve(device, arguments.serve);
    const auto ceilings = std::make_shared<Ceilings>(measureCeilings(*device));
    benchmark::AddCustomContext("device", device->info().name);
    benchmark::AddCustomContext("driver", device->info().driverName + " " + device->info().driverInfo);
    benchmark::AddCustomContext("processor", processorName());
    benchmark::AddCustomContext("timestamps", device->caps().timestamps ? "yes" : "no, the host's clock");
    benchmark::AddCustomContext("mote", mote_version_string());
    benchmark::AddCustomContext("ceiling_gflops", std::to_string(ceilings->operationsPerSecond * 1e-9));
    benchmark::AddCustomContext("ceiling_gbytes", std::to_string(ceilings->bytesPerSecond * 1e-9));
    registerCeilings(device, ceilings);
    if (arguments.models.empty())
        registerMadeOps(device, ceilings);
    for (const std::string &model : arguments.models)
        registerModel(subjectOf(device, model), arguments, options, ceilings);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::ClearRegisteredBenchmarks(); // what they hold needs the device
}

} // namespace

int main(int count, char **words) {
    benchmark::Initialize(&count, words);
    Arguments arguments;
    if (!parseArguments(count, words, arguments)) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    try {
        run(arguments);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "mote-bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
