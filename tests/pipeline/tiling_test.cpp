#include "kernels/image_kernels.h"
#include "pipeline/tiling.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mote::pipeline {
namespace {

struct Cut {
    uint32_t length, tile, overlap, multiple;
};

// Every combination that the multiples 1 and 8 allow over lengths up to 40 units.
std::vector<Cut> manyCuts() {
    std::vector<Cut> cuts;
    for (uint32_t multiple : {1u, 8u})
        for (uint32_t length = 1; length <= 40; ++length)
            for (uint32_t tile = 1; tile <= length; ++tile)
                for (uint32_t overlap : {0u, 1u, 3u, 7u, 20u})
                    cuts.push_back({length * multiple, tile * multiple, overlap * multiple, multiple});
    return cuts;
}

TEST(Tiling, TilesCoverTheImageOnMultiplesWithTheOverlapAskedFor) {
    for (const Cut &cut : manyCuts()) {
        const TileAxis axis = cutAxis(cut.length, cut.tile, cut.overlap, cut.multiple);
        ASSERT_FALSE(axis.origins.empty());
        EXPECT_EQ(axis.tile, cut.tile);
        EXPECT_EQ(axis.origins.front(), 0u);
        EXPECT_EQ(axis.origins.back() + axis.tile, axis.length);
        const uint32_t half = cut.tile / 2 / cut.multiple * cut.multiple;
        EXPECT_EQ(axis.overlap, axis.origins.size() == 1 ? 0 : std::min(cut.overlap, half));
        for (size_t k = 0; k < axis.origins.size(); ++k) {
            EXPECT_EQ(axis.origins[k] % cut.multiple, 0u);
            if (k > 0) {
                ASSERT_GT(axis.origins[k], axis.origins[k - 1]);
                ASSERT_GE(axis.origins[k - 1] + axis.tile, axis.origins[k] + axis.overlap);
            }
        }
    }
}

TEST(Tiling, TakesNoTileMoreThanNeeded) {
    // 3 tiles of 16 sharing 4 reach 40, so 40 needs three and 41 units would need four.
    EXPECT_EQ(cutAxis(40, 16, 4, 1).origins.size(), 3u);
    EXPECT_EQ(cutAxis(41, 16, 4, 1).origins.size(), 4u);
    EXPECT_EQ(cutAxis(16, 16, 4, 1).origins.size(), 1u);
}

TEST(Tiling, RoundsTileAndOverlapUpToTheMultiple) {
    const TileAxis axis = cutAxis(256, 70, 9, 8);
    EXPECT_EQ(axis.tile, 72u);
    EXPECT_EQ(axis.overlap, 16u);
}

TEST(Tiling, TileBeyondTheImageIsTheImage) {
    const TileAxis axis = cutAxis(24, 64, 16, 8);
    EXPECT_EQ(axis.tile, 24u);
    EXPECT_EQ(axis.origins, std::vector<uint32_t>{0});
}

// The weights of tile k, as a session makes them.
std::vector<float> weightsOf(const TileAxis &axis, size_t k) {
    const std::vector<float> all = featherWeights(axis.origins, axis.tile, axis.length, featherMargin(axis));
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(k * axis.tile);
    return {first, first + axis.tile};
}

TEST(Tiling, BlendedTilesCountOnceAtEveryPixel) {
    for (const Cut &cut : manyCuts()) {
        const TileAxis axis = cutAxis(cut.length, cut.tile, cut.overlap, cut.multiple);
        std::vector<double> sum(axis.length, 0);
        for (size_t k = 0; k < axis.origins.size(); ++k) {
            const std::vector<float> weights = weightsOf(axis, k);
            for (uint32_t i = 0; i < axis.tile; ++i) {
                ASSERT_GE(weights[i], 0.0f);
                ASSERT_LE(weights[i], 1.0f);
                sum[axis.origins[k] + i] += weights[i];
            }
        }
        for (double total : sum)
            ASSERT_NEAR(total, 1.0, 1e-6);
    }
}

TEST(Tiling, NothingCountsWithinAQuarterOfTheOverlapFromACutEdge) {
    const TileAxis axis = cutAxis(512, 128, 64, 8);
    for (size_t k = 0; k < axis.origins.size(); ++k) {
        const std::vector<float> weights = weightsOf(axis, k);
        for (uint32_t i = 0; i < 16; ++i) {
            EXPECT_EQ(weights[i], k == 0 ? 1.0f : 0.0f);
            EXPECT_EQ(weights[axis.tile - 1 - i], k + 1 == axis.origins.size() ? 1.0f : 0.0f);
        }
    }
}

TEST(Reflection, RepeatsNoEdgeAndWalksBackAndForth) {
    const uint32_t three[] = {0, 1, 2, 1, 0, 1, 2, 1, 0};
    for (uint32_t i = 0; i < 9; ++i)
        EXPECT_EQ(reflectIndex(i, 3), three[i]) << i;
    for (uint32_t i = 0; i < 8; ++i)
        EXPECT_EQ(reflectIndex(i, 1), 0u);
    for (uint32_t i = 0; i < 8; ++i)
        EXPECT_EQ(reflectIndex(i, 2), i % 2);
}

} // namespace
} // namespace mote::pipeline
