// Recipes with data-dependent rows, known regions and PyTorch's noise, in whole images and in tiles: each
// row of a traced run is held to the formula in double, each preview to the row's estimate.
#include "pipeline/rig.h"

#include "checkpoint_folder.h"
#include "pipeline/torch_generator.h"
#include "reference/reference.h"
#include "row_reference.h"
#include "schedule/evaluate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace mote::test {
namespace {

constexpr uint32_t kSide = 16, kTile = 8;

convert::Conversion conversionWith(const convert::CheckpointFolder &folder, const std::string &sampler,
                                   int64_t steps, const convert::schedule::NamedValues &settings) {
    convert::ConvertOptions options;
    options.directory = folder.path();
    options.sampler = sampler;
    options.steps = {steps};
    options.samplerOptions = settings;
    return convert::convertCheckpoint(options);
}

std::shared_ptr<pipeline::LoadedModel> modelWith(const std::string &sampler, int64_t steps,
                                                 const convert::schedule::NamedValues &settings = {}) {
    const convert::CheckpointFolder folder(convert::plainConfig());
    return loadModel(sharedDevice(), writeToFile(conversionWith(folder, sampler, steps, settings)));
}

std::vector<float> wave(size_t count, double frequency) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(std::sin(frequency * static_cast<double>(i)));
    return values;
}

struct TracedRun {
    std::unique_ptr<pipeline::Session> session;
    std::vector<float> output, noise, known, mask;
    std::map<std::pair<uint32_t, std::string>, std::vector<float>> traced;
    bool looks = false;                                                     // at previews
    std::map<std::pair<uint32_t, uint32_t>, std::vector<uint8_t>> previews; // of a row and an image, RGBA
    uint32_t width, height, images;

    TracedRun(const std::shared_ptr<pipeline::LoadedModel> &model, uint32_t w, uint32_t h, uint32_t tile = 0,
              uint32_t batch = 1)
        : output(size_t{3} * w * h * batch), width(w), height(h), images(batch) {
        pipeline::SessionOptions options;
        options.width = w;
        options.height = h;
        options.tileWidth = options.tileHeight = tile;
        options.batch = batch;
        session = makeSession(model, options);
        EXPECT_EQ(session->plan().tiled(), tile != 0);
        const pipeline::TensorView out{images, 3, h, w, output.data()};
        EXPECT_TRUE(succeeded(session->bindOutputTensor(&out)));
    }
    const Recipe &recipe() const { return session->model().model().recipes[0]; }

    void bindNoise() {
        noise = wave(output.size() * recipe().rows.size(), 0.37);
        for (float &value : noise)
            value *= 1.4f;
        const pipeline::TensorView view{static_cast<uint32_t>(recipe().rows.size()) * images, 3, height,
                                        width, noise.data()};
        ASSERT_TRUE(succeeded(session->bindTensor("step_noise", &view)));
    }
    void bindKnown() {
        known = wave(output.size(), 0.05);
        mask = wave(size_t{width} * height * images, 0.11);
        for (float &value : mask)
            value = value > 0.3f ? 1.0f : value < -0.3f ? 0.0f : 0.5f;
        const pipeline::TensorView image{images, 3, height, width, known.data()},
            where{images, 1, height, width, mask.data()};
        ASSERT_TRUE(succeeded(session->bindTensor("known", &image)));
        ASSERT_TRUE(succeeded(session->bindTensor("mask", &where)));
    }
    Status run(uint64_t seed = 3, pipeline::NoiseSource source = pipeline::NoiseSource::Philox,
               bool ops = false) {
        pipeline::RunOptions options;
        options.traceOps = ops;
        options.seed = seed;
        options.noise = source;
        options.trace = [&](uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
            traced[{step, tensor}].assign(data, data + size_t{shape[0]} * shape[1] * shape[2] * shape[3]);
        };
        if (looks)
            options.preview = [&](uint32_t step, uint32_t image, const pipeline::ImageView &picture) {
                previews[{step, image}].assign(picture.pixels,
                                               picture.pixels + picture.stride * picture.height);
            };
        return session->run(options, nullptr);
    }

    // The row's x0 as bytes, with what is known in its place where the row mixes it in.
    void expectPreview(uint32_t row, const std::vector<double> &x0) {
        const size_t plane = size_t{width} * height;
        for (size_t i = 0; i < x0.size(); ++i) {
            const size_t image = i / (3 * plane), pixel = i % plane, channel = i / plane % 3;
            double value = x0[i];
            if (recipe().rows[row].known) {
                const double fill = double{mask[image * plane + pixel]};
                value = fill * value + (1 - fill) * double{known[i]};
            }
            const std::vector<uint8_t> &preview = previews.at({row, static_cast<uint32_t>(image)});
            ASSERT_NEAR(preview[4 * pixel + channel], std::clamp(127.5 * value + 127.5, 0.0, 255.0), 0.501)
                << "row " << row << ", element " << i;
        }
    }

