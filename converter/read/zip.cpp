#include "read/zip.h"

#include "read/error.h"
#include "read/json.h"
#include "read/text.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace mote::convert {

namespace {

constexpr uint32_t kLocalSignature = 0x04034b50, kCentralSignature = 0x02014b50, kEndSignature = 0x06054b50,
                   kEnd64Signature = 0x06064b50, kLocator64Signature = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56,
                   kLocator64Bytes = 20;
constexpr uint64_t kMaxEntries = 65536;             // a storage each; the largest public UNets have 3,000
constexpr uint64_t kMaxDirectoryBytes = 16u << 20;  // of those
constexpr uint16_t kEncrypted = 1, kZip64Extra = 1; // bit of the flags; kind of extra field
constexpr uint32_t kIn64 = 0xFFFFFFFF, kIn64Short = 0xFFFF; // the value is in the zip64 record

uint64_t number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; --i)
        value = (value << 8) | at[i];
    return value;
}

std::string shown(const std::string &name) {
    return shownJson(nlohmann::json(name));
}

// Slicing by 4 (Kounavis and Berry 2005): table[k][b] is the CRC of byte b followed by k zero bytes.
constexpr auto kCrcTables = [] {
    std::array<std::array<uint32_t, 256>, 4> tables{};
    for (uint32_t b = 0; b < 256; ++b) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
        tables[0][b] = crc;
    }
    for (size_t k = 1; k < 4; ++k)
        for (uint32_t b = 0; b < 256; ++b)
            tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xFF];
    return tables;
}();

struct Directory {
    uint64_t begin = 0, bytes = 0, entries = 0;
};

[[noreturn]] void damaged(const std::string &path, const std::string &what) {
    throw ReadError(text(path, ": ", what, "; the zip archive is damaged or truncated"));
}

Directory findDirectory(const InputFile &file) {
    const std::string &path = file.path();
    const uint64_t tail = std::min<uint64_t>(file.bytes(), kEndBytes + 65535); // a comment may follow
    std::vector<uint8_t> bytes(tail);
    file.read(file.bytes() - tail, bytes.data(), bytes.size(), "end of the archive");
    uint64_t at = tail;
    for (uint64_t i = tail >= kEndBytes ? tail - kEndBytes + 1 : 0; i-- > 0;)
        if (number(&bytes[i], 4) == kEndSignature && i + kEndBytes + number(&bytes[i + 20], 2) == tail) {
            at = i;
            break;
        }
    if (at == tail)
        damaged(path, "has no zip end record");
    const uint8_t *end = &bytes[at];
    const uint64_t endAt = file.bytes() - tail + at;
    Directory directory{number(end + 16, 4), number(end + 12, 4), number(end + 10, 2)};
    uint64_t diskNumbers = number(end + 4, 2) + number(end + 6, 2), limit = endAt;
    const bool in64 = directory.begin == kIn64 || directory.bytes == kIn64 || directory.entries == kIn64Short;
    uint8_t locator[kLocator64Bytes];
    const bool located = endAt >= kLocator64Bytes &&
                         (file.read(endAt - kLocator64Bytes, locator, sizeof locator, "zip64 locator"),
                          number(locator, 4) == kLocator64Signature);
    if (in64 && !located)
        damaged(path, "has no zip64 locator where its end record needs one");
    if (located) {
        const uint64_t recordAt = number(locator + 8, 8);
        if (recordAt > endAt - kLocator64Bytes || endAt - kLocator64Bytes - recordAt < kEnd64Bytes)
            damaged(path, text("its zip64 record would be at byte ", recordAt));
        uint8_t record[kEnd64Bytes];
        file.read(recordAt, record, sizeof record, "zip64 record");
        if (number(record, 4) != kEnd64Signature)
            damaged(path, text("has no zip64 record at byte ", recordAt));
        diskNumbers = number(record + 16, 4) + number(record + 20, 4);
        directory = {number(record + 48, 8), number(record + 40, 8), number(record + 32, 8)};
        limit = recordAt;
    }
    if (diskNumbers != 0)
        throw ReadError(text(path, ": is a part of a zip archive in several files, expected one file"));
    if (directory.begin > limit || directory.bytes > limit - directory.begin)
        damaged(path,
                text("its directory would span ", directory.bytes, " bytes from byte ", directory.begin));
    if (directory.entries > kMaxEntries || directory.bytes > kMaxDirectoryBytes)
        throw ReadError(text(path, ": its zip directory has ", directory.entries, " entries in ",
                             directory.bytes, " bytes, at most ", kMaxEntries, " in ", kMaxDirectoryBytes,
                             " are read"));
    return directory;
}

// Sizes and offset that do not fit 32 bits stand in an extra field, in this order, only those that do not.
void read64(const uint8_t *extra, size_t extraBytes, const std::string &where, uint64_t &size,
            uint64_t &stored, uint64_t &offset) {
    for (size_t at = 0; at + 4 <= extraBytes;) {
        const uint64_t kind = number(extra + at, 2), length = number(extra + at + 2, 2);
        at += 4;
        if (length > extraBytes - at)
            break;
        if (kind == kZip64Extra) {
            size_t next = at;
            for (uint64_t *value : {&size, &stored, &offset}) {
                if (*value != kIn64)
                    continue;
                if (next + 8 > at + length)
                    throw ReadError(text(where, ": its zip64 field is too short"));
                *value = number(extra + next, 8);
                next += 8;
            }
            return;
        }
        at += length;
    }
    throw ReadError(text(where, ": its zip64 field is missing"));
}

} // namespace

