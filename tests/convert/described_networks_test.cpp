// Two trained networks that their user describes give their recorded outputs.
#include "described_networks.h"

#include "convert.h"
#include "reference/reference.h"
#include "schedule/evaluate.h"
#include "schedule/sampler.h"
#include "source.h"

#include <gtest/gtest.h>

namespace mote::convert {
namespace {

using reference::Array;

template <typename T> Array<T> arrayOf(const std::vector<float> &values, uint32_t n) {
    Array<T> array(n, 1, 28, 28);
    std::copy(values.begin(), values.end(), array.values.begin());
    return array;
}

template <typename T>
Array<T> evaluate(const Network &network, const reference::Tables<T> &tables, const Array<T> &x, uint32_t row,
                  double timestep, const TimestepFeatures &features) {
    reference::Step step;
    step.row = row;
    step.timestep = timestep;
    step.features = features;
    return reference::modelOutput(network.graph, reference::runGraph<T>(network.graph, tables, {x}, step));
}

class Described : public testing::TestWithParam<const char *> {};

// The recorded numbers come from another program in fp32: they agree to about 1e-4.
TEST_P(Described, TrainedNetworkGivesItsRecordedOutputs) {
    const DescribedNetwork golden = describedNetwork(GetParam());
    Network network = Source(golden.weights, golden.description, {}).lower();
    fold(network, kEpsilonTimesteps);
    const auto tables = reference::tablesOf<float>(network);
    const Array<float> x = arrayOf<float>(golden.reference.readFloats(golden.reference.get("x_T")), 4);
    for (uint32_t row = 0; row < kEpsilonTimesteps.size(); ++row) {
        const std::string name = "eps_t" + std::to_string(int(kEpsilonTimesteps[row]));
        const std::vector<float> expected = golden.reference.readFloats(golden.reference.get(name));
        const Array<float> found = evaluate(network, tables, x, row, kEpsilonTimesteps[row], {});
        for (size_t i = 0; i < expected.size(); ++i)
            ASSERT_NEAR(found.values[i], expected[i], 1e-4) << name << " " << i;
    }
}

// Twenty steps of DDIM, x0 clipped and epsilon derived from it again, to the recorded pictures.
TEST_P(Described, TwentyStepsGiveTheRecordedPictures) {
    const DescribedNetwork golden = describedNetwork(GetParam());
    Source source(golden.weights, golden.description, {});
    schedule::Request request;
    request.timesteps = kDdimTimesteps;
    request.options = {{"use_clipped_model_output", "true"}};
    const schedule::Table table = schedule::compile(source.scheduler(), "ddim", request);
    Network network = source.lower();
    fold(network, kDdimTimesteps);
    const auto tables = reference::tablesOf<float>(network);
    schedule::RunInputs<float> inputs;
    inputs.batch = 4;
    const std::vector<float> start = golden.reference.readFloats(golden.reference.get("x_T"));
    inputs.noise = start;
    const schedule::Trajectory<float> run =
        schedule::runTable<float>(table, inputs,
                                  [&](std::span<const float> x, const schedule::Row &row, size_t index,
                                      std::span<float> m, std::span<float>) {
                                      const Array<float> state = arrayOf<float>({x.begin(), x.end()}, 4);
                                      const Array<float> found =
                                          evaluate(network, tables, state, uint32_t(index), row.timestep, {});
                                      std::copy(found.values.begin(), found.values.end(), m.begin());
                                  });
    const std::vector<float> expected = golden.reference.readFloats(golden.reference.get("ddim20_x_0"));
    for (size_t i = 0; i < expected.size(); ++i)
        ASSERT_NEAR(run.states.back()[i], expected[i], 1e-3) << i;
}

TEST_P(Described, FoldingKeepsWhatTheNetworkComputes) {
    const DescribedNetwork golden = describedNetwork(GetParam());
    const Network unfolded = Source(golden.weights, golden.description, {}).lower();
    Network folded = unfolded;
    fold(folded, {250, 750});
    const auto before = reference::tablesOf<double>(unfolded), after = reference::tablesOf<double>(folded);
    const Array<double> x = arrayOf<double>(golden.reference.readFloats(golden.reference.get("x_T")), 4);
    for (const uint32_t row : {0u, 1u}) {
        const double timestep = row == 0 ? 250 : 750;
        const Array<double> expected =
            evaluate(unfolded, before, x, row, timestep, unfolded.timestepFeatures);
        const Array<double> found = evaluate(folded, after, x, row, timestep, {});
        for (size_t i = 0; i < expected.values.size(); ++i)
            ASSERT_NEAR(found.values[i], expected.values[i], 1e-11) << i;
    }
}

INSTANTIATE_TEST_SUITE_P(Networks, Described, testing::Values("mnist", "fashion"),
                         [](const auto &entry) { return std::string(entry.param); });

// A table of timesteps has whole rows; a recipe that asks for others is refused by file, field and recipe.
TEST(DescribedTimesteps, OutsideTheTableAreRefused) {
    const DescribedNetwork golden = describedNetwork("mnist");
    const auto message = [&](const std::string &recipe) -> std::string {
        ConvertOptions options;
        options.directory = golden.weights;
        options.architecture = golden.description;
        options.recipes = {parseRecipe(recipe)};
        try {
            convertCheckpoint(options);
        } catch (const ReadError &error) {
            return error.what();
        }
        return "";
    };
    EXPECT_EQ(message("all=ddim:4,timestep_spacing=trailing"), "");
    const std::string
        begin = golden.description + ": timestep_table: found timestep ",
        end = ", expected whole timesteps from 0 to 999, the rows of \"network.time_embed.weight\"";
    EXPECT_EQ(message("far=ddim:2,timestep_spacing=trailing,num_train_timesteps=2000"),
              begin + "1999 in recipe \"far\"" + end);
    const std::string between = message("between=euler:3,use_karras_sigmas=true");
    EXPECT_EQ(between.find(begin), 0u) << between;
    EXPECT_NE(between.find(" in recipe \"between\"" + end), std::string::npos) << between;
}

} // namespace
} // namespace mote::convert
