// GroupNorm against the reference: groups that span blocks and sources, chunks, flags.
#include "kernel_rig.h"

#include "read/half.h"

#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

struct NormCase {
    const char *name;
    std::vector<uint32_t> channels; // of the one or two sources
    uint32_t groups, n, h, w;
    ActivationFunction activation = ActivationFunction::None;
    bool average = false;
    uint32_t rows = 1;
    double offset = 0, spread = 1; // of the inputs
    double factor = 1;             // of the affine table
};

constexpr ActivationFunction kPlain = ActivationFunction::None, kSilu = ActivationFunction::Silu;

const NormCase kCases[] = {
    {"OnePixelOneChannel", {1}, 1, 1, 1, 1},
    {"OnePixelFiveChannels", {5}, 1, 2, 1, 1, kSilu},
    {"OddSize", {8}, 8, 1, 7, 9},
    {"GroupsOfThree", {24}, 8, 1, 9, 7, kSilu},
    {"GroupsOfFive", {40}, 8, 2, 5, 11, kSilu},
    {"GroupsOf13", {130}, 10, 1, 4, 5},
    {"GroupsOf40", {80}, 2, 1, 6, 6, kSilu},
    {"OneGroup", {24}, 1, 1, 8, 8},
    {"TwoSources", {16, 24}, 8, 1, 6, 10, kSilu},
    {"TwoSourcesInOneGroup", {8, 8}, 1, 2, 5, 5},
    {"TwoSourcesOddChannels", {3, 5}, 4, 1, 7, 5, kSilu},
    {"TwoSourcesFiveThirteen", {5, 13}, 6, 2, 3, 7},
    {"TwoSourcesShiftedBlocks", {12, 40}, 4, 1, 4, 9, kSilu},
    {"Average", {24}, 8, 1, 6, 10, kSilu, true},
    {"AverageTwoSourcesOdd", {3, 6}, 3, 2, 4, 2, kPlain, true},
    {"Rows", {16}, 4, 1, 5, 5, kSilu, false, 3},
    {"FarFromZero", {16}, 4, 1, 33, 31, kPlain, false, 1, 100, 0.5},
    {"LargeMap", {8}, 2, 1, 130, 140, kSilu},
    {"Mish", {24}, 8, 1, 9, 7, ActivationFunction::Mish},
    {"MishAverage", {12}, 4, 2, 6, 10, ActivationFunction::Mish, true},
    {"MishFarFromZero", {16}, 1, 1, 9, 9, ActivationFunction::Mish, false, 1, 0, 1, 40},
    {"Gelu", {40}, 8, 2, 5, 11, ActivationFunction::Gelu},
    {"GeluFarFromZero", {16}, 1, 1, 9, 9, ActivationFunction::Gelu, false, 1, 0, 1, 40},
    {"Relu", {5, 13}, 6, 2, 3, 7, ActivationFunction::Relu},
};

class GroupNorm : public Kernels {
protected:
    static OpCase makeCase(const NormCase &c) {
        Random random(c.groups * 7 + c.h);
        OpCase made;
        Op &op = made.op();
        op.kind = OpKind::GroupNorm;
        op.name = c.name;
        op.groups = c.groups;
        op.epsilon = 1e-5f;
        op.activation = c.activation;
        op.outputResample = c.average ? Resample::AverageDown2 : Resample::None;
        uint32_t channels = 0;
        for (uint32_t count : c.channels) {
            Map map = random.map(c.n, count, c.h, c.w);
            for (double &value : map.values)
                value = value * c.spread + c.offset;
            convert::reference::roundToHalf(map);
            made.input(std::move(map));
            channels += count;
        }
        std::vector<double> affine = random.halfs(size_t{c.rows} * 2 * channels);
        for (double &value : affine)
            value *= c.factor;
        op.affine = made.table({c.rows, 2, channels}, std::move(affine));
        const uint32_t down = c.average ? 2 : 1;
        made.output({c.n, channels, c.h / down, c.w / down});
        return made;
    }

    Result<GraphKernels> choose(const OpCase &c) {
        return chooseKernels(c.model, c.graph, c.shapes, traits(),
                             [this](const gpu::PipelineDescription &pipeline) {
                                 return device().pipelines().get(pipeline).status();
                             });
    }

