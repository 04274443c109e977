// What the device does at most through Vulkan, measured in the same run as everything that is held against
// it.
#pragma once

#include "gpu/device.h"

namespace mote::bench {

struct Ceilings {
    double operationsPerSecond = 0; // fp32, a multiply-add is two
    double bytesPerSecond = 0;      // of a copy larger than any cache: read and written
};

// Takes about a second.
Ceilings measureCeilings(gpu::Device &device);

} // namespace mote::bench
