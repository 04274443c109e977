#include "pipeline/tuner.h"

#include "gpu/cache_file.h"
#include "kernels/choices.h"
#include "pipeline/op_trial.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace mote::pipeline {
namespace {

constexpr const char *kCacheName = "kernels";
// Rounds in which each variant that is left runs once. After the first (and one before it, for estimates)
// those that take so much longer than the best are left out.
constexpr uint32_t kLeastRounds = 4, kMostRounds = 20;
constexpr double kBehind = 1.5;
constexpr double kVariantMilliseconds = 5; // enough of a variant, where the rounds are over sooner
// A variant that takes so much longer is not even compiled for the cheaper shapes of the kind that
// follow, unless the rules name it: most of the time goes into compiling.
constexpr double kHopeless = 4;
// By how much a variant must beat the rules' choice, in its best round and in the middle one of the rounds in
// which the two take turns: the noise of such short measurements.
constexpr double kGain = 0.95;
constexpr uint32_t kDecidingRounds = 9;
constexpr double kSubmissionMilliseconds = 50;

struct Unit {
    std::string key;
    std::string kind;      // of those that a variant is alike good or bad for
    uint32_t op = 0;       // the first of the graph that has the key
    double operations = 0; // of all that have
    std::vector<std::string> variants;
};

std::string kindOf(const Model &model, const Op &op) {
    std::string kind = std::to_string(static_cast<int>(op.kind)) + " ";
    if (op.kind == OpKind::Conv2d) {
        const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
        kind +=
            std::to_string(shape[1]) + "x" + std::to_string(shape[2]) + "/" + std::to_string(op.stride) + " ";
    }
    return kind;
}

// Ops with a choice, each shape once, the dearest first.
Result<std::vector<Unit>> unitsOf(const LoadedModel &model, const GraphShapes &shapes) {
    std::vector<Unit> units;
    std::map<std::string, size_t> seen;
    const Graph &graph = model.graph();
    for (uint32_t op = 0; op < graph.ops.size(); ++op) {
        std::string key = choiceKey(model.model(), graph, shapes, op);
        const auto [found, fresh] = seen.try_emplace(key, units.size());
        if (fresh) {
            Unit unit;
            unit.op = op;
            unit.key = std::move(key);
            unit.kind = kindOf(model.model(), graph.ops[op]);
            MOTE_TRY_ASSIGN(const std::vector<OpKernel> candidates,
                            kernelCandidates(model.model(), graph, shapes, op, model.traits()));
            for (const OpKernel &kernel : candidates)
                if ((!kernel.unlikely || unit.variants.empty()) &&
                    std::find(unit.variants.begin(), unit.variants.end(), kernel.name) == unit.variants.end())
                    unit.variants.push_back(kernel.name);
            units.push_back(std::move(unit));
        }
        units[found->second].operations += static_cast<double>(shapes.costs[op].operations);
    }
    units.erase(
        std::remove_if(units.begin(), units.end(), [](const Unit &unit) { return unit.variants.size() < 2; }),
        units.end());
    std::stable_sort(units.begin(), units.end(),
                     [](const Unit &a, const Unit &b) { return a.operations > b.operations; });
    return units;
}

class Tuner {
public:
    Tuner(LoadedModel &model, const TuneOptions &options)
        : model_(model), options_(options), start_(millisecondsNow()),
          limit_(options.milliseconds != 0 ? options.milliseconds : kTuneMilliseconds) {}

    Status run(const SessionOptions &session, TuneResult &result);

private:
    double elapsed() const { return millisecondsNow() - start_; }
    bool timeIsUp() const { return elapsed() >= limit_; }
    Status timeAll(const GraphShapes &shapes, const std::vector<Unit> &units, TuneResult &result);
    Result<std::string> fastest(OpTrial &trial, const GraphShapes &shapes, const Unit &unit);
    Result<GraphKernels> kernelsWith(const GraphShapes &shapes, const Unit &unit, const std::string &name);
    Result<bool> isBetter(OpTrial &trial, TrialVariant &variant, TrialVariant &byRules);
    void read();
    void write();