    // x and m as traced, in the state's own scale, with these normals: the next state.
    void expectRows() {
        RowOperands operands;
        operands.known = known;
        operands.mask = mask;
        const Recipe &rows = recipe();
        for (uint32_t i = 0; i < rows.rows.size(); ++i) {
            const float before = i == 0 ? rows.initScale : rows.rows[i - 1].scale;
            ASSERT_EQ(before, 1.0f); // else the trace has been rounded
            operands.x = traced.at({i, "x"});
            operands.m = traced.at({i, "model_output"});
            if (rows.rows[i].variance != VarianceKind::Fixed)
                operands.variance = traced.at({i, "conv_out_variance"});
            const auto first = noise.begin() + static_cast<std::ptrdiff_t>(i * output.size());
            if (!noise.empty())
                operands.z.assign(first, first + static_cast<std::ptrdiff_t>(output.size()));
            const RowSums expected = rowInDouble(rows.rows[i], {images, 3, height, width, 0}, operands);
            const std::vector<float> &found = traced.at({i + 1, "x"});
            for (size_t k = 0; k < found.size(); ++k)
                ASSERT_LE(std::fabs(double{found[k]} - expected.next[k]), 4 * 0x1p-24 * expected.nextTerms[k])
                    << "row " << i << ", element " << k;
            if (looks)
                expectPreview(i, expected.x0);
        }
    }
};

// Whole, in tiles, and two images at once.
void expectRowsWholeAndTiled(const std::shared_ptr<pipeline::LoadedModel> &model, bool known) {
    const struct { uint32_t tile, batch; } kinds[] = {{0, 1}, {kTile, 1}, {0, 2}};
    for (const auto &kind : kinds) {
        TracedRun run(model, kSide, kSide, kind.tile, kind.batch);
        run.looks = true;
        run.bindNoise();
        if (known)
            run.bindKnown();
        ASSERT_TRUE(succeeded(run.run()));
        run.expectRows();
    }
}

TEST(Recipes, DynamicThresholdIsTakenOverTheWholeImage) {
    const auto model =
        modelWith("ddim", 3, {{"thresholding", "true"}, {"sample_max_value", "1.5"}, {"eta", "1"}});
    ASSERT_EQ(model->model().recipes[0].rows[0].clip, ClipKind::Threshold);
    expectRowsWholeAndTiled(model, false);
}

TEST(Recipes, LangevinStepsTakeTheNormsOfTheWholeImage) {
    const auto model = modelWith("vp-sde", 3, {{"corrector", "langevin"}, {"beta_max", "2"}});
    ASSERT_TRUE(model->model().recipes[0].rows[0].langevin);
    expectRowsWholeAndTiled(model, false);
}

TEST(Recipes, KnownRegionsAreMixedIn) {
    const auto model = modelWith("repaint", 4, {{"jump_length", "2"}, {"jump_n_sample", "2"}});
    ASSERT_GT(model->model().recipes[0].rows.size(), 4u);
    expectRowsWholeAndTiled(model, true);
    TracedRun run(model, kSide, kSide);
    run.bindKnown();
    ASSERT_TRUE(succeeded(run.run()));
    for (size_t i = 0; i < run.output.size(); ++i)
        ASSERT_TRUE(run.mask[i % (kSide * kSide)] != 0 || run.output[i] == run.known[i]) << i;
}

TEST(Recipes, LearnedVarianceScalesTheNoise) {
    const convert::CheckpointFolder folder(convert::plainConfig(3, 6)); // the second half: the variance
    const auto conversion = conversionWith(folder, "ddpm", 3, {{"variance_type", "learned_range"}});
    TracedRun run(loadModel(sharedDevice(), writeToFile(conversion)), kSide, kSide);
    ASSERT_EQ(run.recipe().rows[0].variance, VarianceKind::Interpolated);
    run.looks = true;
    run.bindNoise();
    ASSERT_TRUE(succeeded(run.run(3, pipeline::NoiseSource::Philox, true)));
    run.expectRows();
}

