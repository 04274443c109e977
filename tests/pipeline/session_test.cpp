// What a session does with inputs, seeds, sizes and broken weights.
#include "pipeline/rig.h"

#include "kernels/noise.h"
#include "pipeline/self_check.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

constexpr const char *kCase = "restore-sr-cond-64-conv"; // small, with attention and a condition

struct SmallRun {
    std::unique_ptr<pipeline::Session> session;
    uint32_t width = 0, height = 0;
    std::vector<float> condition, output;

    SmallRun(const std::shared_ptr<pipeline::LoadedModel> &model, uint32_t w, uint32_t h, uint32_t steps = 0)
        : width(w), height(h) {
        pipeline::SessionOptions options;
        options.width = w;
        options.height = h;
        options.steps = steps;
        session = makeSession(model, options);
        condition.resize(size_t{3} * w * h);
        for (size_t i = 0; i < condition.size(); ++i)
            condition[i] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
        output.assign(condition.size(), 7.0f);
        const pipeline::TensorView in = viewOf(condition, 3, h, w), out = viewOf(output, 3, h, w);
        EXPECT_TRUE(succeeded(session->bindTensor("condition", &in)));
        EXPECT_TRUE(succeeded(session->bindOutputTensor(&out)));
    }
    Status run(uint64_t seed) {
        pipeline::RunOptions options;
        options.seed = seed;
        return session->run(options, nullptr);
    }
};

std::shared_ptr<pipeline::LoadedModel> smallModel() {
    return loadModel(sharedDevice(), convertCase(kCase, {1, 2}));
}

TEST(Session, SameSeedGivesTheSameBitsInEveryRunAndSession) {
    const auto model = smallModel();
    SmallRun first(model, 24, 16), second(model, 24, 16);
    ASSERT_TRUE(succeeded(first.run(5)));
    const std::vector<float> expected = first.output;
    for (float value : expected)
        ASSERT_TRUE(std::isfinite(value));
    ASSERT_TRUE(succeeded(first.run(6)));
    EXPECT_NE(first.output, expected);
    ASSERT_TRUE(succeeded(first.run(5)));
    EXPECT_EQ(first.output, expected);
    ASSERT_TRUE(succeeded(second.run(5)));
    EXPECT_EQ(second.output, expected);
}

TEST(Session, DrawsTheNoiseThatTheGeneratorSays) {
    SmallRun run(smallModel(), 21, 13);
    std::vector<float> start;
    pipeline::RunOptions options;
    options.seed = 0x123456789abcdefull;
    options.trace = [&](uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
        if (step == 0 && std::string(tensor) == "x")
            start.assign(data, data + size_t{shape[1]} * shape[2] * shape[3]);
    };
    ASSERT_TRUE(succeeded(run.session->run(options, nullptr)));
    const uint32_t paddedWidth = run.session->plan().paddedWidth,
                   paddedHeight = run.session->plan().paddedHeight;
    ASSERT_EQ(start.size(), size_t{3} * paddedWidth * paddedHeight);
    for (uint32_t c = 0; c < 3; ++c)
        for (uint32_t y = 0; y < 13; ++y)
            for (uint32_t x = 0; x < 21; ++x)
                ASSERT_EQ(start[(size_t{c} * paddedHeight + y) * paddedWidth + x],
                          noiseNormal({y * 21 + x, c, 0, 0}, options.seed))
                    << c << " " << y << " " << x;
}

TEST(Session, TakesImagesOfAnySize) {
    const auto model = smallModel();
    const struct { uint32_t width, height; } sizes[] = {{1, 1}, {37, 1}, {1, 9}, {33, 65}};
    for (const auto &size : sizes) {
        SmallRun run(model, size.width, size.height, 1);
        EXPECT_EQ(run.session->plan().paddedWidth % model->graph().sizeMultiple, 0u);
        ASSERT_TRUE(succeeded(run.run(1))) << size.width << "x" << size.height;
        for (float value : run.output)
            ASSERT_TRUE(std::isfinite(value) && value != 7.0f);
    }
}

