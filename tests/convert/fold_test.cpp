// Each folding keeps what the network computes: folded against unfolded, in double, where nothing is rounded.
#include "fold/fold.h"

#include "evaluation.h"

#include <gtest/gtest.h>

#include <functional>

namespace mote::convert {
namespace {

using nlohmann::json;
using reference::Array;

constexpr double kTight = 1e-12; // of the output's rms: rounding of double over a few hundred operations

json with(json config, const json &changes) {
    config.update(changes);
    return config;
}

// Every key that changes the graph, at least once at each value.
const std::vector<std::pair<const char *, json>> kConfigurations = {
    {"default", smallConfig()},
    {"condition", with(smallConfig(), {{"in_channels", 7}})},
    {"scale_shift", with(smallConfig(), {{"resnet_time_scale_shift", "scale_shift"}})},
    {"scale_shift with attention norm",
     with(smallConfig(), {{"resnet_time_scale_shift", "scale_shift"}, {"attn_norm_num_groups", 3}})},
    {"one head", with(smallConfig(), {{"attention_head_dim", nullptr}})},
    {"attention norm groups", with(smallConfig(), {{"attn_norm_num_groups", 2}})},
    {"no mid attention", with(smallConfig(), {{"add_attention", false}})},
    {"mid block scale", with(smallConfig(), {{"mid_block_scale_factor", 1.4142135623730951}})},
    {"centred input", with(smallConfig(), {{"center_input_sample", true}, {"in_channels", 6}})},
    {"padding 0", with(smallConfig(), {{"downsample_padding", 0}})},
    {"old time features", with(smallConfig(), {{"flip_sin_to_cos", false}, {"freq_shift", 1}})},
    {"resnet resampling in attention blocks",
     with(smallConfig(), {{"downsample_type", "resnet"},
                          {"upsample_type", "resnet"},
                          {"down_block_types", {"AttnDownBlock2D", "AttnDownBlock2D"}}})},
    {"resnet resampling blocks",
     with(smallConfig(), {{"down_block_types", {"ResnetDownsampleBlock2D", "DownBlock2D"}},
                          {"up_block_types", {"ResnetUpsampleBlock2D", "UpBlock2D"}}})},
    {"table of classes", with(smallConfig(), {{"num_class_embeds", 4}})},
    {"table of classes with scale_shift",
     with(smallConfig(), {{"num_class_embeds", 4}, {"resnet_time_scale_shift", "scale_shift"}})},
    {"classes embedded as time is",
     with(smallConfig(), {{"class_embed_type", "timestep"}, {"num_class_embeds", 5}})},
    {"classes embedded as the rows of time's table", with(smallConfig(), {{"class_embed_type", "timestep"},
                                                                          {"time_embedding_type", "learned"},
                                                                          {"num_train_timesteps", 1000},
                                                                          {"num_class_embeds", 5}})},
    {"classes with mish",
     with(smallConfig(),
          {{"num_class_embeds", 4}, {"act_fn", "mish"}, {"resnet_time_scale_shift", "scale_shift"}})},
    {"classes with relu", with(smallConfig(), {{"num_class_embeds", 4}, {"act_fn", "relu"}})},
    {"classes as vectors",
     with(smallConfig(), {{"class_embed_type", "identity"}, {"resnet_time_scale_shift", "scale_shift"}})},
    {"mish", with(smallConfig(), {{"act_fn", "mish"}})},
    {"gelu, scale_shift",
     with(smallConfig(), {{"act_fn", "gelu"}, {"resnet_time_scale_shift", "scale_shift"}})},
    {"relu", with(smallConfig(), {{"act_fn", "relu"}})},
    {"fourier", with(smallConfig(), {{"time_embedding_type", "fourier"}})},
    {"fourier with classes",
     with(smallConfig(), {{"time_embedding_type", "fourier"}, {"num_class_embeds", 4}})},
    {"learned", with(smallConfig(), {{"time_embedding_type", "learned"}, {"num_train_timesteps", 1000}})},
    {"heads that leave channels out", with(smallConfig(), {{"attention_head_dim", 5}})},
    {"Skip blocks",
     with(smallConfig(), {{"block_out_channels", {32, 32, 32}},
                          {"down_block_types", {"SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"}},
                          {"up_block_types", {"SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"}},
                          {"norm_num_groups", nullptr},
                          {"time_embedding_type", "fourier"},
                          {"center_input_sample", true},
                          {"mid_block_scale_factor", 1.4142135623730951}})},
    {"Skip blocks down only",
     with(smallConfig(), {{"block_out_channels", {8, 32}},
                          {"down_block_types", {"SkipDownBlock2D", "AttnDownBlock2D"}},
                          {"up_block_types", {"UpBlock2D", "SkipUpBlock2D"}}})},
    {"three levels, two layers",
     with(smallConfig(), {{"block_out_channels", {8, 8, 16}},
                          {"down_block_types", {"DownBlock2D", "DownBlock2D", "AttnDownBlock2D"}},
                          {"up_block_types", {"UpBlock2D", "AttnUpBlock2D", "UpBlock2D"}},
                          {"layers_per_block", 2}})},
};

std::vector<Array<double>> outputsOf(const Network &network) { // per row
    std::vector<Array<double>> outputs;
    for (size_t row = 0; row < kTimesteps.size(); ++row)
        outputs.push_back(outputOf(network, row));
    return outputs;
}

void expectSame(const Network &folded, const std::vector<Array<double>> &expected, const std::string &what) {
    for (size_t row = 0; row < kTimesteps.size(); ++row)
        EXPECT_LE(relativeError(outputOf(folded, row), expected[row]), kTight) << what << ", row " << row;
}

void expectSame(const Network &folded, const Network &unfolded, const std::string &what) {
    expectSame(folded, outputsOf(unfolded), what);
}

size_t countOf(const Network &network, OpKind kind) {
    size_t count = 0;
    for (const Op &op : network.graph.ops)
        count += op.kind == kind;
    return count;
}

const std::vector<std::pair<const char *, std::function<size_t(Network &)>>> kPasses = {
    {"conditioning", [](Network &n) { return foldConditioning(n, kTimesteps, kNone); }},
    {"time", [](Network &n) { return foldTime(n, kTimesteps); }},
    {"qkv", foldQkv},
    {"heads", foldHeads},
    {"linear", foldLinear},
    {"activation", foldActivation},
    {"residual", foldResidual},
    {"scale", foldScale},
    {"resample", foldResample},
    {"concat", foldConcat},
};

// The network after the passes before `name`, and after it.
std::pair<Network, Network> aroundPass(const json &config, std::string_view name) {
    Network before = lowered(config);
    for (const auto &[each, pass] : kPasses) {
        if (each == name) {
            Network after = before;
            EXPECT_GT(pass(after), 0u) << name;
            return {before, after};
        }
        pass(before);
    }
    throw std::logic_error("no such pass");
}

TEST(Fold, EachPassKeepsTheOutput) {
    for (const auto &[configuration, config] : kConfigurations) {
        Network network = lowered(config);
        const std::vector<Array<double>> expected = outputsOf(network);
        for (const auto &[name, pass] : kPasses) {
            pass(network);
            expectSame(network, expected, std::string(configuration) + ", " + name);
        }
    }
}

TEST(Fold, TimeLeavesNoTimeOpButTheTables) {
    const auto [before, after] = aroundPass(smallConfig(), "time");
    EXPECT_EQ(countOf(before, OpKind::TimestepEmbedding), 1u);
    EXPECT_EQ(countOf(after, OpKind::TimestepEmbedding), 0u);
    expectSame(after, before, "time");
}

TEST(Fold, ClassesLeaveTwoTablesAndProjectionsBesideOneRow) {
    for (const json &config :
         {with(smallConfig(), {{"num_class_embeds", 4}}),
          with(smallConfig(), {{"num_class_embeds", 4}, {"resnet_time_scale_shift", "scale_shift"}})}) {
        Network network = lowered(config);
        const FoldReport report = fold(network, kTimesteps, 2);
        const Conditioning &conditioning = network.graph.conditioning;
        ASSERT_EQ(conditioning.kind, ConditioningKind::Labels);
        EXPECT_EQ(conditioning.nullClass, 2u);
        EXPECT_EQ(network.constants[conditioning.stepEmbeddings].shape, (std::vector<uint32_t>{3, 32}));
        EXPECT_EQ(network.constants[conditioning.classes].shape, (std::vector<uint32_t>{4, 32}));
        size_t projections = 0;
        for (const Op &op : network.graph.ops) {
            if (op.projection == kNone)
                continue;
            ++projections;
            EXPECT_EQ(network.constants[op.kind == OpKind::Conv2d ? op.bias : op.affine].shape[0], 1u)
                << op.name;
        }
        EXPECT_EQ(projections, 8u); // one for each residual block
        EXPECT_EQ(report.projections, projections);
        EXPECT_EQ(report.tables, 0u);
    }
}

TEST(Fold, WithoutClassesNothingIsConditioned) {
    for (const auto &[configuration, config] : kConfigurations) {
        if (config.contains("num_class_embeds") || config.contains("class_embed_type"))
            continue;
        Network network = lowered(config);
        EXPECT_EQ(fold(network, kTimesteps).projections, 0u) << configuration;
        EXPECT_EQ(network.graph.conditioning.kind, ConditioningKind::None) << configuration;
        EXPECT_EQ(network.graph.conditioning.stepEmbeddings, kNone) << configuration;
        for (const Op &op : network.graph.ops)
            EXPECT_EQ(op.projection, kNone) << configuration << ": " << op.name;
    }
}

TEST(Fold, QkvBecomesOneConvolution) {
    const auto [before, after] = aroundPass(smallConfig(), "qkv");
    EXPECT_EQ(countOf(before, OpKind::Linear) - countOf(after, OpKind::Linear),
              3 * countOf(after, OpKind::Attention));
    expectSame(after, before, "qkv");
}

TEST(Fold, HeadsBecomeWholeBlocksOfChannels) {
    for (const uint32_t head : {1, 3, 4, 5, 12}) {
        const auto [before, after] = aroundPass(with(smallConfig(), {{"attention_head_dim", head}}), "heads");
        for (const Op &op : after.graph.ops)
            if (op.kind == OpKind::Attention) {
                EXPECT_EQ(after.graph.tensors[op.output].channels, op.heads * ((head + 7) / 8 * 8));
            }
        expectSame(after, before, "heads");
    }
    Network whole =
        lowered(with(smallConfig(), {{"block_out_channels", {8, 16}}, {"attention_head_dim", 8}}));
    foldTime(whole, kTimesteps);
    foldQkv(whole);
    EXPECT_EQ(foldHeads(whole), 0u);
}

TEST(Fold, ActivationsJoinTheirNorms) {
    const auto [before, after] = aroundPass(smallConfig(), "activation");
    EXPECT_EQ(countOf(after, OpKind::Activation), 0u);
    expectSame(after, before, "activation");
}

TEST(Fold, AdditionsBecomeResiduals) {
    const auto [before, after] = aroundPass(smallConfig(), "residual");
    EXPECT_EQ(countOf(after, OpKind::Add), 0u);
    expectSame(after, before, "residual");
}

TEST(Fold, ScaleJoinsTheMidBlockAndItsAttention) {
    const auto [before, after] = aroundPass(with(smallConfig(), {{"mid_block_scale_factor", 2.5}}), "scale");
    EXPECT_EQ(countOf(before, OpKind::Scale), 3u); // two residual blocks and the attention between them
    EXPECT_EQ(countOf(after, OpKind::Scale), 0u);
    expectSame(after, before, "scale");
}

TEST(Fold, CentredInputJoinsTheConcatAndNotTheZeroPadding) {
    const auto [before, after] =
        aroundPass(with(smallConfig(), {{"center_input_sample", true}, {"in_channels", 5}}), "scale");
    EXPECT_EQ(countOf(after, OpKind::Scale), 0u);
    for (const Op &op : after.graph.ops)
        if (op.kind == OpKind::Concat && after.graph.tensors[op.inputs[0]].kind == TensorKind::Port) {
            EXPECT_EQ(op.inputScale, (std::vector<float>{2, 2}));
            EXPECT_EQ(op.inputOffset, (std::vector<float>{-1, -1}));
        }
    expectSame(after, before, "centre");
}

TEST(Fold, ResamplingJoinsNormsConvolutionsAndResiduals) {
    const auto [before, after] =
        aroundPass(with(smallConfig(), {{"down_block_types", {"ResnetDownsampleBlock2D", "DownBlock2D"}},
                                        {"up_block_types", {"ResnetUpsampleBlock2D", "UpBlock2D"}}}),
                   "resample");
    EXPECT_EQ(countOf(before, OpKind::Resample), 4u);
    EXPECT_EQ(countOf(after, OpKind::Resample), 0u);
    expectSame(after, before, "resample");
}

TEST(Fold, ConcatenationsBecomeSecondInputs) {
    const auto [before, after] = aroundPass(smallConfig(), "concat");
    EXPECT_EQ(countOf(after, OpKind::Concat), 1u); // of the ports
    expectSame(after, before, "concat");
}

TEST(Fold, AllPassesTogetherKeepTheOutput) {
    for (const auto &[configuration, config] : kConfigurations) {
        const Network unfolded = lowered(config);
        Network folded = unfolded;
        fold(folded, kTimesteps);
        expectSame(folded, unfolded, configuration);
    }
}

TEST(Fold, NoTimeTensorAndNoTimeOpRemains) {
    for (const auto &[configuration, config] : kConfigurations) {
        Network network = lowered(config);
        EXPECT_EQ(countOf(network, OpKind::TimestepEmbedding), 1u);
        fold(network, kTimesteps);
        for (const Op &op : network.graph.ops) {
            EXPECT_TRUE(op.kind == OpKind::Concat || op.kind == OpKind::Conv2d ||
                        op.kind == OpKind::GroupNorm || op.kind == OpKind::Attention ||
                        op.kind == OpKind::Resample)
                << configuration << ": " << op.name;
            EXPECT_EQ(op.name.find("time"), std::string::npos) << configuration;
        }
        for (const Tensor &tensor : network.graph.tensors)
            EXPECT_EQ(tensor.name.find("time"), std::string::npos) << configuration << ": " << tensor.name;
        for (const Constant &constant : network.constants)
            EXPECT_EQ(constant.name.find("time"), std::string::npos)
                << configuration << ": " << constant.name;
    }
}

TEST(Fold, TablesHaveOneRowPerTimestepAndTheOthersOne) {
    Network network = lowered(smallConfig());
    const FoldReport report = fold(network, kTimesteps);
    size_t tables = 0;
    for (const Op &op : network.graph.ops)
        if (op.kind == OpKind::Conv2d) {
            const bool table = op.name.ends_with(".conv1");
            EXPECT_EQ(network.constants[op.bias].shape[0], table ? kTimesteps.size() : 1u) << op.name;
            tables += table;
        }
    EXPECT_EQ(report.tables, tables);
}

// A residual block is norm, convolution, norm, convolution and, where the channels change, a shortcut.
TEST(Fold, AResidualBlockIsAtMostFiveOps) {
    for (const auto &[configuration, config] : kConfigurations) {
        Network network = lowered(config);
        fold(network, kTimesteps);
        std::map<std::string, size_t> ops;
        for (const Op &op : network.graph.ops)
            if (const size_t at = op.name.find(".resnets."); at != std::string::npos)
                ++ops[op.name.substr(0, op.name.find('.', at + 9))];
        for (const auto &[block, count] : ops)
            EXPECT_LE(count, 5u) << configuration << ": " << block;
    }
}

} // namespace
} // namespace mote::convert
