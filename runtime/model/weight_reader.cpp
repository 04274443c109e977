#include "model/checked.h"
#include "model/reader.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <xxhash.h>

namespace mote {

Status WeightReader::loadChunk(uint32_t segment, uint64_t chunk) {
    if (segment == loadedSegment_ && chunk == loadedChunk_)
        return {};
    const Segment &from = model_.segments[segment];
    const uint64_t begin = chunk * kChunkBytes;
    loadedSegment_ = kNone; // until the chunk is known to be good
    chunk_.resize(static_cast<size_t>(std::min(kChunkBytes, from.bytes - begin)));
    MOTE_TRY(source_.readAt(from.offset + begin, chunk_.data(), chunk_.size()));
    const uint64_t found = XXH64(chunk_.data(), chunk_.size(), 0);
    if (found != from.checksums[chunk])
        return makeStatus(StatusCode::InvalidModel,
                          "%s: segments[%" PRIu32 "].checksums[%" PRIu64
                          "]: found bytes that sum to %016" PRIx64 ", expected %016" PRIx64
                          "; the file is damaged",
                          source_.name().c_str(), segment, chunk, found, from.checksums[chunk]);
    loadedSegment_ = segment;
    loadedChunk_ = chunk;
    return {};
}

Status WeightReader::stream(uint32_t weight, uint64_t offset, uint64_t bytes, const Sink &sink) {
    if (weight >= model_.weights.size())
        return makeStatus(StatusCode::Internal, "%s: weight %" PRIu32 " was asked for, found %zu weights",
                          source_.name().c_str(), weight, model_.weights.size());
    const Weight &w = model_.weights[weight];
    if (!(Checked(offset) + bytes).within(w.bytes))
        return makeStatus(StatusCode::Internal,
                          "%s: weight '%s': %" PRIu64 " bytes at %" PRIu64 " were asked for, found %" PRIu64,
                          source_.name().c_str(), w.name.c_str(), bytes, offset, w.bytes);
    uint64_t position = w.offset + offset; // in the segment; checked when the model was read
    for (uint64_t left = bytes; left > 0;) {
        MOTE_TRY(loadChunk(w.segment, position / kChunkBytes));
        const uint64_t within = position % kChunkBytes;
        const uint64_t piece = std::min(left, chunk_.size() - within);
        MOTE_TRY(sink(chunk_.data() + within, static_cast<size_t>(piece)));
        position += piece;
        left -= piece;
    }
    return {};
}

Status WeightReader::read(uint32_t weight, uint64_t offset, uint64_t bytes, void *to) {
    auto *out = static_cast<uint8_t *>(to);
    return stream(weight, offset, bytes, [&out](const void *data, size_t piece) {
        std::memcpy(out, data, piece);
        out += piece;
        return Status{};
    });
}

} // namespace mote
