#include "gpu/command.h"

#include "gpu/gpu_test.h"
#include "gpu/timestamps.h"

#include <map>
#include <numeric>

namespace mote::test {
namespace {

std::vector<float> counting(size_t count) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), 1.0f);
    return values;
}

TEST_F(Gpu, DispatchComputes) {
    const std::vector<float> values = counting(1000);
    const gpu::Allocation source = allocate(values);
    const gpu::Allocation target = allocate(4000);
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(recordScale(commands, pipeline(scaleDescription(5)), source, target, 1000, 3.0f)));
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    std::vector<float> expected = values;
    for (float &value : expected) {
        value = value * 3 + 5;
    }
    EXPECT_EQ(floatsOf(target), expected);
}

TEST_F(Gpu, DispatchReadsTexelBuffersFromAnyPlaceOfAnAllocation) {
    const std::vector<float> values = counting(300);
    const gpu::Allocation source = allocate(values);
    const gpu::Allocation target = allocate(4 * 64 * sizeof(float));
    const gpu::Pipeline &texels = pipeline(scaleTexelsDescription());
    gpu::CommandBuffer commands = commandBuffer();
    for (int round = 0; round < 2; ++round) { // the second makes its views anew
        ASSERT_TRUE(succeeded(commands.begin()));
        for (uint64_t i = 0; i < 4; ++i) {
            const ScalePush push = {64, 2.0f};
            const gpu::BufferRange ranges[] = {{&source, i * 256, 256}, {&target, i * 256, 256}};
            ASSERT_TRUE(succeeded(commands.dispatch(texels, ranges, 2, &push, sizeof push, 1, 1, 1)));
        }
        ASSERT_TRUE(succeeded(commands.end()));
        submitAndWait(commands);
        for (size_t i = 0; i < 256; ++i) {
            ASSERT_EQ(floatsOf(target)[i], 2 * values[i]) << i;
        }
    }
}

TEST_F(Gpu, DispatchPassesTheAddressesOfRanges) {
    if (!device().caps().bufferDeviceAddress) {
        GTEST_SKIP() << "for devices with buffer addresses";
    }
    const std::vector<float> values = counting(256);
    const gpu::Allocation first = allocate(values);
    const gpu::Allocation second = allocate(values);
    const gpu::Allocation target = allocate(std::vector<float>(128));
    const gpu::Pipeline &addresses = pipeline(addressesDescription());
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    commands.barrier();
    AddressesPush push = {64, 1000.0f, 0, 0};
    for (uint64_t i = 0; i < 2; ++i) {
        const gpu::BufferRange ranges[] = {
            {&first, 256 + i * 256, 256}, {&target, i * 256, 256}, {&second, 768 - i * 768, 256}};
        ASSERT_TRUE(succeeded(commands.dispatch(addresses, ranges, 3, &push, sizeof push, 1, 1, 1)));
        EXPECT_EQ(push.first, 0u); // the caller's stay as they are
        EXPECT_EQ(push.second, 0u);
    }
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    const std::vector<float> read = floatsOf(target);
    for (size_t i = 0; i < 64; ++i) {
        ASSERT_EQ(read[i], values[64 + i] * 1000 - values[192 + i]) << i;
        ASSERT_EQ(read[64 + i], values[128 + i] * 1000 - values[i]) << i;
    }
}

