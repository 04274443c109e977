// Element types of tensor files, by the names that safetensors gives them, and their values as floats.
#pragma once

#include "read/half.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mote::convert {

static_assert(std::endian::native == std::endian::little, "values lie in memory as they do in files");

struct ElementType {
    const char *name;
    uint64_t bytes;
};
constexpr ElementType kElementTypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                         {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                                         {"U16", 2}, {"U8", 1},  {"BOOL", 1}};

// 0 for a name that is not known.
constexpr uint64_t elementBytes(std::string_view type) {
    for (const ElementType &known : kElementTypes)
        if (type == known.name)
            return known.bytes;
    return 0;
}

constexpr bool isFloating(std::string_view type) {
    return type == "F32" || type == "F16" || type == "BF16" || type == "F64";
}
constexpr const char *kFloatingNames = "F32, F16, BF16 or F64";

// Exact, but for F64, which is rounded to the nearest float. The type is floating.
inline void floatsFrom(std::string_view type, const uint8_t *bytes, size_t count, float *to) {
    if (type == "F32") {
        std::memcpy(to, bytes, count * sizeof(float));
    } else if (type == "F64") {
        for (size_t i = 0; i < count; ++i) {
            double value = 0;
            std::memcpy(&value, bytes + i * sizeof value, sizeof value);
            to[i] = static_cast<float>(value);
        }
    } else {
        const bool half = type == "F16";
        for (size_t i = 0; i < count; ++i) {
            uint16_t bits = 0;
            std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
            to[i] = half ? floatFromHalf(bits) : floatFromBfloat16(bits);
        }
    }
}

} // namespace mote::convert
