#include "gpu/spirv_info.h"

#include "gpu/gpu_test.h"
#include "gpu/packed_spirv.h"

namespace mote::test {
namespace {

Result<gpu::SpirvInfo> inspect(const gpu::ShaderCode &shader, const std::vector<uint32_t> &constants) {
    const std::vector<uint32_t> words = gpu::unpackSpirv(shader.packed, shader.packedCount);
    return gpu::inspectSpirv(words.data(), words.size(), constants);
}

TEST(SpirvInfo, ReadsInterfaceAndSpecialisedWorkgroup) {
    const Result<gpu::SpirvInfo> info = inspect(scaleShader(), {96, 5});
    ASSERT_TRUE(succeeded(info));
    EXPECT_EQ(info->workgroupSize[0], 96u);
    EXPECT_EQ(info->workgroupSize[1], 1u);
    EXPECT_EQ(info->workgroupSize[2], 1u);
    EXPECT_EQ(info->sharedBytes, 0u);
    EXPECT_EQ(info->bindings, 2u);
    EXPECT_EQ(info->pushBytes, 8u);
    EXPECT_EQ(info->constants, 2u);
}

TEST(SpirvInfo, TellsTexelBuffersFromStorageBuffers) {
    const Result<gpu::SpirvInfo> storage = inspect(scaleShader(), {64});
    ASSERT_TRUE(succeeded(storage));
    EXPECT_EQ(storage->storageBindings, 3u);
    EXPECT_EQ(storage->texelBindings, 0u);
    const Result<gpu::SpirvInfo> texels = inspect(scaleTexelsShader(), {64});
    ASSERT_TRUE(succeeded(texels));
    EXPECT_EQ(texels->bindings, 2u);
    EXPECT_EQ(texels->storageBindings, 2u);
    EXPECT_EQ(texels->texelBindings, 1u);
}

TEST(SpirvInfo, CountsAddressesAmongThePushConstants) {
    const Result<gpu::SpirvInfo> info = inspect(addressesShader(), {});
    ASSERT_TRUE(succeeded(info));
    EXPECT_EQ(info->pushBytes, sizeof(AddressesPush));
    EXPECT_EQ(info->storageBindings, 2u); // what is read through addresses is at no binding
    EXPECT_EQ(info->bindings, 2u);
}

TEST(SpirvInfo, UsesTheModulesOwnConstantsWhereNoneAreGiven) {
    const Result<gpu::SpirvInfo> info = inspect(scaleShader(), {});
    ASSERT_TRUE(succeeded(info));
    EXPECT_EQ(info->workgroupSize[0], 1u);
}

TEST(SpirvInfo, AddsUpSharedMemoryAfterSpecialisation) {
    // kLength floats, 2 * kLength floats, 3 pairs of a vec4 and a mat2.
    for (const uint32_t length : {64u, 100u, 4096u}) {
        const Result<gpu::SpirvInfo> info = inspect(sharedSumShader(), {length});
        ASSERT_TRUE(succeeded(info));
        EXPECT_EQ(info->sharedBytes, 3 * 4 * length + 3 * 32);
        EXPECT_EQ(info->workgroupSize[0], 64u);
    }
}

TEST(SpirvInfo, RefusesWhatIsNotSpirv) {
    const uint32_t words[] = {1, 2, 3, 4, 5, 6};
    EXPECT_TRUE(failed(gpu::inspectSpirv(words, 6, {}).status(), StatusCode::InvalidArgument, "no module"));
    EXPECT_TRUE(failed(gpu::inspectSpirv(words, 0, {}).status(), StatusCode::InvalidArgument, "no module"));
}

class DamagedModule : public testing::TestWithParam<gpu::ShaderCode (*)()> {};

TEST_P(DamagedModule, SurvivesEveryTruncationAndEveryChangedWord) {
    const gpu::ShaderCode shader = GetParam()();
    const std::vector<uint32_t> whole = gpu::unpackSpirv(shader.packed, shader.packedCount);
    size_t refused = 0;
    for (size_t length = 0; length < whole.size(); ++length) {
        const std::vector<uint32_t> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        refused += gpu::inspectSpirv(part.data(), part.size(), {}).ok() ? 0 : 1;
    }
    EXPECT_GT(refused, whole.size() / 2); // a cut between two instructions of the body goes unnoticed
    for (size_t i = 0; i < whole.size(); ++i) {
        for (const uint32_t value :
             {0u, 1u, 0xffffu, 0x7fffffffu, 0xffffffffu, whole[i] + 1, whole[i] ^ 0x10000u}) {
            std::vector<uint32_t> changed = whole;
            changed[i] = value;
            (void)gpu::inspectSpirv(changed.data(), changed.size(), {64}).ok();
        }
    }
}

INSTANTIATE_TEST_SUITE_P(SpirvInfo, DamagedModule,
                         testing::Values(sharedSumShader, scaleTexelsShader, addressesShader));

} // namespace
} // namespace mote::test