TEST_F(Gpu, TexelBuffersBeyondTheDevicesLimitsAreRefused) {
    gpu::LimitsClamp clamp;
    clamp.maxTexelBufferElements = 8;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> small = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(small));
    Result<gpu::Allocation> memory =
        gpu::Allocation::create(*small.value(), 1024, gpu::MemoryKind::DeviceLocal, "test");
    ASSERT_TRUE(succeeded(memory));
    Result<const gpu::Pipeline *> texels = small.value()->pipelines().get(scaleTexelsDescription());
    ASSERT_TRUE(succeeded(texels));
    Result<gpu::CommandBuffer> commands = gpu::CommandBuffer::create(*small.value());
    ASSERT_TRUE(succeeded(commands));
    ASSERT_TRUE(succeeded(commands->begin()));
    const auto record = [&](uint64_t offset, uint64_t bytes) {
        const ScalePush push = {4, 2.0f};
        const gpu::BufferRange ranges[] = {{&memory.value(), offset, bytes}, {&memory.value(), 512, 256}};
        return commands->dispatch(*texels.value(), ranges, 2, &push, sizeof push, 1, 1, 1);
    };
    EXPECT_TRUE(succeeded(record(256, 128)));
    EXPECT_TRUE(failed(record(256, 144), StatusCode::Unsupported, "144 bytes, the device binds at most 128"));
    EXPECT_TRUE(failed(record(256, 100), StatusCode::InvalidArgument, "100 bytes, texels have 16"));
    if (small.value()->caps().minTexelBufferOffsetAlignment > 1) {
        EXPECT_TRUE(failed(record(1, 16), StatusCode::InvalidArgument, "offset 1, the device's alignment"));
    }
}

TEST_F(Gpu, RecordingIsReplayedAndMayBePendingTwice) {
    const gpu::Allocation values = allocate(counting(64));
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    commands.barrier();
    const gpu::Pipeline &twice = pipeline(scaleDescription());
    // In place, through two bindings of one range.
    ASSERT_TRUE(succeeded(recordScale(commands, twice, values, values, 64, 2.0f)));
    ASSERT_TRUE(succeeded(commands.end()));
    gpu::Fence first = fence();
    gpu::Fence second = fence();
    ASSERT_TRUE(succeeded(device().queue().submit(commands, first)));
    ASSERT_TRUE(succeeded(device().queue().submit(commands, second)));
    ASSERT_TRUE(succeeded(second.wait()));
    ASSERT_TRUE(succeeded(first.wait()));
    const gpu::CommandBuffer *const both[] = {&commands, &commands};
    const Result<gpu::Batch> batch = gpu::Batch::of(both, 2);
    ASSERT_TRUE(succeeded(batch));
    ASSERT_TRUE(succeeded(device().queue().submit(batch.value(), first)));
    ASSERT_TRUE(succeeded(first.wait()));
    EXPECT_EQ(floatsOf(values)[3], 4 * 16.0f);
}

TEST_F(Gpu, RecordingAgainReplacesWhatWasRecorded) {
    const gpu::Allocation values = allocate(16);
    gpu::CommandBuffer commands = commandBuffer();
    for (const uint32_t pattern : {1u, 2u}) {
        ASSERT_TRUE(succeeded(commands.begin()));
        commands.barrier();
        ASSERT_TRUE(succeeded(commands.fill({&values, 0, 16}, pattern)));
        ASSERT_TRUE(succeeded(commands.end()));
        submitAndWait(commands);
        uint32_t read[4] = {};
        ASSERT_TRUE(succeeded(gpu::readBack(device(), values, 0, read, 16)));
        EXPECT_EQ(read[3], pattern);
    }
}

// A driver that counts: its pools hold as many sets as they were made for, and then no more. Software drivers
// often do not look.
gpu::DeviceTable uncounted;
std::map<VkDescriptorPool, uint32_t> setsLeft;
uint32_t setsPerPool = 0;

void countDescriptorSets(gpu::DeviceTable &table) {
    uncounted = table;
    setsLeft.clear();
    table.vkCreateDescriptorPool = [](VkDevice device, const VkDescriptorPoolCreateInfo *info,
                                      const VkAllocationCallbacks *allocator, VkDescriptorPool *pool) {
        const VkResult result = uncounted.vkCreateDescriptorPool(device, info, allocator, pool);
        setsPerPool = info->maxSets;
        setsLeft[*pool] = setsPerPool;
        return result;
    };
    table.vkResetDescriptorPool = [](VkDevice device, VkDescriptorPool pool,
                                     VkDescriptorPoolResetFlags flags) {
        setsLeft[pool] = setsPerPool;
        return uncounted.vkResetDescriptorPool(device, pool, flags);
    };
    table.vkAllocateDescriptorSets = [](VkDevice device, const VkDescriptorSetAllocateInfo *info,
                                        VkDescriptorSet *sets) {
        if (setsLeft[info->descriptorPool] == 0) {
            return VK_ERROR_OUT_OF_POOL_MEMORY;
        }
        --setsLeft[info->descriptorPool];
        return uncounted.vkAllocateDescriptorSets(device, info, sets);
    };
}

