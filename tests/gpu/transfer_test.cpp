#include "gpu/transfer.h"

#include "gpu/gpu_test.h"

#include <cstring>
#include <numeric>

namespace mote::test {
namespace {

TEST_F(Gpu, TransfersRoundTripWhateverTheChunk) {
    std::vector<uint32_t> sent(10007);
    std::iota(sent.begin(), sent.end(), 5u);
    const uint64_t bytes = sent.size() * 4;
    for (const uint64_t chunk : {uint64_t{4096}, uint64_t{40000}, bytes, uint64_t{1} << 20}) {
        const gpu::Allocation memory = allocate(bytes + 64);
        Result<gpu::Uploader> uploader = gpu::Uploader::create(device(), chunk);
        ASSERT_TRUE(succeeded(uploader));
        ASSERT_TRUE(succeeded(uploader->upload(memory, 32, sent.data(), bytes)));
        std::vector<uint32_t> received(sent.size());
        // Without finish(): what is submitted after send() sees the data.
        ASSERT_TRUE(succeeded(gpu::readBack(device(), memory, 32, received.data(), bytes, chunk)));
        EXPECT_EQ(received, sent);
        ASSERT_TRUE(succeeded(uploader->finish()));
    }
}

// Validation sees each of the two barriers around a copy: nothing else here orders the submissions.
TEST_F(Gpu, UploadIsOrderedWithWorkBeforeAndAfterIt) {
    const gpu::Allocation source = allocate(std::vector<float>(64, 1.0f));
    const gpu::Allocation first = allocate(256);
    const gpu::Allocation second = allocate(256);
    const gpu::Pipeline &scale = pipeline(scaleDescription());
    gpu::CommandBuffer before = commandBuffer();
    ASSERT_TRUE(succeeded(before.begin()));
    ASSERT_TRUE(succeeded(recordScale(before, scale, source, first, 64, 2.0f)));
    ASSERT_TRUE(succeeded(before.end()));
    gpu::CommandBuffer after = commandBuffer();
    ASSERT_TRUE(succeeded(after.begin()));
    ASSERT_TRUE(succeeded(recordScale(after, scale, source, second, 64, 2.0f)));
    ASSERT_TRUE(succeeded(after.end()));
    Result<gpu::Uploader> uploader = gpu::Uploader::create(device(), 256);
    ASSERT_TRUE(succeeded(uploader));
    const std::vector<float> fives(64, 5.0f);
    gpu::Fence fences[2] = {fence(), fence()};
    ASSERT_TRUE(succeeded(device().queue().submit(before, fences[0])));
    ASSERT_TRUE(succeeded(uploader->upload(source, 0, fives.data(), 256)));
    ASSERT_TRUE(succeeded(device().queue().submit(after, fences[1])));
    EXPECT_EQ(floatsOf(first), std::vector<float>(64, 2.0f));
    EXPECT_EQ(floatsOf(second), std::vector<float>(64, 10.0f));
    ASSERT_TRUE(succeeded(uploader->finish()));
}

TEST_F(Gpu, UploadHoldsNoMoreThanTwoChunks) {
    const std::vector<std::byte> data(1u << 20);
    const gpu::Allocation memory = allocate(data.size());
    const uint64_t before = device().memoryUse().liveBytes;
    device().resetPeak();
    {
        Result<gpu::Uploader> uploader = gpu::Uploader::create(device(), 8192);
        ASSERT_TRUE(succeeded(uploader));
        ASSERT_TRUE(succeeded(uploader->upload(memory, 0, data.data(), data.size())));
    }
    EXPECT_EQ(device().memoryUse().peakBytes - before, 2 * 8192u);
    EXPECT_EQ(device().memoryUse().liveBytes, before);
}

TEST_F(Gpu, PackedChunksArriveInOrder) {
    constexpr uint64_t kChunk = 256;
    const gpu::Allocation memory = allocate(kChunk * 10);
    Result<gpu::Uploader> made = gpu::Uploader::create(device(), kChunk);
    ASSERT_TRUE(succeeded(made));
    gpu::Uploader uploader = std::move(made.value());
    EXPECT_EQ(uploader.chunkBytes(), kChunk);
    for (uint64_t i = 0; i < 10; ++i) {
        Result<std::byte *> chunk = uploader.chunk();
        ASSERT_TRUE(succeeded(chunk));
        std::memset(chunk.value(), static_cast<int>(i + 1), kChunk);
        ASSERT_TRUE(succeeded(uploader.send(kChunk, memory, i * kChunk)));
    }
    ASSERT_TRUE(succeeded(uploader.finish()));
    std::vector<uint8_t> received(kChunk * 10);
    ASSERT_TRUE(succeeded(gpu::readBack(device(), memory, 0, received.data(), received.size())));
    for (size_t i = 0; i < received.size(); ++i) {
        ASSERT_EQ(received[i], i / kChunk + 1) << i;
    }
}

TEST_F(Gpu, WrongSendsAreRefused) {
    const gpu::Allocation memory = allocate(100);
    Result<gpu::Uploader> uploader = gpu::Uploader::create(device(), 64);
    ASSERT_TRUE(succeeded(uploader));
    EXPECT_TRUE(failed(uploader->send(4, memory, 0), StatusCode::InvalidArgument, "after chunk()"));
    for (const uint64_t bytes : {0u, 6u, 68u}) {
        ASSERT_TRUE(succeeded(uploader->chunk()));
        EXPECT_TRUE(
            failed(uploader->send(bytes, memory, 0), StatusCode::InvalidArgument, "of a chunk of 64"));
    }
    ASSERT_TRUE(succeeded(uploader->chunk()));
    EXPECT_TRUE(failed(uploader->send(64, memory, 40), StatusCode::InvalidArgument, "64 bytes at 40"));
    ASSERT_TRUE(succeeded(uploader->chunk()));
    EXPECT_TRUE(succeeded(uploader->send(64, memory, 36)));
}

TEST_F(Gpu, ReadBackOfNothingIsNothingAndBeyondTheEndIsRefused) {
    const gpu::Allocation memory = allocate(64);
    uint32_t word = 7;
    EXPECT_TRUE(succeeded(gpu::readBack(device(), memory, 0, &word, 0)));
    EXPECT_EQ(word, 7u);
    EXPECT_TRUE(
        failed(gpu::readBack(device(), memory, 64, &word, 4), StatusCode::InvalidArgument, "4 bytes at 64"));
    EXPECT_TRUE(
        failed(gpu::readBack(device(), memory, 0, &word, 4, 2), StatusCode::InvalidArgument, "chunks of 2"));
}

} // namespace
} // namespace mote::test
