// Two trained networks that a description converts (tests/goldens/ddpm28), on the device: a model of one
// size.
#include "pipeline/rig.h"

#include "convert/described_networks.h"
#include "reference/reference.h"
#include "support/golden_error.h"

namespace mote::test {
namespace {

class Described : public testing::TestWithParam<const char *> {
protected:
    Described() : golden_(convert::describedNetwork(GetParam())) {
        start_ = golden_.reference.readFloats(golden_.reference.get("x_T"));
    }

    convert::Conversion convert(const std::vector<double> &timesteps) const {
        convert::ConvertOptions options;
        options.directory = golden_.weights;
        options.architecture = golden_.description;
        options.timesteps = timesteps;
        options.samplerOptions = {{"use_clipped_model_output", "true"}};
        return convert::convertCheckpoint(options);
    }

    // With MOTE_AT_THE_FLOOR one with the least that Mote promises to run on.
    static std::shared_ptr<gpu::Device> device() {
        const gpu::LimitsClamp clamp = gpu::floorClamp();
        return MOTE_AT_THE_FLOOR ? makeDevice(&clamp) : sharedDevice();
    }

    static std::shared_ptr<pipeline::Session> session(const convert::Conversion &conversion) {
        pipeline::SessionOptions options;
        options.width = options.height = 28;
        return makeSession(loadModel(device(), writeToFile(conversion)), options);
    }

    void start(pipeline::Session &session, size_t picture) {
        picture_.assign(start_.begin() + static_cast<std::ptrdiff_t>(picture * kPixels),
                        start_.begin() + static_cast<std::ptrdiff_t>((picture + 1) * kPixels));
        const pipeline::TensorView view = viewOf(picture_, 1, 28, 28);
        ASSERT_TRUE(succeeded(session.bindTensor("x_start", &view)));
    }

    // Of a tolerance of the relative L2 error alone; the worst one is kept.
    double judged(std::span<const float> found, std::span<const float> expected, double tolerance) {
        const GoldenError error =
            errorOf(found, expected, {tolerance, std::numeric_limits<double>::infinity()});
        if (error.fraction() > worst_.fraction())
            worst_ = error;
        return error.fraction();
    }

    static constexpr size_t kPixels = 28 * 28, kPictures = 4;
    convert::DescribedNetwork golden_;
    std::vector<float> start_, picture_;
    GoldenError worst_{0, 0, {1, 1}};
};

// As for every golden case: three times the error that fp16 storage has by itself, in the reference
// interpreter, and at least 2e-3 (relative L2).
TEST_P(Described, ForwardPassesMatchTheRecordedOnesWithinFp16) {
    const convert::Conversion conversion = convert(convert::kEpsilonTimesteps);
    const auto tables = convert::reference::tablesOf<float>(conversion.network);
    const auto running = session(conversion);
    std::vector<float> output(kPixels);
    for (size_t picture = 0; picture < 2; ++picture) {
        start(*running, picture);
        for (uint32_t step = 0; step < convert::kEpsilonTimesteps.size(); ++step) {
            const std::string name = "eps_t" + std::to_string(int(convert::kEpsilonTimesteps[step]));
            const std::vector<float> all = golden_.reference.readFloats(golden_.reference.get(name));
            const std::span<const float> expected(all.data() + picture * kPixels, kPixels);
            convert::reference::Array<float> x(1, 1, 28, 28);
            x.values = picture_;
            convert::reference::Step at;
            at.row = step;
            const auto stored = convert::reference::runGraph<float>(conversion.network.graph, tables, {x}, at,
                                                                    convert::reference::Storage::Half);
            const double ofStorage =
                errorOf(convert::reference::modelOutput(conversion.network.graph, stored).values, expected,
                        {})
                    .relativeL2;
            ASSERT_TRUE(succeeded(running->evaluate(step, viewOf(output, 1, 28, 28))));
            EXPECT_LE(judged(output, expected, std::max(3 * ofStorage, 2e-3)), 1.0) << name;
        }
    }
    record("vulkan", "ddpm28", std::string(GetParam()) + ", noise at 5 timesteps", worst_);
}

// A clipped trajectory of twenty steps: 1.5 % of the pictures' norm, five times what it was measured at.
TEST_P(Described, TwentyStepsGiveTheRecordedPictures) {
    const auto running = session(convert(convert::kDdimTimesteps));
    const std::vector<float> all = golden_.reference.readFloats(golden_.reference.get("ddim20_x_0"));
    std::vector<float> found(kPixels);
    for (size_t picture = 0; picture < 2; ++picture) {
        start(*running, picture);
        const pipeline::TensorView view = viewOf(found, 1, 28, 28);
        ASSERT_TRUE(succeeded(running->bindOutputTensor(&view)));
        ASSERT_TRUE(succeeded(running->run({}, nullptr)));
        EXPECT_LE(judged(found, {all.data() + picture * kPixels, kPixels}, 0.015), 1.0) << picture;
    }
    record("vulkan", "ddpm28", std::string(GetParam()) + ", 20 steps of DDIM", worst_);
}

TEST_P(Described, OtherSizesAreRefusedWithTheOneThereIs) {
    const auto model = loadModel(device(), writeToFile(convert({500})));
    pipeline::SessionOptions options;
    options.width = 32;
    options.height = 28;
    const auto refused = pipeline::Session::create(model, options);
    EXPECT_TRUE(failedWith(refused.status(), StatusCode::InvalidArgument, "28 x 28"));
}

INSTANTIATE_TEST_SUITE_P(Networks, Described, testing::Values("mnist", "fashion"),
                         [](const auto &entry) { return std::string(entry.param); });

} // namespace
} // namespace mote::test
