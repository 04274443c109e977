// From a checkpoint to a model: what the file holds.
#include "checkpoint_folder.h"

#include "convert.h"
#include "model/reader.h"
#include "random_unet.h"
#include "read/half.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace mote::convert {
namespace {

Conversion converted(const CheckpointFolder &folder,
                     const std::function<void(ConvertOptions &)> &change = {}) {
    ConvertOptions options;
    options.directory = folder.path();
    if (change)
        change(options);
    return convertCheckpoint(options);
}

TEST(Convert, OneRecipeForEachNumberOfSteps) {
    const CheckpointFolder folder;
    const Model model = converted(folder, [](ConvertOptions &o) { o.steps = {1, 2, 4}; }).model;
    ASSERT_EQ(model.recipes.size(), 3u);
    EXPECT_EQ(model.recipes[1].name, "2");
    EXPECT_EQ(model.recipes[1].steps, 2u);
    EXPECT_EQ(model.timesteps,
              (std::vector<float>{999, 499, 749, 249})); // in the order in which recipes meet them
    for (const Recipe &recipe : model.recipes)
        for (const StepRow &row : recipe.rows)
            EXPECT_EQ(model.timesteps.at(row.timestepIndex), row.timestep);
}

TEST(Convert, GivenTimestepsStandInTheOrderGivenWithRepeats) {
    const CheckpointFolder folder;
    const Model model = converted(folder, [](ConvertOptions &o) { o.timesteps = {0, 999, 499, 999}; }).model;
    ASSERT_EQ(model.recipes.size(), 1u);
    std::vector<float> found;
    for (const StepRow &row : model.recipes[0].rows)
        found.push_back(row.timestep);
    EXPECT_EQ(found, (std::vector<float>{0, 999, 499, 999}));
    EXPECT_EQ(model.timesteps.size(), 3u);
}

TEST(Convert, FourStepsWhenNoneAreGiven) {
    const CheckpointFolder folder;
    const Model model = converted(folder).model;
    ASSERT_EQ(model.recipes.size(), 1u);
    EXPECT_EQ(model.recipes[0].name, "4");
}

std::string refusalOf(const CheckpointFolder &folder,
                      const std::function<void(ConvertOptions &)> &change = {}) {
    try {
        converted(folder, change);
    } catch (const ReadError &error) {
        return error.what();
    }
    return "converted";
}

nlohmann::json configWith(const nlohmann::json &changes) {
    nlohmann::json config = smallConfig();
    config.update(changes);
    return config;
}

TEST(Convert, FourierFeaturesNeedTimestepsAboveZeroAndDivideTheOutputByThem) {
    const CheckpointFolder folder(configWith({{"time_embedding_type", "fourier"}}));
    const auto at = [](std::vector<double> timesteps) {
        return [timesteps](ConvertOptions &o) { o.timesteps = timesteps; };
    };
    const Model model = converted(folder, at({500, 4})).model;
    const Op &last = model.graphs[0].ops.back();
    EXPECT_EQ(last.outputScales, (std::vector<float>{1 / 500.0f, 0.25f}));
    EXPECT_NE(refusalOf(folder, at({500, 0}))
                  .find("unet/config.json: time_embedding_type \"fourier\": found timestep 0 in "
                        "recipe \"2\", expected timesteps above 0"),
              std::string::npos);
}

TEST(Convert, LearnedFeaturesTakeTheRowsOfTheirTableAlone) {
    const CheckpointFolder folder(
        configWith({{"time_embedding_type", "learned"}, {"num_train_timesteps", 900}}));
    EXPECT_EQ(converted(folder,
                        [](ConvertOptions &o) {
                            o.timesteps = {899, 0};
                        })
                  .model.timesteps,
              (std::vector<float>{899, 0}));
    EXPECT_NE(refusalOf(folder, [](ConvertOptions &o) { o.timesteps = {900}; })
                  .find("whole timesteps from 0 to 899"),
              std::string::npos);
}

TEST(Convert, FourierFrequenciesUnderTwoNamesMustBeTheSame) {
    const nlohmann::json config = configWith({{"time_embedding_type", "fourier"}});
    const auto renamed = [](const char *to) {
        return [to](const std::string &name) { return name == "time_proj.weight" ? to : name; };
    };
    const CheckpointFolder one(config), other(config, renamed("time_proj.W"));
    const auto four = [](ConvertOptions &o) { o.timesteps = {4}; };
    EXPECT_EQ(converted(one, four).constants.data, converted(other, four).constants.data);
    // Both names in one file, first with the same values, then with others.
    for (const float change : {0.0f, 1.0f}) {
        const Weights weights(one.file(CheckpointFolder::kWeights));
        std::vector<TensorToWrite> all;
        for (const StoredTensor &tensor : weights.tensors()) {
            all.push_back({tensor.name, tensor.shape, weights.readFloats(tensor)});
            if (tensor.name != "time_proj.weight")
                continue;
            all.push_back(all.back());
            all.back().name = "time_proj.W";
            all.back().values[0] += change;
        }
        const CheckpointFolder both(config);
        writeSafetensors(both.file(CheckpointFolder::kWeights), all);
        EXPECT_EQ(refusalOf(both, four).find("differ, expected the same frequencies") != std::string::npos,
                  change != 0)
            << refusalOf(both, four);
    }
}

TEST(Convert, StepsGivenTwiceAreRefused) {
    const CheckpointFolder folder;
    EXPECT_THROW(converted(folder, [](ConvertOptions &o) { o.steps = {2, 2}; }), ReadError);
}

TEST(Convert, RecipesOfSeveralSamplersByName) {
    const CheckpointFolder folder;
    const Model model =
        converted(folder, [](ConvertOptions &o) {
            o.recipes = {parseRecipe("fine=dpm-multistep:6,solver_order=3"), parseRecipe("fast=euler:2")};
            o.steps = {3};
        }).model;
    ASSERT_EQ(model.recipes.size(), 3u);
    EXPECT_EQ(model.recipes[0].name, "fine");
    EXPECT_EQ(model.recipes[0].sampler, "dpm-multistep");
    EXPECT_EQ(model.recipes[0].steps, 6u);
    EXPECT_NE(model.recipes[0].rows[2].h[1], 0); // third order
    EXPECT_EQ(model.recipes[1].name, "fast");
    EXPECT_EQ(model.recipes[1].sampler, "euler");
    EXPECT_EQ(model.recipes[2].name, "3");
    EXPECT_EQ(model.recipes[2].sampler, "ddim");
    for (const Recipe &recipe : model.recipes)
        for (const StepRow &row : recipe.rows)
            EXPECT_EQ(model.timesteps.at(row.timestepIndex), row.timestep);
    const Model alone =
        converted(folder, [](ConvertOptions &o) { o.recipes = {parseRecipe("fast=euler:2")}; }).model;
    EXPECT_EQ(alone.recipes.size(), 1u);
}

TEST(Convert, RecipesOfOneNameAreRefused) {
    const CheckpointFolder folder;
    for (const char *second : {"a=ddim:3", "2=euler:5"}) {
        try {
            converted(folder, [&](ConvertOptions &o) {
                o.recipes = {parseRecipe("a=ddim:2"), parseRecipe(second)};
                o.steps = {2};
            });
            ADD_FAILURE() << second << " was accepted";
        } catch (const ReadError &error) {
            EXPECT_NE(std::string(error.what()).find("found twice"), std::string::npos) << error.what();
        }
    }
}

TEST(Convert, RecipeTextsThatMakeNoSenseAreRefused) {
    for (const char *bad : {"", "ddim:4", "=ddim:4", "a=ddim", "a=:4", "a=ddim:", "a=ddim:0", "a=ddim:4x",
                            "a=ddim:4,", "a=ddim:4,eta", "a=ddim:4,=1"}) {
        try {
            parseRecipe(bad);
            ADD_FAILURE() << "'" << bad << "' was accepted";
        } catch (const ReadError &error) {
            EXPECT_NE(std::string(error.what()).find("NAME=SAMPLER:STEPS"), std::string::npos);
        }
    }
}

// Twice as many channels out as in: the second half is the variance of the step's noise.
TEST(Convert, LearnedVarianceIsAnOutputOfItsOwn) {
    nlohmann::json config = smallConfig();
    config["out_channels"] = 6;
    const CheckpointFolder folder(config);
    const auto convertedWith = [&](const std::string &sampler, const std::string &type) {
        return converted(folder, [&](ConvertOptions &o) {
            o.sampler = sampler;
            if (!type.empty())
                o.samplerOptions = {{"variance_type", type}};
        });
    };
    for (const char *type : {"learned", "learned_range"}) {
        const Conversion conversion = convertedWith("ddpm", type);
        const Graph &graph = conversion.model.graphs[0];
        ASSERT_EQ(graph.ports.size(), 3u);
        EXPECT_EQ(graph.ports[1].source, PortSource::ModelOutput);
        EXPECT_EQ(graph.ports[2].source, PortSource::ModelVariance);
        for (const Port &port : graph.ports)
            EXPECT_EQ(graph.tensors[port.tensor].channels, 3u) << port.name;
        EXPECT_NE(conversion.model.recipes[0].rows[0].variance, VarianceKind::Fixed);
    }
    // A sampler that does not read it leaves it out.
    const Conversion plain = convertedWith("ddim", "");
    EXPECT_EQ(plain.model.graphs[0].ports.size(), 2u);
    EXPECT_EQ(plain.model.graphs[0].tensors[plain.model.graphs[0].ports[1].tensor].channels, 3u);
}

TEST(Convert, HalvesOfTheOutputAreThoseOfTheWholeConvolution) {
    nlohmann::json whole = smallConfig(), halved = smallConfig();
    whole["in_channels"] = whole["out_channels"] = 6u;
    halved["in_channels"] = 6u; // a condition of 3 channels, and the variance in the second half
    halved["out_channels"] = 6u;
    UNetConfig plain = parseUNetConfig(nlohmann::json::parse(whole.dump()), "whole"),
               split = parseUNetConfig(nlohmann::json::parse(halved.dump()), "halved");
    split.variance = UNetConfig::Variance::Used;
    RandomTensors first, second; // the same numbers
    const Network one = lowerUNet(plain, first.source()), two = lowerUNet(split, second.source());
    const auto input = randomArray<double>(1, 6, 8, 8, 5);
    reference::Array<double> state(1, 3, 8, 8), condition(1, 3, 8, 8);
    std::copy_n(input.values.begin(), state.values.size(), state.values.begin());
    std::copy_n(input.values.begin() + 192, condition.values.size(), condition.values.begin());
    reference::Step step;
    step.timestep = 250;
    step.features = one.timestepFeatures;
    const auto all = reference::runGraph<double>(one.graph, reference::tablesOf<double>(one), {input}, step);
    const auto parts =
        reference::runGraph<double>(two.graph, reference::tablesOf<double>(two), {state, condition}, step);
    const auto &expected = reference::modelOutput(one.graph, all).values;
    std::vector<double> found = reference::modelOutput(two.graph, parts).values;
    for (const Port &port : two.graph.ports)
        if (port.source == PortSource::ModelVariance)
            found.insert(found.end(), parts[port.tensor].values.begin(), parts[port.tensor].values.end());
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i)
        EXPECT_EQ(found[i], expected[i]) << i;
}

