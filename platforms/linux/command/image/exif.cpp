#include "image/exif.h"

#include <optional>
#include <utility>

namespace mote::command {
namespace {

// Numbers of a TIFF block, each read checked against its end.
class TiffReader {
public:
    TiffReader(std::span<const uint8_t> tiff, bool big) : block(tiff), bigEndian(big) {}

    std::optional<uint32_t> u16(uint64_t offset) const { return number(offset, 2); }
    std::optional<uint32_t> u32(uint64_t offset) const { return number(offset, 4); }

private:
    std::optional<uint32_t> number(uint64_t offset, uint64_t bytes) const {
        if (offset > block.size() || block.size() - offset < bytes)
            return std::nullopt;
        uint32_t value = 0;
        for (uint64_t i = 0; i < bytes; ++i) {
            const uint64_t place = bigEndian ? i : bytes - 1 - i;
            value = value << 8 | block[static_cast<size_t>(offset + place)];
        }
        return value;
    }

    std::span<const uint8_t> block;
    bool bigEndian;
};

constexpr uint32_t kOrientationTag = 0x0112, kTypeShort = 3;

} // namespace

uint32_t exifOrientation(std::span<const uint8_t> tiff) {
    if (tiff.size() < 8 || tiff[0] != tiff[1] || (tiff[0] != 'I' && tiff[0] != 'M'))
        return 1;
    const TiffReader reader(tiff, tiff[0] == 'M');
    if (reader.u16(2) != 42u)
        return 1;
    const uint64_t directory = *reader.u32(4);
    const std::optional<uint32_t> entries = reader.u16(directory);
    for (uint32_t i = 0; i < entries.value_or(0); ++i) {
        const uint64_t entry = directory + 2 + 12ull * i; // tag, type, count, value
        const std::optional<uint32_t> tag = reader.u16(entry);
        if (!tag)
            return 1;
        if (*tag != kOrientationTag)
            continue;
        if (reader.u16(entry + 2) != kTypeShort || reader.u32(entry + 4) != 1u)
            return 1;
        const uint32_t value = reader.u16(entry + 8).value_or(1);
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

Image orientImage(Image image, uint32_t orientation) {
    if (orientation <= 1 || orientation > 8)
        return image;
    const bool transposes = orientation >= 5;
    Image upright;
    upright.width = transposes ? image.height : image.width;
    upright.height = transposes ? image.width : image.height;
    upright.channels = image.channels;
    upright.pixels.resize(image.pixels.size());

    // Where upright pixel (x, y) lies in the stored image.
    const bool fromRight = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool fromBottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    size_t target = 0;
    for (uint32_t y = 0; y < upright.height; ++y) {
        for (uint32_t x = 0; x < upright.width; ++x) {
            uint32_t storedX = transposes ? y : x, storedY = transposes ? x : y;
            if (fromRight)
                storedX = image.width - 1 - storedX;
            if (fromBottom)
                storedY = image.height - 1 - storedY;
            const size_t source = (static_cast<size_t>(storedY) * image.width + storedX) * image.channels;
            for (uint32_t c = 0; c < image.channels; ++c)
                upright.pixels[target++] = image.pixels[source + c];
        }
    }
    return upright;
}

} // namespace mote::command
