#include "graph/hazards.h"

#include <cinttypes>
#include <map>

namespace mote {

namespace {

// Bytes touched since the last barrier, as disjoint ranges: begin -> end.
using RangeSet = std::map<uint64_t, uint64_t>;

bool touches(const RangeSet &set, const BufferRange &range) {
    auto after = set.lower_bound(range.end); // first range that begins at or behind range.end
    return after != set.begin() && std::prev(after)->second > range.begin;
}

void insert(RangeSet &set, const BufferRange &range) {
    uint64_t begin = range.begin, end = range.end;
    auto it = set.upper_bound(begin);
    if (it != set.begin() && std::prev(it)->second >= begin)
        --it;
    while (it != set.end() && it->first <= end) {
        begin = std::min(begin, it->first);
        end = std::max(end, it->second);
        it = set.erase(it);
    }
    set[begin] = end;
}

struct Touched {
    std::map<uint32_t, RangeSet> read, written; // by buffer

    bool conflicts(const RecordEntry &entry) const {
        const auto any = [](const std::map<uint32_t, RangeSet> &sets, const BufferRange &range) {
            const auto found = sets.find(range.buffer);
            return found != sets.end() && touches(found->second, range);
        };
        for (const BufferRange &range : entry.reads)
            if (any(written, range))
                return true;
        for (const BufferRange &range : entry.writes)
            if (any(written, range) || any(read, range))
                return true;
        return false;
    }
};

} // namespace

std::vector<bool> placeBarriers(const std::vector<RecordEntry> &dispatches) {
    std::vector<bool> needed(dispatches.size(), false);
    Touched touched;
    for (size_t i = 0; i < dispatches.size(); ++i) {
        if (touched.conflicts(dispatches[i])) {
            needed[i] = true;
            touched = Touched();
        }
        for (const BufferRange &range : dispatches[i].reads)
            insert(touched.read[range.buffer], range);
        for (const BufferRange &range : dispatches[i].writes)
            insert(touched.written[range.buffer], range);
    }
    return needed;
}

namespace {

// The first pair of ranges that share bytes, or null.
const BufferRange *firstOverlap(const std::vector<BufferRange> &a, const std::vector<BufferRange> &b) {
    for (const BufferRange &x : a)
        for (const BufferRange &y : b)
            if (x.buffer == y.buffer && x.begin < y.end && y.begin < x.end)
                return &x;
    return nullptr;
}

Status violation(const std::vector<RecordEntry> &list, size_t first, size_t second, const char *kind,
                 const BufferRange &range) {
    return makeStatus(StatusCode::Internal,
                      "%s without a barrier: entry %zu '%s', then entry %zu '%s', buffer %" PRIu32
                      " near bytes %" PRIu64 " to %" PRIu64,
                      kind, first, list[first].name.c_str(), second, list[second].name.c_str(), range.buffer,
                      range.begin, range.end);
}

} // namespace

Status checkHazards(const std::vector<RecordEntry> &list) {
    size_t epoch = 0; // first entry behind the last barrier
    for (size_t j = 0; j < list.size(); ++j) {
        const RecordEntry &later = list[j];
        if (later.kind == RecordKind::Barrier) {
            epoch = j + 1;
            continue;
        }
        for (const auto *ranges : {&later.reads, &later.writes})
            for (const BufferRange &range : *ranges)
                if (range.begin >= range.end)
                    return makeStatus(StatusCode::Internal,
                                      "entry %zu '%s': buffer %" PRIu32 " has the empty range %" PRIu64
                                      " to %" PRIu64,
                                      j, later.name.c_str(), range.buffer, range.begin, range.end);
        if (!later.pointwise)
            if (const BufferRange *range = firstOverlap(later.reads, later.writes))
                return makeStatus(StatusCode::Internal,
                                  "entry %zu '%s' reads what it writes: buffer %" PRIu32
                                  " near bytes %" PRIu64 " to %" PRIu64,
                                  j, later.name.c_str(), range->buffer, range->begin, range->end);
        for (size_t i = epoch; i < j; ++i) {
            if (const BufferRange *range = firstOverlap(list[i].writes, later.reads))
                return violation(list, i, j, "read after write", *range);
            if (const BufferRange *range = firstOverlap(list[i].reads, later.writes))
                return violation(list, i, j, "write after read", *range);
            if (const BufferRange *range = firstOverlap(list[i].writes, later.writes))
                return violation(list, i, j, "write after write", *range);
        }
    }
    return {};
}

} // namespace mote