TEST(Convert, LearnedVarianceNeedsTwiceTheChannels) {
    const CheckpointFolder folder; // 3 in, 3 out
    try {
        converted(folder, [](ConvertOptions &o) {
            o.sampler = "ddpm";
            o.samplerOptions = {{"variance_type", "learned_range"}};
        });
        FAIL() << "was accepted";
    } catch (const ReadError &error) {
        EXPECT_NE(std::string(error.what()).find("out_channels is 3"), std::string::npos) << error.what();
    }
    nlohmann::json config = smallConfig();
    config["out_channels"] = 5u;
    EXPECT_THROW(parseUNetConfig(config, "config.json"), ReadError);
}

TEST(Convert, TasksNameTheInputs) {
    nlohmann::json config = smallConfig();
    config["in_channels"] = 7;
    const CheckpointFolder folder(config);
    const Model inpaint = converted(folder, [](ConvertOptions &o) { o.task = "inpaint"; }).model;
    EXPECT_EQ(inpaint.task, "inpaint");
    const Graph &graph = inpaint.graphs[0];
    std::string ports;
    for (const Port &port : graph.ports)
        ports += port.name + "[" + std::to_string(graph.tensors[port.tensor].channels) + "] ";
    EXPECT_EQ(ports, "x[3] mask[1] known[3] model_output[3] ");
    std::string order; // in which the network's first convolution sees them
    for (uint32_t input : graph.ops[0].inputs)
        order += graph.tensors[input].name + " ";
    EXPECT_EQ(order, "x mask known ");
    EXPECT_EQ(inpaint.selfCheck.inputs.size(), 3u);

    const auto refuses = [&](const char *task, const char *what) {
        try {
            const Conversion conversion = converted(folder, [&](ConvertOptions &o) { o.task = task; });
            writeConversion(conversion, folder.file("refused.mote"));
            ADD_FAILURE() << task << " was not refused";
        } catch (const ReadError &error) {
            EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
        }
        EXPECT_FALSE(std::filesystem::exists(folder.file("refused.mote")));
    };
    refuses("knit", "task: found 'knit', expected one of: generate, restore, denoise");
    refuses("denoise", "task 'denoise': found inputs 'condition' of 4 channels and 3 channels in the state");
    refuses("colourise", "expected one image 'condition' of one channel and two channels in the state");
    config["in_channels"] = 6;
    const CheckpointFolder plain(config);
    EXPECT_EQ(converted(plain, [](ConvertOptions &o) { o.task = "super-resolution-x4"; }).model.task,
              "super-resolution-x4");
    EXPECT_THROW(converted(plain, [](ConvertOptions &o) { o.task = "inpaint"; }), ReadError);
}

