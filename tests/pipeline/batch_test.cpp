// Batches, classes and guidance: image i of a batch has the bits of a single run with seed + i, whatever the
// classes and however the image is cut; a scale of 1 is one pass; what the tables hold is what the reference
// interpreter says.
#include "convert/checkpoint_folder.h"
#include "pipeline/rig.h"
#include "reference/reference.h"
#include "schedule/guidance.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

using convert::CheckpointFolder;
using convert::ConvertOptions;
using nlohmann::json;

constexpr uint32_t kWidth = 24, kHeight = 16, kClasses = 5;

json with(json config, const json &changes) {
    config.update(changes);
    return config;
}

// A tiny checkpoint of a configuration, kept until the program ends.
std::string folderOf(const json &changes) {
    static std::map<std::string, std::unique_ptr<CheckpointFolder>> all;
    std::unique_ptr<CheckpointFolder> &folder = all[changes.dump()];
    if (!folder)
        folder = std::make_unique<CheckpointFolder>(
            with(with(convert::smallConfig(),
                      {{"block_out_channels", {8, 8, 12}},
                       {"down_block_types", {"DownBlock2D", "DownBlock2D", "AttnDownBlock2D"}},
                       {"up_block_types", {"AttnUpBlock2D", "UpBlock2D", "UpBlock2D"}}}),
                 changes));
    return folder->path();
}

ConvertOptions optionsOf(const json &changes, const convert::schedule::NamedValues &sampler = {}) {
    ConvertOptions options;
    options.directory = folderOf(changes);
    options.steps = {2};
    options.samplerOptions = sampler;
    return options;
}

std::vector<float> pattern(size_t count, double phase) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i)
        values[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i) + phase));
    return values;
}

// How a session is cut: tiles of a side, and the device's limit on a binding.
struct Cut {
    const char *name;
    uint32_t tile;
    std::shared_ptr<gpu::Device> device;
};

// `limit`: bytes of a binding in which a batch of these tests takes two bands.
std::vector<Cut> cuts(uint64_t limit) {
    gpu::LimitsClamp clamp;
    clamp.maxAllocationBytes = clamp.maxStorageBufferRange = limit;
    return {{"whole", 0, sharedDevice()}, {"tiles", 16, sharedDevice()}, {"bands", 8, makeDevice(&clamp)}};
}

struct BatchRun {
    std::unique_ptr<pipeline::Session> session;
    std::vector<float> condition, output;

    BatchRun(const std::shared_ptr<pipeline::LoadedModel> &model, uint32_t batch, uint32_t tile = 0,
             uint32_t times = 1) { // the size
        pipeline::SessionOptions options;
        options.width = times * kWidth;
        options.height = times * kHeight;
        options.batch = batch;
        options.tileWidth = options.tileHeight = tile;
        session = makeSession(model, options);
        output.resize(size_t{batch} * 3 * options.width * options.height);
        const pipeline::TensorView out{batch, 3, options.height, options.width, output.data()};
        EXPECT_TRUE(succeeded(session->bindOutputTensor(&out)));
    }
    void bindCondition(uint32_t batch, uint32_t first) {
        for (uint32_t i = first; i < first + batch; ++i) {
            const std::vector<float> one = pattern(size_t{3} * kWidth * kHeight, i);
            condition.insert(condition.end(), one.begin(), one.end());
        }
        const pipeline::TensorView view{batch, 3, kHeight, kWidth, condition.data()};
        EXPECT_TRUE(succeeded(session->bindTensor("condition", &view)));
    }
    std::vector<float> run(uint64_t seed) {
        pipeline::RunOptions options;
        options.seed = seed;
        EXPECT_TRUE(succeeded(session->run(options, nullptr)));
        return output;
    }
};

std::vector<float> imageOf(const std::vector<float> &batch, size_t image, size_t images) {
    const size_t size = batch.size() / images;
    return {batch.begin() + static_cast<std::ptrdiff_t>(image * size),
            batch.begin() + static_cast<std::ptrdiff_t>((image + 1) * size)};
}

