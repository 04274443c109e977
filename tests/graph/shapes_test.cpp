// Shapes and costs against values worked out by hand.
#include "graph/chain.h"
#include "model/sample_model.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace mote::test {
namespace {

TEST(Shapes, ConvolutionsAsPyTorchGivesThem) {
    // {in, kernel, stride, pad before, pad after, upsampled, out}: floor((in + pads - kernel) / stride) + 1
    const struct {
        uint32_t in, kernel, stride, before, after;
        bool up;
        uint32_t out;
    } cases[] = {{32, 3, 1, 1, 1, false, 32}, {33, 3, 2, 1, 1, false, 17}, {32, 3, 2, 1, 1, false, 16},
                 {32, 3, 2, 0, 1, false, 16}, {33, 3, 2, 0, 1, false, 16}, {1, 3, 2, 0, 1, false, 0},
                 {1, 3, 1, 1, 1, false, 1},   {2, 3, 2, 0, 1, false, 1},   {3, 3, 2, 1, 1, false, 2},
                 {7, 1, 1, 0, 0, false, 7},   {7, 1, 2, 0, 0, false, 4},   {7, 3, 1, 0, 0, false, 5},
                 {5, 3, 1, 1, 1, true, 10},   {1, 3, 1, 1, 1, true, 2},    {5, 7, 1, 3, 3, false, 5}};
    for (const auto &c : cases) {
        Chain chain(4);
        chain.conv(6, c.kernel, c.stride, c.before, c.after, c.up ? Resample::NearestUp2 : Resample::None);
        const std::string found = chain.shapeAt(c.in, 64, 2);
        if (c.out == 0) {
            EXPECT_NE(found.find("op 'op1': a kernel of 3 with stride 2 does not fit 1 pixels"),
                      std::string::npos)
                << found;
            continue;
        }
        const std::string start = "2x6x" + std::to_string(c.out) + "x";
        EXPECT_EQ(found.rfind(start, 0), 0u) << c.in << " " << c.kernel << " " << c.stride << ": " << found;
    }
}

TEST(Shapes, ResamplingsDoubleOrHalveAndLeaveOutAnOddLastLine) {
    for (const Resample up : {Resample::NearestUp2, Resample::FirUp2, Resample::ZerosUp2}) {
        Chain chain(4);
        chain.resample(up);
        EXPECT_EQ(chain.shapeAt(5, 8, 2), "2x4x10x16");
    }
    for (const Resample down : {Resample::AverageDown2, Resample::FirDown2}) {
        Chain chain(4);
        chain.resample(down);
        EXPECT_EQ(chain.shapeAt(5, 8, 2), "2x4x2x4");
        EXPECT_NE(chain.shapeAt(1, 8).find("makes the empty shape 1x4x0x4"), std::string::npos)
            << chain.shapeAt(1, 8);
    }
}

TEST(Shapes, HeightAndWidthGoTheirOwnWays) {
    Chain chain(3);
    Op &op = chain.conv(5, 3, 2, 0, 0);
    op.padTop = 1;
    op.padRight = 1;
    EXPECT_EQ(chain.shapeAt(9, 12), "1x5x4x6"); // (9+1-3)/2+1, (12+1-3)/2+1
}

TEST(Shapes, TheSampleAtSeveralSizes) {
    const Sample sample = sampleModel();
    const Graph &graph = sample.model.graphs[0];
    const Result<GraphShapes> shapes = inferShapes(sample.model, graph, 2, 48, 80);
    ASSERT_TRUE(shapes.ok()) << shapes.status().message;
    const std::vector<TensorShape> expected = {
        {2, 3, 48, 80},  {2, 3, 48, 80},  {2, 6, 48, 80},  {2, 8, 48, 80},  {2, 8, 48, 80}, {2, 16, 24, 40},
        {2, 16, 24, 40}, {2, 48, 24, 40}, {2, 16, 24, 40}, {2, 16, 24, 40}, {2, 8, 48, 80}, {2, 16, 48, 80},
        {2, 3, 48, 80},  {2, 8, 24, 40},  {2, 8, 48, 80},  {2, 8, 48, 80}};
    EXPECT_EQ(shapes->tensors, expected);
    // Sizes that the level below does not divide end in a clear word about which two tensors disagree.
    Graph plain = graph;
    plain.ops[11].residual = kNone;
    plain.ops[12].inputs[1] = 3;
    const Status odd = inferShapes(sample.model, plain, 1, 5, 4).status();
    EXPECT_EQ(odd.code, StatusCode::InvalidModel);
    EXPECT_NE(odd.message.find("graph 'unet', op 'norm3': inputs 'up' of 1x8x4x4 and 'high' of 1x8x5x4"),
              std::string::npos)
        << odd.message;
}

TEST(Shapes, CostsCountTwoOperationsPerMultiplyAdd) {
    const Sample sample = sampleModel();
    const Result<GraphShapes> shapes = inferShapes(sample.model, sample.model.graphs[0], 1, 8, 8);
    ASSERT_TRUE(shapes.ok());
    // conv_in: 8 outputs of 3x3x6 at 64 pixels, and a bias each.
    EXPECT_EQ(shapes->costs[1].operations, 64u * 8 * (2 * 3 * 3 * 6 + 1));
    // Input in one block of 8 halfs, output likewise; weights fp16.
    EXPECT_EQ(shapes->costs[1].bytes, 64u * 16 + 64u * 16 + 8u * 3 * 3 * 6 * 2);
    // norm2 without SiLU on 16 channels of 4x4; norm3 with GELU on two inputs.
    EXPECT_EQ(shapes->costs[4].operations, 16u * 16 * 6);
    EXPECT_EQ(shapes->costs[12].operations, 64u * 16 * 10);
    // Filters of 16 taps, and of 4 where they double.
    EXPECT_EQ(shapes->costs[9].operations, 16u * 8 * 2 * 16);
    EXPECT_EQ(shapes->costs[10].operations, 64u * 8 * 2 * 4);
    // A product and two sums, and ReLU.
    EXPECT_EQ(shapes->costs[11].operations, 64u * 8 * 7);
    // Attention over 16 tokens of 16 channels in 2 heads: two products and a softmax.
    EXPECT_EQ(shapes->costs[6].operations, 16u * 16 * (4 * 16 + 3 * 2));
    // The output port is fp32 without padding channels.
    EXPECT_EQ(shapes->costs[13].bytes, 64u * 32 + 64u * 3 * 4 + 3u * 3 * 3 * 16 * 2);
    OpCost sum;
    for (const OpCost &cost : shapes->costs) {
        sum.operations += cost.operations;
        sum.bytes += cost.bytes;
    }
    EXPECT_EQ(shapes->total.operations, sum.operations);
    EXPECT_EQ(shapes->total.bytes, sum.bytes);
}

TEST(Shapes, AGraphOfOneSizeRunsAtNoOther) {
    Chain chain(3);
    chain.conv(8, 4, 2, 1, 1);
    chain.conv(8, 2, 1, 0, 0);
    chain.resample(Resample::ZerosUp2);
    chain.conv(3, 4, 1, 2, 2);
    chain.finish();
    chain.fixSize(14, 14);
    EXPECT_FALSE(inferShapes(chain.model, chain.graph(), 1, 14, 14).ok()); // 7, 6, 12, 13 pixels
    chain.graph().ops.back().padTop = chain.graph().ops.back().padLeft = 3;
    EXPECT_TRUE(inferShapes(chain.model, chain.graph(), 1, 14, 14).ok());
    EXPECT_EQ(fixedSize(chain.graph()).height, 14u);
    const Status other = inferShapes(chain.model, chain.graph(), 1, 28, 14).status();
    EXPECT_EQ(other.code, StatusCode::InvalidArgument);
    EXPECT_NE(other.message.find("28x14 (height x width), expected 14x14"), std::string::npos)
        << other.message;
    EXPECT_EQ(downsamplingFactor(chain.graph()).value(), 1u);
    EXPECT_TRUE(receptiveField(chain.model, chain.graph()).value().wholeImage);
}

TEST(Shapes, APointwiseMapAndResidualMustFit) {
    Chain chain(3);
    chain.conv(8, 3, 1, 1, 1);
    const uint32_t skip = chain.last();
    chain.conv(8, 3, 2, 1, 1);
    Op &op = chain.pointwise();
    Weight map;
    map.type = DataType::F32;
    map.shape = {2, 8, 4, 5};
    map.bytes = 2 * 8 * 4 * 5 * 4;
    chain.model.weights.push_back(map);
    op.affine = static_cast<uint32_t>(chain.model.weights.size() - 1);
    chain.finish(1, 2);
    EXPECT_TRUE(inferShapes(chain.model, chain.graph(), 1, 8, 10).ok());
    const Status map_ = inferShapes(chain.model, chain.graph(), 1, 8, 12).status();
    EXPECT_NE(map_.message.find("affine map is for 4x5 pixels"), std::string::npos) << map_.message;
    chain.graph().ops.back().affine = kNone;
    chain.graph().ops.back().residual = skip;
    const Status residual = inferShapes(chain.model, chain.graph(), 1, 8, 12).status();
    EXPECT_NE(residual.message.find("does not fit the output of 1x8x4x6"), std::string::npos)
        << residual.message;
}

TEST(Shapes, BytesOfAMapCountItsPaddingChannels) {
    EXPECT_EQ(tensorBytes(TensorKind::Activation, {1, 8, 3, 5}), 3u * 5 * 16);
    EXPECT_EQ(tensorBytes(TensorKind::Activation, {2, 9, 3, 5}), 2u * 2 * 3 * 5 * 16);
    EXPECT_EQ(tensorBytes(TensorKind::Port, {2, 9, 3, 5}), 2u * 9 * 3 * 5 * 4);
}

TEST(Shapes, SizesBeyondReasonAreRefusedNotWrapped) {
    Chain chain(8);
    for (int i = 0; i < 20; ++i)
        chain.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    EXPECT_NE(chain.shapeAt(4, 4).find("1x8x4194304x4194304, more than any device can hold"),
              std::string::npos)
        << chain.shapeAt(4, 4);
    EXPECT_NE(chain.shapeAt(1u << 24, 1).find("more than any device can hold"), std::string::npos);
    EXPECT_NE(chain.shapeAt(0, 4).find("expected each from 1 to 16777216"), std::string::npos);
    EXPECT_NE(chain.shapeAt(4, ~0u).find("expected each from 1 to 16777216"), std::string::npos);
    Chain ratio(8);
    ratio.graph().ports[0].shape[2] = {DimensionSymbol::H, 1, 3};
    EXPECT_NE(ratio.shapeAt(10, 9).find("dimension 2 is 10 * 1 / 3"), std::string::npos)
        << ratio.shapeAt(10, 9);
    EXPECT_EQ(ratio.shapeAt(12, 9), "1x8x4x9");
}

TEST(Shapes, AResidualMustFitTheOutput) {
    Chain chain(8);
    const uint32_t start = chain.last();
    Op &op = chain.conv(8, 3, 2, 1, 1);
    op.residual = start;
    EXPECT_NE(
        chain.shapeAt(8, 8).find("op 'op1': residual 'start' of 1x8x8x8 does not fit the output of 1x8x4x4"),
        std::string::npos)
        << chain.shapeAt(8, 8);
    chain.graph().ops.back().residualResample = Resample::AverageDown2;
    EXPECT_EQ(chain.shapeAt(8, 8), "1x8x4x4");
    EXPECT_EQ(chain.shapeAt(9, 9).rfind("graph", 0), 0u); // 9 -> 5 by the convolution, 4 by the average
    Op &up = chain.conv(8, 3, 1, 1, 1, Resample::NearestUp2);
    up.residual = up.inputs[0];
    up.residualResample = Resample::NearestUp2;
    EXPECT_EQ(chain.shapeAt(8, 8), "1x8x8x8");
}

TEST(Shapes, AnOutputPortMustDeclareWhatTheOpsGive) {
    Chain chain(3);
    chain.conv(3, 3, 1, 1, 1, Resample::NearestUp2);
    chain.finish(2, 1);
    EXPECT_EQ(chain.shapeAt(5, 7), "1x3x10x14");
    chain.graph().ports[1].shape[2].numerator = 1;
    EXPECT_NE(chain.shapeAt(5, 7).find("port 'out': the ops give 1x3x10x14, the port declares 1x3x5x14"),
              std::string::npos);
}

} // namespace
} // namespace mote::test
