// Golden cases through the programs as a user has them: converted, run and evaluated from the command line.
#include "command/process.h"

#include "read/safetensors.h"

#include <algorithm>
#include <cmath>
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

// Within the case's fp16 tolerances of golden `judge`; prints how much of them was used.
void expectClose(const Case &from, const std::string &golden, const std::string &judge,
                 const TensorToWrite &expected, const std::vector<float> &found) {
    ASSERT_EQ(found.size(), expected.values.size());
    double errors = 0, norm = 0, largest = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const double difference = double(found[i]) - double(expected.values[i]);
        ASSERT_TRUE(std::isfinite(difference)) << i;
        errors += difference * difference;
        norm += double(expected.values[i]) * double(expected.values[i]);
        largest = std::max(largest, std::abs(difference));
    }
    const json &tolerances = from.meta["errors"].at(judge);
    const double relative = std::sqrt(errors / norm) / tolerances["tol_fp16_rel_l2"].get<double>();
    const double overRms = largest / std::sqrt(norm / static_cast<double>(found.size())) /
                           tolerances["tol_fp16_max_over_rms"].get<double>();
    std::printf("%s: %.3f and %.3f of the tolerances\n", golden.c_str(), relative, overRms);
    EXPECT_LE(relative, 1.0) << golden;
    EXPECT_LE(overRms, 1.0) << golden;
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

} // namespace
} // namespace mote::test
