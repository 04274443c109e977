#include "image/image.h"

#include "errors.h"
#include "files.h"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace mote::command {
namespace {

constexpr uint8_t kPngSignature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

std::string hexBytes(std::span<const uint8_t> bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string text;
    for (const uint8_t byte : bytes.first(std::min<size_t>(bytes.size(), 8))) {
        if (!text.empty())
            text += ' ';
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text.empty() ? "an empty file" : text;
}

std::string lowerExtension(const std::string &path) {
    const size_t slash = path.find_last_of('/');
    const size_t dot = path.find_last_of('.');
    if (dot == std::string::npos || (slash != std::string::npos && dot < slash))
        return "";
    std::string extension = path.substr(dot);
    for (char &c : extension)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return extension;
}

} // namespace

void checkImageSize(const std::string &name, const char *format, uint64_t width, uint64_t height,
                    size_t fileBytes, uint64_t mostPixelsPerByte) {
    const auto checkSide = [&](const char *field, uint64_t side) {
        if (side == 0 || side > kMaxImageSide)
            throw CommandError(ExitCode::BadInput, name + ": " + format + " " + field + ": found " +
                                                       std::to_string(side) + ", expected 1 to " +
                                                       std::to_string(kMaxImageSide));
    };
    checkSide("width", width);
    checkSide("height", height);
    const uint64_t pixels = width * height;
    const std::string found = name + ": " + format + " size: found " + std::to_string(width) + "x" +
                              std::to_string(height) + " = " + std::to_string(pixels) +
                              " pixels, expected at most ";
    if (pixels > kMaxImagePixels)
        throw CommandError(ExitCode::BadInput, found + std::to_string(kMaxImagePixels));
    if (pixels > mostPixelsPerByte * fileBytes)
        throw CommandError(ExitCode::BadInput, found + std::to_string(mostPixelsPerByte * fileBytes) +
                                                   ", which is the most that a file of " +
                                                   std::to_string(fileBytes) + " bytes can hold");
}

Image decodeImage(std::span<const uint8_t> bytes, const std::string &name) {
    if (bytes.size() >= 8 && std::memcmp(bytes.data(), kPngSignature, 8) == 0)
        return decodePng(bytes, name);
    if (bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff)
        return decodeJpeg(bytes, name);
    throw CommandError(ExitCode::BadInput,
                       name + ": image format: found " + hexBytes(bytes) +
                           ", expected a PNG (89 50 4e 47 0d 0a 1a 0a) or a JPEG (ff d8 ff)");
}

Image readImage(const std::string &path) {
    return decodeImage(readFile(path, kMaxImageFileBytes), path);
}

ImageFileKind imageFileKind(const std::string &path) {
    const std::string extension = lowerExtension(path);
    if (extension == ".png")
        return ImageFileKind::Png;
    if (extension == ".jpg" || extension == ".jpeg")
        return ImageFileKind::Jpeg;
    throw CommandError(ExitCode::Usage, path + ": output name: found the ending '" + extension +
                                            "', expected .png, .jpg or .jpeg");
}

bool dropOpaqueAlpha(Image &image) {
    if (image.channels != 4)
        return true;
    for (size_t i = 3; i < image.pixels.size(); i += 4)
        if (image.pixels[i] != 255)
            return false;
    size_t target = 0;
    for (size_t i = 0; i < image.pixels.size(); i += 4)
        for (size_t c = 0; c < 3; ++c)
            image.pixels[target++] = image.pixels[i + c];
    image.pixels.resize(target);
    image.channels = 3;
    return true;
}

void writeImage(const std::string &path, Image image) {
    if (imageFileKind(path) == ImageFileKind::Png) {
        writeFile(path, encodePng(image));
        return;
    }
    if (!dropOpaqueAlpha(image))
        throw CommandError(ExitCode::Usage, path +
                                                ": alpha: found transparent pixels, expected none in a JPEG; "
                                                "write a .png to keep them");
    writeFile(path, encodeJpeg(image));
}

} // namespace mote::command
