#include "pipeline/commands.h"

#include "pipeline/submissions.h"

#include <utility>

namespace mote::pipeline {

Command dispatchCommand(Dispatch dispatch, uint32_t op) {
    Command command;
    command.kind = CommandKind::Dispatch;
    command.dispatch = std::move(dispatch);
    command.op = op;
    return command;
}

Command copyCommand(BufferRange from, BufferRange to, uint32_t op) {
    Command command;
    command.kind = CommandKind::Copy;
    command.from = from;
    command.to = to;
    command.op = op;
    return command;
}

Command updateCommand(BufferRange to, std::vector<uint32_t> words) {
    Command command;
    command.kind = CommandKind::Update;
    command.to = {to.buffer, to.begin, to.begin + words.size() * sizeof(uint32_t)};
    command.words = std::move(words);
    return command;
}

RecordEntry recordEntry(const Command &command) {
    RecordEntry entry;
    switch (command.kind) {
    case CommandKind::Dispatch:
        return mote::recordEntry(command.dispatch);
    case CommandKind::Copy:
        entry.name = "copy";
        entry.reads = {command.from};
        entry.writes = {command.to};
        return entry;
    case CommandKind::Update:
        entry.name = "update";
        entry.writes = {command.to};
        return entry;
    case CommandKind::Barrier:
        entry.kind = RecordKind::Barrier;
        return entry;
    }
    return entry;
}

std::vector<RecordEntry> recordEntries(const std::vector<Command> &commands) {
    std::vector<RecordEntry> entries;
    entries.reserve(commands.size());
    for (const Command &command : commands)
        entries.push_back(recordEntry(command));
    return entries;
}

std::vector<Command> withBarriers(std::vector<Command> commands) {
    const std::vector<bool> needed = placeBarriers(recordEntries(commands));
    std::vector<Command> list(1); // the barrier at the start
    for (size_t i = 0; i < commands.size(); ++i) {
        if (needed[i] && i > 0)
            list.emplace_back();
        list.push_back(std::move(commands[i]));
    }
    return list;
}

Status record(gpu::PipelineCache &pipelines, const BufferTable &buffers, const Command &command,
              gpu::CommandBuffer &into) {
    switch (command.kind) {
    case CommandKind::Dispatch: {
        const Dispatch &dispatch = command.dispatch;
        MOTE_TRY_ASSIGN(const gpu::Pipeline *pipeline, pipelines.get(dispatch.pipeline));
        std::vector<gpu::BufferRange> ranges;
        ranges.reserve(dispatch.bindings.size());
        for (const Binding &binding : dispatch.bindings)
            ranges.push_back(buffers.bound(binding.range));
        return into.dispatch(*pipeline, ranges.data(), ranges.size(), dispatch.push.data(),
                             dispatch.push.size() * sizeof(uint32_t), dispatch.groups[0], dispatch.groups[1],
                             dispatch.groups[2]);
    }
    case CommandKind::Copy: {
        const gpu::BufferRange from = buffers.bound(command.from), to = buffers.bound(command.to);
        return into.copy(*from.allocation, from.offset, *to.allocation, to.offset, to.size);
    }
    case CommandKind::Update: {
        const gpu::BufferRange to = buffers.bound(command.to);
        return into.update(*to.allocation, to.offset, command.words.data(), to.size);
    }
    case CommandKind::Barrier:
        into.barrier();
        return {};
    }
    return {};
}

Status recordAll(gpu::PipelineCache &pipelines, const BufferTable &buffers,
                 const std::vector<Command> &commands, gpu::CommandBuffer &into) {
    MOTE_TRY(into.begin());
    for (const Command &command : commands)
        MOTE_TRY(record(pipelines, buffers, command, into));
    return into.end();
}

std::vector<std::vector<Command>> cutCommands(const std::vector<Command> &commands, double budgetMilliseconds,
                                              const Traits &traits) {
    std::vector<Command> parts;
    std::vector<double> milliseconds;
    for (const Command &command : commands) {
        if (command.kind != CommandKind::Dispatch || command.milliseconds <= budgetMilliseconds) {
            parts.push_back(command);
            milliseconds.push_back(command.milliseconds);
            continue;
        }
        const uint32_t groups = command.dispatch.groupCount;
        for (const GroupRange &range : splitDispatch(groups, command.milliseconds, budgetMilliseconds)) {
            Command part = command;
            part.dispatch = slice(command.dispatch, range.first, range.count, traits);
            part.milliseconds = command.milliseconds * range.count / groups;
            milliseconds.push_back(part.milliseconds);
            parts.push_back(std::move(part));
        }
    }
    std::vector<std::vector<Command>> lists;
    size_t first = 0;
    for (size_t end : cutSubmissions(milliseconds, budgetMilliseconds)) {
        lists.emplace_back(std::make_move_iterator(parts.begin() + static_cast<std::ptrdiff_t>(first)),
                           std::make_move_iterator(parts.begin() + static_cast<std::ptrdiff_t>(end)));
        first = end;
    }
    return lists;
}

double totalMilliseconds(const std::vector<Command> &commands) {
    double sum = 0;
    for (const Command &command : commands)
        sum += command.milliseconds;
    return sum;
}

} // namespace mote::pipeline
