// Where a recorded list needs barriers, and a proof that a list has them. The two functions share no code, so
// that a mistake in one is found by the other.
#pragma once

#include "model/status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote {

// Bytes [begin, end) of a buffer. Buffers that share memory are one buffer here (the arena's chunk, not the
// tensor).
struct BufferRange {
    uint32_t buffer = 0;
    uint64_t begin = 0, end = 0;
};

enum class RecordKind : uint8_t {
    Dispatch,
    Barrier
}; // Barrier: a full one, everything before against everything after

struct RecordEntry {
    RecordKind kind = RecordKind::Dispatch;
    std::string name; // of the dispatch, for messages
    std::vector<BufferRange> reads, writes;
    bool pointwise =
        false; // each invocation writes only what it alone reads, so reads and writes may share bytes
};

// For a list of dispatches only: needed[i] is true when a full barrier must stand before list[i], given that
// barriers stand wherever an earlier needed[] says. One is placed only when list[i] conflicts with something
// since the last.
std::vector<bool> placeBarriers(const std::vector<RecordEntry> &dispatches);

// Proves that a barrier stands between any two dispatches of which one writes what the other touches.
// Otherwise the status names both dispatches, their positions, the kind (read after write, write after read,
// write after write), the buffer and the bytes; the first violation in list order.
Status checkHazards(const std::vector<RecordEntry> &list);

} // namespace mote
