// Files as torch.save writes them, made opcode by opcode, so that a test can damage any part.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

struct ArchiveEntry {
    std::string name, data;
    uint16_t method = 0, flags = 0;
    uint32_t sizeGiven = 0xFFFFFFFF; // in the directory; all ones: the data's
    bool damagedChecksum = false;
    bool zip64 = false;          // sizes and offset in the extra field
    bool dataDescriptor = false; // sizes behind the data, zero before them
    int64_t sameDataAs = -1;     // the directory points at this entry's place
};

struct Archive {
    std::vector<ArchiveEntry> entries;
    bool zip64End = false;
    std::string bytes() const;
};

std::string little(uint64_t value, int bytes);

// Pickle opcodes.
std::string pickleText(const std::string &text);
std::string pickleNumber(int64_t number);
std::string pickleTuple(const std::vector<std::string> &items);
std::string pickleGlobal(const std::string &module, const std::string &name);
std::string pickleStorage(const std::string &storageClass, const std::string &key, int64_t elements);
std::string pickleTensor(const std::string &storage, int64_t offset, const std::vector<int64_t> &size,
                         const std::vector<int64_t> &stride);
// A state dict of the items, with protocol and STOP; a value is any pickled value.
std::string pickleStateDict(const std::vector<std::pair<std::string, std::string>> &items);

// A file with one storage "0" of these floats and this data.pkl.
Archive archiveOf(const std::string &pickle, const std::vector<float> &storage);

} // namespace mote::convert