// From start to end against the reference network and the table in double: within four times what storing
// activations as fp16 changes in the reference.
void expectReferenceToTheEnd(const nlohmann::json &config, const std::string &sampler,
                             const convert::schedule::Request &request) {
    const convert::CheckpointFolder folder(config);
    const auto conversion = conversionWith(folder, sampler, request.steps, request.options);
    const convert::schedule::Table table =
        compile(convert::schedule::readSchedulerConfig(folder.file(convert::CheckpointFolder::kScheduler)),
                sampler, request);
    const Graph &graph = conversion.network.graph;
    const auto tables = convert::reference::tablesOf<double>(conversion.network);
    TracedRun run(loadModel(sharedDevice(), writeToFile(conversion)), kSide, kSide);
    run.bindNoise();
    const std::vector<float> normals = wave(run.output.size(), 0.71);
    std::vector<float> start = normals;
    for (float &value : start)
        value *= run.recipe().initNoise;
    const pipeline::TensorView view = viewOf(start, 3, kSide, kSide);
    ASSERT_TRUE(succeeded(run.session->bindTensor("x_start", &view)));
    ASSERT_TRUE(succeeded(run.run()));

    const std::vector<double> noise(run.noise.begin(), run.noise.end()),
        first(normals.begin(), normals.end());
    convert::schedule::RunInputs<double> inputs;
    inputs.noise = first;
    inputs.stepNoise = [&](size_t row) { return std::span(noise).subspan(row * first.size(), first.size()); };
    const auto sampleWith = [&](convert::reference::Storage storage) {
        return convert::schedule::runTable<double>(
                   table, inputs,
                   [&](std::span<const double> x, const convert::schedule::Row &, size_t index,
                       std::span<double> m, std::span<double> extra) {
                       convert::reference::Array<double> state(1, 3, kSide, kSide);
                       std::copy(x.begin(), x.end(), state.values.begin());
                       convert::reference::Step step;
                       step.row = conversion.model.recipes[0].rows[index].timestepIndex;
                       const auto arrays =
                           convert::reference::runGraph<double>(graph, tables, {state}, step, storage);
                       for (const Port &port : graph.ports) {
                           const std::vector<double> &values = arrays[port.tensor].values;
                           if (port.source == PortSource::ModelOutput)
                               std::copy(values.begin(), values.end(), m.begin());
                           if (port.source == PortSource::ModelVariance && !extra.empty())
                               std::copy(values.begin(), values.end(), extra.begin());
                       }
                   })
            .states.back();
    };
    const std::vector<double> exact = sampleWith(convert::reference::Storage::Exact),
                              stored = sampleWith(convert::reference::Storage::Half);
    double error = 0, rounding = 0, norm = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
        error += std::pow(double{run.output[i]} - exact[i], 2);
        rounding += std::pow(stored[i] - exact[i], 2);
        norm += std::pow(exact[i], 2);
    }
    std::printf("error %.2e, of fp16 storage %.2e\n", std::sqrt(error / norm), std::sqrt(rounding / norm));
    EXPECT_LE(std::sqrt(error), 4 * std::sqrt(rounding));
    EXPECT_LT(rounding, 1e-4 * norm); // it says something
}

TEST(Recipes, LearnedVarianceMatchesTheReferenceToTheEnd) {
    convert::schedule::Request request;
    request.steps = 4;
    // To timestep 0, where no noise is added: from a later one the last step's least variance would be 1e-20,
    // and the network's fp16 would count as much as its ratio to the largest.
    request.options = {{"variance_type", "learned_range"}, {"timestep_spacing", "leading"}};
    expectReferenceToTheEnd(convert::plainConfig(3, 6), "ddpm", request);
}

// A score network of Song et al. 2021 as its sampler drives it: sigmas from 1348 to 0.01, Langevin
// correctors, Skip blocks, Fourier features and the output's division by sigma.
TEST(Recipes, VarianceExplodingScoreNetworkMatchesTheReferenceToTheEnd) {
    nlohmann::json config = convert::smallConfig();
    config.update({{"block_out_channels", {32, 32, 32}},
                   {"down_block_types", {"SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"}},
                   {"up_block_types", {"SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"}},
                   {"norm_num_groups", nullptr},
                   {"time_embedding_type", "fourier"},
                   {"center_input_sample", true},
                   {"mid_block_scale_factor", 1.4142135623730951}});
    convert::schedule::Request request;
    request.steps = 4;
    expectReferenceToTheEnd(config, "ve-sde", request);
}

TEST(Recipes, KnownRegionsNeedMaskAndImage) {
    TracedRun run(modelWith("repaint", 4, {{"jump_length", "2"}, {"jump_n_sample", "2"}}), kSide, kSide);
    EXPECT_TRUE(failedWith(run.run(), StatusCode::InvalidArgument, "'mask' is not bound"));
    std::vector<float> wide(size_t{3} * kSide * kSide);
    const pipeline::TensorView view = viewOf(wide, 3, kSide, kSide);
    EXPECT_TRUE(failedWith(run.session->bindTensor("mask", &view), StatusCode::InvalidArgument,
                           "expected [1, 1, 16, 16]"));
    TracedRun plain(modelWith("ddim", 2), kSide, kSide);
    EXPECT_TRUE(
        failedWith(plain.session->bindTensor("mask", &view), StatusCode::NotFound, "no input 'mask'"));
}

