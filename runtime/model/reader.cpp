#include "model/reader.h"

#include "model/checked.h"
#include "model/decode.h"
#include "model/format.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <cinttypes>
#include <cstdio>
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
        return wrong(file, "header: found a file of %" PRIu64 " bytes, expected at least %" PRIu64,
                     source.size(), kHeaderBytes);
    uint8_t bytes[kHeaderBytes];
    MOTE_TRY(source.readAt(0, bytes, sizeof bytes));
    if (std::memcmp(bytes, kMagic, sizeof kMagic) != 0)
        return wrong(
            file,
            "header.magic: found %02x %02x %02x %02x %02x %02x %02x %02x, expected 4d 4f 54 45 0d 0a 1a 0a; "
            "this is not a .mote file",
            bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]);
    // The checksum comes first: every version keeps it, and what it does not vouch for may say anything.
    const auto number = [&bytes](size_t at, size_t size) { return loadLittle(bytes + at, size); };
    const uint64_t checksum = XXH64(bytes, kHeaderChecksum, 0);
    if (number(kHeaderChecksum, 8) != checksum)
        return wrong(file,
                     "header.checksum: found %016" PRIx64 ", expected %016" PRIx64
                     ", the sum of the bytes before it; the file is damaged",
                     number(kHeaderChecksum, 8), checksum);
    const auto version = static_cast<unsigned>(number(kHeaderVersion, 4));
    if (version != kFormatVersion)
        return makeStatus(StatusCode::Unsupported, "%s: header.format_version: found %u, expected %u",
                          file.c_str(), version, kFormatVersion);
    const auto runtime = static_cast<unsigned>(number(kHeaderMinimumRuntime, 4));
    if (runtime > kRuntimeVersion)
        return makeStatus(
            StatusCode::Unsupported,
            "%s: header.minimum_runtime: found %u.%u.%u, expected at most %u.%u.%u, this version",
            file.c_str(), runtime >> 22, (runtime >> 12) & 1023, runtime & 4095, kRuntimeVersion >> 22,
            (kRuntimeVersion >> 12) & 1023, kRuntimeVersion & 4095);
    if (number(kHeaderFileBytes, 8) != source.size())
        return wrong(file,
                     "header.file_bytes: found %" PRIu64 ", expected %" PRIu64
                     ", the size of what is there; the file is truncated or has grown",
                     number(kHeaderFileBytes, 8), source.size());
    if (number(kHeaderReserved, 8) != 0)
        return wrong(file, "header.reserved: found %" PRIu64 ", expected 0", number(kHeaderReserved, 8));
    Header header;
    header.rootOffset = number(kHeaderRootOffset, 8);
    header.rootBytes = number(kHeaderRootBytes, 8);
    header.rootChecksum = number(kHeaderRootChecksum, 8);
    if (header.rootBytes == 0 || header.rootBytes > kMaxRootBytes)
        return wrong(file, "header.root_bytes: found %" PRIu64 ", expected 1 to %" PRIu64, header.rootBytes,
                     kMaxRootBytes);
    if (header.rootOffset % kAlignment != 0 || header.rootOffset < kHeaderBytes ||
        !(Checked(header.rootOffset) + header.rootBytes).within(source.size()))
        return wrong(file,
                     "header.root_offset: found %" PRIu64 ", expected a multiple of %" PRIu64
                     " with the root's %" PRIu64 " bytes inside the file's %" PRIu64,
                     header.rootOffset, kAlignment, header.rootBytes, source.size());
    return header;
}

// Header, segments and root lie one behind the other, with at most kAlignment - 1 zero bytes between and none
// behind.
Status checkLayout(const Source &source, const Header &header, const Model &model) {
    const std::string &file = source.name();
    struct Part {
        uint64_t offset, bytes;
        char name[24];
    };
    std::vector<Part> parts = {{0, kHeaderBytes, "header"}, {header.rootOffset, header.rootBytes, "root"}};
    for (size_t i = 0; i < model.segments.size(); ++i) {
        const Segment &segment = model.segments[i];
        Part part{segment.offset, segment.bytes, {}};
        std::snprintf(part.name, sizeof part.name, "segments[%u]", static_cast<unsigned>(i) % 1000);
        if (segment.offset % kAlignment != 0)
            return wrong(file, "%s.offset: found %" PRIu64 ", expected a multiple of %" PRIu64, part.name,
                         segment.offset, kAlignment);
        if (segment.bytes == 0 || !(Checked(segment.offset) + segment.bytes).within(source.size()))
            return wrong(file,
                         "%s.bytes: found %" PRIu64 " at %" PRIu64
                         ", expected at least 1, inside the file's %" PRIu64,
                         part.name, segment.bytes, segment.offset, source.size());
        const uint64_t chunks = (segment.bytes - 1) / kChunkBytes + 1;
        if (segment.checksums.size() != chunks)
            return wrong(
                file, "%s.checksums: found %zu, expected %" PRIu64 ", one per MiB of its %" PRIu64 " bytes",
                part.name, segment.checksums.size(), chunks, segment.bytes);
        // Insertion keeps the order of those that begin at one place; there are at most 66.
        size_t at = parts.size();
        while (at > 0 && parts[at - 1].offset > part.offset)
            --at;
        parts.insert(parts.begin() + static_cast<ptrdiff_t>(at), part);
    }
    for (size_t i = 0; i < parts.size(); ++i) {
        const uint64_t end = parts[i].offset + parts[i].bytes;
        const bool last = i + 1 == parts.size();
        const uint64_t next = last ? source.size() : parts[i + 1].offset;
        if (next < end || next - end >= (last ? 1 : kAlignment))
            return wrong(file,
                         "%s.offset: found %s until byte %" PRIu64 " and %s at %" PRIu64
                         ", expected a gap of less than %u bytes",
                         last ? parts[i].name : parts[i + 1].name, parts[i].name, end,
                         last ? "the file's end" : parts[i + 1].name, next,
                         last ? 1u : static_cast<unsigned>(kAlignment));
        uint8_t padding[kAlignment];
        MOTE_TRY(source.readAt(end, padding, static_cast<size_t>(next - end)));
        for (uint64_t k = 0; k < next - end; ++k)
            if (padding[k] != 0)
                return wrong(file, "padding: found byte %u at %" PRIu64 ", expected 0", unsigned{padding[k]},
                             end + k);
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
        return wrong(source.name(),
                     "header.root_checksum: found %016" PRIx64 ", expected %016" PRIx64
                     ", the sum of the root's bytes; the file is damaged",
                     header.rootChecksum, checksum);
    MOTE_TRY_ASSIGN(Model model,
                    decodeRoot(root.get(), static_cast<size_t>(header.rootBytes), source.name()));
    MOTE_TRY(checkLayout(source, header, model));
    MOTE_TRY(validateModel(model, source.name()));
    return model;
}

} // namespace mote
