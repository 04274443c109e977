#include "command/picture_files.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <png.h>
#include <zlib.h>

#include <jpeglib.h>

namespace mote::test {
namespace {

// A hash without structure that a wrong row or channel order could hide in.
uint32_t scrambled(uint32_t x, uint32_t y, uint32_t c) {
    uint32_t value = x * 0x9e3779b1u ^ y * 0x85ebca77u ^ c * 0xc2b2ae3du;
    value ^= value >> 15;
    value *= 0x2c1b3c6du;
    return value ^ value >> 12;
}

// A test that cannot make its own input must not go on.
[[noreturn]] void stop(const char *message) {
    std::fprintf(stderr, "making a picture: %s\n", message);
    std::abort();
}

void failPng(png_structp, png_const_charp message) {
    stop(message);
}
void keep(png_structp png, png_bytep data, size_t size) {
    auto *bytes = static_cast<Bytes *>(png_get_io_ptr(png));
    bytes->insert(bytes->end(), data, data + size);
}

void failJpeg(j_common_ptr codec) {
    char message[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, message);
    stop(message);
}

} // namespace

void append(Bytes &to, const Bytes &part) {
    to.insert(to.end(), part.begin(), part.end());
}

uint32_t pngChannels(const PngKind &kind) {
    return kind.colour == 2 ? 3 : kind.colour == 4 ? 2 : kind.colour == 6 ? 4 : 1;
}

uint32_t pngSample(const PngKind &kind, uint32_t x, uint32_t y, uint32_t c) {
    return scrambled(x, y, c) & ((1u << kind.depth) - 1);
}

uint8_t paletteColour(uint32_t index, uint32_t c) {
    return static_cast<uint8_t>(scrambled(index, 77, c));
}
uint8_t paletteAlpha(uint32_t index) {
    return static_cast<uint8_t>(scrambled(index, 78, 3));
}

Bytes makePng(const PngKind &kind) {
    Bytes bytes;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, failPng, nullptr);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &bytes, keep, nullptr);
    png_set_IHDR(png, info, kind.width, kind.height, kind.depth, kind.colour,
                 kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    const uint32_t entries = kind.colour == 3 ? 1u << kind.depth : 0;
    if (entries > 0) {
        std::vector<png_color> palette(entries);
        for (uint32_t i = 0; i < entries; ++i)
            palette[i] = {paletteColour(i, 0), paletteColour(i, 1), paletteColour(i, 2)};
        png_set_PLTE(png, info, palette.data(), static_cast<int>(entries));
    }
    if (kind.transparency) {
        Bytes alpha(entries > 0 ? entries - 1 : 0);
        for (uint32_t i = 0; i < alpha.size(); ++i)
            alpha[i] = paletteAlpha(i);
        png_color_16 key = {};
        key.gray = key.red = static_cast<uint16_t>(pngSample(kind, 0, 0, 0));
        key.green = static_cast<uint16_t>(pngSample(kind, 0, 0, 1));
        key.blue = static_cast<uint16_t>(pngSample(kind, 0, 0, 2));
        png_set_tRNS(png, info, entries ? alpha.data() : nullptr, static_cast<int>(alpha.size()), &key);
    }
    if (kind.notes) {
        png_set_gAMA(png, info, 1.0);
        png_set_cHRM(png, info, 0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06);
        png_set_pHYs(png, info, 300, 200, PNG_RESOLUTION_METER);
        char key[] = "Comment", value[] = "a note";
        png_text text = {};
        text.key = key;
        text.text = value;
        text.text_length = std::strlen(value);
        text.compression = PNG_TEXT_COMPRESSION_NONE;
        png_set_text(png, info, &text, 1);
    }
    if (kind.orientation > 0) {
        Bytes exif = makeExif(kind.orientation, true);
        png_set_eXIf_1(png, info, static_cast<png_uint_32>(exif.size()), exif.data());
    }
    png_write_info(png, info);
    if (kind.notes) {
        const Bytes profile = {'x', 0, 0, 1, 2, 3};
        png_write_chunk(png, reinterpret_cast<png_const_bytep>("iCCP"), profile.data(), profile.size());
    }
    if (kind.depth < 8)
        png_set_packing(png);

    const size_t channels = pngChannels(kind), sampleBytes = kind.depth == 16 ? 2 : 1;
    const size_t stride = kind.width * channels * sampleBytes;
    Bytes pixels(stride * kind.height);
    std::vector<png_bytep> rows;
    for (uint32_t y = 0; y < kind.height; ++y) {
        uint8_t *row = pixels.data() + y * stride;
        rows.push_back(row);
        for (uint32_t x = 0; x < kind.width; ++x)
            for (uint32_t c = 0; c < channels; ++c) {
                const uint32_t value = pngSample(kind, x, y, c);
                if (sampleBytes == 2)
                    *row++ = static_cast<uint8_t>(value >> 8);
                *row++ = static_cast<uint8_t>(value);
            }
    }
    png_write_image(png, rows.data());
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return bytes;
}

uint8_t jpegSample(const JpegKind &kind, uint32_t x, uint32_t y, uint32_t c) {
    const uint32_t across = 200 * x / kind.width, down = 200 * y / kind.height;
    const uint32_t values[4] = {20 + across, 20 + down, 220 - across / 2 - down / 2, 128};
    return static_cast<uint8_t>(values[c]);
}

