// Images in and out, and tiles put back together.
#include "kernel_rig.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

uint32_t reflected(uint32_t i, uint32_t n) {
    if (n == 1)
        return 0;
    bool up = true;
    uint32_t at = 0;
    for (uint32_t step = 0; step < i; ++step) { // walks to and fro
        if (up && at == n - 1)
            up = false;
        else if (!up && at == 0)
            up = true;
        at = up ? at + 1 : at - 1;
    }
    return at;
}

class Images : public Kernels {
protected:
    BufferRange bytes(const std::vector<uint8_t> &values) {
        std::vector<uint8_t> padded = values;
        padded.resize((values.size() + 3) / 4 * 4, 0xee);
        return bufferOf(padded.data(), padded.size());
    }
};

TEST_F(Images, ImportConvertsAndReflects) {
    struct Case {
        uint32_t height, width, bytesPerPixel, stride, paddedHeight, paddedWidth, channels;
    };
    const Case cases[] = {
        {1, 1, 3, 3, 8, 8, 3},    {1, 1, 1, 1, 1, 1, 1},     {5, 7, 3, 21, 8, 8, 3},
        {5, 7, 3, 29, 5, 7, 3},   {3, 2, 4, 8, 8, 16, 3},    {9, 13, 1, 13, 16, 16, 3},
        {9, 13, 1, 17, 9, 13, 1}, {2, 30, 4, 121, 8, 32, 4}, {33, 31, 3, 93, 40, 32, 1},
    };
    Random random(1);
    for (const Case &c : cases) {
        std::vector<uint8_t> pixels(size_t{c.stride} * c.height);
        for (uint8_t &value : pixels)
            value = static_cast<uint8_t>(random.word() >> 24);
        const ImageExtent extent{1, c.channels, c.paddedHeight, c.paddedWidth};
        const BufferRange planes = buffer(uint64_t{c.channels} * c.paddedHeight * c.paddedWidth * 4);
        run(buildImageImport({bytes(pixels), c.height, c.width, c.bytesPerPixel, c.stride}, extent, -1, 1,
                             planes, traits()));
        const std::vector<float> found = floatsOf(planes);
        size_t i = 0;
        for (uint32_t channel = 0; channel < c.channels; ++channel)
            for (uint32_t y = 0; y < c.paddedHeight; ++y)
                for (uint32_t x = 0; x < c.paddedWidth; ++x, ++i) {
                    const uint32_t part = std::min(channel, std::min(c.bytesPerPixel, 3u) - 1);
                    const uint8_t value = pixels[reflected(y, c.height) * c.stride +
                                                 reflected(x, c.width) * c.bytesPerPixel + part];
                    ASSERT_NEAR(found[i], value * (2.0 / 255) - 1, 3 * 0x1p-24)
                        << c.width << "x" << c.height << ", channel " << channel << ", " << x << ", " << y;
                }
    }
}

TEST_F(Images, ExportRoundsHalfUpClampsAndCrops) {
    for (uint32_t bytesPerPixel : {1u, 3u, 4u}) {
        for (uint32_t channels : {1u, 3u}) {
            const uint32_t height = 7, width = 13, paddedHeight = 8, paddedWidth = 16;
            const uint64_t stride = (width * bytesPerPixel + 3) / 4 * 4 + 4;
            Random random(bytesPerPixel);
            std::vector<float> planes(size_t{channels} * paddedHeight * paddedWidth);
            for (float &value : planes)
                value = static_cast<float>(random.half() * 1.5);
            planes[0] = 100;
            planes[1] = -100;
            planes[2] = 1;
            planes[3] = -1;
            const BufferRange target = buffer(stride * height);
            run(buildImageExport({target, height, width, bytesPerPixel, stride},
                                 {1, channels, paddedHeight, paddedWidth}, -1, 1, floats(planes), traits()));
            const auto *found = reinterpret_cast<const uint8_t *>(bytesOf(target));
            for (uint32_t y = 0; y < height; ++y)
                for (uint32_t at = 0; at < stride; ++at) {
                    const uint32_t x = at / bytesPerPixel, part = at % bytesPerPixel;
                    double expected = 0, exact = 0;
                    if (x < width) {
                        const uint32_t channel = std::min(part, channels - 1);
                        exact =
                            (planes[(size_t{channel} * paddedHeight + y) * paddedWidth + x] + 1.0) / 2 * 255;
                        expected = part == 3 ? 255 : std::min(std::max(std::floor(exact + 0.5), 0.0), 255.0);
                    }
                    // Within a rounding error of a half either neighbour is right.
                    const double toHalf = std::fabs(exact + 0.5 - std::round(exact + 0.5));
                    const double slack = toHalf < 255 * 4 * 0x1p-24 ? 1 : 0;
                    ASSERT_NEAR(found[y * stride + at], expected, slack)
                        << x << ", " << y << ", byte " << part;
                }
        }
    }
}

