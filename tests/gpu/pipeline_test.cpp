#include "gpu/pipeline.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

#include <thread>

namespace mote::test {
namespace {

gpu::PipelineDescription sharedSumDescription(uint32_t length) {
    gpu::PipelineDescription description;
    description.shader = sharedSumShader();
    description.constants = {length};
    description.bindings = 2;
    return description;
}

TEST_F(Gpu, PipelineIsMadeOnceForEachDescription) {
    const gpu::Pipeline &first = pipeline(scaleDescription());
    EXPECT_EQ(&first, &pipeline(scaleDescription()));
    EXPECT_EQ(first.name, "scale");
    EXPECT_EQ(first.workgroupSize[0], 64u);
    EXPECT_EQ(device().pipelines().pipelineCount(), 1u);

    const gpu::Pipeline &otherConstant = pipeline(scaleDescription(7));
    EXPECT_NE(&first, &otherConstant);
    EXPECT_EQ(first.layout, otherConstant.layout);
    gpu::PipelineDescription more = scaleDescription();
    more.bindings = 3;
    const gpu::Pipeline &otherBindings = pipeline(more);
    EXPECT_NE(first.setLayout, otherBindings.setLayout);
    more.pushBytes = 32;
    const gpu::Pipeline &otherPush = pipeline(more);
    EXPECT_EQ(otherBindings.setLayout, otherPush.setLayout);
    EXPECT_NE(otherBindings.layout, otherPush.layout);
    EXPECT_EQ(device().pipelines().pipelineCount(), 4u);
    if (device().caps().bufferDeviceAddress) {
        more.addressBindings = 1;
        const gpu::Pipeline &otherAddresses = pipeline(more);
        EXPECT_NE(&otherPush, &otherAddresses);
        EXPECT_EQ(otherPush.layout, otherAddresses.layout);
        EXPECT_EQ(otherPush.addressBindings, 0u);
        EXPECT_EQ(otherAddresses.addressBindings, 1u);
    }
}

TEST_F(Gpu, PipelinesMadeByManyThreadsAreMadeOnce) {
    std::vector<std::thread> threads;
    std::vector<const gpu::Pipeline *> seen(8);
    for (size_t i = 0; i < seen.size(); ++i) {
        threads.emplace_back([&, i] {
            const Result<const gpu::Pipeline *> made =
                device().pipelines().get(scaleDescription(static_cast<uint32_t>(i % 2)));
            seen[i] = made.ok() ? made.value() : nullptr;
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(device().pipelines().pipelineCount(), 2u);
    for (size_t i = 0; i < seen.size(); ++i) {
        ASSERT_NE(seen[i], nullptr);
        EXPECT_EQ(seen[i], seen[i % 2]);
    }
}

// A module that uses more than the device has never reaches the driver.
class PipelineLimits : public testing::Test {
protected:
    Status statusWith(const gpu::LimitsClamp &clamp, const gpu::PipelineDescription &description) {
        gpu::DeviceOptions options;
        options.clamp = &clamp;
        Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
        if (!device.ok()) {
            return device.status();
        }
        device.value()->vk().vkCreateComputePipelines = failWith<VK_ERROR_UNKNOWN>;
        device.value()->vk().vkCreateShaderModule = failWith<VK_ERROR_UNKNOWN>;
        return device.value()->pipelines().get(description).status();
    }
};

TEST_F(PipelineLimits, InvocationsAreChecked) {
    gpu::LimitsClamp clamp;
    clamp.maxWorkgroupInvocations = 32;
    EXPECT_TRUE(failed(statusWith(clamp, scaleDescription()), StatusCode::Unsupported,
                       "pipeline scale: needs 64 invocations in one dimension, the device has 32"));
    gpu::PipelineDescription huge = scaleDescription();
    huge.constants[0] = 0xffffffff;
    EXPECT_TRUE(failed(statusWith({}, huge), StatusCode::Unsupported, "needs 4294967295 invocations"));
    huge.constants[0] = 0;
    EXPECT_TRUE(failed(statusWith({}, huge), StatusCode::InvalidArgument, "a workgroup of size 0"));
}

TEST_F(PipelineLimits, SharedMemoryIsChecked) {
    EXPECT_TRUE(failed(statusWith(gpu::floorClamp(), sharedSumDescription(1400)), StatusCode::Unsupported,
                       "pipeline shared_sum: needs 16896 bytes of shared memory, the device has 16384"));
}

TEST_F(PipelineLimits, StorageBuffersAreChecked) {
    gpu::PipelineDescription many = scaleDescription();
    many.bindings = 9;
    EXPECT_TRUE(failed(statusWith(gpu::floorClamp(), many), StatusCode::Unsupported,
                       "needs 9 storage buffers, the device has 8"));
}

TEST_F(PipelineLimits, KindsOfBindingsAreChecked) {
    gpu::PipelineDescription texels = scaleTexelsDescription();
    texels.texelBindings = 0;
    EXPECT_TRUE(
        failed(statusWith({}, texels), StatusCode::InvalidArgument,
               "the module has texel buffers at bindings 0x1 and storage buffers at 0x2, texel buffers at "
               "0 are described"));
    gpu::PipelineDescription storage = scaleDescription();
    storage.texelBindings = 2;
    EXPECT_TRUE(
        failed(statusWith({}, storage), StatusCode::InvalidArgument, "texel buffers at 0x2 are described"));
}

TEST_F(PipelineLimits, PushConstantsAreChecked) {
    gpu::PipelineDescription large = scaleDescription();
    large.pushBytes = 1u << 20;
    EXPECT_TRUE(
        failed(statusWith({}, large), StatusCode::Unsupported, "needs 1048576 bytes of push constants"));
    large.pushBytes = 10;
    EXPECT_TRUE(failed(statusWith({}, large), StatusCode::InvalidArgument, "a multiple of 4 is needed"));
}

TEST_F(PipelineLimits, AddressesAreChecked) {
    gpu::PipelineDescription addresses = scaleDescription();
    addresses.addressBindings = 1;
    EXPECT_TRUE(failed(statusWith(gpu::floorClamp(), addresses), StatusCode::Unsupported,
                       "needs the addresses of bindings 0x1, the device has none"));
    EXPECT_TRUE(failed(statusWith(gpu::floorClamp(), addressesDescription()), StatusCode::Unsupported,
                       "pipeline addresses: needs buffer addresses"));
    const Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create({});
    ASSERT_TRUE(succeeded(device));
    if (!device.value()->caps().bufferDeviceAddress) {
        GTEST_SKIP() << "for devices with buffer addresses";
    }
    addresses.addressBindings = 3;
    EXPECT_TRUE(failed(statusWith({}, addresses), StatusCode::InvalidArgument,
                       "the addresses of bindings 0x3 are described with 2 bindings and 8 push constant"));
    addresses.addressBindings = 4;
    EXPECT_TRUE(failed(statusWith({}, addresses), StatusCode::InvalidArgument, "bindings 0x4"));
}

TEST_F(PipelineLimits, SubgroupSizeIsChecked) {
    gpu::PipelineDescription wide = scaleDescription();
    wide.requiredSubgroupSize = 64;
    EXPECT_TRUE(
        failed(statusWith(gpu::floorClamp(), wide), StatusCode::Unsupported, "needs subgroups of 64"));
}

gpu::PipelineDescription needsDescription(const std::string &feature) {
    gpu::PipelineDescription description;
    description.shader = needsShader(feature);
    description.bindings = 2;
    return description;
}

TEST_F(PipelineLimits, FeaturesAreChecked) {
    const std::pair<const char *, const char *> cases[] = {
        {"SHUFFLE", "needs subgroup operations"},
        {"FLOAT16", "needs fp16 arithmetic"},
        {"STORAGE16", "needs 16-bit storage"},
        {"INT64", "needs buffer addresses"},
        {"MATRIX", "needs cooperative matrices"},
        {"FLOAT64", "needs SPIR-V capability 10, which is never enabled"},
    };
    for (const auto &[feature, text] : cases) {
        EXPECT_TRUE(
            failed(statusWith(gpu::floorClamp(), needsDescription(feature)), StatusCode::Unsupported, text));
    }
}

TEST_F(Gpu, FeaturesThatTheDeviceHasAreUsable) {
    const gpu::Caps &caps = device().caps();
    const std::pair<const char *, bool> cases[] = {
        {"SHUFFLE", (caps.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0},
        {"FLOAT16", caps.fp16Arithmetic},
        {"STORAGE16", caps.storage16},
        {"INT64", caps.bufferDeviceAddress},
        {"FLOAT64", false},
    };
    for (const auto &[feature, present] : cases) {
        const Result<const gpu::Pipeline *> made = device().pipelines().get(needsDescription(feature));
        EXPECT_EQ(made.ok(), present) << feature << ": " << made.status().message;
    }
}

TEST_F(PipelineLimits, DescriptionMustCoverWhatTheModuleUses) {
    gpu::PipelineDescription small = scaleDescription();
    small.bindings = 1;
    EXPECT_TRUE(failed(statusWith({}, small), StatusCode::InvalidArgument,
                       "the module uses 2 bindings, 1 are described"));
    small = scaleDescription();
    small.pushBytes = 4;
    EXPECT_TRUE(failed(statusWith({}, small), StatusCode::InvalidArgument,
                       "the module uses 8 push constant bytes, 4 are described"));
}

TEST_F(Gpu, PipelineThatTheDriverCannotCompileIsAStatusAndMayBeTriedAgain) {
    const gpu::DeviceTable whole = device().vk();
    const auto attempt = [&] {
        Status status = device().pipelines().get(scaleDescription()).status();
        device().vk() = whole;
        return status;
    };
    device().vk().vkCreateComputePipelines = failWith<VK_ERROR_UNKNOWN>;
    EXPECT_TRUE(failed(attempt(), StatusCode::Unsupported, "pipeline scale: vkCreateComputePipelines"));
    device().vk().vkCreateComputePipelines = failWith<VK_ERROR_INITIALIZATION_FAILED>;
    EXPECT_TRUE(failed(attempt(), StatusCode::Unsupported, "VK_ERROR_INITIALIZATION_FAILED"));
    device().vk().vkCreateComputePipelines = failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory, "vkCreateComputePipelines"));
    device().vk().vkCreateShaderModule = failWith<VK_ERROR_OUT_OF_HOST_MEMORY>;
    EXPECT_TRUE(failed(attempt(), StatusCode::OutOfMemory, "vkCreateShaderModule"));
    device().vk().vkCreateDescriptorSetLayout = failWith<VK_ERROR_OUT_OF_DEVICE_MEMORY>;
    // The layouts were made by the attempts before and are kept: this cannot fail any more.
    EXPECT_TRUE(succeeded(attempt()));
    EXPECT_EQ(device().pipelines().pipelineCount(), 1u);
}

TEST_F(Gpu, DriverThatAnswersSuccessWithoutAPipelineIsNotBelieved) {
    device().vk().vkCreateComputePipelines = [](VkDevice, VkPipelineCache, uint32_t,
                                                const VkComputePipelineCreateInfo *,
                                                const VkAllocationCallbacks *, VkPipeline *pipelines) {
        pipelines[0] = VK_NULL_HANDLE;
        return VK_SUCCESS;
    };
    EXPECT_TRUE(failed(device().pipelines().get(scaleDescription()).status(), StatusCode::Unsupported,
                       "returned no pipeline"));
}

TEST_F(Gpu, SharedMemoryPipelineRuns) {
    const gpu::Pipeline &sum = pipeline(sharedSumDescription(64));
    std::vector<float> values(64);
    float expected = 0;
    for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(i * i);
        expected += values[i];
    }
    expected += values[0] - values[1] - values[0] + values[1];
    const gpu::Allocation source = allocate(values);
    const gpu::Allocation target = allocate(4);
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    const gpu::BufferRange ranges[] = {{&source, 0, source.size()}, {&target, 0, 4}};
    ASSERT_TRUE(succeeded(commands.dispatch(sum, ranges, 2, nullptr, 0, 1, 1, 1)));
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    EXPECT_EQ(floatsOf(target), std::vector<float>{expected});
}

} // namespace
} // namespace mote::test
