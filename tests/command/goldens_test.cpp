// Golden cases through the programs as a user has them: converted, run and evaluated from the command line.
#include "command/process.h"
#include "support/golden_error.h"

#include "read/safetensors.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mote::test {
namespace {

using convert::SafetensorsEntry;
using convert::SafetensorsFile;
using convert::TensorToWrite;
using nlohmann::json;

struct Case {
    explicit Case(const std::string &name)
        : path(goldenCase(name)), goldens(path + "/goldens.safetensors"),
          meta(json::parse(readText(path + "/case.json"))) {}

    // Item `batch` of a tensor whose axis `axis` is the batch, which keeps extent 1.
    TensorToWrite item(const std::string &tensor, size_t axis, size_t batch, const std::string &as) const {
        const SafetensorsEntry &entry = goldens.get(tensor);
        const std::vector<float> all = goldens.readFloats(entry);
        size_t outer = 1, inner = 1;
        for (size_t i = 0; i < axis; ++i)
            outer *= entry.shape[i];
        for (size_t i = axis + 1; i < entry.shape.size(); ++i)
            inner *= entry.shape[i];
        TensorToWrite result = {as, entry.shape, {}};
        result.shape[axis] = 1;
        for (size_t o = 0; o < outer; ++o) {
            const auto begin =
                all.begin() + static_cast<std::ptrdiff_t>((o * entry.shape[axis] + batch) * inner);
            result.values.insert(result.values.end(), begin, begin + static_cast<std::ptrdiff_t>(inner));
        }
        return result;
    }

    std::string path;
    SafetensorsFile goldens;
    json meta;
};

// Within the case's fp16 tolerances of golden `judge`.
void expectClose(const Case &from, const std::string &golden, const std::string &judge,
                 const TensorToWrite &expected, const std::vector<float> &found) {
    const GoldenError error =
        errorOf(found, expected.values, toleranceOf(from.meta["errors"], judge, "fp16"));
    std::printf("%s: %.3f of the tolerance\n", golden.c_str(), error.fraction());
    EXPECT_LE(error.fraction(), 1.0) << golden;
}

// A safetensors file of fp32 tensors and class_labels [N] int64.
void writeLabelled(const std::string &path, const std::vector<TensorToWrite> &tensors,
                   const std::vector<int64_t> &labels) {
    json header;
    std::string data;
    const auto add = [&](const char *type, const std::string &name, const std::vector<uint64_t> &shape,
                         const void *values, size_t bytes) {
        header[name] = {
            {"dtype", type}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + bytes}}};
        data.append(static_cast<const char *>(values), bytes);
    };
    add("I64", "class_labels", {labels.size()}, labels.data(), labels.size() * sizeof(int64_t));
    for (const TensorToWrite &tensor : tensors)
        add("F32", tensor.name, tensor.shape, tensor.values.data(), tensor.values.size() * sizeof(float));
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(&length), sizeof length) << text << data;
}

class CommandGoldens : public testing::Test {
protected:
    void convert(std::vector<std::string> arguments) {
        arguments.insert(arguments.end(), {"-o", model()});
        const ProcessResult result = runProgram(moteConvertPath(), arguments);
        ASSERT_EQ(result.exitCode, 0) << result.err;
    }
    void runOn(const std::vector<TensorToWrite> &tensors, std::vector<std::string> arguments) {
        convert::writeSafetensors(scratch.at("in"), tensors);
        arguments.insert(arguments.end(), {model(), "--tensors", scratch.at("in"), "-o", scratch.at("out")});
        const ProcessResult result = runMote(arguments);
        ASSERT_EQ(result.exitCode, 0) << result.err;
        EXPECT_EQ(result.out + result.err, "");
    }
    std::string model() const { return scratch.at("model.mote"); }

    Scratch scratch;
};