TEST(Batch, EachImageHasTheBitsOfASingleRunWithItsSeed) {
    const std::string file =
        convertToFile(optionsOf({{"in_channels", 6}}, {{"eta", "0.5"}})); // draws in its steps
    for (const Cut &cut : cuts(13 * 1024)) {
        const auto model = loadModel(cut.device, file);
        BatchRun three(model, 3, cut.tile);
        three.bindCondition(3, 0);
        EXPECT_EQ(three.session->plan().bands.size(), cut.name == std::string("bands") ? 2u : 1u);
        const std::vector<float> batch =
            three.run(0xffffffffull); // the sum carries into the seed's upper word
        for (uint32_t i = cut.tile == 0 ? 0 : 2; i < 3; ++i) {
            BatchRun one(model, 1, cut.tile);
            one.bindCondition(1, i);
            EXPECT_EQ(one.run(0xffffffffull + i), imageOf(batch, i, 3)) << cut.name << ", image " << i;
        }
        EXPECT_NE(imageOf(batch, 0, 3), imageOf(batch, 1, 3));
    }
}

TEST(Batch, ImagesAreTakenAndGivenOneByOne) {
    const auto model = loadModel(sharedDevice(), convertToFile(optionsOf({{"in_channels", 6}})));
    std::vector<std::vector<uint8_t>> in(2), out(2), alone(2);
    std::vector<pipeline::ImageView> inputs, outputs;
    for (uint32_t i = 0; i < 2; ++i) {
        const uint32_t bytes = i == 0 ? 4 : 3; // the first has alpha
        in[i].resize(size_t{bytes} * kWidth * kHeight);
        for (size_t k = 0; k < in[i].size(); ++k)
            in[i][k] = static_cast<uint8_t>(k * (i + 3) / 7);
        out[i].resize(size_t{4} * kWidth * kHeight);
        alone[i].resize(out[i].size());
        inputs.push_back({bytes, kWidth, kHeight, size_t{bytes} * kWidth, in[i].data()});
        outputs.push_back({4, kWidth, kHeight, size_t{4} * kWidth, out[i].data()});
    }
    BatchRun both(model, 2);
    ASSERT_TRUE(succeeded(both.session->bindImages("condition", inputs)));
    ASSERT_TRUE(succeeded(both.session->bindOutputImages(outputs)));
    both.run(5);
    for (uint32_t i = 0; i < 2; ++i) {
        BatchRun one(model, 1);
        ASSERT_TRUE(succeeded(one.session->bindImages("condition", {inputs[i]})));
        outputs[i].pixels = alone[i].data();
        ASSERT_TRUE(succeeded(one.session->bindOutputImages({outputs[i]})));
        one.run(5 + i);
        EXPECT_EQ(alone[i], out[i]) << i;
    }
    EXPECT_TRUE(failedWith(both.session->bindImages("condition", {inputs[0]}), StatusCode::InvalidArgument,
                           "found 1 images, expected 2"));
}

TEST(Batch, GivenNoiseIsStepAfterStepForAllImages) {
    const auto model = loadModel(sharedDevice(), convertToFile(optionsOf(json::object(), {{"eta", "1"}})));
    const size_t image = size_t{3} * kWidth * kHeight;
    std::vector<float> start = pattern(2 * image, 0.2), noise = pattern(4 * image, 0.9); // [steps][images]
    BatchRun both(model, 2);
    const pipeline::TensorView starts{2, 3, kHeight, kWidth, start.data()},
        all{4, 3, kHeight, kWidth, noise.data()};
    ASSERT_TRUE(succeeded(both.session->bindTensor("x_start", &starts)));
    ASSERT_TRUE(succeeded(both.session->bindTensor("step_noise", &all)));
    const std::vector<float> batch = both.run(0);
    for (size_t i = 0; i < 2; ++i) {
        BatchRun one(model, 1);
        std::vector<float> ownStart = imageOf(start, i, 2), ownNoise = imageOf(noise, i, 4);
        const std::vector<float> second = imageOf(noise, 2 + i, 4);
        ownNoise.insert(ownNoise.end(), second.begin(), second.end());
        const pipeline::TensorView x{1, 3, kHeight, kWidth, ownStart.data()},
            z{2, 3, kHeight, kWidth, ownNoise.data()};
        ASSERT_TRUE(succeeded(one.session->bindTensor("x_start", &x)));
        ASSERT_TRUE(succeeded(one.session->bindTensor("step_noise", &z)));
        EXPECT_EQ(one.run(0), imageOf(batch, i, 2)) << i;
    }
}

TEST(Batch, TooManyImagesAreRefused) {
    const auto model = loadModel(sharedDevice(), convertToFile(optionsOf(json::object())));
    pipeline::SessionOptions options;
    options.width = options.height = 16;
    options.batch = 5000;
    EXPECT_TRUE(failedWith(pipeline::planSession(*model, options).status(), StatusCode::InvalidArgument,
                           "batch: found 5000 images, expected at most 4096"));
}

