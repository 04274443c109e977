// Zip archives whose entries are stored, as PyTorch writes them (PKWARE's APPNOTE.TXT 6.3: sections 4.3.7
// local header, 4.3.12 central directory, 4.3.14 zip64, 4.3.16 end record). Sizes are taken from the central
// directory, so data descriptors need not be read. Compressed or encrypted entries, archives in parts,
// entries that share bytes and names that occur twice are refused.
#pragma once

#include "read/input_file.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

struct ZipEntry {
    std::string name;
    uint64_t begin = 0, bytes = 0; // of its data in the file
    uint32_t checksum = 0;         // CRC-32 of the data
};

class ZipFile {
public:
    explicit ZipFile(const std::string &path); // throws ReadError

    const InputFile &file() const { return file_; }
    const std::vector<ZipEntry> &entries() const { return entries_; } // sorted by name
    const ZipEntry *find(const std::string &name) const;              // or nullptr

    // A part of an entry. A whole entry is compared with its checksum.
    void read(const ZipEntry &entry, uint64_t offset, void *to, size_t count) const;

private:
    InputFile file_;
    std::vector<ZipEntry> entries_;
};

// As zip has it: polynomial 0xEDB88320, reflected.
uint32_t crc32(const uint8_t *bytes, size_t count);

} // namespace mote::convert
