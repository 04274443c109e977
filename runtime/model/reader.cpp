#include "model/reader.h"

#include "model/checked.h"
#include "model/decode.h"
#include "model/format.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <memory>
#include <xxhash.h>

namespace mote {

namespace {

struct Header {
    uint64_t rootOffset = 0, rootBytes = 0, rootChecksum = 0;
};

Result<Header> readHeader(const Source &source) {
    const std::string &file = source.name();
    if (source.size() < kHeaderBytes)
        return wrong(file, "header", "a file of " + text(source.size()) + " bytes",
                     "at least " + text(kHeaderBytes));
    uint8_t bytes[kHeaderBytes];
    MOTE_TRY(source.readAt(0, bytes, sizeof bytes));
    if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0) {
        char found[32];
        for (size_t i = 0; i < sizeof kMagic; ++i)
            std::snprintf(found + 3 * i, 4, "%02x ", bytes[i]);
        return wrong(file, "header.magic", found, "4d 4f 54 45 0d 0a 1a 0a; this is not a .mote file");
    }
    // The checksum comes first: every version keeps it, and what it does not vouch for may say anything.
    const uint64_t checksum = XXH64(bytes, kHeaderChecksum, 0);
    if (loadLittle(bytes + kHeaderChecksum, 8) != checksum)
        return wrong(file, "header.checksum", text(loadLittle(bytes + kHeaderChecksum, 8)),
                     text(checksum) + ", the sum of the bytes before it; the file is damaged");
    const uint64_t version = loadLittle(bytes + kHeaderVersion, 4);
    if (version != kFormatVersion)
        return makeStatus(StatusCode::Unsupported,
                          "%s: header.format_version: found %" PRIu64 ", expected %u", file.c_str(), version,
                          kFormatVersion);
    const uint64_t runtime = loadLittle(bytes + kHeaderMinimumRuntime, 4);
    if (runtime > kRuntimeVersion)
        return makeStatus(StatusCode::Unsupported,
                          "%s: header.minimum_runtime: found %" PRIu64 ".%" PRIu64 ".%" PRIu64
                          ", expected at most %u.%u.%u, this version",
                          file.c_str(), runtime >> 22, (runtime >> 12) & 1023, runtime & 4095,
                          kRuntimeVersion >> 22, (kRuntimeVersion >> 12) & 1023, kRuntimeVersion & 4095);
    const uint64_t fileBytes = loadLittle(bytes + kHeaderFileBytes, 8);
    if (fileBytes != source.size())
        return wrong(file, "header.file_bytes", text(fileBytes),
                     text(source.size()) + ", the size of what is there; the file is truncated or has grown");
    if (loadLittle(bytes + kHeaderReserved, 8) != 0)
        return wrong(file, "header.reserved", text(loadLittle(bytes + kHeaderReserved, 8)), "0");
    Header header;
    header.rootOffset = loadLittle(bytes + kHeaderRootOffset, 8);
    header.rootBytes = loadLittle(bytes + kHeaderRootBytes, 8);
    header.rootChecksum = loadLittle(bytes + kHeaderRootChecksum, 8);
    if (header.rootBytes == 0 || header.rootBytes > kMaxRootBytes)
        return wrong(file, "header.root_bytes", text(header.rootBytes), "1 to " + text(kMaxRootBytes));
    if (header.rootOffset % kAlignment != 0 || header.rootOffset < kHeaderBytes ||
        !(Checked(header.rootOffset) + header.rootBytes).within(source.size()))
        return wrong(file, "header.root_offset", text(header.rootOffset),
                     "a multiple of " + text(kAlignment) + " with the root's " + text(header.rootBytes) +
                         " bytes inside the file's " + text(source.size()));
    return header;
}

// Header, segments and root lie one behind the other, with at most kAlignment - 1 zero bytes between and none
// behind.
Status checkLayout(const Source &source, const Header &header, const Model &model) {
    const std::string &file = source.name();
    struct Part {
        uint64_t offset, bytes;
        std::string name;
    };
    std::vector<Part> parts = {{0, kHeaderBytes, "header"}, {header.rootOffset, header.rootBytes, "root"}};
    for (size_t i = 0; i < model.segments.size(); ++i) {
        const Segment &segment = model.segments[i];
        const std::string name = item("segments", i);
        if (segment.offset % kAlignment != 0)
            return wrong(file, name + ".offset", text(segment.offset), "a multiple of " + text(kAlignment));
        if (segment.bytes == 0 || !(Checked(segment.offset) + segment.bytes).within(source.size()))
            return wrong(file, name + ".bytes", text(segment.bytes) + " at " + text(segment.offset),
                         "at least 1, inside the file's " + text(source.size()));
        const uint64_t chunks = (segment.bytes - 1) / kChunkBytes + 1;
        if (segment.checksums.size() != chunks)
            return wrong(file, name + ".checksums", text(uint64_t{segment.checksums.size()}),
                         text(chunks) + ", one per MiB of its " + text(segment.bytes) + " bytes");
        parts.push_back({segment.offset, segment.bytes, name});
    }
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Part &a, const Part &b) { return a.offset < b.offset; });
    for (size_t i = 0; i < parts.size(); ++i) {
        const uint64_t end = parts[i].offset + parts[i].bytes;
        const bool last = i + 1 == parts.size();
        const uint64_t next = last ? source.size() : parts[i + 1].offset;
        const std::string follower = last ? "the file's end" : parts[i + 1].name;
        if (next < end || next - end >= (last ? 1 : kAlignment))
            return wrong(file, (last ? parts[i].name : follower) + ".offset",
                         parts[i].name + " until byte " + text(end) + " and " + follower + " at " +
                             text(next),
                         last ? "the same byte" : "a gap of less than " + text(kAlignment) + " bytes");
        uint8_t padding[kAlignment];
        MOTE_TRY(source.readAt(end, padding, static_cast<size_t>(next - end)));
        for (uint64_t k = 0; k < next - end; ++k)
            if (padding[k] != 0)
                return wrong(file, "padding", "byte " + text(uint64_t{padding[k]}) + " at " + text(end + k),
                             "0");
    }
    return {};
}

} // namespace

Result<Model> readModel(const Source &source) {
    MOTE_TRY_ASSIGN(const Header header, readHeader(source));
    // operator new aligns to 16 bytes, more than FlatBuffers asks for.
    const auto root = std::make_unique<uint8_t[]>(static_cast<size_t>(header.rootBytes));
    MOTE_TRY(source.readAt(header.rootOffset, root.get(), static_cast<size_t>(header.rootBytes)));
    const uint64_t checksum = XXH64(root.get(), static_cast<size_t>(header.rootBytes), 0);
    if (checksum != header.rootChecksum)
        return wrong(source.name(), "header.root_checksum", text(header.rootChecksum),
                     text(checksum) + ", the sum of the root's bytes; the file is damaged");
    MOTE_TRY_ASSIGN(Model model,
                    decodeRoot(root.get(), static_cast<size_t>(header.rootBytes), source.name()));
    MOTE_TRY(checkLayout(source, header, model));
    MOTE_TRY(validateModel(model, source.name()));
    return model;
}

} // namespace mote