    // The inputs have no maker here, so their statistics are made by the kernel for that.
    std::vector<Dispatch> statisticsOf(const OpCase &c, const GraphKernels &kernels, OpBuffers &buffers) {
        std::vector<Dispatch> dispatches;
        for (size_t i = 0; i < c.inputs.size(); ++i) {
            const Map &in = c.inputs[i];
            OpCase maker; // a Concat stands in for it: anything that is not a convolution
            maker.op().kind = OpKind::Concat;
            maker.op().inputScale = {1};
            maker.op().inputOffset = {0};
            maker.input(in, TensorKind::Port);
            maker.output({in.batch, in.channels, in.height, in.width});
            maker.wantStatistics();
            const Result<GraphKernels> chosen = choose(maker);
            EXPECT_TRUE(chosen.ok()) << chosen.status().message;
            OpBuffers own;
            own.session = buffers.session;
            own.inputs = {buffer(4)};
            own.output = buffers.inputs[i];
            own.outputStatistics = buffer(chosen->statistics[1].bytes);
            EXPECT_EQ(chosen->statistics[1].tiles, statisticsTiles(kernels, c, i));
            buffers.inputStatistics.push_back(own.outputStatistics);
            Result<std::vector<Dispatch>> built =
                buildDispatches(chosen.value(), maker.model, maker.graph, maker.shapes, 0, own, traits());
            EXPECT_TRUE(built.ok()) << built.status().message;
            dispatches.push_back(built.value().back()); // without the Concat itself
        }
        return dispatches;
    }

    static uint32_t statisticsTiles(const GraphKernels &kernels, const OpCase &c, size_t input) {
        return kernels.statistics[c.graph.ops[0].inputs[input]].tiles;
    }

    // The graph that chooseKernels sees must contain the makers, so that it knows their statistics.
    static OpCase withMakers(const NormCase &wanted) {
        OpCase c = makeCase(wanted);
        Op norm = c.graph.ops[0];
        c.graph.ops.clear();
        c.graph.ops.push_back(norm);
        for (size_t i = 0; i < c.inputs.size(); ++i) {
            Op maker;
            maker.kind = OpKind::Concat;
            maker.name = "maker";
            maker.inputs = {static_cast<uint32_t>(c.graph.tensors.size())};
            maker.inputScale = {1};
            maker.inputOffset = {0};
            maker.output = norm.inputs[i];
            c.graph.tensors.push_back({"port", TensorKind::Port, c.inputs[i].channels});
            c.shapes.tensors.push_back(c.shapes.tensors[norm.inputs[i]]);
            c.shapes.costs.push_back({1, 1});
            c.graph.ops.push_back(maker);
        }
        return c;
    }

    std::string kernelName_; // of the norm chosen last

    void expectMatchesReference(const NormCase &wanted);
    void expectTwoConvolutionsCombined();
    void expectFlags();
    void expectLargestNotFlagged();
    void expectEarliestCode();

