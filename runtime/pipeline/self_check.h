// Plays the self-check of a file: one small forward pass, op by op, each held against what the reference had.
#pragma once

#include "pipeline/loaded_model.h"

#include <functional>
#include <vector>

namespace mote::pipeline {

// Memory that is there anyway, so that checking costs none: whatever does not fit is allocated for the check.
struct BorrowedMemory {
    std::vector<const gpu::Allocation *> local;
    const gpu::Allocation *upload = nullptr;
    const gpu::Allocation *readback = nullptr;
};

// The largest |found - expected| over the op's samples as a fraction of its tolerance; infinite where a value
// is not a number. op kNone, name "" and kind "output": the whole output.
using CheckCallback = std::function<void(uint32_t op, const char *name, const char *kind, float fraction)>;

// CheckFailed names the first op that failed; Unsupported: the file has no self-check. Borrowed memory must
// not be in use. Called under LoadedModel::selfCheckMutex.
Status playSelfCheck(LoadedModel &model, const BorrowedMemory &borrowed, const CheckCallback &callback);

} // namespace mote::pipeline
