#include "gpu/packed_spirv.h"

namespace mote::gpu {

std::vector<uint32_t> unpackSpirv(const uint16_t *units, size_t count) {
    std::vector<uint32_t> words;
    words.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        const uint32_t kind = units[i] >> 12, rest = units[i] & 0xfffu;
        if (kind < 14) {
            words.push_back(kind << 16 | rest);
        } else if (kind == 14) {
            if (++i < count)
                words.push_back(rest << 16 | units[i]);
        } else {
            i += 2;
            if (i < count)
                words.push_back(uint32_t{units[i - 1]} << 16 | units[i]);
        }
    }
    return words;
}

} // namespace mote::gpu