    struct Ran {
        Map found;
        SessionWords session;
    };
    Ran runCase(const OpCase &c, uint32_t row, uint32_t errorCode = 77, uint32_t earlier = kNothingFound) {
        Ran ran;
        const Result<GraphKernels> kernels = choose(c);
        EXPECT_TRUE(kernels.ok()) << kernels.status().message;
        if (!kernels.ok())
            return ran;
        kernelName_ = kernels->ops[0].name;
        OpBuffers buffers;
        for (const Map &in : c.inputs)
            buffers.inputs.push_back(activation(in));
        const std::vector<float> affine(c.tables[c.graph.ops[0].affine].values.begin(),
                                        c.tables[c.graph.ops[0].affine].values.end());
        std::vector<std::byte> packed(kernels->ops[0].affineBytes);
        packAffine(kernels->ops[0], c.model, c.graph, 0, affine.data(), packed.data());
        buffers.affine = bufferOf(packed.data(), packed.size());
        SessionWords words;
        words.nonFinite = earlier;
        buffers.session = session(words);
        buffers.row = row;
        buffers.errorCode = errorCode;
        const uint32_t output = c.graph.ops[0].output;
        buffers.output = buffer(tensorBytes(TensorKind::Activation, c.shapes.tensors[output]));
        std::vector<Dispatch> list = statisticsOf(c, kernels.value(), buffers);
        const Result<std::vector<Dispatch>> built =
            buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits());
        EXPECT_TRUE(built.ok()) << built.status().message;
        list.insert(list.end(), built.value().begin(), built.value().end());
        run(list);
        ran.found = readActivation(buffers.output, c.shapes.tensors[output]);
        ran.session = sessionOf(buffers.session);
        return ran;
    }

    // Against the reference made from the very inputs that the kernel read.
    void expectClose(const Map &found, const Map &expected, const std::vector<Map> &inputs,
                     const NormCase &wanted, const std::vector<double> &affine) {
        const uint32_t channels = expected.channels;
        // In fp32: the mean is within 32 roundings of the largest input, the deviations within 64 of
        // themselves (as the statistics tests hold), so that the normalised value h = (x - mean) s + beta
        // moves by at most
        //   32 u largest s + 64 u (|h| + |beta|);
        // An activation's slope is at most 1.13, its own error (3 + 2 |h|) 2 u of the value as GLSL bounds
        // exp. Then the storage.
        const double u = 0x1p-24;
        std::vector<double> scales(expected.batch * wanted.groups);
        const uint32_t groupChannels = channels / wanted.groups;
        double largest = 0;
        for (uint32_t n = 0; n < expected.batch; ++n) {
            for (uint32_t g = 0; g < wanted.groups; ++g) {
                double sum = 0, squares = 0, size = 0;
                for (uint32_t channel = g * groupChannels; channel < (g + 1) * groupChannels; ++channel) {
                    const bool second = channel >= inputs[0].channels;
                    const Map &in = inputs[second ? 1 : 0];
                    const double *plane = in.plane(n, second ? channel - inputs[0].channels : channel);
                    for (size_t i = 0; i < in.planeSize(); ++i, size += 1) {
                        sum += plane[i];
                        squares += plane[i] * plane[i];
                        largest = std::max(largest, std::fabs(plane[i]));
                    }
                }
                scales[n * wanted.groups + g] =
                    1 / std::sqrt(std::max(0.0, squares / size - sum / size * (sum / size)) + 1e-5);
            }
        }
        ASSERT_EQ(found.values.size(), expected.values.size());
        for (uint32_t n = 0; n < expected.batch; ++n) {
            for (uint32_t channel = 0; channel < channels; ++channel) {
                const double gamma = std::fabs(affine[channel]), beta = std::fabs(affine[channels + channel]);
                const double scale = scales[n * wanted.groups + channel / groupChannels] * gamma;
                for (size_t i = 0; i < expected.planeSize(); ++i) {
                    const double value = expected.plane(n, channel)[i];
                    const double h = wanted.average ? 2 * largest * scale + beta : std::fabs(value) + 1;
                    const double moved = 32 * u * largest * scale + 64 * u * (h + beta);
                    const double arithmetic =
                        wanted.activation != kPlain ? 1.13 * moved + (3 + 2 * h) * 2 * u * h : moved;
                    const double tolerance = arithmetic + 0x1p-11 * (std::fabs(value) + arithmetic) + 0x1p-25;
                    const double fraction = std::fabs(found.plane(n, channel)[i] - value) / tolerance;
                    ASSERT_LE(fraction, 1) << "channel " << channel << ", pixel " << i << ": "
                                           << found.plane(n, channel)[i] << ", expected " << value;
                    ErrorLog::note(kernelName_, fraction);
                }
            }
        }
    }
};

void GroupNorm::expectMatchesReference(const NormCase &wanted) {
    const OpCase c = withMakers(wanted);
    const uint32_t row = wanted.rows - 1;
    const Ran ran = runCase(c, row);
    EXPECT_EQ(ran.session.nonFinite, kNothingFound);

    OpCase one = makeCase(wanted);
    auto &affine = one.tables[one.op().affine];
    const uint32_t channels = affine.shape[2];
    affine.values = {affine.values.begin() + row * 2 * channels,
                     affine.values.begin() + (row + 1) * 2 * channels};
    affine.shape[0] = 1;
    const Map expected = one.reference();
    expectClose(ran.found, expected, c.inputs, wanted, affine.values);
}

