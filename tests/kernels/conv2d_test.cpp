// Convolutions against the reference, every variant over a table of shapes.
#include "conv2d_rig.h"

#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

class Conv2dShapes : public Conv2d, public testing::WithParamInterface<ConvCase> {};

TEST_P(Conv2dShapes, EveryVariantMatchesReference) {
    const ConvCase &c = GetParam();
    const bool row3 = c.kernelWidth == 3 && c.stride == 1;
    const bool shared = c.kernelWidth == c.kernelHeight && c.kernelWidth <= 3 && c.stride == 1;
    expectMatchesReference(c,
                           {"conv2d row3 4x8", "conv2d row3 8x8", "conv2d 4x8", "conv2d 8x8", "conv2d 2x8",
                            "conv2d 1x8", "conv2d 1x8 every output", "conv2d shared 3x3",
                            "conv2d shared 1x1"},
                           5 + (row3 ? 2 : 0) + (shared ? 1 : 0));
}

INSTANTIATE_TEST_SUITE_P(Table, Conv2dShapes, testing::ValuesIn(convCases()),
                         [](const auto &entry) { return std::string(entry.param.name); });

// Kernels on doubled maps, folded into four of 2x2.
const std::vector<std::string> kFoldedKernels = {"conv2d folded 4x8", "conv2d folded 1x8",
                                                 "conv2d folded 1x8 every output"};
const ConvCase kFoldedCases[] = {
    {"OnePixel", {8}, 8, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, true},
    {"OddSizeOddChannels", {5}, 13, 1, 5, 7, 3, 3, 1, 1, 1, 1, 1, true},
    {"TwoSourcesBatchTwo", {3, 24}, 11, 2, 3, 6, 3, 3, 1, 1, 1, 1, 1, true},
    {"NoPadding", {8}, 8, 1, 4, 5, 3, 3, 1, 0, 0, 0, 0, true},
    {"UnevenPadding", {16}, 8, 1, 4, 5, 3, 3, 1, 2, 0, 1, 3, true},
    {"OddOutputs", {8}, 8, 2, 3, 9, 3, 3, 1, 0, 1, 1, 0, true},
    {"MorePaddingThanMap", {8}, 8, 1, 1, 2, 3, 3, 1, 4, 5, 3, 4, true},
    {"ResidualAndScale", {16}, 24, 1, 6, 5, 3, 3, 1, 1, 1, 1, 1, true, 0, kActivation, 0.5f},
    {"ResidualDoubled", {8}, 8, 1, 5, 6, 3, 3, 1, 1, 1, 1, 1, true, 1},
    {"RowsOfBiasAndScale", {8}, 9, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, true, -1, kActivation, 1, 3},
    {"SeveralWorkgroups", {8}, 16, 1, 20, 41, 3, 3, 1, 1, 1, 1, 1, true},
    {"ToPort", {16}, 3, 2, 7, 5, 3, 3, 1, 1, 1, 1, 1, true, -1, kPort},
};

class FoldedShapes : public Conv2d, public testing::WithParamInterface<ConvCase> {};

// The folded kernels are sums of up to four taps rounded to fp16: in exact arithmetic the same function,
// borders included. Where the sums are numbers of fp16 nothing is rounded and the tolerance is any kernel's.
TEST_P(FoldedShapes, EqualsTheUnfoldedReferenceWhereSumsOfTapsAreExact) {
    exactSums_ = true;
    expectMatchesReference(GetParam(), kFoldedKernels, 3);
}

TEST_P(FoldedShapes, MatchesTheUnfoldedReferenceWithinTheRoundingOfSums) {
    weightRounding_ = 0x1p-11;
    expectMatchesReference(GetParam(), kFoldedKernels, 3);
}