TEST(Convert, AnotherSchedulerReplacesTheCheckpointsOwn) {
    const CheckpointFolder folder;
    const std::string path = folder.file("other.json");
    writeFile(
        path,
        R"({"_class_name": "DDIMScheduler", "prediction_type": "sample", "timestep_spacing": "leading"})");
    const Model model = converted(folder, [&](ConvertOptions &o) { o.schedulerConfig = path; }).model;
    EXPECT_EQ(model.timesteps, (std::vector<float>{750, 500, 250, 0}));
}

nlohmann::json withClasses() {
    nlohmann::json config = smallConfig();
    config["num_class_embeds"] = 5;
    return config;
}

TEST(Convert, TheLastClassStandsForNoneUnlessAnotherIsNamed) {
    const CheckpointFolder folder(withClasses());
    const auto nullClass = [&](const char *given) {
        return converted(folder, [&](ConvertOptions &o) { o.nullClass = given; })
            .model.graphs[0]
            .conditioning.nullClass;
    };
    EXPECT_EQ(nullClass(""), 4u);
    EXPECT_EQ(nullClass("0"), 0u);
    EXPECT_EQ(nullClass("none"), kNone);
    for (const char *wrong : {"5", "-1", "x", "1.5", "1 "})
        EXPECT_THROW(nullClass(wrong), ReadError) << wrong;
    const CheckpointFolder plain;
    EXPECT_THROW(converted(plain, [](ConvertOptions &o) { o.nullClass = "0"; }), ReadError);
}

