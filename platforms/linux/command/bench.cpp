// mote bench: how long loading, the first and the next images take, and what the time of a forward pass is
// made of. In the order of a user's day: nothing is warmed up before the first image.
#include "commands.h"
#include "description.h"
#include "inputs.h"
#include "progress.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <utility>

#include <sys/resource.h>

namespace mote::command {
namespace {

using nlohmann::ordered_json;

double millisecondsSince(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

struct Spread {
    double minimum = 0, median = 0;
};

Spread spreadOf(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    const double median = values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return {values.front(), median};
}

struct OpTime {
    mote_op_time op; // of the first pass
    std::vector<double> milliseconds;
};

// Of one session.
struct Times {
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    uint32_t steps = 1;
    double firstMilliseconds = 0;
    std::vector<double> images, gpuPasses; // milliseconds; of one tile
    std::vector<OpTime> ops;
    std::string noOps; // why there is no per-op table
    uint64_t residentBytes = 0;

    Spread next() const { return spreadOf(images); }
    Spread wallPass() const { return {next().minimum / steps, next().median / steps}; }
    Spread gpuPass() const { return spreadOf(gpuPasses); }
    double opMedian(size_t i) const { return spreadOf(ops[i].milliseconds).median; }
};

struct Result {
    std::string device, driver, model, recipe;
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    double deviceMilliseconds = 0; // opening the device
    Times byRules;
    std::optional<mote_tuning> tuning;
    Times tuned; // where there is a tuning
};

// GPU times of a forward pass, op by op.
void measureOps(mote_session *session, Times &times) {
    if (!times.noOps.empty())
        return;
    uint32_t count = 0;
    const mote_status status = mote_session_measure(session, nullptr, &count);
    if (status == MOTE_UNSUPPORTED) {
        times.noOps = mote_last_message();
        return;
    }
    check(status);
    const mote_op_time initial = MOTE_OP_TIME_INIT;
    std::vector<mote_op_time> ops(count, initial);
    check(mote_session_measure(session, ops.data(), &count));
    double total = 0;
    for (size_t i = 0; i < ops.size(); ++i) {
        if (i == times.ops.size())
            times.ops.push_back({ops[i], {}});
        times.ops[i].milliseconds.push_back(ops[i].milliseconds);
        total += ops[i].milliseconds;
    }
    times.gpuPasses.push_back(total);
}

double perSecond(uint64_t amount, double milliseconds) {
    return milliseconds > 0 ? static_cast<double>(amount) / milliseconds * 1e-6 : 0; // 1e9 a second
}

double mebibytes(uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

ordered_json json(const Spread &spread) {
    return {{"min", spread.minimum}, {"median", spread.median}};
}

void putTimes(const Times &times, ordered_json &out) {
    out["first_image_ms"] = times.firstMilliseconds;
    out["next_image_ms"] = json(times.next());
    out["pass_wall_ms"] = json(times.wallPass());
    out["pass_gpu_ms"] = times.noOps.empty() ? json(times.gpuPass()) : ordered_json();
}

ordered_json opsOf(const Times &times) {
    ordered_json ops = ordered_json::array();
    for (size_t i = 0; i < times.ops.size(); ++i) {
        const mote_op_time &op = times.ops[i].op;
        ops.push_back({{"name", op.name},
                       {"kind", op.kind},
                       {"dispatches", op.dispatches},
                       {"operations", op.operations},
                       {"bytes", op.bytes},
                       {"ms", times.opMedian(i)}});
    }
    return ops;
}

void printJson(const Result &result) {
    const mote_session_info &info = result.byRules.info;
    ordered_json out;
    out["device"] = result.device;
    out["driver"] = result.driver;
    out["model"] = result.model;
    out["recipe"] = result.recipe;
    out["width"] = info.width;
    out["height"] = info.height;
    out["steps"] = info.steps;
    out["tiles"] = info.tile_count;
    out["dispatches"] = info.dispatches;
    out["pipelines"] = info.pipelines;
    out["submissions"] = info.submissions;
    out["device_ms"] = result.deviceMilliseconds;
    out["load_ms"] = info.open_milliseconds;
    out["create_ms"] = info.create_milliseconds;
    putTimes(result.byRules, out);
    out["operations"] = result.estimate.operations;
    out["planned_bytes"] = info.planned_bytes;
    out["peak_allocated_bytes"] = info.peak_allocated_bytes;
    out["resident_bytes"] = result.byRules.residentBytes;
    out["ops"] = opsOf(result.byRules);
    if (result.tuning) {
        ordered_json &tuned = out["tuned"];
        tuned["tune_ms"] = result.tuning->milliseconds;
        tuned["shapes"] = result.tuning->shapes;
        tuned["timed"] = result.tuning->timed;
        tuned["changed"] = result.tuning->changed;
        tuned["dispatches"] = result.tuned.info.dispatches;
        tuned["pipelines"] = result.tuned.info.pipelines;
        putTimes(result.tuned, tuned);
        tuned["ops"] = opsOf(result.tuned);
    }
    std::printf("%s\n", out.dump(2).c_str());
}

void printTimes(const Times &times, uint64_t operations) {
    std::printf("first image    %9.1f ms\n", times.firstMilliseconds);
    const Spread next = times.next(), wall = times.wallPass(), gpu = times.gpuPass();
    std::printf("next image     %9.1f ms min, %.1f ms median (%.2f GFLOP/s)\n", next.minimum, next.median,
                perSecond(operations, next.median));
    std::printf("a pass, wall   %9.2f ms min, %.2f ms median\n", wall.minimum, wall.median);
    if (times.noOps.empty())
        std::printf("a pass, GPU    %9.2f ms min, %.2f ms median, of one tile\n", gpu.minimum, gpu.median);
    else
        std::printf("a pass, GPU    not known: %s\n", times.noOps.c_str());
}

void printText(const Result &result) {
    const mote_session_info &info = result.byRules.info;
    std::printf("%s (%s)\n", result.device.c_str(), result.driver.c_str());
    std::printf("%s, recipe %s: %u forward passes of %ux%u in %u tiles, %u dispatches each, %u pipelines, %u "
                "submissions\n",
                result.model.c_str(), result.recipe.c_str(), info.steps, info.width, info.height,
                info.tile_count, info.dispatches, info.pipelines, info.submissions);
    std::printf("device         %9.1f ms\n", result.deviceMilliseconds);
    std::printf("load           %9.1f ms, session %.1f ms\n", info.open_milliseconds,
                info.create_milliseconds);
    printTimes(result.byRules, result.estimate.operations);
    std::printf("memory         %9.1f MiB on the device at most, %.1f planned; %.1f resident\n",
                mebibytes(info.peak_allocated_bytes), mebibytes(info.planned_bytes),
                mebibytes(result.byRules.residentBytes));
    if (result.tuning) {
        std::printf("tuned in %.0f ms: %u of %u shapes timed now, %u with another kernel; %u dispatches, %u "
                    "pipelines\n",
                    result.tuning->milliseconds, result.tuning->timed, result.tuning->shapes,
                    result.tuning->changed, result.tuned.info.dispatches, result.tuned.info.pipelines);
        printTimes(result.tuned, result.estimate.operations);
    }
    const Times &last = result.tuning ? result.tuned : result.byRules;
    if (last.ops.empty())
        return;
    std::printf("\n%9s %6s %9s %8s  %-10s %s\n", "ms", "%", "GFLOP/s", "GB/s", "kind", "op");
    for (size_t i = 0; i < last.ops.size(); ++i) {
        const mote_op_time &op = last.ops[i].op;
        const double milliseconds = last.opMedian(i), all = last.gpuPass().median;
        std::printf("%9.3f %6.1f %9.2f %8.2f  %-10s %s\n", milliseconds,
                    all > 0 ? 100 * milliseconds / all : 0, perSecond(op.operations, milliseconds),
                    perSecond(op.bytes, milliseconds), op.kind, op.name);
    }
}

} // namespace

void runBench(const BenchOptions &options, Interrupts &interrupts) {
    Result result;
    auto start = std::chrono::steady_clock::now();
    const DeviceHandle device = openDevice(options.device);
    result.deviceMilliseconds = millisecondsSince(start);
    const mote_device_properties properties = propertiesOf(device.get());
    result.device = properties.name;
    result.driver = properties.driver;

    const ModelHandle handle = openModel(device.get(), options.model);
    const ModelDescription model = describe(handle.get());
    const RecipeDescription &recipe = chooseRecipe(model, options.recipe, options.model);
    result.model = model.name;
    result.recipe = recipe.name;
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = options.size.width;
    desc.height = options.size.height;
    desc.recipe = recipe.name.c_str();
    check(mote_model_estimate(handle.get(), &desc, &result.estimate));
    const MadeUpInputs inputs(model, recipe, desc.width, desc.height);
    std::vector<float> sample(static_cast<size_t>(model.stateChannels()) * desc.width * desc.height);
    mote_tensor output = MOTE_TENSOR_INIT;
    const uint32_t shape[4] = {1, model.stateChannels(), desc.height, desc.width};
    std::copy(shape, shape + 4, output.shape);
    output.data = sample.data();

    Progress progress("bench");
    const auto image = [&](mote_session *session) {
        start = std::chrono::steady_clock::now();
        runSession(session, {}, progress, interrupts);
        return millisecondsSince(start);
    };
    const auto begin = [&](Times &times) {
        SessionHandle session = createSession(handle.get(), desc);
        inputs.bind(session.get());
        check(mote_session_bind_output_tensor(session.get(), &output));
        times.firstMilliseconds = image(session.get());
        times.info = infoOf(session.get());
        times.steps = static_cast<uint32_t>(recipe.timesteps.size());
        rusage usage = {};
        getrusage(RUSAGE_SELF, &usage);
        times.residentBytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
        return session;
    };
    std::vector<std::pair<SessionHandle, Times *>> sessions;
    sessions.emplace_back(begin(result.byRules), &result.byRules);
    if (options.tune) {
        result.tuning = tuneModel(handle.get(), desc, progress);
        sessions.emplace_back(begin(result.tuned), &result.tuned);
    }
    // In turn, so that what disturbs one disturbs the other.
    for (uint32_t run = 0; run < options.runs; ++run)
        for (const auto &[session, times] : sessions)
            times->images.push_back(image(session.get()));
    for (uint32_t run = 0; run < options.runs; ++run)
        for (const auto &[session, times] : sessions)
            measureOps(session.get(), *times);
    progress.clear();
    if (options.json)
        printJson(result);
    else
        printText(result);
}

} // namespace mote::command
