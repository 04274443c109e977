// The convolution through cooperative matrices: where a device has them, against the reference; everywhere,
// what is chosen of those that a device lists, and that the rules leave it to measurements.
#include "conv2d_rig.h"

#include "kernels/conv2d.h"

#include <cstdio>

namespace mote::test {
namespace {

using kernels::MatrixPlan;
using kernels::matrixPlanOf;

// A device that is not clamped. Where it has no matrices that fit, the variants must not be offered.
class Conv2dMatrices : public Conv2d {
protected:
    static void SetUpTestSuite() { openDevice(nullptr); }
    bool hasMatrices() const { return matrixPlanOf(traits().caps).sums != 0; }
};

const std::vector<std::string> kNames = {"conv2d matrix 3x3", "conv2d matrix"};

class MatrixShapes : public Conv2dMatrices, public testing::WithParamInterface<ConvCase> {};

TEST_P(MatrixShapes, MatchReference) {
    const ConvCase &c = GetParam();
    const bool patches = c.kernelHeight == 3 && c.kernelWidth == 3 && c.stride == 1;
    expectMatchesReference(c, kNames, hasMatrices() ? patches ? 2 : 1 : 0);
}

INSTANTIATE_TEST_SUITE_P(Table, MatrixShapes, testing::ValuesIn(convCases()),
                         [](const auto &entry) { return std::string(entry.param.name); });

// Chunks of two and of four input blocks that are not full or part two sources, tiles that are not, several
// of both.
const ConvCase kTiles[] = {
    {"OneChunkMore", {24}, 32, 1, 8, 16},
    {"SourcesThatPartAChunk", {8, 40}, 40, 1, 9, 17},
    {"SeveralTiles", {24}, 40, 2, 19, 37},
    {"SeveralTilesUnevenPadding", {20}, 33, 1, 17, 33, 3, 3, 1, 2, 0, 1, 3},
    {"SeveralTilesDoubled", {20}, 36, 1, 9, 17, 3, 3, 1, 1, 1, 1, 1, true},
    {"SeveralTilesStrideTwo", {40}, 72, 2, 33, 29, 3, 3, 2},
    {"SeveralTilesResidual", {16}, 64, 1, 24, 32, 3, 3, 1, 1, 1, 1, 1, false, 0},
    {"PointwiseSeveralTiles", {72}, 96, 2, 13, 31, 1, 1, 1, 0, 0, 0, 0},
    {"FiveByFiveSeveralTiles", {9}, 11, 1, 14, 15, 5, 5, 1, 2, 2, 2, 2},
};
INSTANTIATE_TEST_SUITE_P(Tiles, MatrixShapes, testing::ValuesIn(kTiles),
                         [](const auto &entry) { return std::string(entry.param.name); });

// Or the tests above would say nothing where they could.
TEST_F(Conv2dMatrices, AreThereOnSoftwareDriversOfMesaFrom26On) {
    const gpu::DeviceInfo &info = device().info();
    uint32_t version = 0;
    if (info.driverName == "llvmpipe")
        std::sscanf(info.driverInfo.c_str(), "Mesa %u", &version);
    EXPECT_TRUE(version < 26 || hasMatrices()) << info.driverInfo;
}

TEST_F(Conv2dMatrices, ManyWalksOfAWorkgroupGiveOneSetOfStatistics) {
    for (const std::string &kernel : kNames)
        if (hasMatrices())
            expectManyWalksGiveOneSetOfStatistics(kernel);
}

TEST_F(Conv2dMatrices, SlicesAndFoldsEqualTheWholeToTheBit) {
    for (const std::string &kernel : kNames)
        if (hasMatrices())
            expectSlicesAndFoldsEqualTheWhole(kernel);
}

// ---------------------------------------------------------------------------------------- without a device
gpu::Caps capsWith(uint32_t subgroup, std::vector<gpu::MatrixShape> matrices) {
    gpu::Caps caps;
    caps.subgroupSize = caps.minSubgroupSize = caps.maxSubgroupSize = subgroup;
    caps.maxSharedBytes = 32u << 10;
    caps.matrices = std::move(matrices);
    return caps;
}

TEST(MatrixPlan, SharesATileOf128PixelsAnd32OutputsAmongTheSubgroups) {
    const auto expectPlan = [](const gpu::Caps &caps, uint32_t sums, uint32_t columns) {
        const MatrixPlan plan = matrixPlanOf(caps);
        EXPECT_EQ(plan.sums, sums);
        EXPECT_EQ(plan.columns, columns);
        // Matrices of a subgroup, times subgroups of a workgroup, are the tile.
        EXPECT_EQ(plan.sums * plan.shape.m * plan.shape.n * (64 / caps.subgroupSize), 128u * 32);
    };
    expectPlan(capsWith(32, {{16, 16, 16}}), 8, 2); // NVIDIA, AMD
    expectPlan(capsWith(64, {{16, 16, 16}}), 16, 2);
    expectPlan(capsWith(16, {{8, 16, 16}}), 8, 2); // Intel
    expectPlan(capsWith(8, {{8, 8, 8}}), 8, 4);    // lavapipe
}

TEST(MatrixPlan, TakesTheLargestProductThatFitsAndTheFirstOfEquals) {
    const auto shapeOf = [](uint32_t subgroup, std::vector<gpu::MatrixShape> matrices) {
        const gpu::MatrixShape shape = matrixPlanOf(capsWith(subgroup, std::move(matrices))).shape;
        return std::vector<uint32_t>{shape.m, shape.n, shape.k};
    };
    using Shape = std::vector<uint32_t>;
    EXPECT_EQ(shapeOf(32, {{16, 8, 8}, {16, 8, 16}, {16, 16, 16}}), (Shape{16, 16, 16}));
    EXPECT_EQ(shapeOf(32, {{16, 8, 16}, {8, 16, 16}}), (Shape{16, 8, 16}));
    EXPECT_EQ(shapeOf(32, {{64, 64, 16}, {16, 64, 16}, {16, 16, 32}, {16, 32, 16}}), (Shape{16, 32, 16}));
    EXPECT_EQ(shapeOf(32, {{12, 16, 16}, {4, 16, 16}, {16, 4, 16}, {16, 16, 4}, {0, 0, 0}}),
              (Shape{0, 0, 0}));
    EXPECT_EQ(shapeOf(32, {}), (Shape{0, 0, 0}));
}

TEST(MatrixPlan, IsNoneWhereSharedMemoryIsSmallOrSubgroupsAreLargerThanAWorkgroup) {
    gpu::Caps caps = capsWith(32, {{16, 16, 16}});
    EXPECT_NE(matrixPlanOf(caps).sums, 0u);
    caps.maxSharedBytes = 16u << 10;
    EXPECT_EQ(matrixPlanOf(caps).sums, 0u);
    EXPECT_EQ(matrixPlanOf(capsWith(128, {{16, 16, 16}})).sums, 0u);
    EXPECT_EQ(matrixPlanOf(capsWith(0, {{16, 16, 16}})).sums, 0u);
}

TEST(MatrixPlan, AsksForTheSubgroupsThatItCountsOnWhereTheirSizeCanBeChosen) {
    gpu::Caps caps = capsWith(32, {{16, 16, 16}});
    EXPECT_EQ(matrixPlanOf(caps).requiredSubgroupSize, 0u);
    caps.subgroupSizeControl = true;
    caps.minSubgroupSize = 8;
    EXPECT_EQ(matrixPlanOf(caps).requiredSubgroupSize, 32u);
    caps.subgroupSize = caps.maxSubgroupSize = 128;
    EXPECT_EQ(matrixPlanOf(caps).requiredSubgroupSize, 64u);
    EXPECT_EQ(matrixPlanOf(caps).sums, 16u);
    caps.minSubgroupSize = 128;
    EXPECT_EQ(matrixPlanOf(caps).sums, 0u);
}

// A GPU with matrices, whatever the device at hand is.
class RulesForMatrices : public Conv2d {
protected:
    std::vector<OpKernel> candidates(const ConvCase &wanted, bool cpu = false) {
        const OpCase c = makeCase(wanted);
        Traits with = traits();
        with.caps = capsWith(32, {{16, 16, 16}});
        with.caps.maxStorageBufferRange = with.caps.maxAllocationBytes = 128u << 20;
        with.cpu = cpu;
        return kernelCandidates(c.model, c.graph, c.shapes, 0, with).value();
    }
    static bool isMatrix(const OpKernel &kernel) { return kernel.name.rfind("conv2d matrix", 0) == 0; }
};

TEST_F(RulesForMatrices, OfferThemLastOfAllSoThatOnlyMeasurementsTakeThem) {
    const std::vector<OpKernel> all = candidates({"Plain", {64}, 64, 1, 32, 32});
    ASSERT_GT(all.size(), 2u);
    EXPECT_EQ(all[all.size() - 2].name, "conv2d matrix 3x3");
    EXPECT_EQ(all[all.size() - 1].name, "conv2d matrix");
    for (size_t i = 0; i + 2 < all.size(); ++i)
        EXPECT_FALSE(isMatrix(all[i])) << i;
    EXPECT_FALSE(all.back().unlikely) << "the tuner passes over it";
    EXPECT_EQ(candidates({"Strided", {64}, 64, 1, 32, 32, 3, 3, 2}).back().name, "conv2d matrix");
}

TEST_F(RulesForMatrices, SpareTheTunerThemOnSoftwareDevices) {
    const std::vector<OpKernel> all = candidates({"Plain", {64}, 64, 1, 32, 32}, true);
    ASSERT_TRUE(isMatrix(all.back()));
    EXPECT_TRUE(all.back().unlikely);
}

TEST_F(RulesForMatrices, LeaveOutWhatHasMoreLoopIterationsThanAKernelMayHave) {
    for (const OpKernel &kernel : candidates({"Deep", {20000}, 8, 1, 1, 1}))
        EXPECT_FALSE(isMatrix(kernel)) << kernel.name;
}

} // namespace
} // namespace mote::test