TEST_F(Gpu, HundredsOfDispatchesShareAFewDescriptorPools) {
    countDescriptorSets(device().vk());
    constexpr uint32_t kDispatches = 300; // more than a descriptor pool holds
    const gpu::Allocation values = allocate(std::vector<float>{0, 0, 0, 0});
    const gpu::Pipeline &plusOne = pipeline(scaleDescription(1));
    gpu::CommandBuffer commands = commandBuffer();
    for (int round = 0; round < 2; ++round) { // the second reuses the pools
        ASSERT_TRUE(succeeded(commands.begin()));
        for (uint32_t i = 0; i < kDispatches; ++i) {
            commands.barrier();
            ASSERT_TRUE(succeeded(recordScale(commands, plusOne, values, values, 4, 1.0f)));
        }
        ASSERT_TRUE(succeeded(commands.end()));
        submitAndWait(commands);
        EXPECT_EQ(setsLeft.size(), (kDispatches + setsPerPool - 1) / setsPerPool);
    }
    EXPECT_EQ(floatsOf(values), std::vector<float>(4, 2.0f * kDispatches));
}

TEST_F(Gpu, PipelinesOfManyBindingsGetPoolsOfTheirSize) {
    gpu::PipelineDescription wide = scaleDescription();
    wide.bindings = std::min(device().caps().maxStorageBuffers, 700u);
    if (wide.bindings < 3) {
        wide.bindings = 3;
    }
    const gpu::Pipeline &many = pipeline(wide);
    const gpu::Allocation source = allocate(counting(4));
    const gpu::Allocation target = allocate(16);
    std::vector<gpu::BufferRange> ranges(wide.bindings, {&source, 0, 16});
    ranges[1] = {&target, 0, 16};
    const ScalePush push = {4, 2.0f};
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(
        succeeded(commands.dispatch(many, ranges.data(), ranges.size(), &push, sizeof push, 1, 1, 1)));
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    EXPECT_EQ(floatsOf(target), (std::vector<float>{2, 4, 6, 8}));
}

TEST_F(Gpu, CopyFillAndUpdateWriteWhereTheyAreTold) {
    const gpu::Allocation values = allocate(counting(8));
    gpu::CommandBuffer commands = commandBuffer();
    const float update[2] = {70, 80};
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(commands.fill({&values, 4, 8}, 0)));
    commands.barrier();
    ASSERT_TRUE(succeeded(commands.update(values, 24, update, 8)));
    commands.barrier();
    ASSERT_TRUE(succeeded(commands.copy(values, 24, values, 0, 8)));
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    EXPECT_EQ(floatsOf(values), (std::vector<float>{70, 80, 0, 4, 5, 6, 70, 80}));
}

TEST_F(Gpu, OffsetsOfBindingsAreHonoured) {
    const gpu::Allocation values = allocate(counting(192));
    const gpu::Pipeline &negate = pipeline(scaleDescription());
    gpu::CommandBuffer commands = commandBuffer();
    const ScalePush push = {64, -1.0f};
    const gpu::BufferRange ranges[] = {{&values, 0, 256}, {&values, 512, 256}};
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(commands.dispatch(negate, ranges, 2, &push, sizeof push, 1, 1, 1)));
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    const std::vector<float> read = floatsOf(values);
    EXPECT_EQ(read[127], 128.0f);
    EXPECT_EQ(read[128], -1.0f);
    EXPECT_EQ(read[191], -64.0f);
}

