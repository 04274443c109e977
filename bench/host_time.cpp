#include "host_time.h"

#include "expect.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace mote::bench {
namespace {

constexpr int kRuns = 5;

// Of the one thread that runs.
gpu::DeviceTable original;
double inSubmit = 0, inOthers = 0; // seconds

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename Function, typename... Arguments>
VkResult timed(double &sum, Function function, Arguments... arguments) {
    const double start = now();
    const VkResult result = function(arguments...);
    sum += now() - start;
    return result;
}

VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence) {
    return timed(inSubmit, original.vkQueueSubmit, queue, count, infos, fence);
}

VkResult VKAPI_CALL wait(VkDevice device, uint32_t count, const VkFence *fences, VkBool32 all,
                         uint64_t timeout) {
    return timed(inOthers, original.vkWaitForFences, device, count, fences, all, timeout);
}

VkResult VKAPI_CALL status(VkDevice device, VkFence fence) {
    return timed(inOthers, original.vkGetFenceStatus, device, fence);
}

VkResult VKAPI_CALL reset(VkDevice device, uint32_t count, const VkFence *fences) {
    return timed(inOthers, original.vkResetFences, device, count, fences);
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

struct HostTime {
    double library = 0, submit = 0; // seconds of a run
};

HostTime leastOf(pipeline::Session &session) {
    HostTime least;
    for (int i = 0; i <= kRuns; ++i) {
        inSubmit = inOthers = 0;
        const double start = now();
        expect(session.run({}, nullptr));
        const HostTime found = {now() - start - inSubmit - inOthers, inSubmit};
        if (i == 1)
            least = found; // the first run also measures and cuts
        least.library = std::min(least.library, found.library);
        least.submit = std::min(least.submit, found.submit);
    }
    return least;
}

void timeHost(benchmark::State &state, Subject &subject, uint32_t few, uint32_t many) {
    const std::shared_ptr<pipeline::LoadedModel> model = subject.open(subject.device());
    const std::unique_ptr<pipeline::Session> shorter = subject.newSession(model, 0, few),
                                             longer = subject.newSession(model, 0, many);
    const Watch watch(*subject.device());
    for (auto _ : state) {
        const HostTime low = leastOf(*shorter), high = leastOf(*longer);
        const double steps = many - few;
        state.SetIterationTime(std::max(high.library - low.library, 0.0) / steps);
        state.counters["submit_us"] = 1e6 * std::max(high.submit - low.submit, 0.0) / steps;
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
