// What a forward pass takes on the device beside what liveness says that it must: activations, statistics and
// scratch of the networks that Mote is measured on, with the kernels of the device at hand and with those of
// any other.
#include "pipeline/forward.h"
#include "pipeline/rig.h"

#include <algorithm>
#include <cstdio>

namespace mote::test {
namespace {

struct PlanCase {
    const char *name;
    const char *directory;
    bool weights; // else random ones
    uint32_t side;
};

const PlanCase kCases[] = {
    {"Shipped", MOTE_SOURCE_DIR "/converter/models/restore", true, 512},
    {"ShippedSmall", MOTE_SOURCE_DIR "/converter/models/restore", true, 64},
    {"Ddpm32", MOTE_SOURCE_DIR "/bench/models/ddpm32", false, 32},
    {"Edge128", MOTE_SOURCE_DIR "/bench/models/edge", false, 128},
    {"Edge256", MOTE_SOURCE_DIR "/bench/models/edge", false, 256},
};

class PlanBound : public testing::TestWithParam<PlanCase> {};

TEST_P(PlanBound, IsKeptWithinAFewHundredths) {
    const PlanCase &wanted = GetParam();
    convert::ConvertOptions options;
    options.directory = wanted.directory;
    if (!wanted.weights)
        options.randomWeights = 1;
    const Model model = convert::convertCheckpoint(options).model;
    const gpu::Caps caps = sharedDevice()->caps();
    const uint64_t chunk = std::min(caps.maxStorageBufferRange, caps.maxAllocationBytes);
    for (const bool cpu : {false, true}) {
        Traits traits;
        traits.caps = caps;
        traits.cpu = cpu;
        const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
        const Result<pipeline::ForwardPlan> plan = pipeline::planForward(
            model, model.graphs[0], 1, wanted.side, wanted.side, false, traits, all, chunk);
        ASSERT_TRUE(succeeded(plan));
        const auto peak = static_cast<double>(plan->memory.peakBytes);
        const auto bound = static_cast<double>(plan->memory.lowerBound);
        std::printf("%s, %s: bound %.2f MiB, plan %.3f of it\n", wanted.name,
                    cpu ? "kernels for software devices" : "kernels for any device", bound / (1 << 20),
                    peak / bound);
        EXPECT_LE(peak, 1.15 * bound);
    }
}

INSTANTIATE_TEST_SUITE_P(Models, PlanBound, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

} // namespace
} // namespace mote::test
