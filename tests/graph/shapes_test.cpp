// Shapes, costs, downsampling factor and receptive field against values worked out by hand.
#include "graph/shapes.h"
#include "model/sample_model.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace mote::test {
namespace {

// Chains of single-input ops from an input port "x" to an output port, enough for these tests.
class Chain {
public:
    Model model;

    explicit Chain(uint32_t channels) {
        model.graphs.emplace_back();
        graph().name = "chain";
        last_ = tensor("x", channels, TensorKind::Port);
        port("x", false, last_, 1, 1);
        Op op;
        op.kind = OpKind::Concat;
        op.name = "concat";
        op.inputs = {last_};
        op.inputScale = {1};
        op.inputOffset = {0};
        last_ = op.output = tensor("start", channels, TensorKind::Activation);
        graph().ops.push_back(op);
    }

    Graph &graph() { return model.graphs[0]; }
    uint32_t last() const { return last_; }

    Op &conv(uint32_t out, uint32_t kernel, uint32_t stride, uint32_t before, uint32_t after,
             Resample input = Resample::None) {
        Weight weight;
        weight.type = DataType::F16;
        weight.shape = {out, kernel, kernel, graph().tensors[last_].channels};
        weight.bytes = uint64_t{2} * out * kernel * kernel * graph().tensors[last_].channels;
        model.weights.push_back(weight);
        Op op;
        op.kind = OpKind::Conv2d;
        op.weight = static_cast<uint32_t>(model.weights.size() - 1);
        op.stride = stride;
        op.padTop = op.padLeft = before;
        op.padBottom = op.padRight = after;
        op.inputResample = input;
        return add(op, out);
    }

    Op &norm(Resample output) {
        Op op;
        op.kind = OpKind::GroupNorm;
        op.outputResample = output;
        op.activation = ActivationFunction::Silu;
        return add(op, graph().tensors[last_].channels);
    }

    Op &resample(Resample how) {
        Op op;
        op.kind = OpKind::Resample;
        op.outputResample = how;
        return add(op, graph().tensors[last_].channels);
    }

    Op &pointwise() {
        Op op;
        op.kind = OpKind::Pointwise;
        return add(op, graph().tensors[last_].channels);
    }

    void fixSize(uint32_t height, uint32_t width) {
        for (Port &port : graph().ports) {
            port.shape[2] = {DimensionSymbol::One, height, 1};
            port.shape[3] = {DimensionSymbol::One, width, 1};
        }
    }

    Op &attention() {
        Op op;
        op.kind = OpKind::Attention;
        op.heads = 2;
        return add(op, graph().tensors[last_].channels / 3);
    }

    // The last tensor is the output port from here on; numerator / denominator of the image's size.
    void finish(uint32_t numerator = 1, uint32_t denominator = 1) {
        graph().tensors[last_].kind = TensorKind::Port;
        port("out", true, last_, numerator, denominator);
    }

