#include "gpu/packed_spirv.h"

#include "gpu/gpu_test.h"
#include "shaders/embedded.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>

namespace mote::test {
namespace {

using Words = std::vector<uint32_t>;

Words unpack(const std::vector<uint16_t> &units) {
    return gpu::unpackSpirv(units.data(), units.size());
}

constexpr size_t kHeader = 5, kBound = 3; // words before the first instruction, which of them bounds the ids
enum Instruction : uint32_t {
    kExtension = 10,
    kCapability = 17,
    kConstantFalse = 42,
    kConstant = 43,
    kLoad = 61,
    kPhi = 245,
    kMatrix = 4456,
    kMatrixLoad = 4457,
    kMatrixStore = 4458,
    kMatrixProduct = 4459,
};
constexpr uint32_t kKhrMatrices = 6022, kNvMatrices = 5357;

std::vector<Words> instructionsOf(const Words &module) {
    std::vector<Words> instructions;
    for (size_t at = kHeader; at < module.size(); at += instructions.back().size())
        instructions.emplace_back(module.begin() + static_cast<ptrdiff_t>(at),
                                  module.begin() + static_cast<ptrdiff_t>(at + (module[at] >> 16)));
    return instructions;
}

bool hasMatrices(const Words &module) {
    for (const Words &one : instructionsOf(module))
        if ((one[0] & 0xffff) == kCapability && one[1] == kKhrMatrices)
            return true;
    return false;
}

Words wordsOf(const char *text) { // as SPIR-V holds it, with a zero at its end
    Words words(std::strlen(text) / sizeof(uint32_t) + 1);
    std::memcpy(words.data(), text, std::strlen(text));
    return words;
}

// The module in the form that it was validated in: with SPV_NV_cooperative_matrix, where it has matrices.
Words asValidated(const Words &module) {
    if (!hasMatrices(module))
        return module;
    Words back(module.begin(), module.begin() + kHeader);
    back[kBound] -= 3; // constants that the KHR form alone has
    std::map<uint32_t, uint32_t> added;
    uint32_t columnMajor = 0; // the constant that says that it is not
    const Words khr = wordsOf("SPV_KHR_cooperative_matrix"), nv = wordsOf("SPV_NV_cooperative_matrix");
    const std::vector<Words> instructions = instructionsOf(module);
    for (const Words &one : instructions)
        if ((one[0] & 0xffff) == kConstantFalse)
            columnMajor = one[2];
    for (Words one : instructions) {
        switch (one[0] & 0xffff) {
        case kCapability:
            if (one[1] == kKhrMatrices)
                one[1] = kNvMatrices;
            break;
        case kExtension:
            if (Words(one.begin() + 1, one.end()) == khr)
                std::copy(nv.begin(), nv.end(), one.begin() + 1);
            break;
        case kConstant:
            if (one[2] >= back[kBound]) {
                added[one[2]] = one[3];
                continue;
            }
            break;
        case kMatrix:
            one = {6u << 16 | 5358, one[1], one[2], one[3], one[4], one[5]};
            break;
        case kMatrixLoad:
            EXPECT_EQ(added.at(one[4]), 0u) << "row-major";
            one[4] = one[5];
            one[5] = columnMajor;
            one[0] += 5359 - kMatrixLoad;
            break;
        case kMatrixStore:
            EXPECT_EQ(added.at(one[3]), 0u) << "row-major";
            one[3] = one[4];
            one[4] = columnMajor;
            one[0] += 5360 - kMatrixStore;
            break;
        case kMatrixProduct:
            one[0] += 5361 - kMatrixProduct;
            break;
        default:
            break;
        }
        back.insert(back.end(), one.begin(), one.end());
    }
    EXPECT_EQ(added.size(), 3u);
    return back;
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
        EXPECT_EQ(asValidated(gpu::unpackSpirv(module.packed, module.packedCount)), expected) << module.name;
        packedBytes += module.packedCount * sizeof(uint16_t);
        bytes += data.size();
    }
    EXPECT_LT(packedBytes, bytes * 6 / 10);
}

// What a matrix's type says that it is used for, which the validated form does not, is what products use it
// for.
TEST(PackedSpirv, NamesTheUseOfMatrices) {
    size_t products = 0;
    for (uint32_t id = 0; id < kShaderCount; ++id) {
        const ShaderModule &module = shaderModule(static_cast<ShaderId>(id));
        const Words words = gpu::unpackSpirv(module.packed, module.packedCount);
        if (!hasMatrices(words))
            continue;
        std::map<uint32_t, uint32_t> constants, uses, types;
        for (const Words &one : instructionsOf(words)) {
            switch (one[0] & 0xffff) {
            case kConstant:
                constants[one[2]] = one[3];
                break;
            case kMatrix:
                uses[one[1]] = constants.at(one[6]);
                break;
            case kLoad:
            case kPhi:
            case kMatrixLoad:
                types[one[2]] = one[1];
                break;
            case kMatrixProduct:
                types[one[2]] = one[1];
                for (uint32_t use = 0; use < 3; ++use) // A, B, accumulator
                    EXPECT_EQ(uses.at(types.at(one[3 + use])), use) << module.name;
                EXPECT_EQ(uses.at(one[1]), 2u) << module.name;
                ++products;
                break;
            default:
                break;
            }
        }
    }
    EXPECT_GE(products, 2u);
}

} // namespace
} // namespace mote::test
