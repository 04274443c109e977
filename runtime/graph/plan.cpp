#include "graph/plan.h"

#include "model/checked.h"

#include <algorithm>
#include <cinttypes>
#include <numeric>

namespace mote {

namespace {

// Most bytes alive at one position; 0 and not valid when the sum does not fit.
Checked mostAlive(const std::vector<PlanBuffer> &buffers) {
    struct Event {
        uint64_t position; // births at firstUse, deaths behind lastUse
        bool birth;
        uint64_t bytes;
    };
    std::vector<Event> events;
    for (const PlanBuffer &buffer : buffers) {
        events.push_back({buffer.firstUse, true, buffer.bytes});
        events.push_back({uint64_t{buffer.lastUse} + 1, false, buffer.bytes});
    }
    std::sort(events.begin(), events.end(), [](const Event &a, const Event &b) {
        return a.position != b.position ? a.position < b.position : a.birth < b.birth; // deaths first
    });
    Checked alive;
    uint64_t most = 0;
    for (const Event &event : events) {
        if (event.birth)
            alive += event.bytes;
        else
            alive.value -= event.bytes;
        if (!alive.valid)
            return alive;
        most = std::max(most, alive.value);
    }
    return most;
}

// Places buffers one after the other in the given order, each where it wastes least: the tightest gap between
// those already placed that live at the same time, else at the end of the chunk that then is smallest, else
// in a new chunk.
MemoryPlan placeInOrder(const std::vector<PlanBuffer> &buffers, const std::vector<uint32_t> &order,
                        uint64_t maxChunkBytes) {
    struct Placed {
        uint64_t begin, end;
        uint32_t firstUse, lastUse;
    };
    MemoryPlan plan;
    plan.placements.resize(buffers.size());
    std::vector<std::vector<Placed>> chunks; // sorted by begin
    for (const uint32_t index : order) {
        const PlanBuffer &buffer = buffers[index];
        constexpr uint64_t kNoPlace = ~uint64_t{0};
        uint64_t bestGrowth = kNoPlace, bestGap = kNoPlace;
        Placement best{static_cast<uint32_t>(chunks.size()), 0};
        const auto consider = [&](uint32_t chunk, uint64_t from, uint64_t until) { // until: the gap's end
            const Checked begin = alignUp(from, buffer.alignment);
            const Checked end = begin + buffer.bytes;
            if (!end.within(std::min(until, maxChunkBytes)))
                return;
            const uint64_t growth =
                end.value > plan.chunkBytes[chunk] ? end.value - plan.chunkBytes[chunk] : 0;
            if (growth < bestGrowth || (growth == bestGrowth && until - from < bestGap)) {
                bestGrowth = growth;
                bestGap = until - from;
                best = {chunk, begin.value};
            }
        };
        for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
            uint64_t free = 0; // end of everything so far that lives at the same time
            for (const Placed &placed : chunks[chunk]) {
                if (placed.lastUse < buffer.firstUse || buffer.lastUse < placed.firstUse)
                    continue;
                if (placed.begin > free)
                    consider(chunk, free, placed.begin);
                free = std::max(free, placed.end);
            }
            consider(chunk, free, kNoPlace);
        }
        // A new chunk costs all of the buffer: only worth it where no chunk has room.
        if (bestGrowth == kNoPlace) {
            chunks.emplace_back();
            plan.chunkBytes.push_back(0);
        }
        const Placed placed{best.offset, best.offset + buffer.bytes, buffer.firstUse, buffer.lastUse};
        std::vector<Placed> &chunk = chunks[best.chunk];
        chunk.insert(std::upper_bound(chunk.begin(), chunk.end(), placed,
                                      [](const Placed &a, const Placed &b) { return a.begin < b.begin; }),
                     placed);
        plan.chunkBytes[best.chunk] = std::max(plan.chunkBytes[best.chunk], placed.end);
        plan.placements[index] = best;
    }
    plan.peakBytes = std::accumulate(plan.chunkBytes.begin(), plan.chunkBytes.end(), uint64_t{0});
    return plan;
}

} // namespace

