// Every variant of every kernel, each taken wherever it can be: in CI the self-check of a small network, op
// by op against the reference interpreter; in full the golden forward passes, of all recorded sizes and
// timesteps (trajectories add the sampler, which has no variants).
#include "graph/shapes.h"
#include "pipeline/golden_runs.h"
#include "pipeline/self_check.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace mote::test {
namespace {

// Names of the variants that some op of a model has on the shared device, and how many ops would take each.
using Variants = std::map<std::string, uint32_t>;

Variants variantsOf(const pipeline::LoadedModel &loaded, uint32_t height, uint32_t width) {
    const Model &model = loaded.model();
    const Graph &graph = loaded.graph();
    const Result<GraphShapes> shapes = inferShapes(model, graph, 1, height, width);
    EXPECT_TRUE(succeeded(shapes));
    Variants variants;
    for (uint32_t op = 0; shapes.ok() && op < graph.ops.size(); ++op) {
        const auto candidates = kernelCandidates(model, graph, shapes.value(), op, loaded.traits());
        EXPECT_TRUE(succeeded(candidates));
        std::set<std::string> names;
        for (const OpKernel &kernel : candidates.value())
            names.insert(kernel.name);
        for (const std::string &name : names)
            ++variants[name];
    }
    return variants;
}

// The devices of the tests: as it is, and with the least that Mote promises to run on, where ops have
// candidates that give way to Winograd otherwise.
std::shared_ptr<gpu::Device> deviceAtTheFloor() {
    static const std::shared_ptr<gpu::Device> device = [] {
        const gpu::LimitsClamp clamp = gpu::floorClamp();
        return makeDevice(&clamp);
    }();
    return device;
}

// Variants that more ops have at the floor than on the device as it is.
Variants variantsOfTheFloorAlone(const std::string &file, uint32_t height, uint32_t width) {
    Variants variants = variantsOf(*loadModel(deviceAtTheFloor(), file), height, width);
    for (const auto &[name, ops] : variantsOf(*loadModel(sharedDevice(), file), height, width)) {
        const auto same = variants.find(name);
        if (same != variants.end() && same->second <= ops)
            variants.erase(same);
    }
    return variants;
}

std::vector<OpKernel> kernelsOf(const pipeline::LoadedModel &loaded, uint32_t height, uint32_t width) {
    const Model &model = loaded.model();
    const Result<GraphShapes> shapes = inferShapes(model, loaded.graph(), 1, height, width);
    const Result<GraphKernels> kernels =
        chooseKernels(model, loaded.graph(), shapes.value(), loaded.traits(), loaded.usable());
    EXPECT_TRUE(succeeded(kernels));
    return kernels->ops;
}

uint32_t opsThatTake(const std::string &variant, const pipeline::LoadedModel &loaded, uint32_t height,
                     uint32_t width) {
    const std::vector<OpKernel> kernels = kernelsOf(loaded, height, width);
    return static_cast<uint32_t>(std::count_if(
        kernels.begin(), kernels.end(), [&](const OpKernel &kernel) { return kernel.name == variant; }));
}

#if MOTE_FULL

// The four golden cases in pixel space, at their own size.
const char *const kGoldens[] = {"ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-conv",
                                "restore-sr-cond-64-resnet"};

class GoldensByVariant : public testing::TestWithParam<const char *> {
protected:
    static void check(const GoldenCase &golden, const std::shared_ptr<gpu::Device> &device,
                      const std::string &name, uint32_t ops) {
        SCOPED_TRACE(name);
        const GoldenTensor x = golden.tensor("fwd.x");
        const auto model = loadModel(device, convertCase(golden.name(), {1}), name);
        EXPECT_EQ(opsThatTake(name, *model, static_cast<uint32_t>(x.dimension(2)),
                              static_cast<uint32_t>(x.dimension(3))),
                  ops);
        const Judged forward = runForwardPasses(golden, device, name);
        std::printf("%s, %s: %.3f of the tolerance, %u ops\n", golden.name().c_str(), name.c_str(),
                    forward.worst, ops);
        EXPECT_GE(forward.compared, 1);
        EXPECT_LE(forward.worst, 1.0);
    }
};

TEST_P(GoldensByVariant, ForwardPassesMatchDiffusers) {
    const GoldenCase golden(GetParam());
    const GoldenTensor x = golden.tensor("fwd.x");
    const auto height = static_cast<uint32_t>(x.dimension(2)), width = static_cast<uint32_t>(x.dimension(3));
    const std::string file = convertCase(GetParam(), {1});
    const Variants variants = variantsOf(*loadModel(sharedDevice(), file), height, width);
    EXPECT_GE(variants.size(), 6u) << "the register-tiled convolutions, GroupNorm and attention at least";
    for (const auto &[name, ops] : variants)
        check(golden, sharedDevice(), name, ops);
    for (const auto &[name, ops] : variantsOfTheFloorAlone(file, height, width))
        check(golden, deviceAtTheFloor(), name, ops);
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldensByVariant, testing::ValuesIn(kGoldens), [](const auto &entry) {
    std::string name = entry.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

#else

// Small maps of few channels, with attention.
TEST(SelfCheckByVariant, EveryOpMatchesTheReference) {
    const std::string file = convertCase("unet-mish-attn-16", {1});
    const auto plain = loadModel(sharedDevice(), file);
    const SelfCheck &selfCheck = plain->model().selfCheck;
    const Variants variants = variantsOf(*plain, selfCheck.height, selfCheck.width);
    EXPECT_GE(variants.size(), 6u);
    const auto check = [&](const std::shared_ptr<gpu::Device> &device, const std::string &name,
                           uint32_t ops) {
        SCOPED_TRACE(name);
        const auto model = loadModel(device, file, name);
        EXPECT_EQ(opsThatTake(name, *model, selfCheck.height, selfCheck.width), ops);
        size_t checked = 0;
        const Status status =
            pipeline::playSelfCheck(*model, {}, [&](uint32_t, const char *op, const char *, float fraction) {
                EXPECT_LE(fraction, 1.0f) << op;
                ++checked;
            });
        EXPECT_TRUE(succeeded(status));
        const std::vector<OpKernel> kernels = kernelsOf(*model, selfCheck.height, selfCheck.width);
        const auto alone = std::count_if(kernels.begin(), kernels.end(),
                                         [](const OpKernel &kernel) { return kernel.within == kNone; });
        EXPECT_EQ(checked, static_cast<size_t>(alone) + 1);
    };
    for (const auto &[name, ops] : variants)
        check(sharedDevice(), name, ops);
    for (const auto &[name, ops] : variantsOfTheFloorAlone(file, selfCheck.height, selfCheck.width))
        check(deviceAtTheFloor(), name, ops);
}

#endif

} // namespace
} // namespace mote::test