INSTANTIATE_TEST_SUITE_P(Table, FoldedShapes, testing::ValuesIn(kFoldedCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

// What the variant with shuffles needs: a device that is not clamped. Where its subgroups are too small or
// cannot shuffle, the variant must not be offered.
class Conv2dWithSubgroups : public Conv2d {
protected:
    static void SetUpTestSuite() { openDevice(nullptr); }
    Conv2dWithSubgroups() { software_ = true; }
    bool canShuffle() const {
        const VkSubgroupFeatureFlags needed = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
        const gpu::Caps caps = traits().caps;
        return caps.subgroupSize >= 8 && (caps.subgroupOperations & needed) == needed;
    }
};
class Conv2dShuffleShapes : public Conv2dWithSubgroups, public testing::WithParamInterface<ConvCase> {};

TEST_P(Conv2dShuffleShapes, MatchesReference) {
    const ConvCase &c = GetParam();
    const bool held = c.target != kPort && c.residual <= 0 && !c.upsample && c.kernelHeight == 1 &&
                      c.kernelWidth == 1 && c.stride == 1 &&
                      c.padTop + c.padLeft + c.padBottom + c.padRight == 0;
    const bool fewOutputs = c.target == kPort; // all of them are for that kernel
    expectMatchesReference(c, {"conv2d shuffle", "conv2d texels", "conv2d held", "conv2d few outputs"},
                           canShuffle() ? held || fewOutputs ? 3 : 2 : 0);
}

INSTANTIATE_TEST_SUITE_P(Table, Conv2dShuffleShapes, testing::ValuesIn(convCases()),
                         [](const auto &entry) { return std::string(entry.param.name); });

// The kernel that stages its sources: 1x1 of 64 channels and outputs and more. Pixels of a workgroup from
// sixteen to four, the last of them repeated; blocks of outputs that one workgroup makes and several, the
// last of them not full; blocks that subgroups stage once and several times, unevenly.
ConvCase stagedCase(const char *name, std::vector<uint32_t> channels, uint32_t outputs, uint32_t n,
                    uint32_t h, uint32_t w, int residual = -1, float scale = 1, uint32_t biasRows = 1) {
    return {name,     std::move(channels), outputs, n,       h, w, 1, 1, 1, 0, 0, 0, 0, false,
            residual, kActivation,         scale,   biasRows};
}
const ConvCase kStagedCases[] = {
    stagedCase("SixteenPixels", {64}, 64, 1, 4, 4),
    stagedCase("PixelsRepeated", {64}, 128, 2, 5, 7),
    stagedCase("OddChannels", {61}, 59, 1, 3, 11),
    stagedCase("SevenPixels", {184}, 136, 1, 2, 9),
    stagedCase("FourPixels", {512}, 64, 2, 2, 3),
    stagedCase("TwoSources", {24, 48}, 72, 1, 6, 5),
    stagedCase("TwoSourcesOddChannels", {3, 61}, 70, 2, 7, 5),
    stagedCase("SeveralGroupsOfOutputs", {72}, 392, 2, 4, 6),
    stagedCase("ResidualAndScale", {80}, 66, 2, 7, 9, 0, 0.5f),
    stagedCase("RowsOfBiasAndScale", {64}, 65, 1, 4, 4, -1, 1, 3),
};

class Staged : public Conv2dWithSubgroups, public testing::WithParamInterface<ConvCase> {};

TEST_P(Staged, MatchesReference) {
    const bool possible =
        canShuffle() && traits().caps.subgroupSize == 8 && traits().caps.bufferDeviceAddress;
    expectMatchesReference(GetParam(), {"conv2d staged"}, possible ? 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Table, Staged, testing::ValuesIn(kStagedCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

// Winograd's own table: enough channels that the device's rules take it into account.
const ConvCase kWinogradCases[] = {
    {"OnePixel", {40}, 64, 1, 1, 1},
    {"OddSizeOddChannels", {37}, 43, 1, 7, 9},
    {"ManyTilesBatchTwo", {56}, 32, 2, 37, 30},
    {"TwoSources", {16, 40}, 64, 1, 10, 12},
    {"TwoSourcesOddChannels", {30, 35}, 46, 2, 7, 5},
    {"NoPadding", {40}, 64, 1, 6, 9, 3, 3, 1, 0, 0, 0, 0},
    {"UnevenPadding", {40}, 64, 1, 6, 9, 3, 3, 1, 2, 0, 1, 3},
    {"Upsample", {66}, 48, 1, 5, 7, 3, 3, 1, 1, 1, 1, 1, true},
    {"UpsampleTwoSources", {64, 8}, 72, 2, 3, 5, 3, 3, 1, 1, 1, 1, 1, true},
    {"UpsampleOnePixel", {48}, 64, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, true},
    {"UpsampleManyChannels", {512}, 40, 1, 6, 8, 3, 3, 1, 1, 1, 1, 1, true},
    {"UpsampleResidualAndScale", {64}, 40, 2, 7, 4, 3, 3, 1, 1, 1, 1, 1, true, 0, kActivation, 0.5f},
    {"ResidualAndScale", {56}, 40, 2, 7, 9, 3, 3, 1, 1, 1, 1, 1, false, 0, kActivation, 0.5f},
    {"ResidualDoubled", {64}, 35, 1, 6, 10, 3, 3, 1, 1, 1, 1, 1, false, 1},
    {"RowsOfBiasAndScale", {64}, 33, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, false, -1, kActivation, 1, 3},
    {"SeveralBands", {128}, 128, 1, 66, 70},
    // The product's shapes: one, four, eight or sixteen tiles of a unit, the last sixteen not full; one block
    // of outputs of a unit, two and four, the last of them not full; sums in one part and in several, of
    // sixteen blocks, of seventeen, and twenty-nine and forty-one, which nothing divides; a last band of
    // eight tiles.
    {"OneTile", {64}, 264, 2, 4, 3},
    {"FourTilesManyChannels", {512}, 40, 2, 8, 8},
    {"EightTiles", {96}, 32, 2, 8, 16},
    {"SixteenTiles", {256}, 264, 1, 16, 15},
    {"TwentyTilesBatchTwo", {200}, 72, 2, 20, 13},
    {"TwentyTilesFewerChannels", {128}, 24, 2, 20, 13},
    {"ManyChannels", {272}, 24, 1, 18, 22},
    {"PrimeNumberOfBlocks", {232}, 40, 1, 12, 16},
    {"LargerPrimeNumberOfBlocksEightTiles", {328}, 24, 1, 8, 16},
    {"SeveralBandsTheLastOfEightTiles", {64}, 64, 1, 76, 96},
    {"SeveralBandsFewerChannels", {64}, 32, 1, 101, 98},
    {"SeveralBandsUpsample", {64}, 64, 1, 55, 60, 3, 3, 1, 1, 1, 1, 1, true},
    {"NarrowMap", {56}, 32, 1, 16, 36},
};

// Those of its kernel in one dispatch: two to six blocks of channels, no more of outputs, or of two to four
// twice as many.
const ConvCase kWholeCases[] = {
    {"OnePixel", {32}, 32, 1, 1, 1},
    {"SixteenChannels", {14}, 10, 1, 6, 11},
    {"TwentyFourChannels", {24}, 24, 2, 9, 14},
    {"ThirtyTwoChannels", {32}, 32, 2, 11, 30},
    {"FortyChannels", {40}, 33, 1, 16, 20},
    {"FortyEightChannels", {48}, 48, 1, 12, 7},
    {"FewOutputs", {48}, 3, 1, 10, 13},
    {"TwoSources", {16, 16}, 12, 1, 10, 12},
    {"TwoSourcesOddChannels", {3, 21}, 6, 2, 7, 5},
    {"UnevenPadding", {30}, 32, 1, 6, 9, 3, 3, 1, 2, 0, 0, 2},
    {"ResidualAndScale", {24}, 12, 2, 7, 9, 3, 3, 1, 1, 1, 1, 1, false, 0, kActivation, 0.5f},
    {"RowsOfBiasAndScale", {18}, 9, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, false, -1, kActivation, 1, 3},
    {"StatisticsCombined", {16}, 9, 1, 221, 226},
    {"TwiceTheOutputs", {32}, 64, 2, 11, 30},
    {"MoreOutputsAndResidual", {24}, 27, 1, 7, 9, 3, 3, 1, 1, 1, 1, 1, false, 0, kActivation, 0.5f},
    {"MoreOutputsRowsOfBias", {16}, 32, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, false, -1, kActivation, 1, 3},
    {"MoreOutputsStatisticsCombined", {16}, 25, 1, 221, 226},
};

// And the tables of the kernel that holds its tiles: few channels.
const ConvCase kTilesCases[] = {
    {"OnePixel", {1}, 1, 1, 1, 1},
    {"ThreeChannelsOddSize", {3}, 5, 1, 7, 9},
    {"SixTo24BatchTwo", {6}, 24, 2, 9, 13},
    {"EightTo130", {8}, 130, 1, 11, 13},
    {"SixteenChannels", {14}, 10, 1, 6, 11},
    {"ThirtyTwoChannels", {32}, 32, 2, 11, 30},
    {"TwoSources", {16, 16}, 12, 1, 10, 12},
    {"TwoSourcesOddChannels", {3, 5}, 6, 2, 7, 5},
    {"NoPadding", {30}, 11, 1, 6, 9, 3, 3, 1, 0, 0, 0, 0},
    {"UnevenPadding", {6}, 8, 1, 6, 9, 3, 3, 1, 2, 0, 1, 3},
    {"Upsample", {40}, 18, 2, 5, 7, 3, 3, 1, 1, 1, 1, 1, true},
    {"UpsampleTwoSources", {32, 32}, 20, 1, 3, 5, 3, 3, 1, 1, 1, 1, 1, true},
    {"ResidualAndScale", {24}, 12, 2, 7, 9, 3, 3, 1, 1, 1, 1, 1, false, 0, kActivation, 0.5f},
    {"RowsOfBiasAndScale", {8}, 9, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, false, -1, kActivation, 1, 3},
    {"SeveralWalks", {9}, 5, 1, 130, 97},
};

// The transforms are exact but for U in 16 bits; that error was estimated as 0.11e-3, to which the value
// stored adds 0.3e-3.
class Winograd : public Conv2dWithSubgroups, public testing::WithParamInterface<ConvCase> {
protected:
    // `kernel`'s relative L2 error; of single values it may be five times that, and the rounding of what is
    // stored.
    void expectNear(const char *kernel, double tolerance, const Map &found, const Map &expected) {
        double error = 0, norm = 0, largest = 0;
        ASSERT_EQ(found.values.size(), expected.values.size());
        for (size_t i = 0; i < found.values.size(); ++i) {
            const double difference = found.values[i] - expected.values[i];
            error += difference * difference;
            norm += expected.values[i] * expected.values[i];
            largest = std::max(largest, std::fabs(difference) - 0x1p-11 * std::fabs(expected.values[i]));
        }
        const double rms = std::sqrt(norm / static_cast<double>(found.values.size()));
        const double largestTolerance = 16.0 / 3 * tolerance;
        EXPECT_LE(std::sqrt(error / norm), tolerance);
        EXPECT_LE(largest / rms, largestTolerance);
        ErrorLog::note(kernel,
                       std::max(std::sqrt(error / norm) / tolerance, largest / rms / largestTolerance));
    }
    void expectMatchesReference(const char *kernel, double tolerance, bool possible);
};

TEST_P(Winograd, MatchesReference) {
    expectMatchesReference("conv2d winograd", 0.4e-3,
                           canShuffle() && traits().caps.subgroupSize == 8 &&
                               traits().caps.bufferDeviceAddress);
}

// With U in fp32 the error is what the value stored adds.
class Whole : public Winograd {};

TEST_P(Whole, MatchesReference) {
    expectMatchesReference("conv2d winograd whole", 0.3e-3,
                           canShuffle() && traits().caps.subgroupSize == 8 &&
                               traits().caps.bufferDeviceAddress);
}

// Of F(2x2) half of that of F(4x4): the elements of G g G^T are at most sums of nine weights.
class Tiles : public Winograd {
protected:
    Tiles() { noAddresses_ = true; }
};

TEST_P(Tiles, MatchesReference) {
    expectMatchesReference("conv2d tiles", 0.75e-3, canShuffle());
}

void Winograd::expectMatchesReference(const char *kernel, double tolerance, bool possible) {
    const ConvCase &wanted = GetParam();
    for (const bool statistics : {false, true}) {
        OpCase c = makeCase(wanted);
        if (statistics)
            c.wantStatistics();
        const uint32_t row = wanted.biasRows - 1, output = c.op().output;
        const Result<GraphKernels> kernels = choose(c, kernel);
        ASSERT_EQ(kernels.ok(), possible) << kernels.status().message;
        if (!kernels.ok())
            return;
        OpBuffers buffers = upload(c, kernels.value(), row);
        const Result<std::vector<Dispatch>> dispatches =
            buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits());
        run(dispatches);
        EXPECT_EQ(dispatches->size() > 3, std::string(wanted.name).find("SeveralBands") == 0);
        const Map found = readActivation(buffers.output, c.shapes.tensors[output]);
        expectNear(kernel, tolerance, found, atRow(c, row).reference());
        if (statistics)
            expectStatistics(found, floatsOf(buffers.outputStatistics), kernels->statistics[output].tiles);
    }
}

INSTANTIATE_TEST_SUITE_P(Table, Winograd, testing::ValuesIn(kWinogradCases),
                         [](const auto &entry) { return std::string(entry.param.name); });
INSTANTIATE_TEST_SUITE_P(Table, Whole, testing::ValuesIn(kWholeCases),
                         [](const auto &entry) { return std::string(entry.param.name); });
INSTANTIATE_TEST_SUITE_P(Table, Tiles, testing::ValuesIn(kTilesCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

// U has a scale for each output: what one of them has for weights leaves the others as exact as they are. Of
// one output all weights are zero, of another all but one, of another one is 64 times the others.
TEST_F(Conv2dWithSubgroups, WinogradIsAsExactForOutputsOfUnlikeWeights) {
    if (!canShuffle() || traits().caps.subgroupSize != 8 || !traits().caps.bufferDeviceAddress)
        GTEST_SKIP() << "for software devices with subgroups of eight";
    OpCase c = makeCase({"Unlike", {40}, 64, 1, 9, 9});
    std::vector<double> &weights = c.tables[c.op().weight].values, &bias = c.tables[c.op().bias].values;
    std::fill(bias.begin(), bias.end(), 0);
    const size_t each = 9 * 40;
    for (size_t i = 0; i < weights.size(); ++i) {
        const size_t output = i / each;
        weights[i] = std::ldexp(weights[i], -static_cast<int>(output % 8));
        if (output == 3 || (output == 4 && i % each != 7))
            weights[i] = 0;
    }
    weights[5 * each + 100] *= 64;
    const Result<GraphKernels> kernels = choose(c, "conv2d winograd");
    ASSERT_TRUE(kernels.ok()) << kernels.status().message;
    const OpBuffers buffers = upload(c, kernels.value(), 0);
    run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
    const Map found = readActivation(buffers.output, c.shapes.tensors[c.op().output]);
    const Map expected = atRow(c, 0).reference();
    for (size_t output = 0; output < 64; ++output) {
        double error = 0, norm = 0;
        for (size_t i = 81 * output; i < 81 * (output + 1); ++i) {
            const double difference = found.values[i] - expected.values[i];
            error += difference * difference;
            norm += expected.values[i] * expected.values[i];
        }
        EXPECT_EQ(norm == 0, output == 3);
        EXPECT_LE(std::sqrt(error), 0.5e-3 * std::sqrt(norm)) << "output " << output;
    }
}

TEST_F(Conv2dWithSubgroups, BothWaysToStageGiveTheSameBits) {
    if (!canShuffle() || traits().caps.subgroupSize != 8 || !traits().caps.bufferDeviceAddress)
        GTEST_SKIP() << "for software devices with subgroups of eight";
    const ConvCase whole{"Whole", {24}, 24, 2, 9, 14}, staged = stagedCase("Staged", {72}, 136, 2, 5, 7);
    const struct {
        const char *kernel;
        const ConvCase &wanted;
    } kinds[] = {{"conv2d winograd whole", whole}, {"conv2d staged", staged}};
    for (const auto &kind : kinds) {
        std::vector<float> found[2];
        for (const bool other : {false, true}) {
            OpCase c = makeCase(kind.wanted);
            otherStaging_ = other;
            const Result<GraphKernels> kernels = choose(c, kind.kernel);
            ASSERT_TRUE(kernels.ok()) << kernels.status().message;
            const OpBuffers buffers = upload(c, kernels.value(), 0);
            run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
            found[other] = floatsOf(buffers.output);
        }
        ASSERT_EQ(found[0].size(), found[1].size());
        EXPECT_EQ(std::memcmp(found[0].data(), found[1].data(), found[0].size() * sizeof(float)), 0)
            << kind.kernel;
    }
}

TEST_F(Conv2dWithSubgroups, KernelsOfEightChannelsHandOnInfinitiesAndNaNs) {
    if (!canShuffle() || traits().caps.subgroupSize != 8 || !traits().caps.bufferDeviceAddress)
        GTEST_SKIP() << "for software devices with subgroups of eight";
    const ConvCase winograd{"Bad", {40}, 64, 1, 9, 9}, whole{"Bad", {40}, 40, 1, 9, 9};
    const ConvCase staged = stagedCase("Bad", {64}, 64, 1, 9, 9);
    const struct {
        const char *kernel;
        const ConvCase &wanted;
    } kinds[] = {{"conv2d winograd", winograd}, {"conv2d winograd whole", whole}, {"conv2d staged", staged}};
    for (const auto &kind : kinds) {
        const size_t reach = kind.wanted.kernelHeight / 2;
        for (const double bad : {HUGE_VAL, -HUGE_VAL, std::nan("")}) {
            OpCase c = makeCase(kind.wanted);
            c.wantStatistics();
            c.inputs[0].values[9 * 9 * 11 + 4 * 9 + 4] = bad; // channel 11, in the middle
            const Result<GraphKernels> kernels = choose(c, kind.kernel);
            ASSERT_TRUE(kernels.ok()) << kernels.status().message;
            const OpBuffers buffers = upload(c, kernels.value(), 0);
            run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
            const Map found = readActivation(buffers.output, c.shapes.tensors[c.op().output]);
            for (size_t channel = 0; channel < kind.wanted.outputs; ++channel)
                for (size_t y = 4 - reach; y <= 4 + reach; ++y)
                    EXPECT_FALSE(std::isfinite(found.values[(channel * 9 + y) * 9 + 4])) << bad;
            // Of every channel at least one entry says so.
            const std::vector<float> entries = floatsOf(buffers.outputStatistics);
            const size_t tiles = kernels->statistics[c.op().output].tiles;
            for (size_t channel = 0; channel < kind.wanted.outputs; ++channel) {
                bool finite = true;
                for (size_t tile = 0; tile < tiles; ++tile)
                    finite = finite &&
                             std::isfinite(entries[((channel / 8 * tiles + tile) * 8 + channel % 8) * 4 + 1]);
                EXPECT_FALSE(finite) << kind.kernel << ", " << bad << ", channel " << channel;
            }
        }
    }
}

TEST_F(Conv2dWithSubgroups, RulesTakeKernelsOfEightChannelsWhereThereAreChannelsAndTilesEnough) {
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    const auto chosen = [&](const ConvCase &wanted, bool addresses = true, uint32_t shared = 32768) {
        const OpCase c = makeCase(wanted);
        Traits with = traits();
        with.cpu = true;
        with.caps.maxSharedBytes = shared;
        with.caps.subgroupSize = 8;
        with.caps.subgroupOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
        with.caps.maxTexelBufferElements = 1u << 27;
        with.caps.bufferDeviceAddress = addresses;
        return chooseKernels(c.model, c.graph, c.shapes, with, all)->ops[0];
    };
    const OpKernel large = chosen({"Large", {128}, 128, 1, 32, 32});
    EXPECT_EQ(large.name, "conv2d winograd");
    // Of the same packed weights, whatever is chosen.
    const OpKernel small = chosen({"Small", {128}, 128, 1, 4, 4});
    EXPECT_EQ(chosen({"Sixteen", {128}, 128, 1, 16, 16}).name, "conv2d winograd");
    EXPECT_EQ(chosen({"Eight", {256}, 256, 1, 8, 8}).name, "conv2d winograd");
    EXPECT_EQ(chosen({"EightFewer", {96}, 96, 1, 8, 8}).name, "conv2d texels");
    EXPECT_EQ(small.name, "conv2d texels");
    EXPECT_EQ(small.weightBytes, large.weightBytes);
    EXPECT_EQ(chosen({"Thin", {8}, 8, 1, 64, 64}).name, "conv2d tiles");
    const ConvCase middle{"Middle", {32}, 32, 1, 64, 64};
    EXPECT_EQ(chosen(middle).name, "conv2d winograd whole");
    EXPECT_EQ(chosen(middle, false).name, "conv2d tiles");
    EXPECT_EQ(chosen(middle, true, 8192).name, "conv2d tiles");
    EXPECT_EQ(chosen({"MoreOutputs", {32}, 40, 1, 64, 64}).name, "conv2d tiles");
    EXPECT_EQ(chosen({"TwoParts", {32}, 64, 1, 64, 64}).name, "conv2d winograd whole");
    EXPECT_EQ(chosen({"TwoLargeParts", {40}, 80, 1, 64, 64}).name, "conv2d winograd");
    EXPECT_EQ(chosen({"Most", {48}, 48, 1, 64, 64}).name, "conv2d winograd whole");
    EXPECT_EQ(chosen({"Smaller", {48}, 48, 1, 64, 64, 3, 3, 1, 0, 0, 0, 0}).name, "conv2d winograd");
    EXPECT_EQ(chosen({"Strided", {128}, 128, 1, 64, 64, 3, 3, 2}).name, "conv2d texels");
    const ConvCase doubled{"Doubled", {64}, 64, 1, 32, 32, 3, 3, 1, 1, 1, 1, 1, true};
    EXPECT_EQ(chosen(doubled).name, "conv2d winograd");
    EXPECT_EQ(chosen(doubled, false).name, "conv2d tiles");
    EXPECT_EQ(chosen({"UnevenPadding", {128}, 128, 1, 32, 32, 3, 3, 1, 0, 1, 1, 1, true}).name,
              "conv2d texels");
    const ConvCase pointwise = stagedCase("Pointwise", {128}, 128, 1, 32, 32);
    EXPECT_EQ(chosen(pointwise).name, "conv2d staged");
    EXPECT_EQ(chosen(pointwise, false).name, "conv2d texels");
    EXPECT_EQ(chosen(pointwise, true, 4096).name, "conv2d texels");
    EXPECT_EQ(chosen(stagedCase("FewPixels", {128}, 128, 1, 3, 3)).name, "conv2d texels");
    EXPECT_EQ(chosen(stagedCase("FewOutputs", {128}, 56, 1, 32, 32)).name, "conv2d texels");
    EXPECT_EQ(chosen(stagedCase("FewChannels", {56}, 128, 1, 32, 32)).name, "conv2d texels");
    EXPECT_EQ(chosen(stagedCase("ManyChannels", {520}, 128, 1, 32, 32)).name, "conv2d texels");
}

TEST_F(Conv2dWithSubgroups, ManyWalksOfAWorkgroupGiveOneSetOfStatistics) {
    for (const char *kernel : {"conv2d shuffle", "conv2d texels", "conv2d held"})
        if (canShuffle())
            expectManyWalksGiveOneSetOfStatistics(kernel);
}

TEST_F(Conv2dWithSubgroups, SlicesAndFoldsEqualTheWholeToTheBit) {
    for (const char *kernel : {"conv2d shuffle", "conv2d texels", "conv2d held", "conv2d tiles"})
        if (canShuffle())
            expectSlicesAndFoldsEqualTheWhole(kernel);
    if (canShuffle() && traits().caps.subgroupSize == 8 && traits().caps.bufferDeviceAddress)
        for (const char *kernel : {"conv2d winograd whole", "conv2d staged"})
            expectSlicesAndFoldsEqualTheWhole(kernel);
}

TEST_F(Conv2d, ManyWalksOfAWorkgroupGiveOneSetOfStatistics) {
    for (const char *kernel :
         {"conv2d row3 4x8", "conv2d 2x8", "conv2d 1x8 every output", "conv2d shared 3x3"})
        expectManyWalksGiveOneSetOfStatistics(kernel);
}

TEST_F(Conv2d, SlicesAndFoldsEqualTheWholeToTheBit) {
    for (const char *kernel :
         {"conv2d row3 4x8", "conv2d 2x8", "conv2d 1x8 every output", "conv2d folded 4x8",
          "conv2d folded 1x8", "conv2d folded 1x8 every output", "conv2d shared 3x3"})
        expectSlicesAndFoldsEqualTheWhole(kernel);
}

TEST_F(Conv2d, SlicesTakeTheirShareOfTheCost) {
    Dispatch whole;
    whole.push = {0, 100};
    whole.groupCount = 100;
    whole.operations = 1000;
    whole.bytes = 500;
    const std::vector<Dispatch> parts = split(whole, 300, traits());
    ASSERT_EQ(parts.size(), 4u);
    uint32_t next = 0;
    for (const Dispatch &part : parts) {
        EXPECT_EQ(part.push[0], next);
        EXPECT_EQ(part.push[1], part.groupCount);
        EXPECT_LE(part.operations, 300u);
        next += part.groupCount;
    }
    EXPECT_EQ(next, 100u);
}

TEST_F(Conv2d, FallsToTheNextVariantWhenAPipelineCannotBeMade) {
    const OpCase c = makeCase(convCases()[1]);
    std::vector<uint32_t> asked;
    const auto refuseFirst = [&](const gpu::PipelineDescription &pipeline) {
        asked.push_back(pipeline.shader.id);
        return asked.size() == 1 ? makeStatus(StatusCode::Unsupported, "the driver could not") : Status{};
    };
    const Result<GraphKernels> kernels = chooseKernels(c.model, c.graph, c.shapes, traits(), refuseFirst);
    ASSERT_TRUE(kernels.ok());
    ASSERT_EQ(asked.size(), 2u);
    EXPECT_NE(asked[0], asked[1]);

    const auto refuseAll = [](const gpu::PipelineDescription &) {
        return makeStatus(StatusCode::Unsupported, "the driver could not");
    };
    const Status none = chooseKernels(c.model, c.graph, c.shapes, traits(), refuseAll).status();
    EXPECT_EQ(none.code, StatusCode::Unsupported);
    EXPECT_NE(none.message.find("ThreeChannelsOddSize"), std::string::npos) << none.message;
    EXPECT_NE(none.message.find("the driver could not"), std::string::npos) << none.message;

    const auto lost = [](const gpu::PipelineDescription &) {
        return makeStatus(StatusCode::DeviceLost, "gone");
    };
    EXPECT_EQ(chooseKernels(c.model, c.graph, c.shapes, traits(), lost).status().code,
              StatusCode::DeviceLost);
}

TEST_F(Conv2d, RulesPreferShufflesAndTheWideTileOnSoftwareDevicesOnly) {
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    const auto chosen = [&](const ConvCase &wanted, bool cpu, uint32_t subgroupSize = 0,
                            uint32_t texels = 1u << 27) {
        const OpCase c = makeCase(wanted);
        Traits with = traits();
        with.cpu = cpu;
        with.caps.subgroupSize = subgroupSize;
        with.caps.maxTexelBufferElements = texels;
        with.caps.subgroupOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
        return chooseKernels(c.model, c.graph, c.shapes, with, all)->ops[0].name;
    };
    const ConvCase plain{"Plain", {8}, 8, 1, 16, 16}, narrow{"Narrow", {8}, 8, 1, 16, 3};
    const ConvCase strided{"Strided", {8}, 8, 1, 16, 16, 3, 3, 2}, wide{"Wide", {9}, 8, 1, 16, 16};
    const ConvCase large{"Large", {32}, 32, 1, 256, 256, 1, 1, 1, 0, 0, 0, 0};
    EXPECT_EQ(chosen(plain, false), "conv2d row3 4x8");
    EXPECT_EQ(chosen(plain, true), "conv2d row3 8x8");
    EXPECT_EQ(chosen(narrow, true), "conv2d row3 4x8");
    EXPECT_EQ(chosen(strided, false), "conv2d 4x8");
    EXPECT_EQ(chosen(strided, true), "conv2d 8x8");
    EXPECT_EQ(chosen(wide, true, 8), "conv2d tiles");
    EXPECT_EQ(chosen(plain, true, 8), "conv2d tiles");
    EXPECT_EQ(chosen(strided, true, 16), "conv2d texels");
    EXPECT_EQ(chosen(large, true, 16), "conv2d held"); // where it is worth a pipeline of its own
    EXPECT_EQ(chosen(plain, true, 8, 256), "conv2d tiles");
    EXPECT_EQ(chosen(plain, true, 8, 255), "conv2d shuffle"); // 256 pixels of 8 channels
    EXPECT_EQ(chosen(plain, true, 4), "conv2d row3 8x8");
    EXPECT_EQ(chosen(plain, false, 32), "conv2d row3 4x8");
}

TEST_F(Conv2d, RulesTakeOnePixelOnVideoCore) {
    const auto chosen = [&](const ConvCase &wanted) { return chosenBy(RegisterTiles::VideoCore, wanted); };
    EXPECT_EQ(chosen({"Plain", {8}, 8, 1, 16, 16}), "conv2d 1x8 every output");
    EXPECT_EQ(chosen({"Small", {8}, 8, 1, 8, 16}), "conv2d 1x8");
    EXPECT_EQ(chosen({"Strided", {8}, 8, 1, 32, 32, 3, 3, 2}), "conv2d 1x8 every output");
    EXPECT_EQ(chosen({"Doubled", {8}, 8, 1, 16, 16, 3, 3, 1, 1, 1, 1, 1, true}),
              "conv2d folded 1x8 every output");
    EXPECT_EQ(chosen({"DoubledSmall", {8}, 8, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, true}), "conv2d 1x8");
    // 64 blocks of outputs and as many of inputs: more loop iterations than a kernel may have.
    EXPECT_EQ(chosen({"Deep", {512}, 512, 1, 16, 16}), "conv2d 1x8");
}

TEST_F(Conv2d, RulesTakeTwoPixelsTapByTapOnMaliAndOneOfFoldedKernels) {
    const auto chosen = [&](const ConvCase &wanted) { return chosenBy(RegisterTiles::Mali, wanted); };
    EXPECT_EQ(chosen({"Plain", {8}, 8, 1, 16, 16}), "conv2d 2x8");
    EXPECT_EQ(chosen({"Strided", {8}, 8, 1, 32, 32, 3, 3, 2}), "conv2d 2x8");
    EXPECT_EQ(chosen({"Pointwise", {64}, 64, 1, 8, 8, 1, 1, 1, 0, 0, 0, 0}), "conv2d 2x8");
    EXPECT_EQ(chosen({"Doubled", {8}, 8, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, true}), "conv2d folded 1x8");
    EXPECT_EQ(chosen({"ToPort", {64}, 3, 1, 16, 16, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort}), "conv2d 2x8");
}

TEST_F(Conv2d, RulesFoldKernelsOnDoubledMapsWhereWinogradIsNot) {
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    const auto chosen = [&](const ConvCase &wanted, bool cpu, uint32_t subgroupSize) {
        const OpCase c = makeCase(wanted);
        Traits with = traits();
        with.cpu = cpu;
        with.caps.subgroupSize = subgroupSize;
        with.caps.maxTexelBufferElements = 1u << 27;
        with.caps.subgroupOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
        with.caps.bufferDeviceAddress = true;
        return chooseKernels(c.model, c.graph, c.shapes, with, all)->ops[0].name;
    };
    const ConvCase doubled{"Doubled", {128}, 128, 1, 16, 16, 3, 3, 1, 1, 1, 1, 1, true};
    EXPECT_EQ(chosen(doubled, false, 32), "conv2d folded 4x8");
    EXPECT_EQ(chosen(doubled, true, 0), "conv2d folded 4x8");
    EXPECT_EQ(chosen(doubled, true, 8), "conv2d winograd");
    EXPECT_EQ(chosen({"FiveByFive", {8}, 8, 1, 16, 16, 5, 5, 1, 2, 2, 2, 2, true}, false, 32), "conv2d 4x8");
}

TEST_F(Conv2d, RefusesTablesOfTheWrongShapeByName) {
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    OpCase c = makeCase(convCases()[1]);
    c.model.weights[c.op().weight].shape[3] = 4;
    const Status status = chooseKernels(c.model, c.graph, c.shapes, traits(), all).status();
    EXPECT_EQ(status.code, StatusCode::InvalidModel);
    EXPECT_NE(status.message.find("5x3x3x4, expected 5x3x3x3"), std::string::npos) << status.message;
}

} // namespace
} // namespace mote::test