const convert::schedule::NamedValues kGuided = {{"guidance", "2.5"}, {"guidance_rescale", "0.7"}};

TEST(Guidance, EachImageOfABatchHasTheBitsOfASingleRunWithItsClass) {
    const std::string file = convertToFile(
        optionsOf({{"num_class_embeds", kClasses}, {"resnet_time_scale_shift", "scale_shift"}}, kGuided));
    const std::vector<int64_t> labels = {3, 0, 4};
    for (const Cut &cut : cuts(26 * 1024)) {
        const auto model = loadModel(cut.device, file);
        BatchRun three(model, 3, cut.tile);
        ASSERT_TRUE(succeeded(three.session->setClassLabels(labels)));
        EXPECT_EQ(three.session->plan().bands.size(), cut.name == std::string("bands") ? 2u : 1u);
        const std::vector<float> batch = three.run(11);
        for (uint32_t i = cut.tile == 0 ? 0 : 2; i < 3; ++i) {
            BatchRun one(model, 1, cut.tile);
            ASSERT_TRUE(succeeded(one.session->setClassLabels({labels[i]})));
            const std::vector<float> alone = one.run(11 + i), expected = imageOf(batch, i, 3);
            // The bands of a batch are others, and with them the order in which standard deviations are
            // summed.
            if (cut.name == std::string("bands")) {
                for (size_t k = 0; k < alone.size(); ++k)
                    ASSERT_NEAR(alone[k], expected[k], 1e-4) << i << ", " << k;
            } else {
                EXPECT_EQ(alone, expected) << cut.name << ", image " << i;
            }
        }
    }
}

uint64_t workgroupsOf(const pipeline::Session &session, uint32_t step) {
    uint64_t groups = 0;
    const auto lists = session.recordedStep(step);
    EXPECT_TRUE(succeeded(lists));
    for (const std::vector<pipeline::Command> &list : lists.value())
        for (const pipeline::Command &command : list)
            groups += command.kind == pipeline::CommandKind::Dispatch ? command.dispatch.groupCount : 0;
    return groups;
}

TEST(Guidance, AScaleOfOneIsOnePassWithTheBitsOfAModelWithoutGuidance) {
    const json changes = {{"num_class_embeds", kClasses}};
    ConvertOptions plain = optionsOf(changes);
    plain.nullClass = "none";
    for (const Cut &cut : cuts(26 * 1024)) {
        BatchRun unguided(loadModel(cut.device, convertToFile(plain)), 2, cut.tile);
        BatchRun guided(loadModel(cut.device, convertToFile(optionsOf(changes, kGuided))), 2, cut.tile);
        const float one = 1, two = 2;
        EXPECT_EQ(unguided.session->plan().passes, 1u);
        EXPECT_EQ(guided.session->plan().passes, 2u);
        EXPECT_TRUE(
            failedWith(unguided.session->setGuidance(&two), StatusCode::InvalidArgument, "no guided step"));
        for (BatchRun *run : {&unguided, &guided})
            ASSERT_TRUE(succeeded(run->session->setClassLabels({1, 2})));
        const std::vector<float> expected = unguided.run(3), ofRecipe = guided.run(3);
        EXPECT_NE(ofRecipe, expected) << cut.name;
        const uint64_t groups = workgroupsOf(*guided.session, 0);
        ASSERT_TRUE(succeeded(guided.session->setGuidance(&one)));
        EXPECT_EQ(guided.run(3), expected) << cut.name;
        EXPECT_LT(10 * workgroupsOf(*guided.session, 0), 6 * groups) << cut.name;
        ASSERT_TRUE(succeeded(guided.session->setGuidance(&two)));
        EXPECT_NE(guided.run(3), expected) << cut.name;
        ASSERT_TRUE(succeeded(guided.session->setGuidance(nullptr)));
        EXPECT_EQ(guided.run(3), ofRecipe) << cut.name;
    }
}