    LoadedModel &model_;
    const TuneOptions &options_;
    double start_, limit_;
    KernelChoices choices_;
    std::set<std::string> hopeless_; // kinds of units with names of variants
    std::string withdrawn_;          // the key of what was begun and not finished
};

// What is wrong with the file is worth a line in the log and new measurements.
void Tuner::read() {
    if (const std::shared_ptr<const KernelChoices> present = model_.choices())
        choices_ = *present;
    const gpu::Device &device = *model_.device();
    if (device.cacheDirectory().empty())
        return;
    const Result<std::vector<uint8_t>> bytes = gpu::readCacheFile(device, kCacheName);
    Status status = bytes.status();
    if (bytes.ok()) {
        Result<KernelChoices> kept = decodeChoices(bytes.value());
        status = kept.status();
        if (kept.ok())
            choices_.variants.merge(kept->variants);
    }
    if (!status.ok())
        device.log(gpu::LogLevel::Info, "kernel choices: %s", status.message.c_str());
}

void Tuner::write() {
    const gpu::Device &device = *model_.device();
    if (device.cacheDirectory().empty())
        return;
    KernelChoices all = choices_; // and what others have written meanwhile
    const Result<std::vector<uint8_t>> bytes = gpu::readCacheFile(device, kCacheName);
    if (bytes.ok()) {
        Result<KernelChoices> kept = decodeChoices(bytes.value());
        if (kept.ok())
            all.variants.merge(kept->variants);
    }
    all.variants.erase(withdrawn_);
    const Status status = gpu::writeCacheFile(device, kCacheName, encodeChoices(all));
    if (!status.ok())
        device.log(gpu::LogLevel::Warning, "kernel choices are not kept: %s", status.message.c_str());
}

Result<GraphKernels> Tuner::kernelsWith(const GraphShapes &shapes, const Unit &unit,
                                        const std::string &name) {
    auto choices = std::make_shared<KernelChoices>(choices_);
    choices->variants[unit.key] = name;
    Traits traits = model_.traits();
    traits.choices = std::move(choices);
    return chooseKernels(model_.model(), model_.graph(), shapes, traits, model_.usable());
}

// NotReady: the time was up before the variants were compared.
Result<std::string> Tuner::fastest(OpTrial &trial, const GraphShapes &shapes, const Unit &unit) {
    const gpu::Device &device = *model_.device();
    std::vector<TrialVariant> variants; // in the rules' order, so the first is theirs
    for (const std::string &name : unit.variants) {
        if (timeIsUp())
            return Status{StatusCode::NotReady, {}};
        if (!variants.empty() && hopeless_.count(unit.kind + name) != 0)
            continue;
        MOTE_TRY_ASSIGN(GraphKernels kernels, kernelsWith(shapes, unit, name));
        if (kernels.ops[unit.op].name != name)
            continue; // the device could not make it before
        Result<TrialVariant> variant = trial.setUp(unit.op, shapes, std::move(kernels));
        const Status ready = variant.ok() ? trial.warmUp(variant.value()) : variant.status();
        if (ready.ok())
            variants.push_back(std::move(variant.value()));
        else if (ready.code != StatusCode::Unsupported)
            return ready;
    }
    if (variants.size() < 2 || variants[0].commands.empty()) // nothing to choose, or another op does its work
        return unit.variants.front();
    std::vector<bool> left(variants.size(), true);
    const auto round = [&]() -> Status {
        for (size_t i = 0; i < variants.size(); ++i)
            if (left[i])
                MOTE_TRY(trial.time(variants[i]).status());
        return {};
    };
    const auto best = [&] {
        size_t found = 0;
        for (size_t i = 1; i < variants.size(); ++i)
            if (left[i] && variants[i].least() < variants[found].least())
                found = i;
        return found;
    };
    MOTE_TRY(round());
    MOTE_TRY(round());
    const double ahead = variants[best()].least();
    for (size_t i = 1; i < variants.size(); ++i) { // the rules' choice is always compared with
        left[i] = variants[i].least() <= kBehind * ahead;
        if (variants[i].least() > kHopeless * ahead)
            hopeless_.insert(unit.kind + variants[i].name);
    }
    const double enough =
        kVariantMilliseconds * static_cast<double>(std::count(left.begin(), left.end(), true));
    const double from = elapsed();
    for (uint32_t i = 1; i < kMostRounds && (i < kLeastRounds || elapsed() - from < enough); ++i)
        MOTE_TRY(round());
    std::string times;
    for (const TrialVariant &variant : variants)
        times += ", " + variant.name + " " + std::to_string(variant.least()) + " ms";
    device.log(gpu::LogLevel::Info, "%s%s", unit.key.c_str(), times.c_str());
    for (size_t found = best(); found != 0; found = best()) {
        MOTE_TRY_ASSIGN(const bool taken, isBetter(trial, variants[found], variants[0]));
        if (taken)
            return variants[found].name;
        left[found] = false;
    }
    return variants[0].name;
}

Result<bool> Tuner::isBetter(OpTrial &trial, TrialVariant &variant, TrialVariant &byRules) {
    if (variant.least() > kGain * byRules.least())
        return false;
    std::vector<double> ratios;
    for (uint32_t i = 0; i < kDecidingRounds; ++i) {
        MOTE_TRY_ASSIGN(const double before, trial.time(byRules));
        MOTE_TRY_ASSIGN(const double after, trial.time(variant));
        ratios.push_back(after / before);
    }
    std::sort(ratios.begin(), ratios.end());
    if (variant.least() > kGain * byRules.least() || ratios[kDecidingRounds / 2] > kGain)
        return false;
    MOTE_TRY_ASSIGN(const TrialResult expected, trial.run(byRules));
    MOTE_TRY_ASSIGN(const TrialResult result, trial.run(variant));
    if (agree(expected, result))
        return true;
    model_.device()->log(gpu::LogLevel::Warning, "op '%s': kernel '%s' differs from '%s', not used",
                         model_.graph().ops[variant.op].name.c_str(), variant.name.c_str(),
                         byRules.name.c_str());
    return false;
}

Status Tuner::timeAll(const GraphShapes &shapes, const std::vector<Unit> &units, TuneResult &result) {
    MOTE_TRY_ASSIGN(const std::unique_ptr<OpTrial> trial,
                    OpTrial::create(model_, kSubmissionMilliseconds, &model_.cancelTuning));
    for (size_t i = 0; i < units.size() && !timeIsUp(); ++i) {
        const Unit &unit = units[i];
        const double done = static_cast<double>(i) / static_cast<double>(units.size());
        if (options_.progress)
            options_.progress(static_cast<float>(std::max(done, std::min(elapsed() / limit_, 1.0))),
                              "tuning");
        // Until it is measured the rules' choice stands, also on disk: if this is where the program or the
        // device dies, the next start passes it over.
        choices_.variants[unit.key] = unit.variants.front();
        write();
        const Result<std::string> name = fastest(*trial, shapes, unit);
        if (name.ok()) {
            choices_.variants[unit.key] = name.value();
            ++result.timed;
            continue;
        }
        if (name.status().code != StatusCode::DeviceLost) {
            choices_.variants.erase(unit.key);
            withdrawn_ = unit.key;
        }
        return name.status().code == StatusCode::NotReady ? Status{} : name.status();
    }
    return {};
}

Status Tuner::run(const SessionOptions &session, TuneResult &result) {
    read();
    MOTE_TRY_ASSIGN(const PlannedSession planned, planSession(model_, session));
    MOTE_TRY(planned.fits);
    MOTE_TRY_ASSIGN(const GraphShapes shapes, inferShapes(model_.model(), model_.graph(), 1,
                                                          planned.plan.rows.tile, planned.plan.columns.tile));
    MOTE_TRY_ASSIGN(const std::vector<Unit> units, unitsOf(model_, shapes));
    std::vector<Unit> unknown;
    for (const Unit &unit : units) {
        const auto known = choices_.variants.find(unit.key);
        if (known == choices_.variants.end() ||
            std::find(unit.variants.begin(), unit.variants.end(), known->second) == unit.variants.end())
            unknown.push_back(unit);
    }
    Status status;
    if (!unknown.empty()) {
        status = timeAll(shapes, unknown, result);
        write();
    }
    result.shapes = static_cast<uint32_t>(units.size());
    for (const Unit &unit : units) {
        const auto known = choices_.variants.find(unit.key);
        if (known != choices_.variants.end() && known->second != unit.variants.front())
            ++result.changed;
    }
    model_.setChoices(std::make_shared<KernelChoices>(choices_));
    result.milliseconds = elapsed();
    if (options_.progress && status.ok())
        options_.progress(1.0f, "tuned");
    return status;
}

} // namespace

Status tuneKernels(LoadedModel &model, const SessionOptions &session, const TuneOptions &options,
                   TuneResult &result) {
    if (!model.device())
        return makeStatus(StatusCode::InvalidArgument,
                          "the model was opened without a device: there is nothing to tune it for");
    MOTE_TRY(model.device()->alive());
    const std::lock_guard<std::mutex> lock(model.tuneMutex);
    model.cancelTuning = false;
    return Tuner(model, options).run(session, result);
}

} // namespace mote::pipeline