TEST(Convert, ClassesOfEveryKindAreConditionedOn) {
    for (const char *type : {"timestep", "identity"}) {
        nlohmann::json config = smallConfig();
        config["class_embed_type"] = type;
        const CheckpointFolder folder(config);
        const Conversion conversion = converted(folder);
        const Conditioning &conditioning = conversion.model.graphs[0].conditioning;
        const bool labels = std::string(type) == "timestep";
        EXPECT_EQ(conditioning.kind, labels ? ConditioningKind::Labels : ConditioningKind::Vectors);
        EXPECT_EQ(conditioning.nullClass, kNone) << "a number has no none unless one is named";
        if (labels) {
            EXPECT_EQ(conversion.model.weights[conditioning.classes].shape[0], 1000u);
        }
        for (const StepRow &row : conversion.model.recipes[0].rows)
            EXPECT_EQ(row.guided, !labels);
    }
}

TEST(Convert, GuidanceIsInEveryRowOrInAnIntervalOfTimesteps) {
    const CheckpointFolder folder(withClasses());
    const auto rows = [&](schedule::NamedValues options) {
        return converted(folder, [&](ConvertOptions &o) { o.samplerOptions = std::move(options); })
            .model.recipes[0]
            .rows; // timesteps 999, 749, 499, 249
    };
    for (const StepRow &row : rows({})) {
        EXPECT_TRUE(row.guided);
        EXPECT_EQ(row.guidance, 1.0f);
        EXPECT_EQ(row.guidanceRescale, 0.0f);
    }
    const std::vector<StepRow> some = rows({{"guidance", "3.5"},
                                            {"guidance_rescale", "0.7"},
                                            {"guidance_low", "499"},
                                            {"guidance_high", "800"}});
    ASSERT_EQ(some.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
        const bool inside = i == 1 || i == 2;
        EXPECT_EQ(some[i].guided, inside) << i;
        EXPECT_EQ(some[i].guidance, inside ? 3.5f : 1.0f) << i;
        EXPECT_EQ(some[i].guidanceRescale, inside ? 0.7f : 0.0f) << i;
    }
    EXPECT_THROW(rows({{"guidance", "much"}}), ReadError);
    EXPECT_THROW(rows({{"guidance_rescale", "1.5"}}), ReadError);
}

