#include "ceilings.h"

#include "device_timer.h"
#include "expect.h"

#include <algorithm>
#include <cstdint>

namespace mote::bench {
namespace {

const uint16_t kMultiplyAdd[] = {
#include "MultiplyAdd.inc"
};
const uint16_t kMultiplyAddStore[] = {
#include "MultiplyAddStore.inc"
};
const uint16_t kExponential[] = {
#include "Exponential.inc"
};
const uint16_t kRegisterTile[] = {
#include "RegisterTile.inc"
};
const uint16_t kStraightMultiplyAdd[] = {
#include "StraightMultiplyAdd.inc"
};
const uint16_t kCopy[] = {
#include "Copy.inc"
};
const uint16_t kCopyTexels[] = {
#include "CopyTexels.inc"
};
const uint16_t kLoad[] = {
#include "Load.inc"
};
const uint16_t kLoadTexels[] = {
#include "LoadTexels.inc"
};
const uint16_t kStore[] = {
#include "Store.inc"
};
const uint16_t kLoadEights[] = {
#include "LoadEights.inc"
};
const uint16_t kStoreEights[] = {
#include "StoreEights.inc"
};

constexpr uint32_t kFirstId = 1u << 20; // the library's own shaders have small numbers
constexpr uint32_t kWorkgroup = 64;
constexpr uint32_t kSteps = 16 * 12, kExponentials = 12;        // of one loop of multiply_add.comp
constexpr uint32_t kTileSteps = 32 * 4 * 8;                     // of one loop of register_tile.comp
constexpr uint64_t kMovedGroup = uint64_t{kWorkgroup} * 8 * 16; // bytes that a group of copy.comp moves
constexpr uint64_t kCopyBytes = 64u << 20;                      // beyond caches
constexpr uint32_t kWrap = 64; // groups until the same bytes are moved again: half a mebibyte, in a cache
constexpr int kRuns = 3;       // besides the first

struct Push {
    float factor, offset;
    uint32_t loops, wrap;
};

template <size_t Count>
gpu::PipelineDescription pipeline(uint32_t id, const char *name, const uint16_t (&packed)[Count],
                                  uint32_t bindings, uint32_t pushBytes) {
    gpu::PipelineDescription description;
    description.shader = {kFirstId + id, name, packed, Count};
    description.bindings = bindings;
    description.pushBytes = pushBytes;
    return description;
}

gpu::Allocation allocate(gpu::Device &device, uint64_t bytes) {
    return expect(gpu::Allocation::create(device, bytes, gpu::MemoryKind::DeviceLocal, "ceiling"));
}

double leastSeconds(DeviceTimer &timer) {
    double least = timer.run().gpu;
    for (int i = 0; i < kRuns; ++i)
        least = std::min(least, timer.run().gpu);
    return least;
}

// Steps of all invocations a second.
double measureSteps(gpu::Device &device, const gpu::PipelineDescription &description, uint32_t steps,
                    float factor) {
    // A large device needs many groups, a small one must not be held for long: grow until it takes 10 ms.
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation stored = allocate(device, kWrap * kMovedGroup);
    double best = 0;
    for (uint32_t groups = 32; groups <= 32768; groups *= 4) {
        const gpu::Allocation target = allocate(device, uint64_t{groups} * kWorkgroup * sizeof(float));
        const Push push = {factor, 0.001f, 38400 / steps, kWrap};
        DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
            const gpu::BufferRange ranges[] = {{&target, 0, target.size()}, {&stored, 0, stored.size()}};
            return commands.dispatch(*made, ranges, description.bindings, &push, sizeof push, groups, 1, 1);
        });
        const double seconds = leastSeconds(timer);
        best =
            std::max(best, static_cast<double>(uint64_t{steps} * push.loops * kWorkgroup * groups) / seconds);
        if (seconds > 0.01)
            break;
    }
    return best;
}

// Bytes a second that copy.comp moves in one direction. `wrap`: groups of different bytes.
double measureMove(gpu::Device &device, gpu::PipelineDescription description, bool texels, uint64_t wrap) {
    const uint64_t most = std::min(uint64_t{device.caps().maxStorageBufferRange},
                                   texels ? uint64_t{device.caps().maxTexelBufferElements} * 16 : UINT64_MAX);
    const uint32_t groups = static_cast<uint32_t>(std::min(kCopyBytes / kMovedGroup, most / kMovedGroup));
    const uint32_t push = static_cast<uint32_t>(std::min<uint64_t>(wrap, groups));
    description.texelBindings = texels ? 1 : 0;
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation source = allocate(device, push * kMovedGroup);
    const gpu::Allocation target = allocate(device, push * kMovedGroup);
    DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
        const gpu::BufferRange ranges[] = {{&source, 0, source.size()}, {&target, 0, target.size()}};
        return commands.dispatch(*made, ranges, 2, &push, sizeof push, groups, 1, 1);
    });
    return static_cast<double>(groups * kMovedGroup) / leastSeconds(timer);
}

// What shaders/uniform_addresses.glsl asks for.
bool suitsEights(const gpu::Caps &caps) {
    return caps.bufferDeviceAddress && caps.subgroupSize == 8 &&
           (caps.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
}

// Multiply-adds a second of straight_multiply_add.comp; 0 where the device does not suit it.
double measureStraight(gpu::Device &device, const gpu::PipelineDescription &description) {
    if (!suitsEights(device.caps()))
        return 0;
    constexpr uint32_t kGroups = 1024, kStep = 2 * 16 * 16;
    const uint32_t push[] = {kStep, 0, 0, 1, 2, 3, 0, 0};
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation source = allocate(device, 16 * kStep);
    const gpu::Allocation target = allocate(device, uint64_t{kGroups} * kWorkgroup * sizeof(float));
    DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
        const gpu::BufferRange ranges[] = {{&source, 0, source.size()}, {&target, 0, target.size()}};
        return commands.dispatch(*made, ranges, 2, push, sizeof push, kGroups, 1, 1);
    });
    return static_cast<double>(uint64_t{kGroups} * kWorkgroup * 16 * 128) / leastSeconds(timer);
}

