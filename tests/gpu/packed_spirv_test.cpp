#include "gpu/packed_spirv.h"

#include "gpu/gpu_test.h"
#include "shaders/embedded.h"

#include <cstring>
#include <fstream>
#include <iterator>

namespace mote::test {
namespace {

using Words = std::vector<uint32_t>;

Words unpack(const std::vector<uint16_t> &units) {
    return gpu::unpackSpirv(units.data(), units.size());
}

TEST(PackedSpirv, HasAFormForEveryWord) {
    EXPECT_EQ(unpack({0x0000, 0x0fff}), (Words{0, 0xfff}));
    EXPECT_EQ(unpack({0x1001, 0xdfff}), (Words{0x00010001, 0x000d0fff}));
    EXPECT_EQ(unpack({0xe000, 0x1000, 0xefff, 0xffff}), (Words{0x1000, 0x0fffffff}));
    EXPECT_EQ(unpack({0xf000, 0x3f80, 0x0001, 0x0002}), (Words{0x3f800001, 2}));
}

TEST(PackedSpirv, LeavesOutAWordThatIsCut) {
    EXPECT_EQ(unpack({}), Words());
    EXPECT_EQ(unpack({1, 0xe000}), Words{1});
    EXPECT_EQ(unpack({1, 0xf000}), Words{1});
    EXPECT_EQ(unpack({1, 0xf000, 0x3f80}), Words{1});
}

TEST(PackedSpirv, IsTheModuleThatWasValidated) {
    size_t packedBytes = 0, bytes = 0;
    for (uint32_t id = 0; id < kShaderCount; ++id) {
        const ShaderModule &module = shaderModule(static_cast<ShaderId>(id));
        std::ifstream file(std::string(MOTE_SPIRV_DIR "/") + module.name + ".spv", std::ios::binary);
        const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
        Words expected(data.size() / sizeof(uint32_t));
        std::memcpy(expected.data(), data.data(), expected.size() * sizeof(uint32_t));
        EXPECT_FALSE(expected.empty()) << module.name;
        EXPECT_EQ(gpu::unpackSpirv(module.packed, module.packedCount), expected) << module.name;
        packedBytes += module.packedCount * sizeof(uint16_t);
        bytes += data.size();
    }
    EXPECT_LT(packedBytes, bytes * 6 / 10);
}

} // namespace
} // namespace mote::test