TEST(Convert, GuidanceWithoutAClassThatCanBeLeftOutIsRefused) {
    const auto guide = [](ConvertOptions &o) { o.samplerOptions = {{"guidance", "2"}}; };
    const CheckpointFolder plain, classes(withClasses());
    EXPECT_THROW(converted(plain, guide), ReadError);
    EXPECT_THROW(converted(classes,
                           [&](ConvertOptions &o) {
                               guide(o);
                               o.nullClass = "none";
                           }),
                 ReadError);
}

TEST(Convert, TaskAndPortsFollowTheChannels) {
    const CheckpointFolder plain;
    const Model generate = converted(plain).model;
    EXPECT_EQ(generate.task, "generate");
    ASSERT_EQ(generate.graphs[0].ports.size(), 2u);
    nlohmann::json config = smallConfig();
    config["in_channels"] = 7;
    const CheckpointFolder conditioned(config);
    const Model restore = converted(conditioned).model;
    EXPECT_EQ(restore.task, "restore");
    ASSERT_EQ(restore.graphs[0].ports.size(), 3u);
    EXPECT_EQ(restore.graphs[0].ports[0].name, "x");
    EXPECT_EQ(restore.graphs[0].ports[0].source, PortSource::State);
    EXPECT_EQ(restore.graphs[0].ports[1].name, "condition");
    EXPECT_EQ(restore.graphs[0].ports[1].source, PortSource::App);
    EXPECT_EQ(restore.graphs[0].tensors[restore.graphs[0].ports[1].tensor].channels, 4u);
    EXPECT_EQ(restore.graphs[0].ports[2].name, "model_output");
    EXPECT_EQ(restore.graphs[0].ports[2].source, PortSource::ModelOutput);
}

