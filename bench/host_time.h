// What a forward pass costs the host: the time that a run spends in the library, outside of Vulkan's
// functions.
#pragma once

#include "subject.h"

#include <memory>

namespace mote::bench {

// Registers "host/NAME" where the model has recipes of different lengths: of the calls that the longer run
// has more, the time between them, a step of the difference.
void registerHostTime(const std::shared_ptr<Subject> &subject);

} // namespace mote::bench
