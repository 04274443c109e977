// What a compute module needs, read from its words, so that limits are checked before a driver sees it:
// drivers have returned zeros or crashed where a limit was exceeded and only checked in debug builds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/status.h"

namespace mote::gpu {

struct SpirvInfo {
    uint32_t workgroupSize[3] = {1, 1, 1}; // after specialisation
    uint64_t sharedBytes = 0;              // Workgroup storage, tightly packed, after specialisation
    uint32_t bindings = 0;                 // highest binding used + 1
    uint32_t storageBindings = 0;          // bit i: a storage buffer at binding i
    uint32_t texelBindings = 0;            // bit i: a uniform texel buffer of unsigned integers there
    uint32_t pushBytes = 0;                // end of the last push constant member
    uint32_t constants = 0;                // highest constant_id used + 1
    std::vector<uint32_t> capabilities;    // as declared by OpCapability
};

// `constants` specialise by constant_id 0, 1, 2, ... InvalidArgument: not SPIR-V, or of a form that Mote's
// shaders do not have (a set other than 0, a binding above 31, no entry point "main", an array without a
// constant length in shared memory).
Result<SpirvInfo> inspectSpirv(const uint32_t *words, size_t wordCount,
                               const std::vector<uint32_t> &constants);

} // namespace mote::gpu
