// What the device does at most through Vulkan, measured in the same run as everything that is held against
// it.
#pragma once

#include "gpu/device.h"

namespace mote::bench {

struct Ceilings {
    double operationsPerSecond = 0; // fp32, a multiply-add is two: the best of several loops
    double bytesPerSecond = 0;      // of a copy larger than any cache: read and written

    // What floors (bench/floors.h) are made of besides.
    double exponentialsPerSecond = 0;
    double loadedBytesPerSecond = 0, storedBytesPerSecond = 0; // in a cache
    // Of arithmetic and stores side by side: what of the shorter does not hide behind the longer, 0..1.
    double apart = 0;
    double dispatchSeconds = 0; // of an empty one with its barrier
};

// Takes about a second.
Ceilings measureCeilings(gpu::Device &device);

// The better of each of two measurements: others may have disturbed one.
Ceilings better(const Ceilings &a, const Ceilings &b);

} // namespace mote::bench
