// A command list as data: what the executor plans, what the checker proves and what is recorded are one list.
#pragma once

#include "gpu/command.h"
#include "gpu/device.h"
#include "graph/hazards.h"
#include "kernels/kernels.h"
#include "model/status.h"

#include <cstdint>
#include <vector>

namespace mote::pipeline {

enum class CommandKind : uint8_t {
    Dispatch,
    Copy,   // `from` to `to`, of one size
    Update, // `words` to the start of `to`
    Barrier // a full one
};

struct Command {
    CommandKind kind = CommandKind::Barrier;
    Dispatch dispatch;
    BufferRange from, to;
    std::vector<uint32_t> words;
    uint32_t op = kNone;     // of the graph, where it belongs to one
    uint32_t whole = kNone;  // Dispatch: index of the uncut dispatch that it is (a part of), for its time
    double milliseconds = 0; // estimated or measured
};

Command dispatchCommand(Dispatch dispatch, uint32_t op = kNone);
Command copyCommand(BufferRange from, BufferRange to, uint32_t op = kNone);
Command updateCommand(BufferRange to, std::vector<uint32_t> words);

// For placeBarriers and checkHazards.
RecordEntry recordEntry(const Command &command);
std::vector<RecordEntry> recordEntries(const std::vector<Command> &commands);

// The commands of one command buffer: a barrier against all that was submitted before, then the list with
// barriers where hazards need them.
std::vector<Command> withBarriers(std::vector<Command> commands);

// What the numbers in BufferRange::buffer stand for: an allocation, and where in it the buffer begins (a
// multiple of 256). The allocations stay where they are while it is used.
struct BufferTable {
    struct Entry {
        const gpu::Allocation *allocation = nullptr;
        uint64_t base = 0; // bytes
    };
    std::vector<Entry> entries;

    void add(const gpu::Allocation &allocation, uint64_t base = 0) { entries.push_back({&allocation, base}); }
    gpu::BufferRange bound(const BufferRange &range) const {
        const Entry &entry = entries[range.buffer];
        return {entry.allocation, entry.base + range.begin, range.end - range.begin};
    }
};

// Appends one command, or all of them between begin() and end().
Status record(gpu::PipelineCache &pipelines, const BufferTable &buffers, const Command &command,
              gpu::CommandBuffer &into);
Status recordAll(gpu::PipelineCache &pipelines, const BufferTable &buffers,
                 const std::vector<Command> &commands, gpu::CommandBuffer &into);

// Cuts every dispatch that takes longer than the budget into slices, then the list into parts that each stay
// within the budget where a single slice does.
std::vector<std::vector<Command>> cutCommands(const std::vector<Command> &commands, double budgetMilliseconds,
                                              const Traits &traits);

double totalMilliseconds(const std::vector<Command> &commands);

} // namespace mote::pipeline
