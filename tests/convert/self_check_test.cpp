// The self-check that a model's file brings along.
#include "checkpoint_folder.h"

#include "convert.h"
#include "reference/self_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace mote::convert {
namespace {

Conversion converted(const CheckpointFolder &folder) {
    ConvertOptions options;
    options.directory = folder.path();
    return convertCheckpoint(options);
}

TEST(SelfCheck, HoldsSamplesOfEveryOpAndTheWholeOutput) {
    const CheckpointFolder folder;
    const Model model = converted(folder).model;
    const SelfCheck &check = model.selfCheck;
    EXPECT_EQ(check.height, 4u); // twice the smallest legal size
    EXPECT_EQ(check.width, 4u);
    EXPECT_EQ(check.output.size(), 3u * 4 * 4);
    ASSERT_EQ(check.ops.size(), model.graphs[0].ops.size());
    for (const SelfCheckOp &op : check.ops) {
        EXPECT_FALSE(op.positions.empty());
        EXPECT_LE(op.positions.size(), 64u);
        EXPECT_TRUE(std::is_sorted(op.positions.begin(), op.positions.end()));
        EXPECT_GT(op.rms, 0);
        EXPECT_GT(op.tolerance, 0);
        EXPECT_LT(op.tolerance, 0.2f) << model.graphs[0].ops[op.op].name;
    }
}

// The check must find what it is there for: a weight of each op that is wrong.
TEST(SelfCheck, FindsADamagedWeightInEveryOp) {
    const CheckpointFolder folder;
    const Conversion conversion = converted(folder);
    const SelfCheck &check = conversion.model.selfCheck;
    for (size_t i = 0; i < check.ops.size(); ++i) {
        Network damaged = conversion.network;
        const Op &op = damaged.graph.ops[i];
        const uint32_t constant = op.weight != kNone ? op.weight : op.affine;
        if (constant == kNone)
            continue;
        std::vector<double> &values = damaged.constants[constant].values;
        std::rotate(values.begin(), values.begin() + 1, values.end()); // every channel takes its neighbour's
        const SelfCheck found = makeSelfCheck(damaged, 0);
        double worst = 0;
        for (size_t k = 0; k < check.ops[i].values.size(); ++k)
            worst = std::max(worst, double(std::fabs(found.ops[i].values[k] - check.ops[i].values[k])) /
                                        (double(check.ops[i].tolerance) * double(check.ops[i].rms)));
        EXPECT_GT(worst, 1.0) << op.name;
    }
}

TEST(SelfCheck, StaysWithin256Kilobytes) {
    nlohmann::json config = smallConfig();
    config["block_out_channels"] = std::vector<int>(7, 4); // smallest legal size 64
    config["down_block_types"] = std::vector<std::string>(7, "DownBlock2D");
    config["up_block_types"] = std::vector<std::string>(7, "UpBlock2D");
    const CheckpointFolder folder(config);
    const SelfCheck check = converted(folder).model.selfCheck;
    EXPECT_EQ(check.height, 64u); // twice would be too much
    size_t floats = check.output.size();
    for (const std::vector<float> &input : check.inputs)
        floats += input.size();
    for (const SelfCheckOp &op : check.ops)
        floats += 3 + 2 * op.positions.size();
    EXPECT_LE(floats * sizeof(float), 256u * 1024);
    EXPECT_FALSE(check.ops.empty());
}

} // namespace
} // namespace mote::convert