uint32_t crc32(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0xFFFFFFFF;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        uint32_t word = 0;
        std::memcpy(&word, bytes + i, 4);
        crc ^= word;
        crc = kCrcTables[3][crc & 0xFF] ^ kCrcTables[2][(crc >> 8) & 0xFF] ^
              kCrcTables[1][(crc >> 16) & 0xFF] ^ kCrcTables[0][crc >> 24];
    }
    for (; i < count; ++i)
        crc = (crc >> 8) ^ kCrcTables[0][(crc ^ bytes[i]) & 0xFF];
    return ~crc;
}

ZipFile::ZipFile(const std::string &path) : file_(path) {
    const Directory directory = findDirectory(file_);
    std::vector<uint8_t> bytes(directory.bytes);
    file_.read(directory.begin, bytes.data(), bytes.size(), "zip directory");
    size_t at = 0;
    for (uint64_t i = 0; i < directory.entries; ++i) {
        if (bytes.size() - at < kCentralBytes || number(&bytes[at], 4) != kCentralSignature)
            damaged(path, text("its directory ends at entry ", i, " of ", directory.entries));
        const uint8_t *entry = &bytes[at];
        const size_t nameBytes = number(entry + 28, 2), extraBytes = number(entry + 30, 2),
                     all = kCentralBytes + nameBytes + extraBytes + number(entry + 32, 2);
        if (bytes.size() - at < all)
            damaged(path, text("its directory ends within entry ", i));
        ZipEntry found;
        found.name.assign(entry + kCentralBytes, entry + kCentralBytes + nameBytes);
        found.checksum = static_cast<uint32_t>(number(entry + 16, 4));
        const std::string where = text(path, ": entry ", shown(found.name));
        const uint64_t flags = number(entry + 8, 2), method = number(entry + 10, 2);
        if ((flags & kEncrypted) != 0)
            throw ReadError(text(where, " is encrypted, expected none"));
        if (method != 0)
            throw ReadError(text(where, " is compressed (method ", method,
                                 "), expected stored entries, as torch.save writes them"));
        uint64_t size = number(entry + 24, 4), stored = number(entry + 20, 4), offset = number(entry + 42, 4);
        if (size == kIn64 || stored == kIn64 || offset == kIn64)
            read64(entry + kCentralBytes + nameBytes, extraBytes, where, size, stored, offset);
        if (size != stored)
            throw ReadError(text(where, ": ", stored, " bytes are stored for ", size, ", expected as many"));

        if (offset > directory.begin || directory.begin - offset < kLocalBytes)
            damaged(path, text("entry ", shown(found.name), " would begin at byte ", offset));
        uint8_t local[kLocalBytes];
        file_.read(offset, local, sizeof local, "local header");
        std::string localName(number(local + 26, 2), '\0');
        found.begin = offset + kLocalBytes + localName.size() + number(local + 28, 2);
        if (number(local, 4) != kLocalSignature || number(local + 8, 2) != 0 ||
            localName.size() != found.name.size())
            damaged(path, text("entry ", shown(found.name), " has another header at byte ", offset));
        file_.read(offset + kLocalBytes, localName.data(), localName.size(), "local name");
        if (localName != found.name)
            damaged(path,
                    text("entry ", shown(found.name), " is called ", shown(localName), " at byte ", offset));
        found.bytes = size;
        if (found.begin > directory.begin || size > directory.begin - found.begin)
            damaged(path, text("entry ", shown(found.name), " would span ", size, " bytes from byte ",
                               found.begin));
        entries_.push_back(std::move(found));
        at += all;
    }
    if (at != bytes.size())
        damaged(path, text("its directory has ", bytes.size() - at, " bytes behind its last entry"));

    std::vector<const ZipEntry *> inOrder;
    for (const ZipEntry &entry : entries_)
        if (entry.bytes > 0)
            inOrder.push_back(&entry);
    std::sort(inOrder.begin(), inOrder.end(),
              [](const ZipEntry *a, const ZipEntry *b) { return a->begin < b->begin; });
    for (size_t i = 1; i < inOrder.size(); ++i)
        if (inOrder[i]->begin < inOrder[i - 1]->begin + inOrder[i - 1]->bytes)
            throw ReadError(text(path, ": entries ", shown(inOrder[i - 1]->name), " and ",
                                 shown(inOrder[i]->name), " share bytes, expected bytes of their own"));
    std::sort(entries_.begin(), entries_.end(),
              [](const ZipEntry &a, const ZipEntry &b) { return a.name < b.name; });
    for (size_t i = 1; i < entries_.size(); ++i)
        if (entries_[i].name == entries_[i - 1].name)
            throw ReadError(text(path, ": entry ", shown(entries_[i].name), " occurs twice"));
}

const ZipEntry *ZipFile::find(const std::string &name) const {
    const auto found =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const ZipEntry &entry, const std::string &n) { return entry.name < n; });
    return found != entries_.end() && found->name == name ? &*found : nullptr;
}

void ZipFile::read(const ZipEntry &entry, uint64_t offset, void *to, size_t count) const {
    const std::string what = text("entry ", shown(entry.name));
    if (offset > entry.bytes || count > entry.bytes - offset)
        throw ReadError(text(file_.path(), ": ", what, " has ", entry.bytes, " bytes, ", count, " from byte ",
                             offset, " were asked for"));
    file_.read(entry.begin + offset, to, count, what);
    if (count != entry.bytes)
        return;
    const uint32_t found = crc32(static_cast<const uint8_t *>(to), count);
    if (found != entry.checksum)
        throw ReadError(text(file_.path(), ": ", what, " has CRC-32 ", found, ", its directory says ",
                             entry.checksum, "; the file is damaged"));
}

} // namespace mote::convert
