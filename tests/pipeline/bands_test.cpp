// Photos whose planes exceed what one binding or allocation holds: they lie in bands of rows, and give the
// bits that they give in one piece.
#include "convert/checkpoint_folder.h"
#include "pipeline/rig.h"

#include <algorithm>
#include <cstring>

namespace mote::test {
namespace {

// 57 rows are padded to 64, so that bands of at most six rows have a boundary among the reflected ones.
constexpr uint32_t kWidth = 83, kHeight = 57, kTile = 24;
constexpr uint64_t kLimit = 20 * 1024;

// Weights of 5 kB at most: small enough for every limit here.
const convert::CheckpointFolder &tinyCheckpoint() {
    static const std::unique_ptr<convert::CheckpointFolder> folder = [] {
        nlohmann::json config = convert::smallConfig();
        config["in_channels"] = 6;
        config["block_out_channels"] = {8, 8, 8, 8};
        config["down_block_types"] = {"DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"};
        config["up_block_types"] = {"AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"};
        auto made = std::make_unique<convert::CheckpointFolder>(config);
        made->edit(convert::CheckpointFolder::kScheduler,
                   [](nlohmann::json &scheduler) { scheduler["prediction_type"] = "epsilon"; });
        return made;
    }();
    return *folder;
}

std::string tinyModel(const std::string &sampler, int64_t steps,
                      const convert::schedule::NamedValues &values = {}) {
    convert::ConvertOptions options;
    options.directory = tinyCheckpoint().path();
    options.sampler = sampler;
    options.steps = {steps};
    options.samplerOptions = values;
    return convertToFile(options);
}

// 0: as the device has it.
std::shared_ptr<gpu::Device> clampedTo(uint64_t allocation, uint64_t binding) {
    gpu::LimitsClamp clamp;
    clamp.maxAllocationBytes = allocation;
    clamp.maxStorageBufferRange = binding;
    clamp.noBufferDeviceAddress = true; // else other kernels run where their weights fit, with other bits
    return makeDevice(&clamp);
}

pipeline::SessionOptions optionsOf(uint32_t width, uint32_t height, uint32_t tile) {
    pipeline::SessionOptions options;
    options.width = width;
    options.height = height;
    options.tileWidth = options.tileHeight = tile;
    return options;
}

// Everything that a run shows: the image with its alpha and its gaps, the tensor, every traced value.
struct Shown {
    std::vector<uint8_t> image;
    std::vector<float> sample, traced;

    bool operator==(const Shown &) const = default;
};

class Runner {
public:
    Runner(const std::shared_ptr<pipeline::LoadedModel> &model, const pipeline::SessionOptions &options)
        : session(makeSession(model, options)), width_(options.width), height_(options.height) {
        std::mt19937 generator(3);
        std::normal_distribution<float> normal;
        pixels_.resize(inStride() * height_);
        for (uint8_t &value : pixels_)
            value = static_cast<uint8_t>(generator() >> 24);
        floats_.resize(size_t{3} * width_ * height_ * (session->steps() + 1));
        for (float &value : floats_)
            value = normal(generator);
    }

    // 8-bit RGBA with gaps between the rows, in and out; everything else drawn.
    Shown withImages() {
        Shown shown;
        shown.image.assign(outStride() * height_, 0xab);
        pipeline::ImageView in{4, width_, height_, inStride(), pixels_.data()};
        pipeline::ImageView out{4, width_, height_, outStride(), shown.image.data()};
        EXPECT_TRUE(succeeded(session->bindImages("condition", {in})));
        EXPECT_TRUE(succeeded(session->bindOutputImages({out})));
        run(shown);
        EXPECT_TRUE(succeeded(session->bindOutputImages({})));
        return shown;
    }