// The same with all that the device has: on software devices the kernel for them.
class GroupNormUnclamped : public GroupNorm {
protected:
    static void SetUpTestSuite() { openDevice(nullptr); }
    void expectKernel() {
        const Traits with = traits();
        const bool lanes = with.cpu && with.caps.subgroupSize >= 8 &&
                           (with.caps.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
        EXPECT_EQ(kernelName_, lanes ? "groupnorm lanes" : "groupnorm");
    }
};
class GroupNormShapes : public GroupNorm, public testing::WithParamInterface<NormCase> {};
class GroupNormUnclampedShapes : public GroupNormUnclamped, public testing::WithParamInterface<NormCase> {};

TEST_P(GroupNormShapes, MatchesReference) {
    expectMatchesReference(GetParam());
    EXPECT_EQ(kernelName_, "groupnorm");
}

TEST_P(GroupNormUnclampedShapes, MatchesReference) {
    expectMatchesReference(GetParam());
    expectKernel();
}

INSTANTIATE_TEST_SUITE_P(Table, GroupNormUnclampedShapes, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });
INSTANTIATE_TEST_SUITE_P(Table, GroupNormShapes, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

// Statistics as convolutions write them, from two that cut the map into different numbers of tiles.
void GroupNorm::expectTwoConvolutionsCombined() {
    const uint32_t height = 70, width = 65, channels[2] = {5, 11};
    const NormCase wanted{"Two", {5, 11}, 4, 1, height, width, kSilu};
    Random random(17);
    OpCase c;
    c.op().kind = OpKind::Conv2d;
    c.op().name = "first";
    const Map image = random.map(1, 6, height, width);
    c.input(image);
    c.op().weight = c.table({channels[0], 3, 3, 6}, random.halfs(channels[0] * 54), DataType::F16);
    c.op().bias = c.table({1, channels[0]}, random.halfs(channels[0]));
    c.op().padTop = c.op().padLeft = c.op().padBottom = c.op().padRight = 1;
    c.output({1, channels[0], height, width});
    Op second = c.op();
    second.name = "second";
    second.weight = c.table({channels[1], 1, 1, 6}, random.halfs(channels[1] * 6), DataType::F16);
    second.bias = c.table({1, channels[1]}, random.halfs(channels[1]));
    second.padTop = second.padLeft = second.padBottom = second.padRight = 0;
    second.output = 2;
    c.graph.tensors.push_back({"second", TensorKind::Activation, channels[1]});
    Op norm;
    norm.kind = OpKind::GroupNorm;
    norm.name = "norm";
    norm.inputs = {1, 2};
    norm.output = 3;
    norm.groups = 4;
    norm.activation = ActivationFunction::Silu;
    norm.affine = c.table({1, 2, 16}, random.halfs(32));
    c.graph.tensors.push_back({"normalised", TensorKind::Activation, 16});
    c.shapes.tensors.push_back({1, channels[1], height, width});
    c.shapes.tensors.push_back({1, 16, height, width});
    c.graph.ops.push_back(second);
    c.graph.ops.push_back(norm);
    c.shapes.costs.resize(3, {1000, 1000});

    const Result<GraphKernels> kernels = choose(c);
    ASSERT_TRUE(kernels.ok()) << kernels.status().message;
    kernelName_ = kernels->ops[2].name;
    if (kernelName_ == "groupnorm") { // others cut every map alike
        ASSERT_NE(kernels->statistics[1].tiles, kernels->statistics[2].tiles);
    }
    std::vector<BufferRange> tensors = {activation(image)}, statistics = {{}};
    for (uint32_t i = 1; i < 4; ++i) {
        tensors.push_back(buffer(tensorBytes(TensorKind::Activation, c.shapes.tensors[i])));
        const uint64_t bytes = kernels->statistics[i].bytes;
        statistics.push_back(bytes != 0 ? buffer(bytes) : BufferRange{});
    }
    std::vector<Dispatch> list;
    for (uint32_t i = 0; i < 3; ++i) {
        const Op &op = c.graph.ops[i];
        const OpKernel &kernel = kernels->ops[i];
        OpBuffers buffers;
        for (uint32_t input : op.inputs) {
            buffers.inputs.push_back(tensors[input]);
            buffers.inputStatistics.push_back(statistics[input]);
        }
        buffers.output = tensors[op.output];
        buffers.outputStatistics = statistics[op.output];
        buffers.session = session();
        if (op.kind == OpKind::Conv2d) {
            std::vector<uint16_t> halfs;
            for (double value : c.tables[op.weight].values)
                halfs.push_back(convert::halfFromDouble(value));
            std::vector<std::byte> packed(kernel.weightBytes);
            packWeights(kernel, c.model, c.graph, i, halfs.data(), packed.data());
            buffers.weights = bufferOf(packed.data(), packed.size());
            const std::vector<float> bias(c.tables[op.bias].values.begin(), c.tables[op.bias].values.end());
            packed.resize(kernel.biasBytes);
            packBias(kernel, c.model, c.graph, i, bias.data(), packed.data());
            buffers.bias = bufferOf(packed.data(), packed.size());
        } else {
            const std::vector<float> affine(c.tables[op.affine].values.begin(),
                                            c.tables[op.affine].values.end());
            std::vector<std::byte> packed(kernel.affineBytes);
            packAffine(kernel, c.model, c.graph, i, affine.data(), packed.data());
            buffers.affine = bufferOf(packed.data(), packed.size());
        }
        const Result<std::vector<Dispatch>> built =
            buildDispatches(kernels.value(), c.model, c.graph, c.shapes, i, buffers, traits());
        ASSERT_TRUE(built.ok()) << built.status().message;
        list.insert(list.end(), built.value().begin(), built.value().end());
    }
    run(list);
    std::vector<Map> made;
    for (uint32_t i = 1; i < 3; ++i) {
        made.push_back(readActivation(tensors[i], c.shapes.tensors[i]));
        expectStatistics(made.back(), floatsOf(statistics[i]), kernels->statistics[i].tiles);
    }
    const Map expected = convert::reference::runOp<double>(norm, {&made[0], &made[1]}, nullptr, c.tables);
    expectClose(readActivation(tensors[3], c.shapes.tensors[3]), expected, made, wanted,
                c.tables[norm.affine].values);
}

void GroupNorm::expectFlags() {
    for (double bad : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
        for (size_t where : {size_t{0}, size_t{4 * 63 + 20}, size_t{2 * 8 * 63 - 1}}) {
            buffers_.clear();
            OpCase c = withMakers({"Bad", {8}, 2, 2, 7, 9});
            c.inputs[0].values[where] = bad;
            EXPECT_EQ(runCase(c, 0, 5u << 16 | 3).session.nonFinite, 5u << 16 | 3) << bad << " at " << where;
        }
    }
}

// The largest finite values of fp16 are no infinities, in no group and in no sum of squares.
void GroupNorm::expectLargestNotFlagged() {
    OpCase c = withMakers({"Large", {8}, 1, 1, 40, 40});
    for (size_t i = 0; i < c.inputs[0].values.size(); ++i)
        c.inputs[0].values[i] = i % 2 == 0 ? 65504 : -65504;
    EXPECT_EQ(runCase(c, 0).session.nonFinite, kNothingFound);
}

// The lowest code wins, so the first op of the first step that failed is reported.
void GroupNorm::expectEarliestCode() {
    OpCase c = withMakers({"Bad", {8}, 2, 1, 3, 3});
    c.inputs[0].values[0] = HUGE_VAL;
    EXPECT_EQ(runCase(c, 0, 9, 8).session.nonFinite, 8u);
    EXPECT_EQ(runCase(c, 0, 9, 10).session.nonFinite, 9u);
}

TEST_F(GroupNorm, CombinesWhatTwoDifferentConvolutionsWrote) {
    expectTwoConvolutionsCombined();
}
TEST_F(GroupNormUnclamped, CombinesWhatTwoDifferentConvolutionsWrote) {
    expectTwoConvolutionsCombined();
    expectKernel();
}

TEST_F(GroupNorm, FlagsInfinitiesAndNaNs) {
    expectFlags();
}
TEST_F(GroupNormUnclamped, FlagsInfinitiesAndNaNs) {
    expectFlags();
    expectKernel();
}

TEST_F(GroupNorm, DoesNotFlagTheLargestFiniteValues) {
    expectLargestNotFlagged();
}
TEST_F(GroupNormUnclamped, DoesNotFlagTheLargestFiniteValues) {
    expectLargestNotFlagged();
    expectKernel();
}

TEST_F(GroupNorm, KeepsTheEarliestCode) {
    expectEarliestCode();
}
TEST_F(GroupNormUnclamped, KeepsTheEarliestCode) {
    expectEarliestCode();
    expectKernel();
}

} // namespace
} // namespace mote::test
