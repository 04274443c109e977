#include "model/task.h"

#include "model/validate_rules.h"

namespace mote {
namespace {

struct NamedTask {
    const char *name;
    Task task;
};
constexpr NamedTask kTasks[] = {
    {"generate", {TaskKind::Generate, 1}},
    {"restore", {TaskKind::Restore, 1}},
    {"denoise", {TaskKind::Denoise, 1}},
    {"deblur", {TaskKind::Deblur, 1}},
    {"jpeg", {TaskKind::Jpeg, 1}},
    {"super-resolution-x2", {TaskKind::SuperResolution, 2}},
    {"super-resolution-x4", {TaskKind::SuperResolution, 4}},
    {"inpaint", {TaskKind::Inpaint, 1}},
    {"colourise", {TaskKind::Colourise, 1}},
};

// Input images of the app with their channels, "condition (3 channels)"; and the state's channels.
struct Inputs {
    std::string text;
    uint32_t state = 0, count = 0;
    uint32_t condition = 0, mask = 0, known = 0; // channels; 0: no such port
};

Inputs inputsOf(const Graph &graph) {
    Inputs inputs;
    for (const Port &port : graph.ports) {
        const uint32_t channels =
            port.tensor < graph.tensors.size() ? graph.tensors[port.tensor].channels : 0;
        if (port.output)
            continue;
        if (port.source == PortSource::State)
            inputs.state = channels;
        if (port.source != PortSource::App)
            continue;
        inputs.text += (inputs.count == 0 ? "" : ", ") + quoted(port.name) + " of " +
                       std::to_string(channels) + (channels == 1 ? " channel" : " channels");
        ++inputs.count;
        if (port.kind != PortKind::Image)
            continue;
        if (port.name == kConditionPort)
            inputs.condition = channels;
        else if (port.name == kMaskPort)
            inputs.mask = channels;
        else if (port.name == kKnownPort)
            inputs.known = channels;
    }
    return inputs;
}

} // namespace

Result<Task> taskNamed(const std::string &name) {
    std::string names;
    for (const NamedTask &known : kTasks) {
        if (name == known.name)
            return known.task;
        names += (names.empty() ? "" : ", ") + std::string(known.name);
    }
    return makeStatus(StatusCode::InvalidArgument, "task: found %s, expected one of: %s",
                      quoted(name).c_str(), names.c_str());
}

std::string taskName(const Task &task) {
    for (const NamedTask &known : kTasks)
        if (known.task.kind == task.kind && known.task.scale == task.scale)
            return known.name;
    return "";
}

Status checkTask(const Model &model, const std::string &file) {
    const Result<Task> task = taskNamed(model.task);
    if (!task.ok())
        return wrong(file, "%s", task.status().message.c_str());
    if (task->kind == TaskKind::Generate || task->kind == TaskKind::Restore)
        return {};
    Inputs inputs;
    for (const Graph &graph : model.graphs)
        if (graph.phase == Phase::PerStep && inputs.state == 0)
            inputs = inputsOf(graph);
    const char *expected = "one image 'condition' with the state's channels";
    bool right = inputs.count == 1 && inputs.condition == inputs.state;
    if (task->kind == TaskKind::Inpaint) {
        expected = "images 'mask' of one channel and 'known' with the state's";
        right = inputs.count == 2 && inputs.mask == 1 && inputs.known == inputs.state;
    } else if (task->kind == TaskKind::Colourise) {
        expected = "one image 'condition' of one channel and two channels in the state";
        right = inputs.count == 1 && inputs.condition == 1 && inputs.state == 2;
    }
    if (right)
        return {};
    return wrong(file, "task %s: found inputs %s and %u channels in the state, expected %s",
                 quoted(model.task).c_str(), inputs.count == 0 ? "none" : inputs.text.c_str(), inputs.state,
                 expected);
}

} // namespace mote
