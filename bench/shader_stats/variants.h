// The pipelines that the runtime can ask for: every variant of every kernel, specialised as the shipped model
// and the benchmarks' models have it, and the modules around the network.
#pragma once

#include "gpu/spirv_info.h"
#include "kernels/kernels.h"

#include <string>
#include <vector>

namespace mote::bench {

enum class Use : uint8_t {
    Default,  // what the runtime takes on this device, where everything compiles
    Fallback, // what it would take after that
    Elsewhere // what it takes on software devices only, or could where there are cooperative matrices
};
const char *nameOf(Use use);

bool needsMatrices(const gpu::SpirvInfo &info);

struct Variant {
    gpu::PipelineDescription pipeline;
    std::string kernel; // of the first op that has it, as OpKernel::name; empty: not part of a network
    Use use = Use::Default;
    uint32_t ops = 0; // ops of all models that would use it, or could
};

// In the order of the modules. Throws std::runtime_error where a model cannot be prepared.
std::vector<Variant> variantsFor(const Traits &traits);

} // namespace mote::bench