TEST(Guidance, HasItsBarriersAndThePlannedMemory) {
    const auto device = makeDevice();
    const auto model = loadModel(device, convertToFile(optionsOf({{"num_class_embeds", kClasses}}, kGuided)));
    for (const uint32_t tile : {0u, 16u}) {
        BatchRun run(model, 2, tile);
        EXPECT_EQ(device->memoryUse().liveBytes, run.session->plan().peakBytes);
        std::vector<pipeline::Command> all;
        const auto lists = run.session->recordedStep(0);
        ASSERT_TRUE(succeeded(lists));
        for (const std::vector<pipeline::Command> &list : lists.value())
            all.insert(all.end(), list.begin(), list.end());
        EXPECT_TRUE(succeeded(checkHazards(pipeline::recordEntries(all))));
        ASSERT_TRUE(succeeded(run.session->setClassLabels({1, 3})));
        run.run(2);
        EXPECT_EQ(device->memoryUse().liveBytes, run.session->plan().peakBytes);
    }
}

TEST(Guidance, RowsOutsideOfTheIntervalHaveOnePass) {
    const auto model =
        loadModel(sharedDevice(), convertToFile(optionsOf({{"num_class_embeds", kClasses}},
                                                          {{"guidance", "3"}, {"guidance_high", "700"}})));
    BatchRun run(model, 1, 0, 4); // timesteps 999 and 499; workgroups at the edges are few
    ASSERT_TRUE(succeeded(run.session->setClassLabels({2})));
    EXPECT_LT(10 * workgroupsOf(*run.session, 0), 6 * workgroupsOf(*run.session, 1));
    run.run(1);
}

// Row `step` of both passes on the reference interpreter, with the constants that the file holds.
std::vector<float> referenceOutput(const convert::Conversion &conversion, uint32_t step,
                                   const std::vector<float> &x, uint32_t images,
                                   const std::vector<uint32_t> &labels,
                                   const std::vector<std::vector<double>> &vectors) {
    convert::reference::Array<float> input(images, 3, kHeight, kWidth);
    input.values = x;
    convert::reference::Step at;
    at.row = conversion.model.recipes[0].rows[step].timestepIndex;
    at.labels = labels;
    at.vectors = vectors;
    const Graph &graph = conversion.network.graph;
    const auto tensors =
        convert::reference::runGraph<float>(graph, convert::reference::tablesOf<float>(conversion.network),
                                            {input}, at, convert::reference::Storage::Half);
    return convert::reference::modelOutput(graph, tensors).values;
}

// The largest difference, relative to the rms.
double distance(const std::vector<float> &found, const std::vector<float> &expected) {
    EXPECT_EQ(found.size(), expected.size());
    double worst = 0, squares = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        worst = std::max(worst, std::fabs(double(found[i]) - expected[i]));
        squares += double(expected[i]) * expected[i];
    }
    EXPECT_GT(squares, 0);
    return worst / std::sqrt(squares / static_cast<double>(expected.size()));
}

void expectClose(const std::vector<float> &found, const std::vector<float> &expected, double tolerance,
                 const std::string &what) {
    const double relative = distance(found, expected);
    std::printf("%-40s %.2e of the rms\n", what.c_str(), relative);
    EXPECT_LT(relative, tolerance) << what;
}

TEST(Classes, OfEveryKindMatchTheReference) {
    const std::pair<const char *, json> kinds[] = {
        {"table", {{"num_class_embeds", kClasses}}},
        {"table, scale_shift", {{"num_class_embeds", kClasses}, {"resnet_time_scale_shift", "scale_shift"}}},
        {"timestep", {{"class_embed_type", "timestep"}, {"num_class_embeds", 20}}},
        {"vectors, scale_shift",
         {{"class_embed_type", "identity"}, {"resnet_time_scale_shift", "scale_shift"}}},
    };
    for (const auto &[name, changes] : kinds) {
        const convert::Conversion conversion = convert::convertCheckpoint(optionsOf(changes));
        const auto model = loadModel(sharedDevice(), writeToFile(conversion));
        BatchRun run(model, 2);
        EXPECT_TRUE(succeeded(run.session->prepare({}, true, nullptr))) << name; // with its self-check
        const std::vector<uint32_t> labels = {4, 1};
        std::vector<std::vector<double>> vectors;
        if (conversion.network.graph.conditioning.kind == ConditioningKind::Vectors) {
            std::vector<float> all;
            for (double phase : {0.3, 2.1}) {
                const std::vector<float> one = pattern(32, phase);
                vectors.emplace_back(one.begin(), one.end());
                all.insert(all.end(), one.begin(), one.end());
            }
            ASSERT_TRUE(succeeded(run.session->setClassVectors(all.data(), 2, 32)));
        } else {
            ASSERT_TRUE(succeeded(run.session->setClassLabels({4, 1})));
        }
        std::vector<float> x = pattern(size_t{2} * 3 * kWidth * kHeight, 1.5), m(x.size());
        const pipeline::TensorView start{2, 3, kHeight, kWidth, x.data()},
            output{2, 3, kHeight, kWidth, m.data()};
        ASSERT_TRUE(succeeded(run.session->bindTensor("x_start", &start)));
        for (uint32_t step = 0; step < 2; ++step) {
            ASSERT_TRUE(succeeded(run.session->evaluate(step, output)));
            expectClose(m, referenceOutput(conversion, step, x, 2, labels, vectors), 0.015, name);
        }
    }
}

