// A Vulkan device as a compiler: pipelines made as the runtime makes them, and what the driver says of each
// through VK_KHR_pipeline_executable_properties. Nothing is dispatched, so devices that are not there
// (RADV's null devices, Mesa's drm-shim) do.
#pragma once

#include "gpu/device.h"
#include "gpu/pipeline.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace mote::bench {

// Of one pipeline; -1: the driver does not say.
struct Compiled {
    double registers = -1; // of an invocation: vector registers of RADV, full registers (vec4) of turnip
    double spills = -1;    // whatever the driver calls so, summed: registers, stores and loads, bytes
    double instructions = -1;
    double waves = -1; // resident subgroups: a SIMD's on AMD, a core's on Adreno, threads on V3D and Mali
    double codeBytes = -1;
    std::vector<std::pair<std::string, double>> all; // as the driver names them
};

class Compiler {
public:
    // nameContains: as gpu::DeviceOptions. Unsupported: the device has no
    // VK_KHR_pipeline_executable_properties.
    static Result<std::unique_ptr<Compiler>> open(const char *nameContains);
    Compiler(const Compiler &) = delete;
    Compiler &operator=(const Compiler &) = delete;
    ~Compiler();

    gpu::Device &device() { return *device_; }
    // Unsupported: as gpu::PipelineCache::get.
    Result<Compiled> compile(const gpu::PipelineDescription &description);

private:
    Compiler() = default;
    Status createDevice(const char *nameContains);

    std::unique_ptr<gpu::Instance> instance_;
    gpu::LentDevice lent_;
    PFN_vkDestroyDevice destroyDevice_ = nullptr;
    PFN_vkGetPipelineExecutablePropertiesKHR executables_ = nullptr;
    PFN_vkGetPipelineExecutableStatisticsKHR statistics_ = nullptr;
    std::unique_ptr<gpu::Device> device_;
};

} // namespace mote::bench
