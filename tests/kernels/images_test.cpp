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
    static ExportPlanes stateOnly(const BufferRange &planes, float low, float high) {
        ExportPlanes all;
        all.state = planes;
        all.low = low;
        all.high = high;
        return all;
    }
    // Values of random bytes.
    static std::vector<uint8_t> randomBytes(size_t count, uint32_t seed) {
        Random random(seed);
        std::vector<uint8_t> values(count);
        for (uint8_t &value : values)
            value = static_cast<uint8_t>(random.word() >> 24);
        return values;
    }
};

// Rows in the middle of a band; the band's other rows stay as they are.
TEST_F(Images, ImportConvertsAndReflects) {
    struct Case {
        uint32_t rows, width, bytesPerPixel, stride, firstRow, bandRows, paddedWidth, channels;
    };
    const Case cases[] = {
        {1, 1, 3, 3, 0, 1, 8, 3},    {1, 1, 1, 1, 0, 1, 1, 1},     {5, 7, 3, 21, 1, 8, 8, 3},
        {5, 7, 3, 29, 0, 5, 7, 3},   {3, 2, 4, 8, 5, 8, 16, 3},    {9, 13, 1, 13, 7, 16, 16, 3},
        {9, 13, 1, 17, 0, 9, 13, 1}, {2, 30, 4, 121, 3, 8, 32, 4}, {33, 31, 3, 93, 6, 40, 32, 1},
    };
    Random random(1);
    for (const Case &c : cases) {
        std::vector<uint8_t> pixels(size_t{c.stride} * c.rows);
        for (uint8_t &value : pixels)
            value = static_cast<uint8_t>(random.word() >> 24);
        const ImageExtent band{1, c.channels, c.bandRows, c.paddedWidth};
        const BufferRange planes = floats(std::vector<float>(elementsOf(band), 77.0f));
        run(buildImageImport({bytes(pixels), c.firstRow, c.rows, c.width, c.bytesPerPixel, c.stride}, band,
                             -1, 1, planes, traits()));
        const std::vector<float> found = floatsOf(planes);
        size_t i = 0;
        for (uint32_t channel = 0; channel < c.channels; ++channel)
            for (uint32_t y = 0; y < c.bandRows; ++y)
                for (uint32_t x = 0; x < c.paddedWidth; ++x, ++i) {
                    if (y < c.firstRow || y >= c.firstRow + c.rows) {
                        ASSERT_EQ(found[i], 77.0f) << "row " << y << " is not to be written";
                        continue;
                    }
                    const uint32_t part = std::min(channel, std::min(c.bytesPerPixel, 3u) - 1);
                    const uint8_t *pixel =
                        &pixels[(y - c.firstRow) * c.stride + reflected(x, c.width) * c.bytesPerPixel];
                    // A single channel has luma.
                    const double value = c.channels == 1 && c.bytesPerPixel >= 3
                                             ? 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
                                             : pixel[part];
                    ASSERT_NEAR(found[i], value * (2.0 / 255) - 1, 8 * 0x1p-24)
                        << c.width << "x" << c.rows << ", channel " << channel << ", " << x << ", " << y;
                }
    }
}