// A scheduler run of the case, batch item 0, with the run's own scheduler, steps and eta.
void expectTrajectory(const Case &from, const std::string &run, const std::string &model,
                      const Scratch &scratch, const std::vector<TensorToWrite> &conditions) {
    std::vector<TensorToWrite> tensors = conditions;
    TensorToWrite states = from.item(run + ".x", 1, 0, "x");
    const size_t stateSize = states.values.size() / states.shape[0];
    tensors.push_back(
        {"x_start",
         {states.shape.begin() + 1, states.shape.end()},
         {states.values.begin(), states.values.begin() + static_cast<std::ptrdiff_t>(stateSize)}});
    if (from.goldens.find(run + ".noise")) {
        TensorToWrite noise = from.item(run + ".noise", 1, 0, "step_noise");
        noise.shape.erase(noise.shape.begin() + 1);
        tensors.push_back(noise);
    }
    convert::writeSafetensors(scratch.at("in"), tensors);
    const ProcessResult result =
        runMote({"run", model, "--tensors", scratch.at("in"), "-o", scratch.at("out"), "--trace"});
    ASSERT_EQ(result.exitCode, 0) << result.err;

    const SafetensorsFile out(scratch.at("out"));
    const std::vector<float> x = out.readFloats(out.get("x"));
    ASSERT_EQ(out.get("x").shape, states.shape);
    expectClose(from, run + ".x", run + ".x", states, x);
    const std::vector<float> sample = out.readFloats(out.get("sample"));
    ASSERT_EQ(sample.size(), stateSize);
    EXPECT_TRUE(std::equal(sample.begin(), sample.end(), x.end() - static_cast<std::ptrdiff_t>(stateSize)))
        << "the sample is not the last state";
    std::vector<uint64_t> shape = states.shape;
    --shape[0];
    ASSERT_EQ(out.get("model_output").shape, shape);
    // The case has no tolerance for these; what they are given, the states, is that far off already.
    expectClose(from, run + ".out", run + ".x", from.item(run + ".out", 1, 0, "out"),
                out.readFloats(out.get("model_output")));
}

std::vector<std::string> conversionOf(const Case &from, const std::string &run, const Scratch &scratch) {
    json scheduler = from.meta["runs"][run]["config"];
    scheduler["_class_name"] = from.meta["runs"][run]["scheduler"];
    std::ofstream(scratch.at("scheduler.json")) << scheduler;
    const json eta = from.meta["runs"][run]["step_args"].value("eta", json(0));
    return {from.path, "--scheduler", scratch.at("scheduler.json"),           "--sampler",
            "ddim",    "--steps",     from.meta["runs"][run]["steps"].dump(), "--eta",
            eta.dump()};
}

TEST_F(CommandGoldens, DdimTrajectoriesOfAnUnconditionalModel) {
    const Case from("ddpm-uncond-32");
    for (const char *run : {"ddim4", "ddim4_eta1"}) {
        SCOPED_TRACE(run);
        convert(conversionOf(from, run, scratch));
        expectTrajectory(from, run, model(), scratch, {});
    }
}

TEST_F(CommandGoldens, DdimTrajectoryOfAConditionalModel) {
    const Case from("restore-sr-cond-64-resnet");
    convert(conversionOf(from, "ddim4", scratch));
    expectTrajectory(from, "ddim4", model(), scratch, {from.item("cond", 0, 0, "condition")});
}

TEST_F(CommandGoldens, ForwardPassesAtTheTimestepsOfTheFile) {
    const Case from("restore-sr-cond-64-resnet");
    const std::vector<int64_t> timesteps = from.goldens.readIntegers(from.goldens.get("fwd.t"));
    std::string list;
    for (const int64_t timestep : timesteps)
        list += (list.empty() ? "" : ",") + std::to_string(timestep);
    convert({from.path, "--timesteps", list});
    runOn({from.item("fwd.x", 0, 0, "x_start"), from.item("cond", 0, 0, "condition")}, {"eval"});
    const TensorToWrite expected = from.item("fwd.out", 1, 0, "fwd.out");
    const SafetensorsFile out(scratch.at("out"));
    ASSERT_EQ(out.entries().size(), 1u);
    ASSERT_EQ(out.get("model_output").shape, expected.shape);
    expectClose(from, "fwd.out", "fwd.out", expected, out.readFloats(out.get("model_output")));
}

// Both images in one batch, each with its class.
TEST_F(CommandGoldens, ForwardPassesOfABatchWithClasses) {
    const Case from("class-cond-32");
    const std::vector<int64_t> timesteps = from.goldens.readIntegers(from.goldens.get("fwd.t"));
    std::string list;
    for (const int64_t timestep : timesteps)
        list += (list.empty() ? "" : ",") + std::to_string(timestep);
    convert({from.path, "--timesteps", list});
    const SafetensorsEntry &x = from.goldens.get("fwd.x"), &expected = from.goldens.get("fwd.out");
    writeLabelled(scratch.at("in"), {{"x_start", x.shape, from.goldens.readFloats(x)}},
                  from.goldens.readIntegers(from.goldens.get("labels")));
    const ProcessResult result =
        runMote({"eval", model(), "--tensors", scratch.at("in"), "-o", scratch.at("out")});
    ASSERT_EQ(result.exitCode, 0) << result.err;
    const SafetensorsFile out(scratch.at("out"));
    ASSERT_EQ(out.get("model_output").shape, expected.shape);
    expectClose(from, "fwd.out", "fwd.out", {"fwd.out", expected.shape, from.goldens.readFloats(expected)},
                out.readFloats(out.get("model_output")));
}

