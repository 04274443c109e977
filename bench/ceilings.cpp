#include "ceilings.h"

#include "device_timer.h"
#include "expect.h"

#include <algorithm>
#include <cstdint>

namespace mote::bench {
namespace {

const uint32_t kMultiplyAddWords[] = {
#include "MultiplyAdd.inc"
};
const uint32_t kCopyWords[] = {
#include "Copy.inc"
};
const uint32_t kCopyTexelsWords[] = {
#include "CopyTexels.inc"
};

constexpr uint32_t kFirstId = 1u << 20; // the library's own shaders have small numbers
constexpr uint32_t kWorkgroup = 64;
constexpr uint64_t kMultiplyAdds = 8 * 12; // of one loop of multiply_add.comp
constexpr uint32_t kUnroll = 8;            // of copy.comp
constexpr uint64_t kCopyBytes = 64u << 20;
constexpr int kRuns = 7;

struct Push {
    float factor, offset;
    uint32_t loops;
};

gpu::PipelineDescription pipeline(uint32_t id, const char *name, const uint32_t *words, size_t bytes) {
    gpu::PipelineDescription description;
    description.shader = {kFirstId + id, name, words, bytes / sizeof(uint32_t)};
    return description;
}

double leastSeconds(DeviceTimer &timer) {
    double least = timer.run().gpu;
    for (int i = 0; i < kRuns; ++i)
        least = std::min(least, timer.run().gpu);
    return least;
}

double measureArithmetic(gpu::Device &device) {
    // A large device needs many groups, a small one must not be held for long: grow until it takes 10 ms.
    gpu::PipelineDescription description =
        pipeline(0, "multiply_add", kMultiplyAddWords, sizeof kMultiplyAddWords);
    description.bindings = 1;
    description.pushBytes = sizeof(Push);
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    double best = 0;
    for (uint32_t groups = 32; groups <= 32768; groups *= 4) {
        const gpu::Allocation target = expect(gpu::Allocation::create(
            device, uint64_t{groups} * kWorkgroup * sizeof(float), gpu::MemoryKind::DeviceLocal, "ceiling"));
        const Push push = {0.999f, 0.001f, 400};
        DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
            const gpu::BufferRange range = {&target, 0, target.size()};
            return commands.dispatch(*made, &range, 1, &push, sizeof push, groups, 1, 1);
        });
        const double seconds = leastSeconds(timer);
        best = std::max(best, 2.0 * static_cast<double>(kMultiplyAdds * push.loops * kWorkgroup * groups) /
                                  seconds);
        if (seconds > 0.01)
            break;
    }
    return best;
}

double measureCopy(gpu::Device &device, bool texels) {
    const uint64_t range =
        std::min({kCopyBytes, uint64_t{device.caps().maxStorageBufferRange},
                  texels ? uint64_t{device.caps().maxTexelBufferElements} * 16 : UINT64_MAX});
    constexpr uint64_t kGroupBytes = uint64_t{kWorkgroup} * kUnroll * 16;
    const uint32_t groups = static_cast<uint32_t>(std::min<uint64_t>(range / kGroupBytes, 65535));
    const uint64_t bytes = groups * kGroupBytes;
    gpu::PipelineDescription description =
        texels ? pipeline(2, "copy_texels", kCopyTexelsWords, sizeof kCopyTexelsWords)
               : pipeline(1, "copy", kCopyWords, sizeof kCopyWords);
    description.bindings = 2;
    description.texelBindings = texels ? 1 : 0;
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation source =
        expect(gpu::Allocation::create(device, bytes, gpu::MemoryKind::DeviceLocal, "ceiling"));
    const gpu::Allocation target =
        expect(gpu::Allocation::create(device, bytes, gpu::MemoryKind::DeviceLocal, "ceiling"));
    DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
        const gpu::BufferRange ranges[] = {{&source, 0, bytes}, {&target, 0, bytes}};
        return commands.dispatch(*made, ranges, 2, nullptr, 0, groups, 1, 1);
    });
    return 2.0 * static_cast<double>(bytes) / leastSeconds(timer);
}

} // namespace

Ceilings measureCeilings(gpu::Device &device) {
    return {measureArithmetic(device), std::max(measureCopy(device, false), measureCopy(device, true))};
}

} // namespace mote::bench
