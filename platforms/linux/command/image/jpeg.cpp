// JPEG through libjpeg. Every function that calls setjmp holds nothing but plain values, so that longjmp
// skips no destructor; memory is taken between these functions, by code that may throw.
#include "errors.h"
#include "image/exif.h"
#include "image/image.h"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <jpeglib.h>

#include <jerror.h>

namespace mote::command {
namespace {

// A block of 64 pixels of the component with the highest resolution takes at least one bit; with components
// subsampled in different directions that component has half of the pixels.
constexpr uint64_t kMostPixelsPerByte = 64 * 8 * 2;
// Each scan of a progressive file goes over all coefficients; real files have about ten.
constexpr int kMostScans = 200;
constexpr int kQuality = 95;

struct JpegErrors {
    jpeg_error_mgr manager; // first: libjpeg hands out a pointer to it
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
};

void escapeOnError(j_common_ptr codec) {
    auto *errors = reinterpret_cast<JpegErrors *>(codec->err);
    codec->err->format_message(codec, errors->message);
    longjmp(errors->escape, 1);
}

// libjpeg calls damage a warning and fills the gap with gray. Here it is an error, but for oddities that lose
// no pixel: bytes between markers, and versions in the JFIF and Adobe markers.
void escapeOnDamage(j_common_ptr codec, int level) {
    if (level >= 0)
        return; // trace messages
    const int code = codec->err->msg_code;
    if (code != JWRN_EXTRANEOUS_DATA && code != JWRN_JFIF_MAJOR && code != JWRN_ADOBE_XFORM)
        escapeOnError(codec);
}

void printNothing(j_common_ptr) {}

void limitScans(j_common_ptr codec) {
    auto *decoder = reinterpret_cast<j_decompress_ptr>(codec);
    auto *errors = reinterpret_cast<JpegErrors *>(codec->err);
    if (codec->is_decompressor && decoder->input_scan_number > kMostScans) {
        std::snprintf(errors->message, sizeof errors->message,
                      "scans: found more than %d, expected at most %d", kMostScans, kMostScans);
        longjmp(errors->escape, 1);
    }
}

void setUpErrors(JpegErrors &errors) {
    jpeg_std_error(&errors.manager);
    errors.manager.error_exit = escapeOnError;
    errors.manager.emit_message = escapeOnDamage;
    errors.manager.output_message = printNothing;
}

struct JpegReader {
    jpeg_decompress_struct decoder;
    jpeg_progress_mgr progress;
    JpegErrors errors;
};

bool readHeader(JpegReader &reader, const uint8_t *bytes, size_t size) {
    if (setjmp(reader.errors.escape))
        return false;
    jpeg_create_decompress(&reader.decoder);
    reader.progress.progress_monitor = limitScans;
    reader.decoder.progress = &reader.progress;
    jpeg_mem_src(&reader.decoder, bytes, static_cast<unsigned long>(size));
    jpeg_save_markers(&reader.decoder, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&reader.decoder, TRUE);
    return true;
}

bool start(JpegReader &reader) {
    if (setjmp(reader.errors.escape))
        return false;
    jpeg_start_decompress(&reader.decoder);
    return true;
}

bool readRows(JpegReader &reader, JSAMPARRAY rows) {
    if (setjmp(reader.errors.escape))
        return false;
    while (reader.decoder.output_scanline < reader.decoder.output_height)
        jpeg_read_scanlines(&reader.decoder, rows + reader.decoder.output_scanline,
                            reader.decoder.output_height - reader.decoder.output_scanline);
    jpeg_finish_decompress(&reader.decoder);
    return true;
}

class JpegReaderOwner {
public:
    JpegReaderOwner() {
        setUpErrors(reader.errors);
        reader.decoder.err = &reader.errors.manager;
    }
    ~JpegReaderOwner() { jpeg_destroy_decompress(&reader.decoder); }
    JpegReaderOwner(const JpegReaderOwner &) = delete;
    JpegReaderOwner &operator=(const JpegReaderOwner &) = delete;
    JpegReader reader = {};
};

[[noreturn]] void fail(const std::string &name, const std::string &what) {
    throw CommandError(ExitCode::BadInput, name + ": " + what);
}

// The orientation in the first EXIF marker; other APP1 markers hold XMP.
uint32_t orientationOf(const jpeg_decompress_struct &decoder) {
    static const char signature[] = "Exif\0"; // and the literal's own zero: six bytes
    for (const jpeg_marker_struct *marker = decoder.marker_list; marker; marker = marker->next) {
        const std::span<const uint8_t> data(marker->data, marker->data_length);
        if (data.size() >= 6 && std::memcmp(data.data(), signature, 6) == 0)
            return exifOrientation(data.subspan(6));
    }
    return 1;
}

const char *colourSpaceName(J_COLOR_SPACE space) {
    switch (space) {
    case JCS_CMYK:
        return "CMYK";
    case JCS_YCCK:
        return "YCCK";
    default:
        return "an unknown colour space";
    }
}

struct JpegWriter {
    jpeg_compress_struct encoder;
    JpegErrors errors;
    uint8_t *bytes;
    unsigned long size;
};

bool writeRows(JpegWriter &writer, const Image &image) {
    if (setjmp(writer.errors.escape))
        return false;
    jpeg_compress_struct &encoder = writer.encoder;
    jpeg_create_compress(&encoder);
    jpeg_mem_dest(&encoder, &writer.bytes, &writer.size);
    encoder.image_width = image.width;
    encoder.image_height = image.height;
    encoder.input_components = static_cast<int>(image.channels);
    encoder.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&encoder);
    jpeg_set_quality(&encoder, kQuality, TRUE);
    for (int i = 0; i < encoder.num_components; ++i)
        encoder.comp_info[i].h_samp_factor = encoder.comp_info[i].v_samp_factor = 1;
    encoder.optimize_coding = TRUE;
    jpeg_start_compress(&encoder, TRUE);
    const size_t stride = static_cast<size_t>(image.width) * image.channels;
    while (encoder.next_scanline < encoder.image_height) {
        JSAMPROW row = const_cast<JSAMPROW>(image.pixels.data() + encoder.next_scanline * stride);
        jpeg_write_scanlines(&encoder, &row, 1);
    }
    jpeg_finish_compress(&encoder);
    return true;
}

} // namespace