TEST_F(CommandGoldens, GuidedTrajectoryOfAModelWithClasses) {
    const Case from("class-cond-32");
    const int64_t label = from.goldens.readIntegers(from.goldens.get("labels"))[0];
    const TensorToWrite states = from.item("ddim4_cfg.x", 1, 0, "x");
    const size_t stateSize = states.values.size() / states.shape[0];
    const TensorToWrite start = {
        "x_start",
        {states.shape.begin() + 1, states.shape.end()},
        {states.values.begin(), states.values.begin() + static_cast<std::ptrdiff_t>(stateSize)}};
    convert(conversionOf(from, "ddim4_cfg", scratch));
    const TensorToWrite scale = {"guidance", {1}, {from.meta["guidance_scale"].get<float>()}};
    writeLabelled(scratch.at("in"), {start, scale}, {label});
    const ProcessResult result =
        runMote({"run", model(), "--tensors", scratch.at("in"), "-o", scratch.at("out"), "--trace"});
    ASSERT_EQ(result.exitCode, 0) << result.err;
    const SafetensorsFile out(scratch.at("out"));
    ASSERT_EQ(out.get("x").shape, states.shape);
    expectClose(from, "ddim4_cfg.x", "ddim4_cfg.x", states, out.readFloats(out.get("x")));
    expectClose(from, "ddim4_cfg.out", "ddim4_cfg.x", from.item("ddim4_cfg.out", 1, 0, "out"),
                out.readFloats(out.get("model_output")));

    // The same scale in the recipe gives the same bits.
    const std::vector<float> given = out.readFloats(out.get("x"));
    std::vector<std::string> arguments = conversionOf(from, "ddim4_cfg", scratch);
    arguments.insert(arguments.end(), {"--option", "guidance=" + from.meta["guidance_scale"].dump()});
    convert(arguments);
    writeLabelled(scratch.at("in"), {start}, {label});
    const ProcessResult again =
        runMote({"run", model(), "--tensors", scratch.at("in"), "-o", scratch.at("out"), "--trace"});
    ASSERT_EQ(again.exitCode, 0) << again.err;
    const SafetensorsFile second(scratch.at("out"));
    EXPECT_EQ(second.readFloats(second.get("x")), given);
}

TEST_F(CommandGoldens, ClassLabelsOutOfRangeOrMissingAreRefused) {
    const Case from("class-cond-32");
    convert({from.path, "--steps", "1"});
    const TensorToWrite start = from.item("fwd.x", 0, 0, "x_start");
    const auto refused = [&](const std::vector<int64_t> &labels) {
        writeLabelled(scratch.at("in"), {start}, labels);
        const ProcessResult result =
            runMote({"run", model(), "--tensors", scratch.at("in"), "-o", scratch.at("out")});
        EXPECT_NE(result.exitCode, 0);
        return result.err;
    };
    EXPECT_NE(refused({11}).find("found 11 for image 0, expected 0 to 10"), std::string::npos);
    EXPECT_NE(refused({1, 2}).find("class_labels: found shape [2], expected [1]"), std::string::npos);
    convert::writeSafetensors(scratch.at("in"), {start});
    const ProcessResult missing =
        runMote({"run", model(), "--tensors", scratch.at("in"), "-o", scratch.at("out")});
    expectParts(missing.err, {"found no 'class_labels'", "expected labels [N] from 0 to 10 (10: none)"});
}

TEST_F(CommandGoldens, SeveralPicturesAreThoseOfTheSeedsThatFollow) {
    const Case from("class-cond-32");
    convert({from.path, "--steps", "1"});
    const auto generate = [&](std::vector<std::string> arguments, const std::string &output) {
        arguments.insert(arguments.begin(), {"generate", "--model", model(), "--size", "32x32", "--guidance",
                                             "2", "-o", scratch.at(output)});
        const ProcessResult result = runMote(arguments);
        ASSERT_EQ(result.exitCode, 0) << result.err;
    };
    generate({"--seed", "4", "--count", "2", "--class", "3,7"}, "both.png");
    generate({"--seed", "5", "--class", "7"}, "second.png");
    EXPECT_EQ(readText(scratch.at("both-1.png")), readText(scratch.at("second.png")));
    EXPECT_NE(readText(scratch.at("both-0.png")), readText(scratch.at("second.png")));
}

} // namespace
} // namespace mote::test