Result<MemoryPlan> planMemory(const std::vector<PlanBuffer> &buffers, uint64_t maxChunkBytes) {
    Checked total;
    for (const PlanBuffer &buffer : buffers) {
        if (buffer.bytes == 0 || buffer.alignment == 0 || (buffer.alignment & (buffer.alignment - 1)) != 0 ||
            buffer.alignment > (1u << 20) || buffer.firstUse > buffer.lastUse)
            return makeStatus(StatusCode::Internal,
                              "memory plan: '%s' has %" PRIu64 " bytes, alignment %" PRIu64 ", uses %" PRIu32
                              " to %" PRIu32 "; expected bytes above 0, a power of two, first before last",
                              buffer.name.c_str(), buffer.bytes, buffer.alignment, buffer.firstUse,
                              buffer.lastUse);
        if (buffer.bytes > maxChunkBytes)
            return makeStatus(StatusCode::Unsupported,
                              "memory plan: '%s' needs %" PRIu64
                              " bytes in one piece; this device allows %" PRIu64,
                              buffer.name.c_str(), buffer.bytes, maxChunkBytes);
        // With this sum no sum of offsets, chunks or bytes alive can overflow.
        total += alignUp(buffer.bytes, buffer.alignment) + buffer.alignment;
        if (!total.within(~uint64_t{0} / 4))
            return makeStatus(StatusCode::OutOfMemory,
                              "memory plan: the buffers up to '%s' need more than 2^62 bytes",
                              buffer.name.c_str());
    }
    const uint64_t lowerBound = mostAlive(buffers).value;

    // No one order is best for all graphs; several are tried and the smallest result kept, the first among
    // equals.
    std::vector<uint32_t> order(buffers.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto length = [&](uint32_t i) { return uint64_t{buffers[i].lastUse} - buffers[i].firstUse + 1; };
    const auto area = [&](uint32_t i) { return Checked(buffers[i].bytes) * length(i); };
    const auto bySize = [&](uint32_t a, uint32_t b) {
        if (buffers[a].bytes != buffers[b].bytes)
            return buffers[a].bytes > buffers[b].bytes;
        return length(a) != length(b) ? length(a) > length(b) : a < b;
    };
    const auto byLength = [&](uint32_t a, uint32_t b) {
        return length(a) != length(b) ? length(a) > length(b) : bySize(a, b);
    };
    const auto byArea = [&](uint32_t a, uint32_t b) {
        const Checked x = area(a), y = area(b);
        if (x.valid != y.valid)
            return !x.valid;
        return x.value != y.value && x.valid ? x.value > y.value : bySize(a, b);
    };
    const auto byBirth = [&](uint32_t a, uint32_t b) {
        return buffers[a].firstUse != buffers[b].firstUse ? buffers[a].firstUse < buffers[b].firstUse
                                                          : bySize(a, b);
    };
    MemoryPlan best;
    const auto attempt = [&](auto less) {
        if (!best.placements.empty() && best.peakBytes == lowerBound)
            return;
        std::sort(order.begin(), order.end(), less);
        MemoryPlan plan = placeInOrder(buffers, order, maxChunkBytes);
        if (best.placements.empty() || plan.peakBytes < best.peakBytes)
            best = std::move(plan);
    };
    attempt(bySize);
    attempt(byArea);
    attempt(byLength);
    attempt(byBirth);
    best.lowerBound = lowerBound;
    return best;
}

std::vector<Liveness> tensorLiveness(const Graph &graph) {
    std::vector<Liveness> uses(graph.tensors.size());
    const auto touch = [&uses](uint32_t tensor, uint32_t position) {
        if (tensor >= uses.size())
            return;
        uses[tensor].firstUse = std::min(uses[tensor].firstUse, position);
        uses[tensor].lastUse = std::max(uses[tensor].lastUse, position);
    };
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        for (const uint32_t input : graph.ops[i].inputs)
            touch(input, i);
        touch(graph.ops[i].residual, i);
        touch(graph.ops[i].output, i);
    }
    for (const Port &port : graph.ports)
        touch(port.tensor,
              port.output && !graph.ops.empty() ? static_cast<uint32_t>(graph.ops.size() - 1) : 0);
    return uses;
}

} // namespace mote