Image decodeJpeg(std::span<const uint8_t> bytes, const std::string &name) {
    JpegReaderOwner owner;
    JpegReader &reader = owner.reader;
    if (!readHeader(reader, bytes.data(), bytes.size()))
        fail(name, std::string("JPEG header: ") + reader.errors.message);
    jpeg_decompress_struct &decoder = reader.decoder;
    checkImageSize(name, "JPEG", decoder.image_width, decoder.image_height, bytes.size(), kMostPixelsPerByte);
    const J_COLOR_SPACE space = decoder.jpeg_color_space;
    if (space != JCS_GRAYSCALE && space != JCS_YCbCr && space != JCS_RGB)
        fail(name, "JPEG colours: found " + std::to_string(decoder.num_components) + " components (" +
                       colourSpaceName(space) + "), expected 1 (gray) or 3 (YCbCr or RGB)");
    if (decoder.arith_code)
        fail(name, "JPEG coding: found arithmetic coding, expected Huffman coding");
    decoder.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    const uint32_t orientation = orientationOf(decoder); // before the end of decoding frees the markers
    if (!start(reader))
        fail(name, std::string("JPEG data: ") + reader.errors.message);

    Image image;
    image.width = decoder.output_width;
    image.height = decoder.output_height;
    image.channels = static_cast<uint32_t>(decoder.output_components);
    const size_t stride = static_cast<size_t>(image.width) * image.channels;
    image.pixels.resize(stride * image.height);
    std::vector<JSAMPROW> rows(image.height);
    for (uint32_t y = 0; y < image.height; ++y)
        rows[y] = image.pixels.data() + y * stride;
    if (!readRows(reader, rows.data()))
        fail(name, std::string("JPEG data: ") + reader.errors.message);
    return orientImage(std::move(image), orientation);
}

std::vector<uint8_t> encodeJpeg(const Image &image) {
    JpegWriter writer = {};
    setUpErrors(writer.errors);
    writer.encoder.err = &writer.errors.manager;
    const bool written = writeRows(writer, image);
    jpeg_destroy_compress(&writer.encoder);
    std::vector<uint8_t> bytes;
    if (written)
        bytes.assign(writer.bytes, writer.bytes + writer.size);
    std::free(writer.bytes);
    if (!written)
        throw CommandError(ExitCode::Output, std::string("JPEG encoder: ") + writer.errors.message);
    return bytes;
}

} // namespace mote::command