    std::string shapeAt(uint32_t h, uint32_t w, uint32_t n = 1) {
        const Result<GraphShapes> shapes = inferShapes(model, graph(), n, h, w);
        if (!shapes.ok())
            return shapes.status().message;
        const TensorShape &s = shapes->tensors[last_];
        return std::to_string(s.n) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" +
               std::to_string(s.w);
    }

private:
    uint32_t tensor(const std::string &name, uint32_t channels, TensorKind kind) {
        graph().tensors.push_back({name, kind, channels});
        return static_cast<uint32_t>(graph().tensors.size() - 1);
    }
    void port(const std::string &name, bool output, uint32_t tensor, uint32_t numerator,
              uint32_t denominator) {
        Port port;
        port.name = name;
        port.output = output;
        port.tensor = tensor;
        port.shape = {{DimensionSymbol::N, 1, 1},
                      {DimensionSymbol::One, graph().tensors[tensor].channels, 1},
                      {DimensionSymbol::H, numerator, denominator},
                      {DimensionSymbol::W, numerator, denominator}};
        graph().ports.push_back(port);
    }
    Op &add(Op op, uint32_t channels) {
        op.name = "op" + std::to_string(graph().ops.size());
        op.inputs = {last_};
        last_ = op.output = tensor(op.name, channels, TensorKind::Activation);
        graph().ops.push_back(op);
        return graph().ops.back();
    }
    uint32_t last_ = 0;
};

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

TEST(ReceptiveField, APointwiseResidualCounts) {
    Chain chain(8);
    chain.conv(8, 5, 1, 2, 2);
    const uint32_t skip = chain.last();
    chain.pointwise().residual = skip;
    chain.finish();
    EXPECT_EQ(receptiveField(chain.model, chain.graph()).value().radius, 2u);
    Chain near(8);
    near.conv(8, 7, 1, 3, 3);
    const uint32_t far = near.last();
    near.conv(8, 1, 1, 0, 0);
    near.pointwise().residual = far;
    near.finish();
    EXPECT_EQ(receptiveField(near.model, near.graph()).value().radius, 3u);
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

// ------------------------------------------------------------------------------------------ the map's lie on
// the image

uint32_t factorOf(Chain &chain) {
    const Result<uint32_t> factor = downsamplingFactor(chain.graph());
    EXPECT_TRUE(factor.ok()) << factor.status().message;
    return factor.ok() ? factor.value() : 0;
}

uint32_t radiusOf(Chain &chain) {
    const Result<ReceptiveField> field = receptiveField(chain.model, chain.graph());
    EXPECT_TRUE(field.ok()) << field.status().message;
    EXPECT_FALSE(field->wholeImage);
    return field.ok() ? field->radius : 0;
}

TEST(ReceptiveField, StackedConvolutionsAddTheirRadii) {
    Chain chain(3);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 0u); // pointwise
    Chain one(3);
    one.conv(8, 3, 1, 1, 1);
    one.finish();
    EXPECT_EQ(radiusOf(one), 1u);
    Chain many(3);
    for (int i = 0; i < 5; ++i)
        many.conv(8, 3, 1, 1, 1);
    many.conv(8, 7, 1, 3, 3);
    many.finish();
    EXPECT_EQ(radiusOf(many), 5u + 3);
    EXPECT_EQ(factorOf(many), 1u);
}

TEST(ReceptiveField, DownAndUpByHand) {
    // Stride 2 with padding 1 sees 2i-1..2i+1; then up: y sees floor((y-1)/2)..floor((y+1)/2).
    // y = 0: -1..0 -> -3..1; y = 1: 0..1 -> -1..3, radius 3 below y = 0 and 2 above y = 1.
    Chain chain(3);
    chain.conv(8, 3, 2, 1, 1);
    chain.conv(8, 3, 1, 1, 1, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 3u);
    EXPECT_EQ(factorOf(chain), 2u);
    // Padding on the far side only sees 2i..2i+2. y = 0: -1..0 -> -2..2; y = 1: 0..1 -> 0..4, radius 3.
    Chain far(3);
    far.conv(8, 3, 2, 0, 1);
    far.conv(8, 3, 1, 1, 1, Resample::NearestUp2);
    far.finish();
    EXPECT_EQ(radiusOf(far), 3u);
    // Averages and 1x1 convolutions: y sees its own block of four.
    Chain average(3);
    average.norm(Resample::AverageDown2);
    average.norm(Resample::AverageDown2);
    average.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    average.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    average.finish();
    EXPECT_EQ(radiusOf(average), 3u);
    EXPECT_EQ(factorOf(average), 4u);
    // Looking ahead only: pixel 0 sees blocks 0..2 of four, down to pixel 11.
    Chain ahead(3);
    ahead.norm(Resample::AverageDown2);
    ahead.norm(Resample::AverageDown2);
    ahead.conv(8, 3, 1, 0, 2);
    ahead.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    ahead.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    ahead.finish();
    EXPECT_EQ(radiusOf(ahead), 11u);
}

TEST(ReceptiveField, FiltersReachOnePixelFurther) {
    // Down sees 2i-1..2i+2; up: 2i sees i-1..i, 2i+1 sees i..i+1.
    // y = 0: -1..0 -> -3..2; y = 1: 0..1 -> -1..4: radius 3 both ways.
    Chain chain(3);
    chain.resample(Resample::FirDown2);
    chain.resample(Resample::FirUp2);
    chain.conv(3, 1, 1, 0, 0);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 3u);
    EXPECT_EQ(factorOf(chain), 2u);
    // Twice: y = 1 -> 0..1 -> -1..1 -> -3..4 -> -7..10; y = 2 sees the same.
    Chain twice(3);
    for (const Resample how : {Resample::FirDown2, Resample::FirDown2, Resample::FirUp2, Resample::FirUp2})
        twice.resample(how);
    twice.conv(3, 1, 1, 0, 0);
    twice.finish();
    EXPECT_EQ(radiusOf(twice), 9u);
    EXPECT_EQ(factorOf(twice), 4u);
    Chain plain(3);
    plain.resample(Resample::AverageDown2);
    plain.resample(Resample::NearestUp2);
    plain.conv(3, 1, 1, 0, 0);
    plain.finish();
    EXPECT_EQ(radiusOf(plain), 1u);
    EXPECT_EQ(factorOf(plain), 2u);
}

TEST(ReceptiveField, ResidualsCount) {
    Chain chain(8);
    const uint32_t start = chain.last();
    chain.conv(8, 1, 2, 0, 0); // sees 2i
    Op &op = chain.conv(8, 1, 1, 0, 0);
    op.residual = start;
    op.residualResample = Resample::AverageDown2; // sees 2i..2i+1
    chain.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 1u); // y = 0 sees 0..1, y = 1 sees 0..1
    chain.graph().ops[2].residual = kNone;
    EXPECT_EQ(radiusOf(chain), 1u); // y = 1 sees 0
    chain.graph().ops[1].stride = 1;
    chain.graph().ops[3].inputResample = Resample::None;
    EXPECT_EQ(radiusOf(chain), 0u);
}

