// PNG through libpng. Every function that calls setjmp holds nothing but plain values, so that libpng's
// longjmp skips no destructor; memory is taken between these functions, by code that may throw.
#include "errors.h"
#include "image/exif.h"
#include "image/image.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <png.h>

namespace mote::command {
namespace {

// Deflate turns one byte into at most 1032; a pixel takes at least one bit.
constexpr uint64_t kMostPixelsPerByte = 1032 * 8;

// IHDR is the first chunk: its 13 bytes follow signature, length and type.
constexpr size_t kHeaderData = 16, kHeaderEnd = kHeaderData + 13 + 4;

struct PngReader {
    png_structp png;
    png_infop info;
    const uint8_t *bytes;
    size_t size, offset;
    char message[160];
};

void keepMessage(png_structp png, png_const_charp text) {
    auto *reader = static_cast<PngReader *>(png_get_error_ptr(png));
    std::snprintf(reader->message, sizeof reader->message, "%s", text);
    png_longjmp(png, 1);
}

void ignoreWarning(png_structp, png_const_charp) {}

void readBytes(png_structp png, png_bytep target, size_t size) {
    auto *reader = static_cast<PngReader *>(png_get_io_ptr(png));
    if (reader->size - reader->offset < size)
        png_error(png, "found the end of the file, expected more data");
    std::memcpy(target, reader->bytes + reader->offset, size);
    reader->offset += size;
}

// The chunks that change nothing here, and whose contents therefore cannot do harm: skipped unread, their
// checksums checked. Not in the list: tRNS.
const png_byte kSkippedChunks[] =
    "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0"
    "sTER\0tEXt\0tIME\0zTXt";
constexpr int kSkippedChunkCount = sizeof kSkippedChunks / 5;

bool readHeader(PngReader &reader) {
    if (setjmp(png_jmpbuf(reader.png)))
        return false;
    png_structp png = reader.png;
    png_set_read_fn(png, &reader, readBytes);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_benign_errors(png, 0);
    png_set_user_limits(png, kMaxImageSide, kMaxImageSide);
    png_set_chunk_malloc_max(png, 1u << 20);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kSkippedChunks, kSkippedChunkCount);
    png_read_info(png, reader.info);