TEST(Session, ReflectsSmallerTensorsUpAsPaddedOnesGiveTheSame) {
    const auto model = smallModel();
    SmallRun small(model, 21, 13), given(model, 21, 13);
    const uint32_t paddedWidth = small.session->plan().paddedWidth,
                   paddedHeight = small.session->plan().paddedHeight;
    std::vector<float> padded;
    for (uint32_t c = 0; c < 3; ++c)
        for (uint32_t y = 0; y < paddedHeight; ++y)
            for (uint32_t x = 0; x < paddedWidth; ++x)
                padded.push_back(small.condition[(size_t{c} * 13 + pipeline::reflectIndex(y, 13)) * 21 +
                                                 pipeline::reflectIndex(x, 21)]);
    const pipeline::TensorView view = viewOf(padded, 3, paddedHeight, paddedWidth);
    ASSERT_TRUE(succeeded(given.session->bindTensor("condition", &view)));
    ASSERT_TRUE(succeeded(small.run(3)));
    ASSERT_TRUE(succeeded(given.run(3)));
    EXPECT_EQ(small.output, given.output);
}

TEST(Session, GivenStateAndNoiseReplaceWhatIsDrawn) {
    convert::ConvertOptions options;
    options.directory = checkpointOf(kCase);
    options.steps = {3};
    options.samplerOptions = {{"eta", "1"}};
    const auto model = loadModel(sharedDevice(), convertToFile(options));
    SmallRun drawn(model, 16, 16), given(model, 16, 16);
    const uint64_t seed = 11;
    ASSERT_TRUE(succeeded(drawn.run(seed)));
    std::vector<float> start, noise;
    uint32_t draw = 0;
    const auto normals = [&](std::vector<float> &to, uint32_t ofDraw, uint32_t stream) {
        for (uint32_t c = 0; c < 3; ++c)
            for (uint32_t i = 0; i < 256; ++i)
                to.push_back(noiseNormal({i, c, ofDraw, stream}, seed));
    };
    normals(start, 0, kInitialNoiseStream);
    for (const StepRow &row : model->model().recipes[0].rows) {
        normals(noise, draw, kStepNoiseStream); // of a row that draws none it is not read
        draw += row.draws;
    }
    EXPECT_GT(draw, 0u);
    const pipeline::TensorView startView = viewOf(start, 3, 16, 16), noiseView{3, 3, 16, 16, noise.data()};
    ASSERT_TRUE(succeeded(given.session->bindTensor("x_start", &startView)));
    ASSERT_TRUE(succeeded(given.session->bindTensor("step_noise", &noiseView)));
    ASSERT_TRUE(succeeded(given.run(999)));
    EXPECT_EQ(given.output, drawn.output);
    ASSERT_TRUE(succeeded(given.session->bindTensor("step_noise", nullptr)));
    ASSERT_TRUE(succeeded(given.run(999)));
    EXPECT_NE(given.output, drawn.output); // noise is drawn from the other seed again
}

// Ops whose outputs are somewhere: no other op's kernel makes them.
size_t opsOf(const pipeline::Session &session) {
    const std::vector<OpKernel> &kernels = session.plan().forward.kernels.ops;
    return static_cast<size_t>(std::count_if(kernels.begin(), kernels.end(),
                                             [](const OpKernel &kernel) { return kernel.within == kNone; }));
}

TEST(Session, TracesStatesOutputsAndOps) {
    SmallRun run(smallModel(), 16, 16, 2);
    std::vector<std::string> names;
    std::vector<float> last;
    size_t ops = 0;
    pipeline::RunOptions options;
    options.traceOps = true;
    options.trace = [&](uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
        const std::string name = tensor;
        if (name != "x" && name != "model_output") {
            ++ops;
            ASSERT_TRUE(std::isfinite(data[0]));
            return;
        }
        names.push_back(name + std::to_string(step));
        last.assign(data, data + size_t{shape[1]} * shape[2] * shape[3]);
    };
    ASSERT_TRUE(succeeded(run.session->run(options, nullptr)));
    EXPECT_EQ(names, (std::vector<std::string>{"x0", "model_output0", "x1", "model_output1", "x2"}));
    EXPECT_EQ(ops, 2 * opsOf(*run.session));
    EXPECT_EQ(last, run.output);
    const std::vector<float> traced = run.output;
    ASSERT_TRUE(succeeded(run.run(0)));
    EXPECT_EQ(run.output, traced); // watching changes nothing
}

TEST(Session, MeasuresEveryOp) {
    SmallRun run(smallModel(), 32, 32);
    const Result<std::vector<pipeline::OpTime>> times = run.session->measure();
    ASSERT_TRUE(succeeded(times));
    ASSERT_EQ(times->size(), run.session->model().graph().ops.size());
    uint32_t dispatches = 0;
    double sum = 0;
    for (const pipeline::OpTime &time : times.value()) {
        EXPECT_GE(time.milliseconds, 0);
        sum += time.milliseconds;
        dispatches += time.dispatches;
    }
    EXPECT_GT(sum, 0);
    EXPECT_EQ(dispatches, run.session->dispatchCount());
}

