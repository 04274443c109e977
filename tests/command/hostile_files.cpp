#include "command/hostile_files.h"

#include <algorithm>

namespace mote::test {
namespace {

Bytes cut(Bytes bytes, size_t length) {
    bytes.resize(std::min(bytes.size(), length));
    return bytes;
}

// Where the first `marker` (0xffXX) of a JPEG begins.
size_t findMarker(const Bytes &bytes, uint8_t marker) {
    for (size_t i = 0; i + 1 < bytes.size(); ++i)
        if (bytes[i] == 0xff && bytes[i + 1] == marker)
            return i;
    return bytes.size();
}

Bytes jpegWith(Bytes bytes, uint8_t marker, size_t offset, const Bytes &changed) {
    const size_t begin = findMarker(bytes, marker) + offset;
    std::copy(changed.begin(), changed.end(), bytes.begin() + static_cast<std::ptrdiff_t>(begin));
    return bytes;
}

Bytes jpegWithout(Bytes bytes, uint8_t marker) {
    for (size_t begin = findMarker(bytes, marker); begin < bytes.size(); begin = findMarker(bytes, marker)) {
        const size_t length = 2u + 256u * bytes[begin + 2] + bytes[begin + 3];
        const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(begin);
        bytes.erase(first, first + static_cast<std::ptrdiff_t>(length));
    }
    return bytes;
}

void addPngs(std::vector<HostileFile> &files) {
    const Bytes end = pngChunk("IEND", {});
    const Bytes pixels = pngChunk("IDAT", deflated(Bytes(5 * (1 + 7 * 3), 0))); // 7x5 RGB, filter 0
    const Bytes header = pngHeader(7, 5, 8, 2);
    const Bytes good = pngOf({header, pixels, end});
    const auto add = [&](const char *what, const Bytes &bytes, std::vector<std::string> message) {
        files.push_back({std::string("PNG: ") + what, bytes, std::move(message)});
    };
    const auto withHeader = [&](const Bytes &other) { return pngOf({other, pixels, end}); };

    add("signature alone", cut(good, 8), {"PNG header", "found 8 bytes", "expected at least 33"});
    add("end inside the header", cut(good, 30), {"PNG header", "found 30 bytes", "expected at least 33"});
    add("another chunk first", pngOf({pixels, header, end}), {"first chunk", "expected IHDR"});
    add("width 0", withHeader(pngHeader(0, 5, 8, 2)), {"PNG width", "found 0", "expected 1 to 32768"});
    add("height 0", withHeader(pngHeader(7, 0, 8, 2)), {"PNG height", "found 0", "expected 1 to 32768"});
    add("largest width", withHeader(pngHeader(0xffffffff, 5, 8, 2)), {"PNG width", "found 4294967295"});
    add("height above the limit", withHeader(pngHeader(7, 32769, 8, 2)), {"PNG height", "found 32769"});
    add("too many pixels", withHeader(pngHeader(32768, 32768, 16, 6)),
        {"PNG size", "32768x32768 = 1073741824 pixels", "expected at most 100000000"});
    add("bomb: more pixels than the file can hold", withHeader(pngHeader(9000, 9000, 16, 6)),
        {"PNG size", "81000000 pixels", "the most that a file of"});
    add("bit depth 3", withHeader(pngHeader(7, 5, 3, 0)),
        {"bit depth", "found 3", "expected 1, 2, 4, 8 or 16"});
    add("palette of 16 bits", withHeader(pngHeader(7, 5, 16, 3)),
        {"bit depth", "found 16", "expected 1, 2, 4 or 8"});
    add("RGB of 4 bits", withHeader(pngHeader(7, 5, 4, 2)), {"bit depth", "found 4", "expected 8 or 16"});
    add("colour type 5", withHeader(pngHeader(7, 5, 8, 5)),
        {"colour type", "found 5", "expected 0, 2, 3, 4 or 6"});
    add("interlace method 2", withHeader(pngHeader(7, 5, 8, 2, 2)),
        {"interlace method", "found 2", "0 or 1"});
    Bytes flipped = header;
    flipped[flipped.size() - 1] ^= 1;
    add("wrong checksum of the header", withHeader(flipped), {"IHDR", "CRC error"});
    flipped = pixels;
    flipped[12] ^= 16;
    add("a flipped bit in the pixels", pngOf({header, flipped, end}), {"PNG pixels", "IDAT"});
    add("end inside the pixels", cut(good, 8 + header.size() + pixels.size() / 2),
        {"found the end of the file"});
    add("no end chunk", pngOf({header, pixels}), {"found the end of the file", "expected more data"});
    add("no pixels", pngOf({header, end}), {"PNG data"});
    add("no palette", withHeader(pngHeader(7, 5, 8, 3)), {"PNG data", "Missing PLTE"});
    add("compressed data of nonsense",
        pngOf({header, pngChunk("IDAT", {'n', 'o', 't', ' ', 'z', 'l', 'i', 'b'}), end}),
        {"PNG pixels", "IDAT"});
    add("too few pixels", pngOf({header, pngChunk("IDAT", deflated(Bytes(50, 0))), end}), {"PNG pixels"});
    add("too many pixels in the data", pngOf({header, pngChunk("IDAT", deflated(Bytes(5000, 0))), end}),
        {"PNG pixels", "IDAT"});
    add("filter 5", pngOf({header, pngChunk("IDAT", deflated(Bytes(5 * 22, 5))), end}),
        {"PNG pixels", "filter"});
    Bytes endless = pixels;
    std::fill_n(endless.begin(), 4, uint8_t{0xff});
    add("a chunk without end", pngOf({header, endless, end}), {"PNG"});
    add("transparency of more entries than the palette",
        pngOf({pngHeader(1, 1, 1, 3), pngChunk("PLTE", {1, 2, 3}), pngChunk("tRNS", Bytes(9, 0)),
               pngChunk("IDAT", deflated({0, 0})), end}),
        {"tRNS"});
    add("an unknown critical chunk", pngOf({header, pngChunk("ABCD", {1}), pixels, end}), {"ABCD"});
}

void addJpegs(std::vector<HostileFile> &files) {
    constexpr uint8_t kTables = 0xdb, kHuffman = 0xc4, kFrame = 0xc0, kScan = 0xda; // DQT, DHT, SOF0, SOS
    const Bytes good = makeJpeg({});
    const auto add = [&](const char *what, const Bytes &bytes, std::vector<std::string> message) {
        files.push_back({std::string("JPEG: ") + what, bytes, std::move(message)});
    };
    const auto withFrame = [&](size_t offset, const Bytes &changed) {
        return jpegWith(good, kFrame, offset, changed);
    };

    add("signature alone", cut(good, 3), {"JPEG header"});
    add("end inside the header", cut(good, findMarker(good, kFrame) + 4), {"JPEG header", "Premature end"});
    add("end inside the pixels", cut(good, good.size() - good.size() / 4), {"JPEG data", "Premature end"});
    add("no end marker", cut(good, good.size() - 2), {"JPEG data", "Premature end"});
    // SOF: marker, length, precision, height, width, components, then id, sampling, table of each.
    add("width 0", withFrame(7, {0, 0}), {"JPEG header", "Empty"});
    add("height 0", withFrame(5, {0, 0}), {"JPEG header", "Empty"});
    add("width above the limit", withFrame(7, {0xf0, 0x00}),
        {"JPEG width", "found 61440", "expected 1 to 32768"});
    add("too many pixels", withFrame(5, {0x7f, 0xff, 0x7f, 0xff}),
        {"JPEG size", "expected at most 100000000"});
    add("bomb: more pixels than the file can hold", withFrame(5, {0x20, 0x00, 0x20, 0x00}),
        {"JPEG size", "67108864 pixels", "the most that a file of"});
    add("12 bits a sample", withFrame(4, {12}), {"precision 12"});
    add("sampling factor 0", withFrame(11, {0x00}), {"JPEG", "sampling"});
    add("two components", withFrame(9, {2}), {"JPEG"});
    JpegKind kind;
    kind.components = 4;
    add("CMYK", makeJpeg(kind), {"JPEG colours", "found 4 components", "CMYK", "expected 1 (gray) or 3"});
    kind = {};
    kind.arithmetic = true;
    add("arithmetic coding", makeJpeg(kind), {"JPEG coding", "found arithmetic coding", "expected Huffman"});
    add("a Huffman table that is not there", jpegWith(good, kScan, 6, {0x33}),
        {"JPEG data", "Huffman table 0x03"});
    add("no quantisation tables", jpegWithout(good, kTables), {"JPEG", "Quantization table"});
    add("Huffman table of more codes than there are", jpegWith(good, kHuffman, 5, Bytes(16, 0xff)),
        {"JPEG header", "Huffman"});
    add("a scan of a component that is not there", jpegWith(good, kScan, 5, {9}),
        {"JPEG header", "component"});
    Bytes nonsense = good;
    for (size_t i = findMarker(good, kScan) + 20; i + 2 < nonsense.size(); ++i)
        nonsense[i] = static_cast<uint8_t>(i * 151);
    add("nonsense for pixels", nonsense, {"JPEG data"});
    kind = {};
    kind.components = 1;
    kind.manyScans = true;
    add("hundreds of scans", makeJpeg(kind), {"scans", "found more than 200", "expected at most 200"});
}

} // namespace

std::vector<HostileFile> hostileFiles() {
    std::vector<HostileFile> files;
    files.push_back({"an empty file", {}, {"image format", "found an empty file", "expected a PNG"}});
    files.push_back(
        {"text", {'h', 'e', 'l', 'l', 'o'}, {"image format", "found 68 65 6c 6c 6f", "a JPEG (ff d8 ff)"}});
    files.push_back(
        {"GIF", {'G', 'I', 'F', '8', '9', 'a', 1, 0, 1, 0}, {"image format", "found 47 49 46 38"}});
    addPngs(files);
    addJpegs(files);
    return files;
}

} // namespace mote::test
