// Every kind of PNG and JPEG that is read, against what its samples mean.
#include "command/picture_files.h"
#include "image/exif.h"
#include "image/image.h"

#include <cmath>
#include <cstdlib>

#include <gtest/gtest.h>

namespace mote::test {
namespace {

using command::decodeImage;
using command::Image;

// The sample as 8 bits, by the PNG specification, section 13.12: round(v * 255 / (2^depth - 1)).
uint8_t toEightBits(uint32_t value, uint32_t depth) {
    const uint32_t most = (1u << depth) - 1;
    return static_cast<uint8_t>((2 * value * 255 + most) / (2 * most));
}

Image expectedOf(const PngKind &kind) {
    Image image;
    image.width = kind.width;
    image.height = kind.height;
    const bool alpha = kind.colour == 4 || kind.colour == 6 || kind.transparency;
    const bool gray = (kind.colour == 0 || kind.colour == 4) && !alpha;
    image.channels = gray ? 1 : alpha ? 4 : 3;
    for (uint32_t y = 0; y < kind.height; ++y)
        for (uint32_t x = 0; x < kind.width; ++x) {
            const auto sample = [&](uint32_t c) { return pngSample(kind, x, y, c); };
            uint8_t pixel[4] = {0, 0, 0, 255};
            for (uint32_t c = 0; c < 3; ++c) {
                if (kind.colour == 3)
                    pixel[c] = paletteColour(sample(0), c);
                else
                    pixel[c] = toEightBits(sample(kind.colour == 2 || kind.colour == 6 ? c : 0), kind.depth);
            }
            if (kind.colour == 4 || kind.colour == 6)
                pixel[3] = toEightBits(sample(kind.colour == 4 ? 1 : 3), kind.depth);
            if (kind.transparency && kind.colour == 3) {
                const bool last = sample(0) == (1u << kind.depth) - 1;
                pixel[3] = last ? 255 : paletteAlpha(sample(0));
            } else if (kind.transparency) {
                bool isKey = true;
                for (uint32_t c = 0; c < pngChannels(kind); ++c)
                    isKey = isKey && sample(c) == pngSample(kind, 0, 0, c);
                pixel[3] = isKey ? 0 : 255;
            }
            for (uint32_t c = 0; c < image.channels; ++c)
                image.pixels.push_back(pixel[c]);
        }
    return image;
}

std::string nameOf(const PngKind &kind) {
    return "colour type " + std::to_string(kind.colour) + ", " + std::to_string(kind.depth) + " bits, " +
           std::to_string(kind.width) + "x" + std::to_string(kind.height) +
           (kind.interlaced ? ", interlaced" : "") + (kind.transparency ? ", tRNS" : "");
}

std::vector<PngKind> everyPngKind() {
    const std::pair<uint8_t, std::vector<uint8_t>> depths[] = {
        {0, {1, 2, 4, 8, 16}}, {2, {8, 16}}, {3, {1, 2, 4, 8}}, {4, {8, 16}}, {6, {8, 16}}};
    const std::pair<uint32_t, uint32_t> sizes[] = {{1, 1}, {7, 5}, {33, 18}};
    std::vector<PngKind> kinds;
    for (const auto &[colour, list] : depths)
        for (const uint8_t depth : list)
            for (const auto &[width, height] : sizes)
                for (const bool interlaced : {false, true})
                    for (const bool transparency : {false, true}) {
                        if (transparency && (colour == 4 || colour == 6))
                            continue;
                        kinds.push_back({width, height, depth, colour, interlaced, transparency, false, 0});
                    }
    return kinds;
}

TEST(Png, EveryKindIsReadExactly) {
    const std::vector<PngKind> kinds = everyPngKind();
    EXPECT_EQ(kinds.size(), (15u + 11u) * 3 * 2);
    for (const PngKind &kind : kinds) {
        SCOPED_TRACE(nameOf(kind));
        const Image image = decodeImage(makePng(kind), "kind.png"), expected = expectedOf(kind);
        ASSERT_EQ(image.width, expected.width);
        ASSERT_EQ(image.height, expected.height);
        ASSERT_EQ(image.channels, expected.channels);
        ASSERT_EQ(image.pixels, expected.pixels);
    }
}

TEST(Png, GammaProfilesAndNotesChangeNoPixel) {
    PngKind kind;
    const Image plain = decodeImage(makePng(kind), "plain.png");
    kind.notes = true;
    EXPECT_EQ(decodeImage(makePng(kind), "notes.png").pixels, plain.pixels);
}

TEST(Png, WrittenImagesAreReadBackExactly) {
    for (const uint32_t channels : {1u, 3u, 4u}) {
        Image image = {13, 9, channels, {}};
        for (uint32_t i = 0; i < 13 * 9 * channels; ++i)
            image.pixels.push_back(static_cast<uint8_t>(i * 37));
        const Image back = decodeImage(command::encodePng(image), "back.png");
        EXPECT_EQ(back.channels, channels);
        EXPECT_EQ(back.pixels, image.pixels);
    }
}

double largestDifference(const Image &image, const JpegKind &kind) {
    double largest = 0;
    size_t i = 0;
    for (uint32_t y = 0; y < image.height; ++y)
        for (uint32_t x = 0; x < image.width; ++x)
            for (uint32_t c = 0; c < image.channels; ++c)
                largest = std::max(largest,
                                   std::abs(double(image.pixels[i++]) - double(jpegSample(kind, x, y, c))));
    return largest;
}

TEST(Jpeg, EveryKindIsReadWithinItsQuantisation) {
    for (const bool progressive : {false, true})
        for (const uint32_t subsampling : {1u, 2u})
            for (const auto &[components, rgb] :
                 {std::pair(1u, false), std::pair(3u, false), std::pair(3u, true)})
                for (const auto &[width, height] :
                     {std::pair(1u, 1u), std::pair(17u, 9u), std::pair(48u, 32u)}) {
                    JpegKind kind;
                    kind.width = width;
                    kind.height = height;
                    kind.components = components;
                    kind.rgb = rgb;
                    kind.progressive = progressive;
                    kind.subsampling = rgb || components == 1 ? 1 : subsampling;
                    SCOPED_TRACE(std::to_string(components) + " components, " + std::to_string(width) +
                                 " wide" + (rgb ? ", RGB" : "") + (progressive ? ", progressive" : "") +
                                 ", subsampling " + std::to_string(kind.subsampling));
                    const Image image = decodeImage(makeJpeg(kind), "kind.jpg");
                    ASSERT_EQ(image.width, width);
                    ASSERT_EQ(image.height, height);
                    ASSERT_EQ(image.channels, components);
                    // Quality 98 keeps smooth pictures within a few levels; halved chroma loses its slope.
                    EXPECT_LE(largestDifference(image, kind), kind.subsampling == 1 ? 4 : 16);
                }
}

TEST(Jpeg, WrittenImagesAreReadBackNearly) {
    JpegKind kind;
    for (const uint32_t channels : {1u, 3u}) {
        Image image = {kind.width, kind.height, channels, {}};
        for (uint32_t y = 0; y < kind.height; ++y)
            for (uint32_t x = 0; x < kind.width; ++x)
                for (uint32_t c = 0; c < channels; ++c)
                    image.pixels.push_back(jpegSample(kind, x, y, c));
        const Image back = decodeImage(command::encodeJpeg(image), "back.jpg");
        ASSERT_EQ(back.channels, channels);
        EXPECT_LE(largestDifference(back, kind), 5);
    }
}

// EXIF 2.3, tag 0x0112: on which side of the upright picture row 0 and column 0 of the stored one lie.
struct Orientation {
    uint32_t value;
    const char *row0, *column0;
};
const Orientation kOrientations[] = {{1, "top", "left"},     {2, "top", "right"},  {3, "bottom", "right"},
                                     {4, "bottom", "left"},  {5, "left", "top"},   {6, "right", "top"},
                                     {7, "right", "bottom"}, {8, "left", "bottom"}};

// Where the stored pixel belongs, from those words.
std::pair<uint32_t, uint32_t> uprightPlace(const Orientation &orientation, uint32_t x, uint32_t y,
                                           uint32_t width, uint32_t height) {
    uint32_t upX = 0, upY = 0;
    const auto place = [&](const std::string &side, uint32_t distance, uint32_t extent) {
        if (side == "left")
            upX = distance;
        else if (side == "right")
            upX = extent - 1 - distance;
        else if (side == "top")
            upY = distance;
        else
            upY = extent - 1 - distance;
    };
    place(orientation.row0, y, height);
    place(orientation.column0, x, width);
    return {upX, upY};
}

TEST(Orientation, EachOfTheEightTurnsAPngUpright) {
    for (const Orientation &orientation : kOrientations) {
        SCOPED_TRACE(orientation.value);
        PngKind kind;
        kind.orientation = orientation.value;
        const Image image = decodeImage(makePng(kind), "turned.png");
        const bool transposed = orientation.value >= 5;
        ASSERT_EQ(image.width, transposed ? kind.height : kind.width);
        ASSERT_EQ(image.height, transposed ? kind.width : kind.height);
        for (uint32_t y = 0; y < kind.height; ++y)
            for (uint32_t x = 0; x < kind.width; ++x) {
                const auto [upX, upY] = uprightPlace(orientation, x, y, kind.width, kind.height);
                for (uint32_t c = 0; c < 3; ++c)
                    ASSERT_EQ(image.pixels[(size_t{upY} * image.width + upX) * 3 + c],
                              pngSample(kind, x, y, c));
            }
    }
}

TEST(Orientation, EachOfTheEightTurnsAJpegUpright) {
    for (const Orientation &orientation : kOrientations)
        for (const bool bigEndian : {false, true}) {
            SCOPED_TRACE(orientation.value);
            JpegKind kind;
            const Image stored = decodeImage(makeJpeg(kind), "stored.jpg");
            kind.exif = makeExif(orientation.value, bigEndian);
            const Image image = decodeImage(makeJpeg(kind), "turned.jpg");
            for (uint32_t y = 0; y < stored.height; ++y)
                for (uint32_t x = 0; x < stored.width; ++x) {
                    const auto [upX, upY] = uprightPlace(orientation, x, y, stored.width, stored.height);
                    for (uint32_t c = 0; c < 3; ++c)
                        ASSERT_EQ(image.pixels[(size_t{upY} * image.width + upX) * 3 + c],
                                  stored.pixels[(size_t{y} * stored.width + x) * 3 + c]);
                }
        }
}

TEST(Orientation, DamagedExifMeansUpright) {
    const Bytes good = makeExif(6, false);
    EXPECT_EQ(command::exifOrientation(good), 6u);
    for (size_t length = 0; length < good.size(); ++length) {
        const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
        EXPECT_EQ(command::exifOrientation(cut), length >= 20 ? 6u : 1u) << length;
    }
    struct Damage {
        const char *what;
        size_t offset;
        Bytes bytes;
    };
    const Damage damages[] = {{"byte order", 0, {'X', 'X'}},
                              {"mixed byte order", 0, {'I', 'M'}},
                              {"magic number", 2, {43, 0}},
                              {"directory behind the end", 4, {0xff, 0xff, 0xff, 0x7f}},
                              {"directory at the largest offset", 4, {0xff, 0xff, 0xff, 0xff}},
                              {"no entries", 8, {0, 0}},
                              {"another tag", 10, {0x13, 0x01}},
                              {"another tag and entries without end", 8, {0xff, 0xff, 0x13, 0x01}},
                              {"type LONG", 12, {4, 0}},
                              {"no value", 14, {0, 0, 0, 0}},
                              {"many values", 14, {0xff, 0xff, 0xff, 0xff}},
                              {"orientation 0", 18, {0, 0}},
                              {"orientation 9", 18, {9, 0}},
                              {"orientation 262", 18, {6, 1}}};
    for (const Damage &damage : damages) {
        Bytes bytes = good;
        std::copy(damage.bytes.begin(), damage.bytes.end(),
                  bytes.begin() + static_cast<std::ptrdiff_t>(damage.offset));
        EXPECT_EQ(command::exifOrientation(bytes), 1u) << damage.what;
    }
}

TEST(Alpha, IsDroppedOnlyWhereItIsOpaqueEverywhere) {
    Image image = {2, 1, 4, {1, 2, 3, 255, 4, 5, 6, 255}};
    EXPECT_TRUE(command::dropOpaqueAlpha(image));
    EXPECT_EQ(image.channels, 3u);
    EXPECT_EQ(image.pixels, (Bytes{1, 2, 3, 4, 5, 6}));
    Image seeThrough = {2, 1, 4, {1, 2, 3, 255, 4, 5, 6, 254}};
    EXPECT_FALSE(command::dropOpaqueAlpha(seeThrough));
    EXPECT_EQ(seeThrough.channels, 4u);
}

} // namespace
} // namespace mote::test
