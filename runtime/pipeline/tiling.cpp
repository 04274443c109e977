#include "pipeline/tiling.h"

#include <algorithm>

namespace mote::pipeline {

TileAxis cutAxis(uint32_t length, uint32_t tile, uint32_t overlap, uint32_t multiple) {
    // In units of the multiple, 64 bits wide so that no sum overflows.
    const uint64_t total = length / multiple;
    const uint64_t size = std::min<uint64_t>(total, (uint64_t{tile} + multiple - 1) / multiple);
    const uint64_t shared = std::min<uint64_t>((uint64_t{overlap} + multiple - 1) / multiple, size / 2);
    TileAxis axis;
    axis.length = length;
    axis.tile = static_cast<uint32_t>(size * multiple);
    if (size == total) {
        axis.origins = {0};
        return axis;
    }
    axis.overlap = static_cast<uint32_t>(shared * multiple);
    // count - 1 advances of at most size - shared must bring the first tile to the end.
    const uint64_t advance = size - shared;
    const uint64_t count = 1 + (total - size + advance - 1) / advance;
    for (uint64_t k = 0; k < count; ++k)
        axis.origins.push_back(static_cast<uint32_t>(k * (total - size) / (count - 1) * multiple));
    return axis;
}

uint32_t reflectIndex(uint32_t i, uint32_t n) {
    if (n == 1)
        return 0;
    const uint64_t period = 2 * (uint64_t{n} - 1);
    const uint64_t position = i % period;
    return static_cast<uint32_t>(position < n ? position : period - position);
}

} // namespace mote::pipeline
