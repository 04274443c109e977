// The golden cases in fp32 on the reference interpreter: diffusers' own numbers, within tol_fp32 of each
// case.
#include "golden_case.h"

#include "fold/fold.h"
#include "schedule/sampler.h"

#include <gtest/gtest.h>

namespace mote::convert {
namespace {

const char *const kCases[] = {"ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-resnet",
                              "restore-sr-cond-64-conv", "class-cond-32", "seed-simpleunet",
                              // Blocks and keys that the cases above do not have
                              "unet-skip-16", "unet-attn-skip-16", "unet-learned-relu-16",
                              "unet-mish-attn-16", "unet-gelu-fourier-16"};

void foldAll(Network &network, const std::vector<double> &timesteps) {
    fold(network, timesteps);
}

double recorded(const GoldenCase &golden, const std::string &what, const test::GoldenError &error) {
    return test::record("reference", golden.name(), what, error);
}

std::vector<std::string> forwardPrefixes(const GoldenCase &golden) {
    std::vector<std::string> prefixes = {"fwd."};
    for (const char *size : {"fwd.48x80.", "fwd.24x16."})
        if (golden.has(std::string(size) + "x"))
            prefixes.push_back(size);
    return prefixes;
}

TEST(Goldens, UnfoldedForwardPassesMatchDiffusers) {
    for (const char *name : kCases) {
        const GoldenCase golden = GoldenCase::inGoldens(name);
        for (const std::string &prefix : forwardPrefixes(golden))
            EXPECT_LE(forwardError(golden, prefix, {}).fraction(), 1.0) << name << " " << prefix;
    }
}

TEST(Goldens, FoldedForwardPassesMatchDiffusers) {
    for (const char *name : kCases) {
        const GoldenCase golden = GoldenCase::inGoldens(name);
        for (const std::string &prefix : forwardPrefixes(golden))
            EXPECT_LE(recorded(golden, prefix + "out", forwardError(golden, prefix, foldAll)), 1.0);
    }
}

TEST(Goldens, FoldedTrajectoriesMatchDiffusers) {
    size_t count = 0;
    for (const char *name : kCases) {
        const GoldenCase golden = GoldenCase::inGoldens(name);
        for (const auto &[run, description] : golden.runs().items()) {
            EXPECT_LE(
                recorded(golden, run + ".x", trajectoryError(golden, run, tableOfRun(golden, run), foldAll)),
                1.0);
            ++count;
        }
    }
    EXPECT_EQ(count, 26u);
}

TEST(Goldens, ShippedModelMatchesItsReferenceTrajectories) {
    const std::string checkpoint = std::string(MOTE_SOURCE_DIR) + "/converter/models/restore";
    const GoldenCase golden("restore", checkpoint,
                            std::string(MOTE_TESTS_DIR) + "/goldens/restore/reference.safetensors");
    const schedule::SchedulerConfig config =
        schedule::readSchedulerConfig(checkpoint + "/scheduler/scheduler_config.json");
    for (const int64_t steps : {1, 2, 4}) {
        schedule::Request request;
        request.steps = steps;
        const std::string run = "ddim" + std::to_string(steps);
        const schedule::Table table = schedule::compile(config, "ddim", request);
        EXPECT_LE(recorded(golden, run + ".x", trajectoryError(golden, run, table, foldAll)), 1.0);
    }
}

// What the tests above are worth: a small mistake must turn them red.
TEST(Goldens, OneWrongCoefficientIsFound) {
    const GoldenCase golden = GoldenCase::inGoldens("restore-sr-cond-64-conv");
    const schedule::Table table = tableOfRun(golden, "ddim2");
    const test::GoldenError error =
        trajectoryError(golden, "ddim2", table, foldAll, [](Network &, schedule::Table &mutated) {
            mutated.rows[0].g *= 1.001; // the row clips, so x0 enters through g
        });
    EXPECT_GT(error.fraction(), 1.0);
}

TEST(Goldens, OneSwappedChannelIsFound) {
    const GoldenCase golden = GoldenCase::inGoldens("restore-sr-cond-64-conv");
    const schedule::Table table = tableOfRun(golden, "ddim2");
    const test::GoldenError error =
        trajectoryError(golden, "ddim2", table, foldAll, [](Network &network, schedule::Table &) {
            for (const Op &op : network.graph.ops)
                if (op.name == "mid_block.resnets.0.conv1") {
                    Constant &weight = network.constants[op.weight]; // [out][kh][kw][in]
                    const size_t inputs = weight.shape[3];
                    for (size_t at = 0; at < weight.values.size(); at += inputs)
                        std::swap(weight.values[at], weight.values[at + 1]);
                }
        });
    EXPECT_GT(error.fraction(), 1.0);
}

TEST(Goldens, OneExchangedTableRowIsFound) {
    const GoldenCase golden = GoldenCase::inGoldens("restore-sr-cond-64-conv");
    const schedule::Table table = tableOfRun(golden, "ddim2");
    const test::GoldenError error =
        trajectoryError(golden, "ddim2", table, foldAll, [](Network &network, schedule::Table &) {
            for (const Op &op : network.graph.ops)
                if (op.name == "up_blocks.1.resnets.0.norm2") {
                    std::vector<double> &rows = network.constants[op.affine].values;
                    std::swap_ranges(rows.begin(), rows.begin() + std::ptrdiff_t(rows.size() / 2),
                                     rows.begin() + std::ptrdiff_t(rows.size() / 2));
                }
        });
    EXPECT_GT(error.fraction(), 1.0);
}

} // namespace
} // namespace mote::convert
