// A picture in memory and the limits that apply before memory is taken for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mote::command {

// 8 bits a sample, sRGB as the file has it, rows from the top, dense. Alpha is straight, not premultiplied.
struct Image {
    uint32_t width = 0, height = 0;
    uint32_t channels = 0;       // 1 gray, 3 RGB, 4 RGBA
    std::vector<uint8_t> pixels; // [height][width][channels]
};

// Limits against decompression bombs: a few kilobytes of PNG can ask for gigabytes of pixels.
constexpr uint32_t kMaxImageSide = 32768;
constexpr uint64_t kMaxImagePixels = 100'000'000;
constexpr uint64_t kMaxImageFileBytes = 256u << 20;

// Reads a PNG or a JPEG; which of the two, the first bytes say, not the name. The picture is turned upright
// as its EXIF orientation asks. Throws CommandError (BadInput) naming file, field, found and expected.
Image readImage(const std::string &path);

// The same from bytes; `name` is for messages.
Image decodeImage(std::span<const uint8_t> bytes, const std::string &name);

// PNG, all kinds. Palettes become RGB, tRNS becomes alpha, gray with alpha becomes RGBA, 1, 2 and 4 bits
// become 8, 16 bits are rounded to 8. Colour profiles and gamma are not applied. Any wrong checksum is an
// error.
Image decodePng(std::span<const uint8_t> bytes, const std::string &name);

// JPEG, baseline and progressive, gray, YCbCr or RGB, 8 bits. CMYK, YCCK and arithmetic coding are refused.
// Damage that libjpeg would paper over with gray is an error.
Image decodeJpeg(std::span<const uint8_t> bytes, const std::string &name);

// What a file name's ending asks for when writing.
enum class ImageFileKind { Png, Jpeg };

// By extension: .png, .jpg, .jpeg in any case. Throws CommandError (Usage) for others.
ImageFileKind imageFileKind(const std::string &path);

std::vector<uint8_t> encodePng(const Image &image);
// Quality 95, no chroma subsampling. The image must have 1 or 3 channels.
std::vector<uint8_t> encodeJpeg(const Image &image);

// RGBA to RGB when nothing is transparent. True when no alpha is left.
bool dropOpaqueAlpha(Image &image);

// Writes by extension, first to a temporary name, then renamed. Alpha is dropped where it is 255 everywhere;
// other alpha in a JPEG is refused (Usage).
void writeImage(const std::string &path, Image image);

// Checks sizes from a header against the limits above and against what `fileBytes` of compressed data can
// hold
// (`mostPixelsPerByte`: the format's highest compression). `format` is "PNG" or "JPEG", for messages.
void checkImageSize(const std::string &name, const char *format, uint64_t width, uint64_t height,
                    size_t fileBytes, uint64_t mostPixelsPerByte);

} // namespace mote::command
