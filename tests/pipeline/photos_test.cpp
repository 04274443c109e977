// How good the shipped model's restorations of the shipped photos are, for every recipe. The figures expected
// are the fp32 reference interpreter's: RecordedFigures, run with --gtest_also_run_disabled_tests, prints
// them.
#include "pipeline/photo.h"
#include "pipeline/rig.h"

#include "reference/reference.h"
#include "schedule/evaluate.h"

#include <cmath>

namespace mote::test {
namespace {

// MOTE_PHOTO_SIZE: the side of the square in the photo's middle; 48 is quick.
constexpr uint32_t kSize = MOTE_PHOTO_SIZE;
constexpr double kSigma = 25; // of 255

struct Figures {
    const char *photo;
    uint32_t width, height;
    double recipes[3]; // dB of 1, 2 and 4 steps
};
constexpr int64_t kSteps[] = {1, 2, 4};
#if MOTE_PHOTO_SIZE == 48
constexpr Figures kPhotos[] = {
    {"dog.png", 576, 576, {32.383, 31.793, 31.142}},
    {"flowers.png", 576, 576, {27.447, 26.803, 26.024}},
    {"coffee.png", 600, 400, {33.359, 33.035, 32.507}},
    {"tulips.png", 500, 500, {33.345, 32.897, 32.259}},
};
#else
constexpr Figures kPhotos[] = {
    {"dog.png", 576, 576, {32.195, 31.783, 31.079}},
    {"flowers.png", 576, 576, {27.736, 27.349, 26.736}},
    {"coffee.png", 600, 400, {32.617, 32.232, 31.681}},
    {"tulips.png", 500, 500, {35.585, 35.189, 34.744}},
};
#endif

struct Case {
    Photo clean, noisy, start;

    explicit Case(const Figures &of)
        : clean(readPhoto(of.photo, (of.width - kSize) / 2, (of.height - kSize) / 2, kSize, kSize)),
          noisy(withNoise(clean, kSigma, 1)),
          start(withNoise({kSize, kSize, std::vector<float>(clean.planes.size())}, 127.5, 2)) {}
};

TEST(Photos, EveryRecipeIsAsGoodAsTheReference) {
    const auto model = loadModel(sharedDevice(), convertCase("restore", {1, 2, 4}));
    double worst = 0;
    for (size_t recipe = 0; recipe < std::size(kSteps); ++recipe) {
        pipeline::SessionOptions options;
        options.width = options.height = kSize;
        options.steps = static_cast<uint32_t>(kSteps[recipe]);
        const auto session = makeSession(model, options);
        for (const Figures &figures : kPhotos) {
            Case c(figures);
            std::vector<float> output(c.noisy.planes.size());
            const pipeline::TensorView in = viewOf(c.noisy.planes, 3, kSize, kSize),
                                       start = viewOf(c.start.planes, 3, kSize, kSize),
                                       out = viewOf(output, 3, kSize, kSize);
            ASSERT_TRUE(succeeded(session->bindTensor("condition", &in)));
            ASSERT_TRUE(succeeded(session->bindTensor("x_start", &start)));
            ASSERT_TRUE(succeeded(session->bindOutputTensor(&out)));
            ASSERT_TRUE(succeeded(session->run({}, nullptr)));
            const double found = psnr(output, c.clean.planes), expected = figures.recipes[recipe];
            std::printf("%-12s %lld steps: noisy %.3f dB, restored %.3f dB, reference %.3f dB\n",
                        figures.photo, static_cast<long long>(kSteps[recipe]),
                        psnr(c.noisy.planes, c.clean.planes), found, expected);
            EXPECT_NEAR(found, expected, 0.02) << figures.photo << ", " << kSteps[recipe] << " steps";
            worst = std::max(worst, std::fabs(found - expected));
        }
    }
    std::printf("worst difference %.4f dB\n", worst);
}

TEST(Photos, DISABLED_RecordedFigures) {
    convert::ConvertOptions options;
    options.directory = checkpointOf("restore");
    options.steps = {std::begin(kSteps), std::end(kSteps)};
    const convert::Conversion conversion = convert::convertCheckpoint(options);
    const convert::reference::Tables<float> tables = convert::reference::tablesOf<float>(conversion.network);
    const Graph &graph = conversion.network.graph;
    const auto config =
        convert::schedule::readSchedulerConfig(options.directory + "/scheduler/scheduler_config.json");
    for (const Figures &figures : kPhotos) {
        const Case c(figures);
        convert::reference::Array<float> condition(1, 3, kSize, kSize);
        condition.values = c.noisy.planes;
        std::printf("{\"%s\", %u, %u, {", figures.photo, figures.width, figures.height);
        for (size_t recipe = 0; recipe < std::size(kSteps); ++recipe) {
            convert::schedule::Request request;
            request.steps = kSteps[recipe];
            const convert::schedule::Table table = convert::schedule::compile(config, "ddim", request);
            convert::schedule::RunInputs<float> inputs;
            inputs.noise = c.start.planes;
            inputs.condition = c.noisy.planes;
            const auto trajectory = convert::schedule::runTable<float>(
                table, inputs,
                [&](std::span<const float> x, const convert::schedule::Row &, size_t row, std::span<float> m,
                    std::span<float>) {
                    convert::reference::Array<float> state(1, 3, kSize, kSize);
                    std::copy(x.begin(), x.end(), state.values.begin());
                    convert::reference::Step step;
                    step.row = conversion.model.recipes[recipe].rows[row].timestepIndex;
                    const auto tensors = convert::reference::runGraph<float>(
                        graph, tables, {state, condition}, step, convert::reference::Storage::Exact,
                        convert::reference::Keep::Release);
                    const auto &output = convert::reference::modelOutput(graph, tensors);
                    std::copy(output.values.begin(), output.values.end(), m.begin());
                });
            std::printf("%s%.3f", recipe == 0 ? "" : ", ", psnr(trajectory.states.back(), c.clean.planes));
            std::fflush(stdout);
        }
        std::printf("}},\n");
    }
}

} // namespace
} // namespace mote::test