TEST(ReceptiveField, AttentionSeesTheWholeImage) {
    Chain chain(6);
    chain.attention();
    chain.finish();
    const Result<ReceptiveField> field = receptiveField(chain.model, chain.graph());
    ASSERT_TRUE(field.ok());
    EXPECT_TRUE(field->wholeImage);
    const Sample sample = sampleModel();
    const Result<ReceptiveField> whole = receptiveField(sample.model, sample.model.graphs[0]);
    ASSERT_TRUE(whole.ok());
    EXPECT_TRUE(whole->wholeImage);
}

TEST(ReceptiveField, APortSmallerThanTheImageCountsInImagePixels) {
    // A latent of an eighth decoded to the image: one 3x3 convolution at the latent's size reaches 8 + 7
    // pixels.
    Chain chain(4);
    chain.graph().ports[0].shape[2].denominator = chain.graph().ports[0].shape[3].denominator = 8;
    chain.conv(4, 3, 1, 1, 1);
    for (int i = 0; i < 3; ++i)
        chain.conv(4, 1, 1, 0, 0, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 15u);
    EXPECT_EQ(factorOf(chain), 8u);
}

// The same dependence found by marking pixels forwards through a chain of convolutions of random shapes.
TEST(ReceptiveField, AgreesWithMarkingPixels) {
    uint32_t state = 5;
    const auto below = [&state](uint32_t limit) {
        return ((state = state * 1664525u + 1013904223u) >> 16) % limit;
    };
    for (int trial = 0; trial < 60; ++trial) {
        struct Layer {
            uint32_t kernel, stride, before, after;
            bool up;
        };
        std::vector<Layer> layers;
        int level = 0;
        for (uint32_t i = 0; i < 2 + below(7); ++i) {
            const uint32_t kernel = 1 + 2 * below(3);
            Layer layer{kernel, 1, kernel / 2, kernel / 2, false};
            const uint32_t what = below(3);
            if (what == 1 && level < 3) {
                layer.stride = 2;
                ++level;
                if (kernel == 3 && below(2) == 0)
                    layer.before = 0;
            } else if (what == 2 && level > 0) {
                layer.up = true;
                --level;
            }
            layers.push_back(layer);
        }
        for (; level > 0; --level)
            layers.push_back({1, 1, 0, 0, true});
        Chain chain(3);
        for (const Layer &layer : layers)
            chain.conv(4, layer.kernel, layer.stride, layer.before, layer.after,
                       layer.up ? Resample::NearestUp2 : Resample::None);
        chain.finish();
        // Long enough that the middle third never touches the border.
        constexpr int kLength = 1024;
        std::vector<std::vector<int>> sees(
            kLength); // the input pixels that each pixel of the present map sees
        for (int i = 0; i < kLength; ++i)
            sees[static_cast<size_t>(i)] = {i, i};
        for (const Layer &layer : layers) {
            const auto at = [&](int i) -> std::vector<int> {
                const int index = layer.up ? i / 2 : i;
                const bool inside = i >= 0 && index < static_cast<int>(sees.size());
                return inside ? sees[static_cast<size_t>(index)] : std::vector<int>{};
            };
            const auto length = static_cast<int>(sees.size() * (layer.up ? 2 : 1));
            std::vector<std::vector<int>> next;
            for (int i = 0; i * static_cast<int>(layer.stride) + static_cast<int>(layer.kernel) <=
                            length + static_cast<int>(layer.before + layer.after);
                 ++i) {
                std::vector<int> hull;
                for (int k = 0; k < static_cast<int>(layer.kernel); ++k) {
                    const std::vector<int> from =
                        at(i * static_cast<int>(layer.stride) - static_cast<int>(layer.before) + k);
                    if (from.empty())
                        continue;
                    hull = hull.empty()
                               ? from
                               : std::vector<int>{std::min(hull[0], from[0]), std::max(hull[1], from[1])};
                }
                next.push_back(hull);
            }
            sees = next;
        }
        int radius = 0;
        for (int i = kLength / 3; i < 2 * kLength / 3; ++i)
            radius =
                std::max({radius, i - sees[static_cast<size_t>(i)][0], sees[static_cast<size_t>(i)][1] - i});
        EXPECT_EQ(radiusOf(chain), static_cast<uint32_t>(radius)) << "trial " << trial;
    }
}

TEST(ReceptiveField, AFactorBeyondReasonIsRefused) {
    Chain chain(3);
    for (int i = 0; i < 11; ++i)
        chain.conv(8, 3, 2, 1, 1);
    EXPECT_EQ(downsamplingFactor(chain.graph()).status().code, StatusCode::Unsupported);
    EXPECT_EQ(receptiveField(chain.model, chain.graph()).status().code, StatusCode::Unsupported);
}

} // namespace
} // namespace mote::test