    png_set_expand(png);   // palette to RGB, 1, 2 and 4 bits to 8, tRNS to alpha
    png_set_scale_16(png); // to the nearest of 8 bits
    const png_byte colour = png_get_color_type(png, reader.info);
    const bool alpha = (colour & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, reader.info, PNG_INFO_tRNS);
    if (alpha && !(colour & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png); // there is no gray with alpha further on
    png_set_interlace_handling(png);
    png_read_update_info(png, reader.info);
    return true;
}

bool readRows(PngReader &reader, png_bytepp rows) {
    if (setjmp(png_jmpbuf(reader.png)))
        return false;
    png_read_image(reader.png, rows);
    png_read_end(reader.png, reader.info);
    return true;
}

class PngReaderOwner {
public:
    explicit PngReaderOwner(std::span<const uint8_t> bytes) {
        reader.bytes = bytes.data();
        reader.size = bytes.size();
        reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, keepMessage, ignoreWarning);
        reader.info = reader.png ? png_create_info_struct(reader.png) : nullptr;
        if (!reader.info) {
            png_destroy_read_struct(&reader.png, nullptr, nullptr);
            throw std::bad_alloc();
        }
    }
    ~PngReaderOwner() { png_destroy_read_struct(&reader.png, &reader.info, nullptr); }
    PngReaderOwner(const PngReaderOwner &) = delete;
    PngReaderOwner &operator=(const PngReaderOwner &) = delete;
    PngReader reader = {};
};

[[noreturn]] void fail(const std::string &name, const std::string &what) {
    throw CommandError(ExitCode::BadInput, name + ": " + what);
}

uint32_t bigEndian32(std::span<const uint8_t> bytes, size_t offset) {
    return static_cast<uint32_t>(bytes[offset]) << 24 | static_cast<uint32_t>(bytes[offset + 1]) << 16 |
           static_cast<uint32_t>(bytes[offset + 2]) << 8 | bytes[offset + 3];
}

// libpng would find these too, after it had taken memory and with fewer words.
void checkHeader(std::span<const uint8_t> bytes, const std::string &name) {
    if (bytes.size() < kHeaderEnd)
        fail(name, "PNG header: found " + std::to_string(bytes.size()) + " bytes, expected at least " +
                       std::to_string(kHeaderEnd));
    if (bigEndian32(bytes, 8) != 13 || std::memcmp(bytes.data() + 12, "IHDR", 4) != 0)
        fail(name, "PNG first chunk: found another one or another length, expected IHDR of 13 bytes");
    checkImageSize(name, "PNG", bigEndian32(bytes, kHeaderData), bigEndian32(bytes, kHeaderData + 4),
                   bytes.size(), kMostPixelsPerByte);
    const unsigned depth = bytes[kHeaderData + 8], colour = bytes[kHeaderData + 9];
    const bool gray = colour == 0, palette = colour == 3, deep = colour == 2 || colour == 4 || colour == 6;
    if (!gray && !palette && !deep)
        fail(name, "PNG colour type: found " + std::to_string(colour) + ", expected 0, 2, 3, 4 or 6");
    const bool small = depth == 1 || depth == 2 || depth == 4;
    const bool legal = depth == 8 || (depth == 16 && !palette) || (small && !deep);
    if (!legal)
        fail(name, "PNG bit depth: found " + std::to_string(depth) + " with colour type " +
                       std::to_string(colour) + ", expected " +
                       (gray      ? "1, 2, 4, 8 or 16"
                        : palette ? "1, 2, 4 or 8"
                                  : "8 or 16"));
    const unsigned interlace = bytes[kHeaderData + 12];
    if (interlace > 1)
        fail(name, "PNG interlace method: found " + std::to_string(interlace) + ", expected 0 or 1");
}

// The orientation in the first eXIf chunk, which libpng would refuse to meet twice. It has checked the
// chunks' lengths and checksums by now.
uint32_t orientationOf(std::span<const uint8_t> bytes) {
    size_t offset = 8;
    while (bytes.size() - offset >= 12) { // length, type and checksum
        const size_t length = bigEndian32(bytes, offset);
        if (length > bytes.size() - offset - 12)
            break;
        if (std::memcmp(bytes.data() + offset + 4, "eXIf", 4) == 0)
            return exifOrientation(bytes.subspan(offset + 8, length));
        offset += 12 + length;
    }
    return 1;
}

struct PngWriter {
    uint8_t *bytes;
    size_t size, capacity;
};

void failWriting(png_structp png, png_const_charp) {
    png_longjmp(png, 1);
}

void writeBytes(png_structp png, png_bytep source, size_t size) {
    auto *writer = static_cast<PngWriter *>(png_get_io_ptr(png));
    if (writer->capacity - writer->size < size) {
        const size_t capacity = 2 * writer->capacity + size + 65536;
        void *grown = std::realloc(writer->bytes, capacity);
        if (!grown)
            png_error(png, "out of memory");
        writer->bytes = static_cast<uint8_t *>(grown);
        writer->capacity = capacity;
    }
    std::memcpy(writer->bytes + writer->size, source, size);
    writer->size += size;
}

bool writeRows(png_structp png, png_infop info, PngWriter &writer, const Image &image) {
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, &writer, writeBytes, nullptr);
    const int colour = image.channels == 1   ? PNG_COLOR_TYPE_GRAY
                       : image.channels == 3 ? PNG_COLOR_TYPE_RGB
                                             : PNG_COLOR_TYPE_RGBA;
    png_set_IHDR(png, info, image.width, image.height, 8, colour, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    const size_t stride = static_cast<size_t>(image.width) * image.channels;
    for (uint32_t y = 0; y < image.height; ++y)
        png_write_row(png, image.pixels.data() + y * stride);
    png_write_end(png, info);
    return true;
}

} // namespace

Image decodePng(std::span<const uint8_t> bytes, const std::string &name) {
    checkHeader(bytes, name);
    PngReaderOwner owner(bytes);
    PngReader &reader = owner.reader;
    if (!readHeader(reader))
        fail(name, std::string("PNG data before the pixels: ") + reader.message);

    Image image;
    image.width = png_get_image_width(reader.png, reader.info);
    image.height = png_get_image_height(reader.png, reader.info);
    image.channels = png_get_channels(reader.png, reader.info);
    const size_t stride = static_cast<size_t>(image.width) * image.channels;
    if (png_get_rowbytes(reader.png, reader.info) != stride)
        fail(name, "PNG row: found " + std::to_string(png_get_rowbytes(reader.png, reader.info)) +
                       " bytes after conversion, expected " + std::to_string(stride));
    image.pixels.resize(stride * image.height);
    std::vector<png_bytep> rows(image.height);
    for (uint32_t y = 0; y < image.height; ++y)
        rows[y] = image.pixels.data() + y * stride;
    if (!readRows(reader, rows.data()))
        fail(name, std::string("PNG pixels: ") + reader.message);

    return orientImage(std::move(image), orientationOf(bytes));
}

std::vector<uint8_t> encodePng(const Image &image) {
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, failWriting, ignoreWarning);
    png_infop info = png ? png_create_info_struct(png) : nullptr;
    PngWriter writer = {};
    const bool written = info && writeRows(png, info, writer, image);
    png_destroy_write_struct(&png, &info);
    std::vector<uint8_t> bytes;
    if (written)
        bytes.assign(writer.bytes, writer.bytes + writer.size);
    std::free(writer.bytes);
    if (!written)
        throw std::bad_alloc(); // the only reason left: sizes and kinds were checked by whoever made the
                                // image
    return bytes;
}

} // namespace mote::command
