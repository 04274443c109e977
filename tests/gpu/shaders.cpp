#include "gpu/gpu_test.h"

#include <cstdlib>
#include <filesystem>

namespace mote::test {
namespace {

const uint16_t kAddresses[] = {
#include "shaders/addresses.inc"
};
const uint16_t kScale[] = {
#include "shaders/scale.inc"
};
const uint16_t kScaleTexels[] = {
#include "shaders/scale_texels.inc"
};
const uint16_t kSharedSum[] = {
#include "shaders/shared_sum.inc"
};

const uint16_t kNeedsShuffle[] = {
#include "shaders/needs_SHUFFLE.inc"
};
const uint16_t kNeedsFloat16[] = {
#include "shaders/needs_FLOAT16.inc"
};
const uint16_t kNeedsStorage16[] = {
#include "shaders/needs_STORAGE16.inc"
};
const uint16_t kNeedsInt64[] = {
#include "shaders/needs_INT64.inc"
};
const uint16_t kNeedsMatrix[] = {
#include "shaders/needs_MATRIX.inc"
};
const uint16_t kNeedsFloat64[] = {
#include "shaders/needs_FLOAT64.inc"
};

template <size_t size> gpu::ShaderCode shader(uint32_t id, const char *name, const uint16_t (&packed)[size]) {
    return {id, name, packed, size};
}

} // namespace

testing::AssertionResult failed(const Status &status, StatusCode code, const std::string &part) {
    if (status.code != code) {
        return testing::AssertionFailure() << "code " << static_cast<int>(status.code) << ", expected "
                                           << static_cast<int>(code) << ": " << status.message;
    }
    if (status.message.find(part) == std::string::npos) {
        return testing::AssertionFailure() << "'" << status.message << "' does not say '" << part << "'";
    }
    return testing::AssertionSuccess();
}

gpu::ShaderCode scaleShader() {
    return shader(1, "scale", kScale);
}

gpu::ShaderCode scaleTexelsShader() {
    return shader(7, "scale_texels", kScaleTexels);
}

gpu::ShaderCode addressesShader() {
    return shader(10, "addresses", kAddresses);
}

gpu::ShaderCode sharedSumShader() {
    return shader(2, "shared_sum", kSharedSum);
}

gpu::ShaderCode needsShader(const std::string &feature) {
    if (feature == "SHUFFLE") {
        return shader(3, "needs_shuffle", kNeedsShuffle);
    }
    if (feature == "FLOAT16") {
        return shader(4, "needs_float16", kNeedsFloat16);
    }
    if (feature == "STORAGE16") {
        return shader(5, "needs_storage16", kNeedsStorage16);
    }
    if (feature == "INT64") {
        return shader(9, "needs_int64", kNeedsInt64);
    }
    if (feature == "MATRIX") {
        return shader(8, "needs_matrix", kNeedsMatrix);
    }
    return shader(6, "needs_float64", kNeedsFloat64);
}

gpu::PipelineDescription scaleDescription(uint32_t offset) {
    gpu::PipelineDescription description;
    description.shader = scaleShader();
    description.constants = {64, offset};
    description.bindings = 2;
    description.pushBytes = sizeof(ScalePush);
    return description;
}

gpu::PipelineDescription scaleTexelsDescription() {
    gpu::PipelineDescription description = scaleDescription();
    description.shader = scaleTexelsShader();
    description.texelBindings = 1;
    return description;
}

gpu::PipelineDescription addressesDescription() {
    gpu::PipelineDescription description;
    description.shader = addressesShader();
    description.bindings = 3;
    description.addressBindings = 5;
    description.pushBytes = sizeof(AddressesPush);
    return description;
}

Status recordScale(gpu::CommandBuffer &commands, const gpu::Pipeline &pipeline, const gpu::Allocation &source,
                   const gpu::Allocation &target, uint32_t count, float factor) {
    const ScalePush push = {count, factor};
    const gpu::BufferRange ranges[] = {{&source, 0, count * sizeof(float)},
                                       {&target, 0, count * sizeof(float)}};
    return commands.dispatch(pipeline, ranges, 2, &push, sizeof push, (count + 63) / 64, 1, 1);
}

ScratchFolder::ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "mote-test-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) {
        path_ = name;
    }
}

ScratchFolder::~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

void Gpu::SetUp() {
    Result<std::unique_ptr<gpu::Device>> made = gpu::Device::create({});
    ASSERT_TRUE(succeeded(made));
    device_ = std::move(made.value());
}

gpu::Allocation Gpu::allocate(uint64_t bytes, gpu::MemoryKind kind) {
    Result<gpu::Allocation> made = gpu::Allocation::create(device(), bytes, kind, "test");
    EXPECT_TRUE(succeeded(made));
    return made.ok() ? std::move(made.value()) : gpu::Allocation();
}

gpu::Allocation Gpu::allocate(const std::vector<float> &values) {
    gpu::Allocation made = allocate(values.size() * sizeof(float));
    Result<gpu::Uploader> uploader = gpu::Uploader::create(device(), gpu::kDefaultChunkBytes);
    EXPECT_TRUE(succeeded(uploader));
    if (uploader.ok()) {
        EXPECT_TRUE(succeeded(uploader->upload(made, 0, values.data(), values.size() * sizeof(float))));
        EXPECT_TRUE(succeeded(uploader->finish()));
    }
    return made;
}

gpu::CommandBuffer Gpu::commandBuffer() {
    Result<gpu::CommandBuffer> made = gpu::CommandBuffer::create(device());
    EXPECT_TRUE(succeeded(made));
    return made.ok() ? std::move(made.value()) : gpu::CommandBuffer();
}

gpu::Fence Gpu::fence() {
    Result<gpu::Fence> made = gpu::Fence::create(device());
    EXPECT_TRUE(succeeded(made));
    return made.ok() ? std::move(made.value()) : gpu::Fence();
}

const gpu::Pipeline &Gpu::pipeline(const gpu::PipelineDescription &description) {
    Result<const gpu::Pipeline *> made = device().pipelines().get(description);
    EXPECT_TRUE(succeeded(made));
    static const gpu::Pipeline kNone;
    return made.ok() ? *made.value() : kNone;
}

std::vector<float> Gpu::floatsOf(const gpu::Allocation &allocation) {
    std::vector<float> values(allocation.size() / sizeof(float));
    EXPECT_TRUE(succeeded(gpu::readBack(device(), allocation, 0, values.data(), allocation.size())));
    return values;
}

void Gpu::submitAndWait(const gpu::CommandBuffer &commands) {
    gpu::Fence done = fence();
    ASSERT_TRUE(succeeded(device().queue().submit(commands, done)));
    ASSERT_TRUE(succeeded(done.wait()));
}

} // namespace mote::test