    // Tensors of the photo's own size, also for the start and the noise of every step.
    Shown withTensors() {
        Shown shown;
        const size_t each = size_t{3} * width_ * height_;
        pipeline::TensorView in{1, 3, height_, width_, floats_.data()};
        pipeline::TensorView start{1, 3, height_, width_, floats_.data() + each / 2};
        pipeline::TensorView noise{session->steps(), 3, height_, width_, floats_.data() + each};
        EXPECT_TRUE(succeeded(session->bindTensor("condition", &in)));
        EXPECT_TRUE(succeeded(session->bindTensor("x_start", &start)));
        EXPECT_TRUE(succeeded(session->bindTensor("step_noise", &noise)));
        run(shown);
        EXPECT_TRUE(succeeded(session->bindTensor("x_start", nullptr)));
        EXPECT_TRUE(succeeded(session->bindTensor("step_noise", nullptr)));
        return shown;
    }

    std::unique_ptr<pipeline::Session> session;

private:
    size_t inStride() const { return size_t{4} * width_ + 12; }
    size_t outStride() const { return size_t{4} * width_ + 5; }

    void run(Shown &shown) {
        shown.sample.resize(size_t{3} * width_ * height_);
        const pipeline::TensorView out{1, 3, height_, width_, shown.sample.data()};
        EXPECT_TRUE(succeeded(session->bindOutputTensor(&out)));
        pipeline::RunOptions options;
        options.seed = 77;
        options.trace = [&](uint32_t, const char *, const uint32_t shape[4], const float *data) {
            shown.traced.insert(shown.traced.end(), data, data + size_t{shape[1]} * shape[2] * shape[3]);
        };
        EXPECT_TRUE(succeeded(session->run(options, nullptr)));
        EXPECT_TRUE(succeeded(session->bindOutputTensor(nullptr)));
    }