// From the passes that the device itself made, so that nothing but guidance is between the two.
TEST(Guidance, ScaleAndRescalingAreThoseOfThePapers) {
    for (const float rescale : {0.0f, 0.7f}) {
        const json changes = {{"num_class_embeds", kClasses}};
        BatchRun run(
            loadModel(sharedDevice(),
                      convertToFile(optionsOf(
                          changes, {{"guidance", "4"}, {"guidance_rescale", std::to_string(rescale)}}))),
            2);
        std::vector<float> x = pattern(size_t{2} * 3 * kWidth * kHeight, 1.5);
        const pipeline::TensorView start{2, 3, kHeight, kWidth, x.data()};
        ASSERT_TRUE(succeeded(run.session->bindTensor("x_start", &start)));
        const auto evaluated = [&](const std::vector<int64_t> &labels, const float *scale) {
            std::vector<float> m(x.size());
            const pipeline::TensorView output{2, 3, kHeight, kWidth, m.data()};
            EXPECT_TRUE(succeeded(run.session->setClassLabels(labels)));
            EXPECT_TRUE(succeeded(run.session->setGuidance(scale)));
            EXPECT_TRUE(succeeded(run.session->evaluate(1, output)));
            return m;
        };
        const float one = 1;
        const std::vector<float> withClass = evaluated({2, 0}, &one), without = evaluated({4, 4}, &one);
        convert::schedule::Row row;
        row.guided = true;
        row.guidance = 4;
        row.guidanceRescale = double(rescale);
        const std::vector<float> guided = evaluated({2, 0}, nullptr);
        EXPECT_GT(distance(withClass, without), 0.05);
        EXPECT_GT(distance(guided, withClass), 0.1);
        expectClose(guided, convert::schedule::guidedOutput(row, 2, withClass, without), 1e-5,
                    "guidance rescaled by " + std::to_string(rescale));
    }
}

TEST(Classes, AreCheckedAgainstTheModelAndTheBatch) {
    const auto labelled =
        loadModel(sharedDevice(), convertToFile(optionsOf({{"num_class_embeds", kClasses}})));
    BatchRun run(labelled, 2);
    const auto refused = [](const Status &status, const char *part) {
        return failedWith(status, StatusCode::InvalidArgument, part);
    };
    EXPECT_TRUE(refused(run.session->run({}, nullptr), "no class labels are set; the model has 5 classes"));
    EXPECT_TRUE(refused(run.session->setClassLabels({0, 5}), "found 5 for image 1, expected 0 to 4"));
    EXPECT_TRUE(refused(run.session->setClassLabels({-1, 0}), "found -1 for image 0"));
    EXPECT_TRUE(refused(run.session->setClassLabels({0}), "found 1, expected 2"));
    const std::vector<float> vector(64);
    EXPECT_TRUE(refused(run.session->setClassVectors(vector.data(), 2, 32), "the model has class labels"));
    const float infinite = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(refused(run.session->setGuidance(&infinite), "found inf"));

    BatchRun vectors(loadModel(sharedDevice(), convertToFile(optionsOf({{"class_embed_type", "identity"}}))),
                     2);
    EXPECT_TRUE(
        refused(vectors.session->run({}, nullptr), "no class vectors are set; the model takes 32 numbers"));
    EXPECT_TRUE(refused(vectors.session->setClassVectors(vector.data(), 2, 31), "found 2 of 31 numbers"));
    EXPECT_TRUE(refused(vectors.session->setClassLabels({1, 1}), "the model has class vectors"));

    BatchRun plain(loadModel(sharedDevice(), convertToFile(optionsOf(json::object()))), 1);
    EXPECT_TRUE(refused(plain.session->setClassLabels({0}), "the model has no classes"));
    EXPECT_EQ(plain.session->plan().passes, 1u);
    EXPECT_EQ(plain.session->plan().conditioning.totalBytes, 0u);
}

} // namespace
} // namespace mote::test
