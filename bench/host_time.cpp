#include "host_time.h"

#include "expect.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <vector>

namespace mote::bench {
namespace {

constexpr int kRuns = 7;

// Of the one thread that runs: seconds between Vulkan's functions, and of each vkQueueSubmit.
gpu::DeviceTable original;
std::vector<double> gaps, submits;
double lastEnd = 0;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Function, typename... Arguments>
VkResult passedOn(std::vector<double> *durations, Function function, Arguments... arguments) {
    const double start = now();
    gaps.push_back(start - lastEnd);
    const VkResult result = function(arguments...);
    lastEnd = now();
    if (durations != nullptr)
        durations->push_back(lastEnd - start);
    return result;
}

VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence) {
    return passedOn(&submits, original.vkQueueSubmit, queue, count, infos, fence);
}

VkResult VKAPI_CALL wait(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all,
                         uint64_t timeout) {
    return passedOn(nullptr, original.vkWaitForFences, device, count, fences, all, timeout);
}

VkResult VKAPI_CALL status(VkDevice device, VkFence fence) {
    return passedOn(nullptr, original.vkGetFenceStatus, device, fence);
}

VkResult VKAPI_CALL reset(VkDevice device, uint32_t count, const VkFence *fences) {
    return passedOn(nullptr, original.vkResetFences, device, count, fences);
}

// Watches the functions that a step calls while it lives.
class Watch {
public:
    explicit Watch(gpu::Device &device) : device_(device) {
        original = device.vk();
        device.vk().vkQueueSubmit = submit;
        device.vk().vkWaitForFences = wait;
        device.vk().vkGetFenceStatus = status;
        device.vk().vkResetFences = reset;
    }
    ~Watch() { device_.vk() = original; }
    Watch(const Watch &) = delete;
    Watch &operator=(const Watch &) = delete;

private:
    gpu::Device &device_;
};

// What a run does, call by call, in the median of the runs, which make the same calls: one that is disturbed
// does not count.
struct HostTime {
    std::vector<double> gaps, submits; // seconds
};

std::vector<double> medians(const std::vector<std::vector<double>> &runs) {
    std::vector<double> result;
    for (size_t i = 0; i < runs.back().size(); ++i) {
        std::vector<double> found;
        for (const std::vector<double> &run : runs)
            if (i < run.size())
                found.push_back(run[i]);
        std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(found.size() / 2),
                         found.end());
        result.push_back(found[found.size() / 2]);
    }
    return result;
}

HostTime measureHost(pipeline::Session &session) {
    std::vector<std::vector<double>> betweens, inSubmits;
    expect(session.run({}, nullptr)); // the first also measures and cuts
    for (int i = 0; i < kRuns; ++i) {
        gaps.clear();
        submits.clear();
        lastEnd = now();
        expect(session.run({}, nullptr));
        gaps.push_back(now() - lastEnd);
        betweens.push_back(gaps);
        inSubmits.push_back(submits);
    }
    return {medians(betweens), medians(inSubmits)};
}

// Of the calls that a longer run has more, taken from its middle: inputs and outputs move at its ends.
double middle(const std::vector<double> &longer, const std::vector<double> &shorter) {
    const size_t more = longer.size() - std::min(longer.size(), shorter.size());
    const auto begin = longer.begin() + static_cast<std::ptrdiff_t>((longer.size() - more) / 2);
    return std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(more), 0.0);
}

void timeHost(benchmark::State &state, Subject &subject, uint32_t few, uint32_t many) {
    const std::shared_ptr<pipeline::LoadedModel> model = subject.open(subject.device());
    const std::unique_ptr<pipeline::Session> shorter = subject.newSession(model, 0, few),
                                             longer = subject.newSession(model, 0, many);
    const Watch watch(*subject.device());
    for (auto _ : state) {
        const HostTime low = measureHost(*shorter), high = measureHost(*longer);
        const double steps = many - few;
        state.SetIterationTime(middle(high.gaps, low.gaps) / steps);
        state.counters["submit_us"] = 1e6 * middle(high.submits, low.submits) / steps;
        state.counters["submissions"] =
            (static_cast<double>(longer->submissionCount()) - shorter->submissionCount()) / steps;
    }
}

} // namespace

void registerHostTime(const std::shared_ptr<Subject> &subject) {
    std::vector<uint32_t> steps;
    for (const Recipe &recipe : subject->model().recipes)
        steps.push_back(static_cast<uint32_t>(recipe.rows.size()));
    const auto [few, many] = std::minmax_element(steps.begin(), steps.end());
    if (*few == *many)
        return;
    benchmark::RegisterBenchmark(("host/" + subject->name()).c_str(),
                                 [subject, few = *few, many = *many](benchmark::State &state) {
                                     timeHost(state, *subject, few, many);
                                 })
        ->Unit(benchmark::kMicrosecond)
        ->Iterations(1)
        ->UseManualTime();
}

} // namespace mote::bench
