// What a model is for: how its inputs are made of what the user has, and the picture of what the sampler
// gives. FORMAT.md says it for each task.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <string>

namespace mote {

enum class TaskKind : uint8_t {
    Generate,        // nothing is restored
    Restore,         // planes beside the state, without a meaning known here
    Denoise,         // "condition" is the photo
    Deblur,          // likewise
    Jpeg,            // likewise
    SuperResolution, // "condition" is the photo enlarged
    Inpaint,         // "mask", "known"
    Colourise,       // "condition" is luma, the state Cb and Cr
};

struct Task {
    TaskKind kind = TaskKind::Generate;
    uint32_t scale = 1; // SuperResolution: pixels a side of the output for one of the input
};

// InvalidArgument for a name that is none, with the list of those that are.
Result<Task> taskNamed(const std::string &name);
std::string taskName(const Task &task);

// Whether the graph that runs in every step has the ports of the model's task. The message begins with
// `file`.
Status checkTask(const Model &model, const std::string &file);

// Port names with a meaning.
constexpr const char *kConditionPort = "condition", *kMaskPort = "mask", *kKnownPort = "known";

} // namespace mote
