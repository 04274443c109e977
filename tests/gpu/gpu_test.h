// A device, small shaders and a scratch folder for the tests of runtime/gpu.
#pragma once

#include "gpu/command.h"
#include "gpu/device.h"
#include "gpu/memory.h"
#include "gpu/pipeline.h"
#include "gpu/queue.h"
#include "gpu/transfer.h"
#include "support/validation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mote::test {

// GoogleTest's view of a status.
inline testing::AssertionResult succeeded(const Status &status) {
    return status.ok() ? testing::AssertionSuccess() : testing::AssertionFailure() << status.message;
}
template <typename T> testing::AssertionResult succeeded(const Result<T> &result) {
    return succeeded(result.status());
}
// ... that must be of this code and say this.
testing::AssertionResult failed(const Status &status, StatusCode code, const std::string &part);

gpu::ShaderCode scaleShader();
gpu::ShaderCode scaleTexelsShader(); // the same reading its source as a texel buffer
gpu::ShaderCode addressesShader();
gpu::ShaderCode sharedSumShader();
// needs.comp: "SHUFFLE", "FLOAT16", "STORAGE16", "INT64", "MATRIX" or "FLOAT64".
gpu::ShaderCode needsShader(const std::string &feature);

// scale.comp with workgroups of 64.
gpu::PipelineDescription scaleDescription(uint32_t offset = 0);
gpu::PipelineDescription scaleTexelsDescription();
// Their push constants.
struct ScalePush {
    uint32_t count;
    float factor;
};
// Records target[i] = source[i] * factor + the pipeline's offset; both hold `count` floats.
Status recordScale(gpu::CommandBuffer &commands, const gpu::Pipeline &pipeline, const gpu::Allocation &source,
                   const gpu::Allocation &target, uint32_t count, float factor);

// addresses.comp and its push constants.
gpu::PipelineDescription addressesDescription();
struct AddressesPush {
    uint32_t count;
    float factor;
    uint64_t first, second;
};

// A folder that is emptied and removed at the end.
class ScratchFolder {
public:
    ScratchFolder();
    ~ScratchFolder();
    ScratchFolder(const ScratchFolder &) = delete;
    ScratchFolder &operator=(const ScratchFolder &) = delete;
    const std::string &path() const { return path_; }

private:
    std::string path_;
};

class Gpu : public testing::Test {
protected:
    void SetUp() override;

    gpu::Device &device() { return *device_; }
    // Each fails the test where it cannot be made.
    gpu::Allocation allocate(uint64_t bytes, gpu::MemoryKind kind = gpu::MemoryKind::DeviceLocal);
    gpu::Allocation allocate(const std::vector<float> &values); // device local, with these values
    gpu::CommandBuffer commandBuffer();
    gpu::Fence fence();
    const gpu::Pipeline &pipeline(const gpu::PipelineDescription &description);
    std::vector<float> floatsOf(const gpu::Allocation &allocation);
    void submitAndWait(const gpu::CommandBuffer &commands);

    std::unique_ptr<gpu::Device> device_;
};

} // namespace mote::test