Bytes makeJpeg(const JpegKind &kind) {
    jpeg_compress_struct encoder = {};
    jpeg_error_mgr errors = {};
    encoder.err = jpeg_std_error(&errors);
    errors.error_exit = failJpeg;
    jpeg_create_compress(&encoder);
    uint8_t *buffer = nullptr;
    unsigned long size = 0;
    jpeg_mem_dest(&encoder, &buffer, &size);
    encoder.image_width = kind.width;
    encoder.image_height = kind.height;
    encoder.input_components = static_cast<int>(kind.components);
    encoder.in_color_space = kind.components == 1 ? JCS_GRAYSCALE : kind.components == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_set_defaults(&encoder);
    if (kind.rgb)
        jpeg_set_colorspace(&encoder, JCS_RGB);
    jpeg_set_quality(&encoder, 98, TRUE);
    encoder.comp_info[0].h_samp_factor = encoder.comp_info[0].v_samp_factor =
        static_cast<int>(kind.subsampling);
    encoder.arith_code = kind.arithmetic ? TRUE : FALSE;
    if (kind.progressive)
        jpeg_simple_progression(&encoder);
    std::vector<jpeg_scan_info> scans;
    if (kind.manyScans) {
        // The DC coefficient, then each AC coefficient alone, first without its five low bits and then bit by
        // bit: ITU T.81, annex G.
        jpeg_scan_info scan = {};
        scan.comps_in_scan = 1;
        scans.push_back(scan);
        for (scan.Ss = scan.Se = 1; scan.Ss < 64; scan.Ss = ++scan.Se) {
            scan.Ah = 0;
            for (scan.Al = 5; scan.Al >= 0; scan.Ah = scan.Al--)
                scans.push_back(scan);
        }
        encoder.scan_info = scans.data();
        encoder.num_scans = static_cast<int>(scans.size());
    }
    jpeg_start_compress(&encoder, TRUE);
    if (!kind.exif.empty()) {
        Bytes marker = {'E', 'x', 'i', 'f', 0, 0};
        append(marker, kind.exif);
        jpeg_write_marker(&encoder, JPEG_APP0 + 1, marker.data(), static_cast<unsigned>(marker.size()));
    }
    Bytes row(size_t{kind.width} * kind.components);
    for (uint32_t y = 0; y < kind.height; ++y) {
        for (uint32_t x = 0; x < kind.width; ++x)
            for (uint32_t c = 0; c < kind.components; ++c)
                row[size_t{x} * kind.components + c] = jpegSample(kind, x, y, c);
        JSAMPROW pointer = row.data();
        jpeg_write_scanlines(&encoder, &pointer, 1);
    }
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    Bytes bytes(buffer, buffer + size);
    std::free(buffer);
    return bytes;
}

Bytes makeExif(uint32_t orientation, bool bigEndian) {
    // Header, offset of the directory, one entry (tag 0x0112, SHORT, one value), no further directory.
    Bytes bytes = {'M',  'M',  0, 42, 0, 0, 0, 8, 0, 1,
                   0x01, 0x12, 0, 3,  0, 0, 0, 1, 0, static_cast<uint8_t>(orientation),
                   0,    0,    0, 0,  0, 0};
    if (!bigEndian) {
        bytes[0] = bytes[1] = 'I';
        const std::pair<size_t, size_t> fields[] = {{2, 2},  {4, 4},  {8, 2}, {10, 2},
                                                    {12, 2}, {14, 4}, {18, 2}};
        for (const auto &[offset, length] : fields)
            std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                         bytes.begin() + static_cast<std::ptrdiff_t>(offset + length));
    }
    return bytes;
}

namespace {
void putBigEndian(Bytes &bytes, size_t offset, uint32_t value) {
    for (size_t i = 0; i < 4; ++i)
        bytes[offset + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
}
} // namespace

Bytes pngChunk(const std::string &type, const Bytes &data) {
    Bytes chunk(12 + data.size());
    putBigEndian(chunk, 0, static_cast<uint32_t>(data.size()));
    std::copy(type.begin(), type.end(), chunk.begin() + 4);
    std::copy(data.begin(), data.end(), chunk.begin() + 8);
    const auto checked = static_cast<uInt>(4 + data.size());
    putBigEndian(chunk, 8 + data.size(), static_cast<uint32_t>(crc32(0, chunk.data() + 4, checked)));
    return chunk;
}

Bytes pngOf(const std::vector<Bytes> &chunks) {
    Bytes bytes = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    for (const Bytes &chunk : chunks)
        append(bytes, chunk);
    return bytes;
}

Bytes pngHeader(uint32_t width, uint32_t height, uint8_t depth, uint8_t colour, uint8_t interlace) {
    Bytes data = {0, 0, 0, 0, 0, 0, 0, 0, depth, colour, 0, 0, interlace};
    putBigEndian(data, 0, width);
    putBigEndian(data, 4, height);
    return pngChunk("IHDR", data);
}

Bytes deflated(const Bytes &data) {
    uLongf size = compressBound(static_cast<uLong>(data.size()));
    Bytes bytes(size);
    if (compress(bytes.data(), &size, data.data(), static_cast<uLong>(data.size())) != Z_OK)
        stop("zlib");
    bytes.resize(size);
    return bytes;
}

} // namespace mote::test
