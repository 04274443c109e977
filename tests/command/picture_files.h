// Pictures of every kind, made by libpng and libjpeg from known samples: what the tests read back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mote::test {

using Bytes = std::vector<uint8_t>;

struct PngKind {
    uint32_t width = 7, height = 5;
    uint8_t depth = 8, colour = 2; // as in IHDR
    bool interlaced = false;
    bool transparency = false; // a tRNS chunk: gray and RGB: the samples of pixel (0, 0); palette: alphaOf()
    bool notes = false;       // gAMA, cHRM, pHYs, tEXt, tIME and a broken iCCP, none of which changes a pixel
    uint32_t orientation = 0; // in an eXIf chunk; 0: none
};

// Samples of the file, at its own depth: value of channel c (palette: the index) at a pixel.
uint32_t pngSample(const PngKind &kind, uint32_t x, uint32_t y, uint32_t c);
uint32_t pngChannels(const PngKind &kind); // in the file
uint8_t paletteColour(uint32_t index, uint32_t c);
uint8_t paletteAlpha(uint32_t index); // with transparency; the last entry has none in the chunk: opaque

Bytes makePng(const PngKind &kind);

struct JpegKind {
    uint32_t width = 48, height = 32;
    uint32_t components = 3; // 1 gray, 3 colour, 4 CMYK
    bool rgb = false;        // three components kept as RGB, with the Adobe marker
    bool progressive = false;
    bool arithmetic = false;
    uint32_t subsampling = 1; // of the chroma, both directions
    bool manyScans = false;   // gray only: 379 scans, each of which goes over the whole picture
    Bytes exif;               // contents of an APP1 marker after "Exif\0\0"; empty: none
};

// A smooth picture; channel c at a pixel.
uint8_t jpegSample(const JpegKind &kind, uint32_t x, uint32_t y, uint32_t c);
Bytes makeJpeg(const JpegKind &kind);

// A TIFF block whose only entry is the orientation.
Bytes makeExif(uint32_t orientation, bool bigEndian);

// One PNG chunk: length, type, data, checksum.
Bytes pngChunk(const std::string &type, const Bytes &data);
// A whole PNG of these chunks, with signature.
Bytes pngOf(const std::vector<Bytes> &chunks);
Bytes pngHeader(uint32_t width, uint32_t height, uint8_t depth, uint8_t colour, uint8_t interlace = 0);
// zlib's compression of `data`.
Bytes deflated(const Bytes &data);

void append(Bytes &to, const Bytes &part);

} // namespace mote::test
