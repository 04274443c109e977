#include "pipeline/golden_runs.h"

namespace mote::test {
namespace {

class Goldens : public testing::TestWithParam<const char *> {};

TEST_P(Goldens, ForwardPassesMatchDiffusers) {
    const Judged judged = runForwardPasses(GoldenCase(GetParam()), sharedDevice());
    EXPECT_GE(judged.compared, 1);
    EXPECT_LE(judged.worst, 1.0);
}

TEST_P(Goldens, TrajectoriesMatchDiffusers) {
    const Judged judged = runTrajectories(GoldenCase(GetParam()), sharedDevice());
    EXPECT_GE(judged.compared, GetParam() == std::string("class-cond-32") ? 2 : 4);
    EXPECT_LE(judged.worst, 1.0);
}

TEST(SimpleUNet, ForwardPassesAndTrajectoriesMatchPyTorch) {
    const GoldenCase golden("seed-simpleunet");
    const Judged forward = runForwardPasses(golden, sharedDevice()),
                 runs = runTrajectories(golden, sharedDevice());
    EXPECT_EQ(forward.compared, 1);
    EXPECT_EQ(runs.compared, 3);
    EXPECT_LE(forward.worst, 1.0);
    EXPECT_LE(runs.worst, 1.0);
}

// A shipped model at 1, 2 and 4 steps, from the recorded first state.
void expectTrajectories(const std::string &name) {
    const GoldenCase golden(name);
    const auto model = loadModel(sharedDevice(), convertCase(name, {1, 2, 4}));
    std::vector<float> start = golden.tensor("x_start").values, condition = golden.tensor("condition").values;
    const auto height = static_cast<uint32_t>(golden.tensor("x_start").dimension(2)),
               width = static_cast<uint32_t>(golden.tensor("x_start").dimension(3));
    for (uint32_t steps : {1u, 2u, 4u}) {
        pipeline::SessionOptions options;
        options.width = width;
        options.height = height;
        options.steps = steps;
        const auto session = makeSession(model, options);
        const pipeline::TensorView x = viewOf(start, 3, height, width),
                                   y = viewOf(condition, 3, height, width);
        ASSERT_TRUE(succeeded(session->bindTensor("x_start", &x)));
        ASSERT_TRUE(succeeded(session->bindTensor("condition", &y)));
        std::vector<float> found;
        pipeline::RunOptions run;
        run.trace = [&](uint32_t, const char *tensor, const uint32_t *, const float *data) {
            if (std::string(tensor) == "x")
                found.insert(found.end(), data, data + start.size());
        };
        ASSERT_TRUE(succeeded(session->run(run, nullptr)));
        const std::string states = "ddim" + std::to_string(steps) + ".x";
        EXPECT_LE(fractionOfTolerance(golden, states, found, golden.tensor(states).values), 1.0) << name;
    }
}

TEST(ShippedModel, TrajectoriesMatchPyTorch) {
    expectTrajectories("restore");
    expectTrajectories("super-resolution-x2");
}

// The shipped generator's students, each at its own steps: a picture of every class, the same each time.
TEST(ShippedModel, GeneratedTilesMatchPyTorch) {
    const GoldenCase golden("generate-tiles");
    std::vector<float> start = golden.tensor("x_start").values;
    for (uint32_t steps : {4u, 2u}) {
        convert::ConvertOptions conversion;
        conversion.directory = checkpointOf("generate-tiles/" + std::to_string(steps) + "-steps");
        conversion.steps = {steps};
        conversion.nullClass = "none";
        pipeline::SessionOptions options;
        options.width = options.height = 32;
        options.batch = 8;
        const auto session = makeSession(loadModel(sharedDevice(), convertToFile(conversion)), options);
        EXPECT_EQ(session->plan().passes, 1u);
        std::vector<float> found(start.size()), again(start.size());
        const pipeline::TensorView x = {8, 3, 32, 32, start.data()}, first = {8, 3, 32, 32, found.data()},
                                   second = {8, 3, 32, 32, again.data()};
        ASSERT_TRUE(succeeded(session->bindTensor("x_start", &x)));
        ASSERT_TRUE(succeeded(session->setClassLabels(golden.integers("labels"))));
        ASSERT_TRUE(succeeded(session->bindOutputTensor(&first)));
        ASSERT_TRUE(succeeded(session->run({}, nullptr)));
        ASSERT_TRUE(succeeded(session->bindOutputTensor(&second)));
        ASSERT_TRUE(succeeded(session->run({}, nullptr)));
        EXPECT_EQ(found, again);
        const std::string name = "ddim" + std::to_string(steps);
        EXPECT_LE(fractionOfTolerance(golden, name, found, golden.tensor(name).values), 1.0);
    }
}

std::string testName(const testing::TestParamInfo<const char *> &parameter) {
    std::string name = parameter.param;
    for (char &c : name)
        c = c == '-' ? '_' : c;
    return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, Goldens,
                         testing::Values("ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-conv",
                                         "restore-sr-cond-64-resnet", "class-cond-32"),
                         testName);

// Blocks and keys that the cases above do not have; forward passes alone.
class RareBlocks : public testing::TestWithParam<const char *> {};

TEST_P(RareBlocks, ForwardPassesMatchDiffusers) {
    const Judged judged = runForwardPasses(GoldenCase(GetParam()), sharedDevice());
    EXPECT_GE(judged.compared, 1);
    EXPECT_LE(judged.worst, 1.0);
}

INSTANTIATE_TEST_SUITE_P(Cases, RareBlocks,
                         testing::Values("unet-skip-16", "unet-attn-skip-16", "unet-learned-relu-16",
                                         "unet-mish-attn-16", "unet-gelu-fourier-16"),
                         testName);

} // namespace
} // namespace mote::test
