// Work on several cores while a model is loaded or a session is made.
#pragma once

#include "model/status.h"

#include <cstddef>
#include <functional>

namespace mote::pipeline {

constexpr size_t kMostAtATime = 4;

// Calls body(i) for all i < count, each once and in no order, up to kMostAtATime at a time: by this thread
// and others, or by this one alone where no thread can be had. Returns when all have, with the status of the
// first i that failed; std::bad_alloc is OutOfMemory.
Status inParallel(size_t count, const std::function<Status(size_t)> &body);

} // namespace mote::pipeline
