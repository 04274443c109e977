// Damaged and hostile pictures: an error that says what is wrong, never a crash, never a picture.
#include "command/hostile_files.h"
#include "errors.h"
#include "image/image.h"

#include <gtest/gtest.h>

namespace mote::test {
namespace {

using command::CommandError;

TEST(HostileImages, EachKindIsRefusedWithFileFieldFoundAndExpected) {
    const std::vector<HostileFile> files = hostileFiles();
    EXPECT_GE(files.size(), 45u);
    for (const HostileFile &file : files) {
        SCOPED_TRACE(file.what);
        try {
            command::decodeImage(file.bytes, "photo.bin");
            ADD_FAILURE() << "was read";
        } catch (const CommandError &error) {
            EXPECT_EQ(error.code, command::ExitCode::BadInput);
            const std::string message = error.what();
            EXPECT_EQ(message.find("photo.bin: "), 0u) << message;
            for (const std::string &part : file.message)
                EXPECT_NE(message.find(part), std::string::npos) << message << "\n  lacks: " << part;
        }
    }
}

// Every kind of file that is read, small.
std::vector<Bytes> smallFiles() {
    std::vector<Bytes> files;
    for (const bool interlaced : {false, true})
        for (const auto &[colour, depth] :
             {std::pair(0, 1), std::pair(2, 8), std::pair(3, 4), std::pair(6, 16)}) {
            PngKind kind;
            kind.depth = static_cast<uint8_t>(depth);
            kind.colour = static_cast<uint8_t>(colour);
            kind.interlaced = interlaced;
            kind.transparency = colour == 3;
            kind.orientation = 6;
            files.push_back(makePng(kind));
        }
    for (const bool progressive : {false, true})
        for (const uint32_t components : {1u, 3u}) {
            JpegKind kind;
            kind.width = 17;
            kind.height = 11;
            kind.components = components;
            kind.progressive = progressive;
            kind.subsampling = components == 3 ? 2 : 1;
            kind.exif = makeExif(8, true);
            files.push_back(makeJpeg(kind));
        }
    return files;
}

bool isRead(const Bytes &bytes) {
    try {
        const command::Image image = command::decodeImage(bytes, "small");
        EXPECT_EQ(image.pixels.size(), size_t{image.width} * image.height * image.channels);
        return true;
    } catch (const CommandError &error) {
        EXPECT_EQ(error.code, command::ExitCode::BadInput);
        return false;
    }
}

TEST(HostileImages, EveryTruncationIsRefused) {
    for (const Bytes &file : smallFiles()) {
        ASSERT_TRUE(isRead(file));
        for (size_t length = 0; length < file.size(); ++length) {
            const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
            EXPECT_FALSE(isRead(cut)) << length << " of " << file.size() << " bytes";
        }
    }
}

TEST(HostileImages, EveryFlippedBitOfAPngIsRefused) {
    for (Bytes &file : smallFiles()) {
        if (file[0] != 0x89)
            continue;
        for (size_t bit = 0; bit < file.size() * 8; ++bit) {
            file[bit / 8] = static_cast<uint8_t>(file[bit / 8] ^ (1u << bit % 8));
            EXPECT_FALSE(isRead(file)) << "bit " << bit;
            file[bit / 8] = static_cast<uint8_t>(file[bit / 8] ^ (1u << bit % 8));
        }
    }
}

// A JPEG has no checksum: a flipped bit may make another valid picture.
TEST(HostileImages, NoFlippedBitOfAJpegDoesHarm) {
    size_t refused = 0, all = 0;
    for (Bytes &file : smallFiles()) {
        if (file[0] != 0xff)
            continue;
        for (size_t bit = 0; bit < file.size() * 8; ++bit) {
            file[bit / 8] = static_cast<uint8_t>(file[bit / 8] ^ (1u << bit % 8));
            refused += !isRead(file);
            ++all;
            file[bit / 8] = static_cast<uint8_t>(file[bit / 8] ^ (1u << bit % 8));
        }
    }
    EXPECT_GT(refused, all / 20) << refused << " of " << all;
    EXPECT_LT(refused, all) << refused << " of " << all;
}

} // namespace
} // namespace mote::test