// White is to be filled in; the picture has the state's range.
TEST(Recipes, MaskAndKnownImageMayBePictures) {
    const auto model = modelWith("repaint", 4, {{"jump_length", "2"}, {"jump_n_sample", "2"}});
    std::vector<uint8_t> picture(size_t{3} * kSide * kSide), mask(size_t{kSide} * kSide);
    TracedRun fromPictures(model, kSide, kSide), fromTensors(model, kSide, kSide);
    for (size_t i = 0; i < picture.size(); ++i)
        picture[i] = static_cast<uint8_t>(i * 31 % 256);
    for (size_t i = 0; i < mask.size(); ++i)
        mask[i] = i % kSide < kSide / 2 ? 255 : 0;
    const pipeline::ImageView image{3, kSide, kSide, 3 * kSide, picture.data()},
        where{1, kSide, kSide, kSide, mask.data()};
    ASSERT_TRUE(succeeded(fromPictures.session->bindImages("known", {image})));
    ASSERT_TRUE(succeeded(fromPictures.session->bindImages("mask", {where})));
    fromTensors.known.resize(picture.size());
    for (size_t i = 0; i < mask.size(); ++i)
        for (size_t c = 0; c < 3; ++c)
            fromTensors.known[c * mask.size() + i] = -1 + 2.0f / 255 * static_cast<float>(picture[3 * i + c]);
    for (const uint8_t value : mask)
        fromTensors.mask.push_back(value == 255 ? 1.0f : 0.0f);
    const pipeline::TensorView known = viewOf(fromTensors.known, 3, kSide, kSide),
                               fill = viewOf(fromTensors.mask, 1, kSide, kSide);
    ASSERT_TRUE(succeeded(fromTensors.session->bindTensor("known", &known)));
    ASSERT_TRUE(succeeded(fromTensors.session->bindTensor("mask", &fill)));
    ASSERT_TRUE(succeeded(fromPictures.run()));
    ASSERT_TRUE(succeeded(fromTensors.run()));
    for (size_t i = 0; i < fromPictures.output.size(); ++i)
        ASSERT_NEAR(fromPictures.output[i], fromTensors.output[i], 1e-4f) << i;
}

// A last step to timestep 0 draws none; one from a later timestep does, with a deviation of 1e-10 (the least
// variance of diffusers is 1e-20), which only elements near 0 show.
TEST(Recipes, TorchNoiseIsTheStartAndThenEveryStepThatDraws) {
    for (const bool lastDraws : {false, true}) {
        const auto model = modelWith(
            "ddpm", 3, {{"clip_sample", "false"}, {"timestep_spacing", lastDraws ? "trailing" : "leading"}});
        ASSERT_EQ(model->model().recipes[0].rows.back().c != 0, lastDraws);
        for (const uint32_t tile : {0u, kTile}) {
            TracedRun run(model, kSide, kSide, tile);
            ASSERT_TRUE(succeeded(run.run(7, pipeline::NoiseSource::Torch)));
            pipeline::TorchGenerator generator(7);
            std::vector<float> start(run.output.size());
            generator.normals(start.data(), start.size());
            EXPECT_EQ(run.traced.at({0, "x"}), start);
            run.noise.resize(run.output.size() * 3);
            for (uint32_t step = 0; step < (lastDraws ? 3u : 2u); ++step)
                generator.normals(run.noise.data() + step * run.output.size(), run.output.size());
            run.expectRows();
        }
    }
}

TEST(Recipes, TorchNoiseGivesWayToWhatIsGiven) {
    const auto model = modelWith("ddpm", 2, {{"clip_sample", "false"}, {"timestep_spacing", "leading"}});
    TracedRun run(model, kSide, kSide);
    std::vector<float> start = wave(run.output.size(), 0.2);
    const pipeline::TensorView view = viewOf(start, 3, kSide, kSide);
    ASSERT_TRUE(succeeded(run.session->bindTensor("x_start", &view)));
    ASSERT_TRUE(succeeded(run.run(7, pipeline::NoiseSource::Torch)));
    EXPECT_EQ(run.traced.at({0, "x"}), start);
    run.noise.resize(run.output.size() * 2); // the generator begins with the first step, the last draws none
    pipeline::TorchGenerator(7).normals(run.noise.data(), run.output.size());
    run.expectRows();
}

} // namespace
} // namespace mote::test