TEST_F(Images, ExportRoundsHalfUpClampsAndCrops) {
    for (uint32_t bytesPerPixel : {1u, 3u, 4u}) {
        for (uint32_t channels : {1u, 3u}) {
            const uint32_t firstRow = 2, rows = 7, width = 13, bandRows = 10, paddedWidth = 16;
            const uint64_t stride = (width * bytesPerPixel + 3) / 4 * 4 + 4;
            Random random(bytesPerPixel);
            std::vector<float> planes(size_t{channels} * bandRows * paddedWidth);
            for (float &value : planes)
                value = static_cast<float>(random.half() * 1.5);
            planes[firstRow * paddedWidth + 0] = 100;
            planes[firstRow * paddedWidth + 1] = -100;
            planes[firstRow * paddedWidth + 2] = 1;
            planes[firstRow * paddedWidth + 3] = -1;
            const BufferRange target = buffer(stride * rows);
            run(buildImageExport({target, firstRow, rows, width, bytesPerPixel, stride},
                                 {1, channels, bandRows, paddedWidth}, stateOnly(floats(planes), -1, 1),
                                 traits()));
            const auto *found = reinterpret_cast<const uint8_t *>(bytesOf(target));
            for (uint32_t y = 0; y < rows; ++y)
                for (uint32_t at = 0; at < stride; ++at) {
                    const uint32_t x = at / bytesPerPixel, part = at % bytesPerPixel;
                    double expected = 0, exact = 0;
                    if (x < width) {
                        const uint32_t channel = std::min(part, channels - 1);
                        exact =
                            (planes[(size_t{channel} * bandRows + firstRow + y) * paddedWidth + x] + 1.0) /
                            2 * 255;
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

// Keys' cubic with a = -1/2 in one direction, as Pillow's resize has it: taps beyond the edges are left out
// and the others made to sum to 1. An implementation of its own, in double.
std::vector<double> enlargedLine(const std::vector<double> &line, uint32_t factor) {
    const auto cubic = [](double x) {
        x = std::fabs(x);
        if (x < 1)
            return 1.5 * x * x * x - 2.5 * x * x + 1;
        return x < 2 ? -0.5 * (x * x * x - 5 * x * x + 8 * x - 4) : 0.0;
    };
    std::vector<double> out;
    for (size_t i = 0; i < line.size() * factor; ++i) {
        const double centre = (static_cast<double>(i) + 0.5) / factor;
        double sum = 0, weights = 0;
        for (size_t k = 0; k < line.size(); ++k) {
            const double w = cubic(centre - (static_cast<double>(k) + 0.5));
            sum += w * line[k];
            weights += w;
        }
        out.push_back(sum / weights);
    }
    return out;
}

TEST_F(Images, EnlargeIsBicubicInPiecesOfRows) {
    struct Case {
        uint32_t height, width, bytesPerPixel, factor, paddedHeight, paddedWidth, channels;
    };
    const Case cases[] = {{1, 1, 3, 2, 8, 8, 3},    {5, 7, 3, 2, 16, 16, 3},  {6, 9, 4, 4, 24, 40, 3},
                          {11, 3, 1, 4, 48, 16, 1}, {9, 10, 3, 2, 20, 24, 1}, {2, 3, 3, 4, 16, 16, 3}};
    for (const Case &c : cases) {
        const size_t stride = size_t{c.width} * c.bytesPerPixel;
        const std::vector<uint8_t> pixels = randomBytes(stride * c.height, c.height);
        // [channel][enlarged rows][enlarged columns]
        std::vector<std::vector<std::vector<double>>> expected(c.channels);
        for (uint32_t channel = 0; channel < c.channels; ++channel) {
            std::vector<std::vector<double>> wide;
            for (uint32_t y = 0; y < c.height; ++y) {
                std::vector<double> line;
                for (uint32_t x = 0; x < c.width; ++x) {
                    const uint8_t *pixel = &pixels[y * stride + x * c.bytesPerPixel];
                    line.push_back(c.channels == 1 && c.bytesPerPixel >= 3
                                       ? 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
                                       : pixel[std::min(channel, std::min(c.bytesPerPixel, 3u) - 1)]);
                }
                wide.push_back(enlargedLine(line, c.factor));
            }
            expected[channel].assign(size_t{c.height} * c.factor, std::vector<double>(wide[0].size()));
            for (size_t x = 0; x < wide[0].size(); ++x) {
                std::vector<double> column;
                for (const std::vector<double> &row : wide)
                    column.push_back(row[x]);
                const std::vector<double> tall = enlargedLine(column, c.factor);
                for (size_t y = 0; y < tall.size(); ++y)
                    expected[channel][y][x] = tall[y];
            }
        }
        // Bands of 8 rows at most, in pieces of 5.
        for (uint32_t bandRow = 0; bandRow < c.paddedHeight; bandRow += 8) {
            const ImageExtent band{1, c.channels, std::min(8u, c.paddedHeight - bandRow), c.paddedWidth,
                                   bandRow};
            const BufferRange planes = buffer(elementsOf(band) * 4);
            for (uint32_t first = 0; first < band.height; first += 5) {
                const uint32_t count = std::min(5u, band.height - first);
                const SourceRows sources = enlargeSources(bandRow + first, count, c.height, c.factor);
                ASSERT_LT(sources.first, sources.end);
                ASSERT_LE(sources.end, c.height);
                EnlargedRows rows;
                rows.packed = {bytes({pixels.begin() + static_cast<std::ptrdiff_t>(sources.first * stride),
                                      pixels.begin() + static_cast<std::ptrdiff_t>(sources.end * stride)}),
                               first,
                               count,
                               c.width * c.factor,
                               c.bytesPerPixel,
                               stride};
                rows.factor = c.factor;
                rows.sourceHeight = c.height;
                rows.sourceWidth = c.width;
                rows.sourceRow = sources.first;
                run(buildImageEnlarge(rows, band, -1, 1, planes, traits()));
            }
            const std::vector<float> found = floatsOf(planes);
            size_t i = 0;
            for (uint32_t channel = 0; channel < c.channels; ++channel)
                for (uint32_t y = 0; y < band.height; ++y)
                    for (uint32_t x = 0; x < c.paddedWidth; ++x, ++i) {
                        const double value = expected[channel][reflected(bandRow + y, c.height * c.factor)]
                                                     [reflected(x, c.width * c.factor)];
                        ASSERT_NEAR(found[i], std::clamp(value, 0.0, 255.0) * (2.0 / 255) - 1, 1e-6)
                            << c.width << "x" << c.height << " times " << c.factor << ": " << x << ", "
                            << bandRow + y;
                    }
        }
    }
}

TEST_F(Images, MaskHidesWhatIsToBeFilled) {
    const ImageExtent band{2, 3, 5, 7};
    Random random(3);
    std::vector<float> mask(2 * 35), known(elementsOf(band));
    for (float &value : mask)
        value = static_cast<float>(random.half() * 0.5 + 0.5);
    mask[0] = 0.5f;
    mask[1] = std::nextafter(0.5f, 0.0f);
    for (float &value : known)
        value = static_cast<float>(random.half());
    const BufferRange maskPlane = floats(mask), planes = floats(known);
    run(buildMaskKnown(band, maskPlane, planes, traits()));
    const std::vector<float> found = floatsOf(planes), binary = floatsOf(maskPlane);
    for (size_t i = 0; i < mask.size(); ++i) {
        EXPECT_EQ(binary[i], mask[i] >= 0.5f ? 1.0f : 0.0f);
        for (size_t c = 0; c < 3; ++c) {
            const size_t at = (i / 35 * 3 + c) * 35 + i % 35;
            EXPECT_EQ(found[at], mask[i] >= 0.5f ? 0.0f : known[at]);
        }
    }
}

TEST_F(Images, ExportTakesKnownPixelsWhereNothingWasFilledAndMixesBetween) {
    const ImageExtent band{1, 3, 4, 8};
    const std::vector<uint8_t> bytesOfKnown = randomBytes(96, 5);
    std::vector<float> known(96), state(96), mask(32);
    for (size_t i = 0; i < 96; ++i) {
        known[i] = static_cast<float>(bytesOfKnown[i] / 255.0);
        state[i] = static_cast<float>(2.0 * static_cast<double>((i * 37) % 256) / 255.0 - 1);
    }
    for (size_t i = 0; i < 32; ++i)
        mask[i] = i % 3 == 0 ? 1.0f : i % 3 == 1 ? 0.0f : 0.25f;
    ExportPlanes planes = stateOnly(floats(state), -1, 1);
    planes.side = ExportSide::Mask;
    planes.sidePlanes = floats(mask);
    planes.known = floats(known);
    planes.sideLow = 0;
    const BufferRange target = buffer(4 * 24);
    run(buildImageExport({target, 0, 4, 8, 3, 24}, band, planes, traits()));
    const auto *found = reinterpret_cast<const uint8_t *>(bytesOf(target));
    for (size_t pixel = 0; pixel < 32; ++pixel)
        for (size_t c = 0; c < 3; ++c) {
            const double filled = static_cast<double>((c * 32 + pixel) * 37 % 256),
                         given = bytesOfKnown[c * 32 + pixel];
            if (pixel % 3 == 2)
                EXPECT_NEAR(found[3 * pixel + c], 0.25 * filled + 0.75 * given, 0.501);
            else
                EXPECT_EQ(found[3 * pixel + c], pixel % 3 == 0 ? filled : given);
        }
}

// Luma from an RGB picture and the chroma that belongs to it give the picture back.
TEST_F(Images, LumaAndChromaGiveThePictureBack) {
    const std::vector<uint8_t> pixels = randomBytes(3 * 64, 9);
    const ImageExtent band{1, 1, 8, 8};
    const BufferRange luma = buffer(64 * 4), target = buffer(3 * 64);
    run(buildImageImport({bytes(pixels), 0, 8, 8, 3, 24}, band, 0, 1, luma, traits()));
    std::vector<float> chroma(128);
    for (size_t i = 0; i < 64; ++i) {
        const double r = pixels[3 * i], g = pixels[3 * i + 1], b = pixels[3 * i + 2];
        const double y = 0.299 * r + 0.587 * g + 0.114 * b;
        chroma[i] = static_cast<float>((b - y) / 1.772 / 127.5);
        chroma[64 + i] = static_cast<float>((r - y) / 1.402 / 127.5);
    }
    ExportPlanes planes = stateOnly(floats(chroma), -1, 1);
    planes.side = ExportSide::Luma;
    planes.sidePlanes = luma;
    planes.sideLow = 0;
    run(buildImageExport({target, 0, 8, 8, 3, 24}, {1, 2, 8, 8}, planes, traits()));
    EXPECT_EQ(0, std::memcmp(bytesOf(target), pixels.data(), pixels.size()));
}

TEST_F(Images, ExportShowsTheEstimateOfTheSampler) {
    Random random(6);
    std::vector<float> state(64), output(64);
    for (size_t i = 0; i < 64; ++i) {
        state[i] = static_cast<float>(random.half());
        output[i] = static_cast<float>(random.half());
    }
    ExportPlanes planes = stateOnly(floats(state), -1, 1);
    planes.modelOutput = floats(output);
    planes.stateFactor = 1.5f;
    planes.outputFactor = -0.75f;
    planes.clipLow = -0.5f;
    planes.clipHigh = 0.5f;
    const BufferRange target = buffer(64);
    run(buildImageExport({target, 0, 8, 8, 1, 8}, {1, 1, 8, 8}, planes, traits()));
    const auto *found = reinterpret_cast<const uint8_t *>(bytesOf(target));
    for (size_t i = 0; i < 64; ++i) {
        const double x0 = std::clamp(
            1.5 * static_cast<double>(state[i]) - 0.75 * static_cast<double>(output[i]), -0.5, 0.5);
        EXPECT_NEAR(found[i], (x0 + 1) * 127.5, 0.5 + 1e-4);
    }
}

// Every byte survives the way in and out, for the ranges that models use.
TEST_F(Images, EveryByteSurvivesTheRoundTrip) {
    std::vector<uint8_t> pixels(256);
    for (size_t i = 0; i < 256; ++i)
        pixels[i] = static_cast<uint8_t>(i);
    for (const auto &[low, high] : {std::pair<float, float>{-1, 1}, {0, 1}, {0, 255}}) {
        const BufferRange planes = buffer(1024), target = buffer(256);
        run(buildImageImport({bytes(pixels), 0, 16, 16, 1, 16}, {1, 1, 16, 16}, low, high, planes, traits()));
        run(buildImageExport({target, 0, 16, 16, 1, 16}, {1, 1, 16, 16}, stateOnly(planes, low, high),
                             traits()));
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

// Tiles read from an image and added with their weights give the image, whatever bands it lies in: all of it
// in one, a boundary within tiles, a band that is smaller than a tile, bands of single rows.
TEST_F(Images, TilesReadAndAddedGiveTheWhole) {
    const uint32_t height = 40, width = 56;
    const std::vector<uint32_t> rows = {0, 16}, columns = {0, 16, 24};
    const std::vector<float> rowWeights = featherWeights(rows, 24, height, 2);
    const std::vector<float> columnWeights = featherWeights(columns, 32, width, 2);
    std::vector<float> feather = rowWeights;
    feather.insert(feather.end(), columnWeights.begin(), columnWeights.end());
    const BufferRange weights = floats(feather);
    Random random(4);
    const Map image = random.map(2, 3, height, width);
    for (const std::vector<uint32_t> &cuts :
         std::vector<std::vector<uint32_t>>{{0, 40}, {0, 20, 40}, {0, 13, 27, 40}, {0, 1, 2, 16, 17, 40}}) {
        struct Band {
            ImageExtent extent;
            BufferRange from, to;
        };
        std::vector<Band> bands;
        for (size_t i = 0; i + 1 < cuts.size(); ++i) {
            Band band{{2, 3, cuts[i + 1] - cuts[i], width, cuts[i]}, {}, {}};
            std::vector<float> values;
            for (uint32_t plane = 0; plane < 6; ++plane)
                for (uint32_t y = cuts[i]; y < cuts[i + 1]; ++y)
                    for (uint32_t x = 0; x < width; ++x)
                        values.push_back(static_cast<float>(image.at(plane / 3, plane % 3, y, x)));
            band.from = floats(values);
            band.to = buffer(values.size() * 4);
            run(buildClear(band.extent, band.to, session(), traits()));
            bands.push_back(band);
        }
        for (uint32_t row = 0; row < rows.size(); ++row)
            for (uint32_t column = 0; column < columns.size(); ++column) {
                TilePlace place;
                place.tile = {2, 3, 24, 32};
                place.x = columns[column];
                place.y = rows[row];
                place.featherY = row * 24;
                place.featherX = static_cast<uint32_t>(rowWeights.size()) + column * 32;
                const BufferRange tile = buffer(elementsOf(place.tile) * 4);
                for (const Band &band : bands)
                    if (tileTouches(place, band.extent))
                        run(buildTileRead(place, band.extent, tile, band.from, traits()));
                const std::vector<float> read = floatsOf(tile);
                for (size_t i = 0; i < read.size(); ++i) {
                    const auto plane = static_cast<uint32_t>(i / (24 * 32)),
                               inTile = static_cast<uint32_t>(i % (24 * 32));
                    ASSERT_EQ(read[i],
                              static_cast<float>(image.at(plane / 3, plane % 3, rows[row] + inTile / 32,
                                                          columns[column] + inTile % 32)));
                }
                for (const Band &band : bands)
                    if (tileTouches(place, band.extent))
                        run(buildTileAdd(place, band.extent, tile, band.to, weights, traits()));
            }
        for (const Band &band : bands) {
            const std::vector<float> found = floatsOf(band.to), expected = floatsOf(band.from);
            for (size_t i = 0; i < found.size(); ++i)
                ASSERT_NEAR(found[i], expected[i], 16 * 0x1p-24)
                    << i << " of the band from " << band.extent.firstRow;
        }
    }
}

} // namespace
} // namespace mote::test
