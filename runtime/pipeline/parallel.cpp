#include "pipeline/parallel.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>
#include <vector>

namespace mote::pipeline {

Status inParallel(size_t count, const std::function<Status(size_t)> &body) {
    std::vector<Status> results(count);
    std::atomic<size_t> next{0};
    const auto work = [&]() noexcept {
        for (size_t i = next++; i < count; i = next++) {
            try {
                results[i] = body(i);
            } catch (const std::bad_alloc &) {
                results[i] = {StatusCode::OutOfMemory, "host memory"}; // short enough to need none
            }
        }
    };
    std::vector<std::thread> helpers;
    try {
        const size_t wanted = std::min<size_t>({std::thread::hardware_concurrency(), count, kMostAtATime});
        while (helpers.size() + 1 < wanted)
            helpers.emplace_back(work);
    } catch (const std::exception &) { // without more threads this one does it all
    }
    work();
    for (std::thread &helper : helpers)
        helper.join();
    for (Status &result : results)
        if (!result.ok())
            return std::move(result);
    return {};
}

} // namespace mote::pipeline
