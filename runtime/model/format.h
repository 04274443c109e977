// Constants of the file format, shared by reader and writer. FORMAT.md is the description.
#pragma once

#include "model/model.h"

#include <cstdint>

namespace mote {

constexpr uint8_t kMagic[8] = {'M', 'O', 'T', 'E', '\r', '\n', 0x1a, '\n'};
constexpr uint32_t kFormatVersion = 1;
// major << 22 | minor << 12 | patch, as MOTE_VERSION in mote.h.
constexpr uint32_t kRuntimeVersion = 1u << 12;        // this one
constexpr uint32_t kMinimumRuntimeVersion = 1u << 12; // the first that reads what this writer writes

constexpr uint64_t kHeaderBytes = 64;
constexpr uint64_t kAlignment = 64; // of segments, of weights within them, and of the root
constexpr uint64_t kMaxRootBytes = 16u << 20;

// Offsets of the header's fields, all little-endian.
constexpr size_t kHeaderVersion = 8;         // u32
constexpr size_t kHeaderMinimumRuntime = 12; // u32
constexpr size_t kHeaderRootOffset = 16;     // u64
constexpr size_t kHeaderRootBytes = 24;      // u64
constexpr size_t kHeaderRootChecksum = 32;   // u64, xxHash64 of the root
constexpr size_t kHeaderFileBytes = 40;      // u64
constexpr size_t kHeaderReserved = 48;       // 8 zero bytes
constexpr size_t kHeaderChecksum = 56;       // u64, xxHash64 of the bytes before it

// Little-endian, whatever the processor.
inline uint64_t loadLittle(const uint8_t *from, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i)
        value |= uint64_t{from[i]} << (8 * i);
    return value;
}

inline void storeLittle(uint8_t *to, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
        to[i] = static_cast<uint8_t>(value >> (8 * i));
}

// Bytes of one element; 0 for a type that this version does not know.
inline uint64_t elementBytes(DataType type) {
    switch (type) {
    case DataType::F32:
        return 4;
    case DataType::F16:
        return 2;
    }
    return 0;
}

} // namespace mote