TEST_F(Gpu, WrongDispatchesAreRefusedAndRecordNothing) {
    const gpu::Allocation values = allocate(counting(256));
    const gpu::Pipeline &scale = pipeline(scaleDescription());
    gpu::CommandBuffer commands = commandBuffer();
    ScalePush push = {64, 2.0f};
    const auto attempt = [&](gpu::BufferRange target, size_t count = 2, size_t pushBytes = sizeof(ScalePush),
                             uint32_t groups = 1) {
        const gpu::BufferRange ranges[] = {{&values, 0, 256}, target, target};
        return commands.dispatch(scale, ranges, count, &push, pushBytes, groups, 1, 1);
    };
    EXPECT_TRUE(failed(attempt({&values, 256, 256}), StatusCode::InvalidArgument, "not being recorded"));
    ASSERT_TRUE(succeeded(commands.begin()));
    const gpu::Allocation empty;
    const struct {
        Status status;
        const char *text;
    } cases[] = {
        {attempt({nullptr, 0, 4}), "scale, binding 1: binding: no allocation"},
        {attempt({&empty, 0, 4}), "no allocation"},
        {attempt({&values, 0, 0}), "0 bytes at 0 of an allocation of 1024"},
        {attempt({&values, 768, 260}), "260 bytes at 768 of an allocation of 1024"},
        {attempt({&values, 2048, 4}), "4 bytes at 2048"},
        {attempt({&values, 1, 4}), "offset 1, the device's alignment is"},
        {attempt({&values, 256, 256}, 1), "1 buffers and 8 push constant bytes given, 2 and 8 expected"},
        {attempt({&values, 256, 256}, 3), "3 buffers"},
        {attempt({&values, 256, 256}, 2, 4), "2 buffers and 4 push constant bytes given"},
        {attempt({&values, 256, 256}, 2, 8, 0), "0 workgroups in dimension 0"},
    };
    for (const auto &test : cases) {
        EXPECT_TRUE(failed(test.status, StatusCode::InvalidArgument, test.text));
    }
    if (device().caps().maxWorkgroupCount[0] < ~0u) {
        EXPECT_TRUE(failed(attempt({&values, 256, 256}, 2, 8, device().caps().maxWorkgroupCount[0] + 1),
                           StatusCode::InvalidArgument, "workgroups in dimension 0"));
    }
    ASSERT_TRUE(succeeded(commands.end()));
    submitAndWait(commands);
    EXPECT_EQ(floatsOf(values), counting(256));
}

TEST(Command, ClampedBindingRangeIsHonoured) {
    gpu::LimitsClamp clamp;
    clamp.maxStorageBufferRange = 1024;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    Result<gpu::Allocation> memory =
        gpu::Allocation::create(*device.value(), 4096, gpu::MemoryKind::DeviceLocal, "test");
    Result<const gpu::Pipeline *> scale = device.value()->pipelines().get(scaleDescription());
    Result<gpu::CommandBuffer> commands = gpu::CommandBuffer::create(*device.value());
    ASSERT_TRUE(succeeded(memory));
    ASSERT_TRUE(succeeded(scale));
    ASSERT_TRUE(succeeded(commands));
    ASSERT_TRUE(succeeded(commands->begin()));
    const auto record = [&](uint32_t count) {
        return recordScale(commands.value(), *scale.value(), memory.value(), memory.value(), count, 1);
    };
    EXPECT_TRUE(succeeded(record(256)));
    EXPECT_TRUE(failed(record(257), StatusCode::Unsupported, "1028 bytes, the device binds at most 1024"));
}

TEST_F(Gpu, WrongTransfersAreRefused) {
    const gpu::Allocation values = allocate(1024);
    const gpu::Allocation large = allocate(80000);
    gpu::CommandBuffer commands = commandBuffer();
    const std::vector<std::byte> data(80000);
    EXPECT_TRUE(failed(commands.fill({&values, 0, 4}, 0), StatusCode::InvalidArgument, "not being recorded"));
    EXPECT_TRUE(failed(commands.end(), StatusCode::InvalidArgument, "not being recorded"));
    ASSERT_TRUE(succeeded(commands.begin()));
    const struct {
        Status status;
        const char *text;
    } cases[] = {
        {commands.copy(values, 0, large, 0, 1028), "copy from: 1028 bytes at 0 of an allocation of 1024"},
        {commands.copy(large, 0, values, 1000, 28), "copy to: 28 bytes at 1000"},
        {commands.copy(values, 0, values, 60, 64), "overlap"},
        {commands.fill({&values, 2, 4}, 0), "multiples of 4 are needed"},
        {commands.fill({&values, 0, 1028}, 0), "fill: 1028 bytes"},
        {commands.update(values, 0, data.data(), 6), "multiples of 4 are needed"},
        {commands.update(large, 0, data.data(), 65540), "at most 65536"},
    };
    for (const auto &test : cases) {
        EXPECT_TRUE(failed(test.status, StatusCode::InvalidArgument, test.text));
    }
    EXPECT_TRUE(succeeded(commands.end()));
}

