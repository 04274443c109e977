// Which variant of a kernel is fastest: measured on the device with the shapes of a session to come, and kept
// in the cache directory.
#pragma once

#include "pipeline/session.h"

#include <cstdint>

namespace mote::pipeline {

// Of everything, compiling included.
constexpr uint32_t kTuneMilliseconds = 20'000;

struct TuneOptions {
    uint32_t milliseconds = 0; // 0: kTuneMilliseconds
    Progress progress;
};

struct TuneResult {
    uint32_t shapes = 0;  // ops that differ in kind or shape and have several variants
    uint32_t timed = 0;   // of these, now; others were known, or time was up
    uint32_t changed = 0; // of all: those for which another variant than the rules' is taken
    double milliseconds = 0;
};

// Times what is not known yet and gives the model the choices, for sessions made from now on. Where the time
// is up the rest stays with the rules; Cancelled: LoadedModel::cancelTuning was set, and what was found until
// then is kept. An op and shape during
// which the program or the device died is not tried again with the same cache directory.
Status tuneKernels(LoadedModel &model, const SessionOptions &session, const TuneOptions &options,
                   TuneResult &result);

} // namespace mote::pipeline