    uint32_t width_, height_;
    std::vector<uint8_t> pixels_;
    std::vector<float> floats_;
};

bool hasBoundaryIn(const pipeline::SessionPlan &plan, uint32_t first, uint32_t end) {
    return std::any_of(plan.bands.begin() + 1, plan.bands.end(),
                       [&](const pipeline::RowBand &band) { return band.first > first && band.first < end; });
}

TEST(Bands, TiledPhotoInBandsGivesTheBitsOfOneInOnePiece) {
    const struct {
        const char *sampler;
        int64_t steps;
        convert::schedule::NamedValues values;
        uint32_t registers;
        bool draws;
    } cases[] = {
        {"pndm", 4, {{"skip_prk_steps", "true"}}, 3, false}, // PLMS
        {"dpm-multistep", 3, {{"solver_order", "3"}}, 2, false},
        {"ddim", 2, {{"eta", "1"}}, 0, true},
        {"resshift", 2, {}, 0, true}, // the condition is part of the start and of the steps
    };
    const auto large = clampedTo(0, 0), small = clampedTo(kLimit, kLimit);
    for (const auto &c : cases) {
        SCOPED_TRACE(c.sampler);
        const std::string file = tinyModel(c.sampler, c.steps, c.values);
        const pipeline::SessionOptions options = optionsOf(kWidth, kHeight, kTile);
        Runner whole(loadModel(large, file), options);
        ASSERT_EQ(whole.session->plan().bands.size(), 1u);
        Runner parts(loadModel(small, file), options);
        const pipeline::SessionPlan &plan = parts.session->plan();
        EXPECT_GE(registerCount(parts.session->model().model().recipes[0]), c.registers);
        EXPECT_EQ(plan.noise != kNone, c.draws);
        EXPECT_GT(plan.rows.origins.size(), 1u);
        EXPECT_TRUE(hasBoundaryIn(plan, 1, kTile)) << "inside a tile";
        if (c.registers >= 3) {
            EXPECT_TRUE(hasBoundaryIn(plan, kHeight, plan.paddedHeight)) << "inside the reflected rows";
        }
        for (const pipeline::SessionBuffer &buffer : plan.buffers)
            EXPECT_LE(buffer.bytes, kLimit) << buffer.what;
        EXPECT_EQ(parts.withImages(), whole.withImages());
        if (c.draws) {
            EXPECT_EQ(parts.withTensors(), whole.withTensors());
        }
    }
}

// One tile, and yet more planes than one binding holds. What the network reads is copied out of the bands,
// which changes nothing, and its ops can still be traced.
TEST(Bands, PhotoOfOneTileInBandsGivesTheBitsOfOneInOnePiece) {
    const std::string file = tinyModel("pndm", 4, {{"skip_prk_steps", "true"}});
    const pipeline::SessionOptions options = optionsOf(40, 37, 0);
    Runner whole(loadModel(clampedTo(0, 0), file), options);
    Runner parts(loadModel(clampedTo(56 * 1024, 56 * 1024), file), options);
    EXPECT_FALSE(parts.session->plan().tiled());
    EXPECT_EQ(parts.session->plan().bands.size(), 2u);
    EXPECT_EQ(parts.withImages(), whole.withImages());
    EXPECT_EQ(parts.withTensors(), whole.withTensors());
    const auto traceOps = [](Runner &runner) {
        std::vector<float> values;
        pipeline::RunOptions run;
        run.traceOps = true;
        run.trace = [&](uint32_t, const char *, const uint32_t shape[4], const float *data) {
            values.insert(values.end(), data, data + size_t{shape[1]} * shape[2] * shape[3]);
        };
        EXPECT_TRUE(succeeded(runner.session->run(run, nullptr)));
        return values;
    };
    EXPECT_EQ(traceOps(parts), traceOps(whole));
}

TEST(Bands, EitherLimitMakesThem) {
    const uint64_t large = uint64_t{1} << 27;
    for (const auto &device : {clampedTo(large, kLimit), clampedTo(kLimit, large)}) {
        const auto model = loadModel(device, tinyModel("ddim", 1));
        const Result<pipeline::PlannedSession> planned =
            pipeline::planSession(*model, optionsOf(kWidth, kHeight, kTile));
        ASSERT_TRUE(succeeded(planned));
        EXPECT_EQ(planned->plan.bands.size(), 4u);
    }
}

// A device like many phones: 128 MiB a binding, and no allocation above that.
TEST(Bands, PhotosOfManyMegapixelsArePlannedInTilesOnAnOrdinaryDevice) {
    const struct {
        uint32_t width, height;
    } photos[] = {{4000, 3000}, {8000, 6000}, {12000, 9000}, {65000, 400}, {400, 65000}};
    const uint64_t limit = uint64_t{1} << 27;
    const auto model = loadModel(clampedTo(limit, limit), convertCase("restore", {1}));
    for (const auto &photo : photos) {
        pipeline::SessionOptions options = optionsOf(photo.width, photo.height, 0);
        options.memoryBudget = uint64_t{1} << 33;
        const Result<pipeline::PlannedSession> planned = pipeline::planSession(*model, options);
        ASSERT_TRUE(succeeded(planned)) << photo.width << "x" << photo.height;
        ASSERT_TRUE(succeeded(planned->fits)) << photo.width << "x" << photo.height;
        const pipeline::SessionPlan &plan = planned->plan;
        EXPECT_TRUE(plan.tiled());
        for (const pipeline::SessionBuffer &buffer : plan.buffers)
            EXPECT_LE(buffer.bytes, limit) << buffer.what;
        for (uint64_t bytes : plan.forward.memory.chunkBytes)
            EXPECT_LE(bytes, limit);
        std::printf("%ux%u: %zu bands, %u tiles of %ux%u, %llu bytes\n", photo.width, photo.height,
                    plan.bands.size(), plan.tileCount(), plan.columns.tile, plan.rows.tile,
                    static_cast<unsigned long long>(plan.peakBytes));
    }
}

TEST(Bands, WhatIsTooLargeForAnyBandIsRefusedWithBothNumbers) {
    const auto model = loadModel(clampedTo(1024 * 1024, 1024 * 1024), tinyModel("ddim", 1));
    const auto create = [&](uint32_t width, uint32_t height) {
        return pipeline::Session::create(model, optionsOf(width, height, kTile)).status();
    };
    // 1 MiB is 87,381 pixels of three channels in a row.
    EXPECT_TRUE(failedWith(create(87384, 8), StatusCode::Unsupported, "1048576"));
    EXPECT_TRUE(failedWith(create(4000000000u, 1), StatusCode::Unsupported, "4000000000"));
    EXPECT_TRUE(failedWith(create(4000000000u, 4000000000u), StatusCode::Unsupported, "4000000000"));
    EXPECT_TRUE(failedWith(create(80000, 80000), StatusCode::Unsupported, "2^32"));
}

} // namespace
} // namespace mote::test