TEST(Timestamps, DifferenceWrapsAtTheValidBits) {
    EXPECT_DOUBLE_EQ(gpu::timestampMilliseconds(0, 1000000, 64, 1.0), 1.0);
    EXPECT_DOUBLE_EQ(gpu::timestampMilliseconds(100, 300, 32, 1e6), 200.0);
    EXPECT_DOUBLE_EQ(gpu::timestampMilliseconds(0xfffffff0u, 0x10u, 32, 1e6), 32.0);
    EXPECT_DOUBLE_EQ(gpu::timestampMilliseconds((1ull << 36) - 1, 1, 36, 52.08e6), 2 * 52.08);
    EXPECT_DOUBLE_EQ(gpu::timestampMilliseconds(~0ull, 0, 64, 1e6), 1.0);
}

TEST_F(Gpu, TimestampsGrowAlongARecording) {
    if (!device().caps().timestamps) {
        EXPECT_TRUE(
            failed(gpu::Timestamps::create(device(), 4).status(), StatusCode::Unsupported, "timestamps"));
        return;
    }
    Result<gpu::Timestamps> timestamps = gpu::Timestamps::create(device(), 4);
    ASSERT_TRUE(succeeded(timestamps));
    const gpu::Allocation values = allocate(4u << 20);
    gpu::CommandBuffer commands = commandBuffer();
    ASSERT_TRUE(succeeded(commands.begin()));
    ASSERT_TRUE(succeeded(commands.resetTimestamps(timestamps.value(), 0, 4)));
    for (uint32_t i = 0; i < 3; ++i) {
        ASSERT_TRUE(succeeded(commands.writeTimestamp(timestamps.value(), i)));
        commands.barrier();
        ASSERT_TRUE(succeeded(commands.fill({&values, 0, values.size()}, i)));
    }
    EXPECT_TRUE(failed(commands.writeTimestamp(timestamps.value(), 4), StatusCode::InvalidArgument, "of 4"));
    EXPECT_TRUE(
        failed(commands.resetTimestamps(timestamps.value(), 2, 3), StatusCode::InvalidArgument, "of 4"));
    ASSERT_TRUE(succeeded(commands.end()));
    for (int round = 0; round < 2; ++round) {
        submitAndWait(commands);
        const Result<std::vector<double>> times = timestamps->milliseconds(0, 3);
        ASSERT_TRUE(succeeded(times));
        EXPECT_EQ(times.value()[0], 0.0);
        EXPECT_GT(times.value()[1], 0.0);
        EXPECT_GT(times.value()[2], times.value()[1]);
        EXPECT_LT(times.value()[2], 60000.0);
    }
    EXPECT_TRUE(
        failed(timestamps->milliseconds(0, 4).status(), StatusCode::NotReady, "vkGetQueryPoolResults"));
    EXPECT_TRUE(
        failed(timestamps->milliseconds(2, 3).status(), StatusCode::InvalidArgument, "of a pool of 4"));
}

TEST(Timestamps, AreRefusedWhereTheDeviceHasNone) {
    gpu::LimitsClamp clamp;
    clamp.noTimestamps = true;
    gpu::DeviceOptions options;
    options.clamp = &clamp;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    ASSERT_TRUE(succeeded(device));
    EXPECT_TRUE(failed(gpu::Timestamps::create(*device.value(), 2).status(), StatusCode::Unsupported,
                       "no timestamps"));
}

} // namespace
} // namespace mote::test