TEST(Session, PlaysTheSelfCheck) {
    const auto model = smallModel();
    size_t ops = 0;
    float worst = 0;
    const Status status =
        pipeline::playSelfCheck(*model, {}, [&](uint32_t, const char *, const char *, float fraction) {
            ++ops;
            worst = std::max(worst, fraction);
        });
    EXPECT_TRUE(succeeded(status));
    const SelfCheck &selfCheck = model->model().selfCheck;
    SmallRun run(model, selfCheck.width, selfCheck.height);
    EXPECT_EQ(selfCheck.ops.size(), model->graph().ops.size());
    EXPECT_EQ(ops, opsOf(*run.session) + 1);
    EXPECT_GT(worst, 0);
    std::printf("self-check: %zu results, worst %.2f of its tolerance\n", ops, double(worst));
    EXPECT_TRUE(succeeded(run.session->prepare({}, true, nullptr)));
    EXPECT_TRUE(model->selfChecked);
}

TEST(Session, RefusesWhatDoesNotFitByName) {
    const auto model = smallModel();
    SmallRun run(model, 16, 16, 2);
    pipeline::Session &session = *run.session;
    std::vector<float> values(3 * 16 * 16);
    const pipeline::TensorView right = viewOf(values, 3, 16, 16);
    EXPECT_TRUE(failedWith(session.bindTensor("mask", &right), StatusCode::NotFound, "'condition'"));
    pipeline::TensorView wrong = right;
    wrong.h = 15;
    EXPECT_TRUE(
        failedWith(session.bindTensor("condition", &wrong), StatusCode::InvalidArgument, "[1, 3, 15, 16]"));
    EXPECT_TRUE(
        failedWith(session.bindTensor("step_noise", &right), StatusCode::InvalidArgument, "step_noise"));
    EXPECT_TRUE(failedWith(session.evaluate(7, right), StatusCode::InvalidArgument, "7"));
    ASSERT_TRUE(succeeded(session.bindTensor("condition", nullptr)));
    EXPECT_TRUE(failedWith(run.run(0), StatusCode::InvalidArgument, "'condition' is not bound"));
    pipeline::SessionOptions options;
    options.width = options.height = 16;
    options.steps = 9;
    EXPECT_TRUE(failedWith(pipeline::Session::create(model, options).status(), StatusCode::NotFound,
                           "'2' (2 steps)"));
    options.steps = 0;
    options.width = 0;
    EXPECT_TRUE(failedWith(pipeline::Session::create(model, options).status(), StatusCode::InvalidArgument,
                           "0 x 16"));
}

// The case's model with one stored number replaced by the bits of a NaN.
std::string brokenModel(const std::string &weight) {
    convert::ConvertOptions options;
    options.directory = checkpointOf(kCase);
    options.steps = {2};
    convert::Conversion conversion = convert::convertCheckpoint(options);
    bool found = false;
    for (size_t i = 0; i < conversion.constants.weights.size(); ++i)
        if (conversion.constants.weights[i].name == weight) {
            conversion.constants.data[i][0] = 0x00;
            conversion.constants.data[i][1] = 0x7e;
            found = true;
        }
    EXPECT_TRUE(found) << weight;
    return writeToFile(conversion);
}

TEST(Session, ReportsNotANumberWithStepAndOpAndWritesNothing) {
    const struct {
        const char *weight, *says;
    } cases[] = {
        {"mid_block.resnets.0.conv1.weight", "step 1 of 2, first seen by op 'mid_block.resnets.0.norm2'"},
        {"conv_out.weight", "step 1 of 2, first seen by the sampler"}};
    for (const auto &of : cases) {
        const auto model = loadModel(sharedDevice(), brokenModel(of.weight));
        SmallRun run(model, 16, 16);
        for (int repeat = 0; repeat < 2; ++repeat) {
            EXPECT_TRUE(failedWith(run.run(0), StatusCode::NonFinite, of.says));
            for (float value : run.output)
                ASSERT_EQ(value, 7.0f);
        }
        EXPECT_TRUE(failedWith(run.session->prepare({}, true, nullptr), StatusCode::CheckFailed, "op"));
    }
}

} // namespace
} // namespace mote::test