// Every byte survives the way in and out, for the ranges that models use.
TEST_F(Images, EveryByteSurvivesTheRoundTrip) {
    std::vector<uint8_t> pixels(256);
    for (size_t i = 0; i < 256; ++i)
        pixels[i] = static_cast<uint8_t>(i);
    for (const auto &[low, high] : {std::pair<float, float>{-1, 1}, {0, 1}, {0, 255}}) {
        const BufferRange planes = buffer(1024), target = buffer(256);
        run(buildImageImport({bytes(pixels), 16, 16, 1, 16}, {1, 1, 16, 16}, low, high, planes, traits()));
        run(buildImageExport({target, 16, 16, 1, 16}, {1, 1, 16, 16}, low, high, planes, traits()));
        EXPECT_EQ(0, std::memcmp(bytesOf(target), pixels.data(), 256)) << low << " to " << high;
    }
}

TEST(Feather, WeightsArePartitionsOfUnity) {
    struct Case {
        std::vector<uint32_t> origins;
        uint32_t length, total, margin;
    };
    const Case cases[] = {
        {{0}, 64, 64, 0},
        {{0, 48, 96}, 64, 160, 0},
        {{0, 48, 96}, 64, 160, 6},
        {{0, 48, 56}, 64, 120, 8},
        {{0, 64, 128}, 64, 192, 8},
        {{0, 8, 16, 24}, 64, 88, 4},
        {{0, 56, 57}, 64, 121, 100},
    };
    for (const Case &c : cases) {
        const std::vector<float> weights = featherWeights(c.origins, c.length, c.total, c.margin);
        ASSERT_EQ(weights.size(), c.origins.size() * c.length);
        for (uint32_t pixel = 0; pixel < c.total; ++pixel) {
            double sum = 0;
            for (size_t tile = 0; tile < c.origins.size(); ++tile) {
                if (pixel < c.origins[tile] || pixel >= c.origins[tile] + c.length)
                    continue;
                const float weight = weights[tile * c.length + pixel - c.origins[tile]];
                EXPECT_GE(weight, 0);
                EXPECT_LE(weight, 1);
                sum += static_cast<double>(weight);
            }
            EXPECT_NEAR(sum, 1, 4 * 0x1p-24)
                << "pixel " << pixel << " of " << c.total << ", tiles " << c.length;
        }
    }
}

TEST(Feather, InnerEdgesWithinTheMarginHaveNoWeight) {
    const std::vector<float> weights = featherWeights({0, 48}, 64, 112, 6);
    for (uint32_t i = 0; i < 6; ++i) {
        EXPECT_EQ(weights[64 + i], 0) << "left edge of the right tile";
        EXPECT_EQ(weights[63 - i], 0) << "right edge of the left tile";
        EXPECT_EQ(weights[i], 1) << "the image's own edge";
    }
    EXPECT_GT(weights[64 + 8], 0);
    EXPECT_LT(weights[64 + 8], 1);
}

// Tiles cut from an image and accumulated with their weights give the image.
TEST_F(Images, AccumulatedTilesGiveTheWhole) {
    const ImageExtent whole{1, 3, 40, 56}, tile{1, 3, 24, 32};
    const std::vector<uint32_t> rows = {0, 16}, columns = {0, 16, 24};
    const std::vector<float> rowWeights = featherWeights(rows, 24, 40, 2);
    const std::vector<float> columnWeights = featherWeights(columns, 32, 56, 2);
    std::vector<float> feather = rowWeights;
    feather.insert(feather.end(), columnWeights.begin(), columnWeights.end());
    const BufferRange weights = floats(feather);
    Random random(4);
    const Map image = random.map(1, 3, 40, 56);
    const BufferRange target = buffer(uint64_t{3} * 40 * 56 * 4);
    run(buildClear(target, session(), uint64_t{3} * 40 * 56, traits()));
    for (uint32_t row = 0; row < rows.size(); ++row) {
        for (uint32_t column = 0; column < columns.size(); ++column) {
            SessionWords words;
            words.tileX = columns[column];
            words.tileY = rows[row];
            words.featherY = row * 24;
            words.featherX = static_cast<uint32_t>(rowWeights.size()) + column * 32;
            std::vector<float> part;
            for (uint32_t c = 0; c < 3; ++c)
                for (uint32_t y = 0; y < 24; ++y)
                    for (uint32_t x = 0; x < 32; ++x)
                        part.push_back(
                            static_cast<float>(image.at(0, c, y + rows[row], x + columns[column])));
            run(buildAccumulate(tile, whole, floats(part), target, weights, session(words), traits()));
        }
    }
    const std::vector<float> found = floatsOf(target);
    for (size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], image.values[i], 16 * 0x1p-24) << i;
}

} // namespace
} // namespace mote::test