// The same of move_eights.comp, within a cache; 0 where the device does not suit it.
double measureEights(gpu::Device &device, const gpu::PipelineDescription &description) {
    if (!suitsEights(device.caps()))
        return 0;
    constexpr uint64_t kGroup = uint64_t{8} * 128 * 32; // bytes
    constexpr uint32_t kGroups = 2048, kOwnWrap = kWrap * kMovedGroup / kGroup;
    const uint32_t push[] = {kOwnWrap, 0, 0, 1, 2, 3, 0, 0};
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation source = allocate(device, kWrap * kMovedGroup);
    const gpu::Allocation target = allocate(device, kWrap * kMovedGroup);
    DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) {
        const gpu::BufferRange ranges[] = {{&source, 0, source.size()}, {&target, 0, target.size()}};
        return commands.dispatch(*made, ranges, 2, push, sizeof push, kGroups, 1, 1);
    });
    return static_cast<double>(kGroups * kGroup) / leastSeconds(timer);
}

double measureDispatch(gpu::Device &device, const gpu::PipelineDescription &description) {
    constexpr int kDispatches = 200;
    const gpu::Pipeline *made = expect(device.pipelines().get(description));
    const gpu::Allocation target = allocate(device, 2 * kWorkgroup * sizeof(float));
    DeviceTimer timer(device, [&](gpu::CommandBuffer &commands) -> Status {
        const gpu::BufferRange range = {&target, 0, target.size()};
        const Push push = {0, 0, 0, 1};
        for (int i = 0; i < kDispatches; ++i) {
            MOTE_TRY(commands.dispatch(*made, &range, 1, &push, sizeof push, 2, 1, 1));
            commands.barrier();
        }
        return {};
    });
    return leastSeconds(timer) / kDispatches;
}

} // namespace

Ceilings measureCeilings(gpu::Device &device) {
    const auto multiplyAdd = pipeline(0, "multiply_add", kMultiplyAdd, 1, sizeof(Push));
    const auto both = pipeline(1, "multiply_add_store", kMultiplyAddStore, 2, sizeof(Push));
    const auto exponential = pipeline(2, "exponential", kExponential, 1, sizeof(Push));
    auto tile = pipeline(3, "register_tile", kRegisterTile, 1, sizeof(Push));
    tile.constants = {32, 8};
    const auto copy = pipeline(4, "copy", kCopy, 2, 4);
    const auto copyTexels = pipeline(5, "copy_texels", kCopyTexels, 2, 4);
    const auto load = pipeline(6, "load", kLoad, 2, 4);
    const auto loadTexels = pipeline(7, "load_texels", kLoadTexels, 2, 4);
    const auto store = pipeline(8, "store", kStore, 2, 4);
    auto loadEights = pipeline(9, "load_eights", kLoadEights, 2, 32);
    loadEights.addressBindings = 1;
    auto storeEights = pipeline(10, "store_eights", kStoreEights, 2, 32);
    storeEights.addressBindings = 1;
    auto straight = pipeline(11, "straight_multiply_add", kStraightMultiplyAdd, 2, 32);
    straight.constants = {16, 16};
    straight.addressBindings = 1;

    Ceilings found;
    const double steps = measureSteps(device, multiplyAdd, kSteps, 0.999f);
    found.operationsPerSecond = 2 * std::max({steps, measureSteps(device, tile, kTileSteps, 0.001f),
                                              measureStraight(device, straight)});
    found.exponentialsPerSecond = measureSteps(device, exponential, kExponentials, -0.999f);
    found.bytesPerSecond = 2 * std::max(measureMove(device, copy, false, UINT64_MAX),
                                        measureMove(device, copyTexels, true, UINT64_MAX));
    const double stored = measureMove(device, store, false, kWrap);
    found.loadedBytesPerSecond =
        std::max({measureMove(device, load, false, kWrap), measureMove(device, loadTexels, true, kWrap),
                  measureEights(device, loadEights)});
    found.storedBytesPerSecond = std::max(stored, measureEights(device, storeEights));
    found.dispatchSeconds = measureDispatch(device, multiplyAdd);

    // Of one loop of an invocation, which stores 16 bytes.
    const double arithmetic = kSteps / steps, stores = 16 / stored;
    const double together = kSteps / measureSteps(device, both, kSteps, 0.999f);
    found.apart =
        std::clamp((together - std::max(arithmetic, stores)) / std::min(arithmetic, stores), 0.0, 1.0);
    return found;
}

Ceilings better(const Ceilings &a, const Ceilings &b) {
    Ceilings best;
    best.operationsPerSecond = std::max(a.operationsPerSecond, b.operationsPerSecond);
    best.bytesPerSecond = std::max(a.bytesPerSecond, b.bytesPerSecond);
    best.exponentialsPerSecond = std::max(a.exponentialsPerSecond, b.exponentialsPerSecond);
    best.loadedBytesPerSecond = std::max(a.loadedBytesPerSecond, b.loadedBytesPerSecond);
    best.storedBytesPerSecond = std::max(a.storedBytesPerSecond, b.storedBytesPerSecond);
    best.apart = std::min(a.apart, b.apart);
    best.dispatchSeconds = std::min(a.dispatchSeconds, b.dispatchSeconds);
    return best;
}

} // namespace mote::bench