// Written by the converter, read by the runtime's reader: the same model and the same bytes of weights.
TEST(Convert, TheRuntimeReadsWhatWasWritten) {
    const CheckpointFolder folder;
    const Conversion conversion = converted(folder, [](ConvertOptions &o) {
        o.steps = {1, 3};
        o.name = "small";
        o.licence = "CC0-1.0";
        o.statisticsWindow = 48;
    });
    const std::string path = folder.file("small.mote");
    writeConversion(conversion, path);
    Result<Source> source = Source::fromPath(path);
    ASSERT_TRUE(source.ok()) << source.status().message;
    Result<Model> model = readModel(source.value());
    ASSERT_TRUE(model.ok()) << model.status().message;
    EXPECT_EQ(model->name, "small");
    EXPECT_EQ(model->licence, "CC0-1.0");
    EXPECT_EQ(model->sourceClass, "UNet2DModel");
    EXPECT_EQ(model->statisticsWindow, 48u);
    EXPECT_EQ(model->receptiveField, kNone); // attention sees everything
    ASSERT_EQ(model->weights.size(), conversion.constants.weights.size());
    for (const Op &op : model->graphs[0].ops) {
        if (op.weight != kNone) {
            EXPECT_EQ(model->weights[op.weight].type, DataType::F16) << op.name;
        }
        if (op.bias != kNone) {
            EXPECT_EQ(model->weights[op.bias].type, DataType::F32) << op.name;
        }
    }
    const std::string file = fileContent(path);
    for (size_t i = 0; i < model->weights.size(); ++i) {
        const Weight &weight = model->weights[i];
        const uint64_t at = model->segments[weight.segment].offset + weight.offset;
        EXPECT_TRUE(std::equal(conversion.constants.data[i].begin(), conversion.constants.data[i].end(),
                               file.begin() + std::ptrdiff_t(at),
                               [](uint8_t a, char b) { return a == uint8_t(b); }))
            << weight.name;
    }
}

TEST(Convert, WithoutAttentionTheReceptiveFieldIsStated) {
    const CheckpointFolder folder(plainConfig());
    const uint32_t radius = converted(folder).model.receptiveField;
    EXPECT_GT(radius, 10u);
    EXPECT_LT(radius, 100u);
}

TEST(Convert, WeightsAreRoundedOnceAndTablesKeepFp32) {
    const CheckpointFolder folder;
    const Conversion conversion = converted(folder);
    for (const Op &op : conversion.network.graph.ops) {
        if (op.weight != kNone) {
            for (double value : conversion.network.constants[op.weight].values)
                EXPECT_EQ(value, roundedToHalf(value));
        }
        if (op.bias != kNone) {
            for (double value : conversion.network.constants[op.bias].values)
                EXPECT_EQ(value, double(float(value)));
        }
    }
}

TEST(RandomWeights, FillAConfigurationAndDependOnTheSeedAlone) {
    const CheckpointFolder folder;
    std::filesystem::remove(folder.file(CheckpointFolder::kWeights));
    ConvertOptions options;
    options.directory = folder.path();
    EXPECT_THROW(convertCheckpoint(options), ReadError);
    options.randomWeights = 7;
    const Conversion first = convertCheckpoint(options), again = convertCheckpoint(options);
    EXPECT_EQ(first.constants.data, again.constants.data);
    EXPECT_FALSE(first.model.selfCheck.ops.empty());
    for (const SelfCheckOp &op : first.model.selfCheck.ops) { // well-conditioned
        EXPECT_GT(op.rms, 0.05f) << op.op;
        EXPECT_LT(op.rms, 20.0f) << op.op;
    }
    options.randomWeights = 8;
    EXPECT_NE(convertCheckpoint(options).constants.data, first.constants.data);
}

} // namespace
} // namespace mote::convert
