// Safetensors files: an 8-byte little-endian header length, a JSON header, then the tensors' bytes.
// https://github.com/huggingface/safetensors, README.md, section "Format". A file is hostile until shown
// otherwise. Used by the converter and, for tensor files, by the mote command: knows nothing of checkpoints.
#pragma once

#include "read/input_file.h"
#include "read/json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

struct SafetensorsEntry {
    std::string name;
    std::string type; // "F32", "F16", "BF16", "F64", "I64", ... as in the file
    std::vector<uint64_t> shape;
    uint64_t begin = 0, end = 0; // bytes in the file, absolute
    uint64_t elements() const;   // product of shape
};

class SafetensorsFile {
public:
    // Reads and checks the header: length, JSON, names, types, shapes against sizes, ranges against the file,
    // overlaps and gaps. Throws ReadError.
    explicit SafetensorsFile(const std::string &path);

    const std::string &path() const { return file_.path(); }
    const std::vector<SafetensorsEntry> &entries() const { return entries_; } // sorted by name
    const SafetensorsEntry *find(const std::string &name) const;              // or nullptr
    const SafetensorsEntry &get(const std::string &name) const;               // or ReadError by name

    // F32, F16 and BF16 exactly, F64 rounded. Other types are refused by name.
    std::vector<float> readFloats(const SafetensorsEntry &entry) const;
    // I64 and I32.
    std::vector<int64_t> readIntegers(const SafetensorsEntry &entry) const;

private:
    InputFile file_;
    std::vector<SafetensorsEntry> entries_;
};

struct TensorToWrite {
    std::string name;
    std::vector<uint64_t> shape;
    std::vector<float> values;
};

// Writes fp32 tensors, in the order given, under a temporary name beside `path` and renames it there: on
// failure nothing is left, and an existing file stays as it was. Throws ReadError.
void writeSafetensors(const std::string &path, const std::vector<TensorToWrite> &tensors);

} // namespace mote::convert
