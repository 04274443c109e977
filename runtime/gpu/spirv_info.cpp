#include "gpu/spirv_info.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace mote::gpu {

namespace {

// Numbers of the SPIR-V 1.6 specification, sections 3.2 (enumerants) and 3.52 (instructions).
enum : uint32_t {
    kMagic = 0x07230203,
    kOpEntryPoint = 15,
    kOpExecutionMode = 16,
    kOpCapability = 17,
    kOpTypeBool = 20,
    kOpTypeInt = 21,
    kOpTypeFloat = 22,
    kOpTypeVector = 23,
    kOpTypeMatrix = 24,
    kOpTypeImage = 25,
    kOpTypeArray = 28,
    kOpTypeRuntimeArray = 29,
    kOpTypeStruct = 30,
    kOpTypePointer = 32,
    kOpConstant = 43,
    kOpConstantComposite = 44,
    kOpSpecConstantTrue = 48,
    kOpSpecConstantFalse = 49,
    kOpSpecConstant = 50,
    kOpSpecConstantComposite = 51,
    kOpSpecConstantOp = 52,
    kOpVariable = 59,
    kOpDecorate = 71,
    kOpMemberDecorate = 72,
    kModeLocalSize = 17,
    kDecorationSpecId = 1,
    kDecorationArrayStride = 6,
    kDecorationBuiltIn = 11,
    kDecorationBinding = 33,
    kDecorationDescriptorSet = 34,
    kDecorationOffset = 35,
    kBuiltInWorkgroupSize = 25,
    kDimensionBuffer = 5,
    kSampled = 1,
    kStorageUniformConstant = 0,
    kStorageUniform = 2,
    kStorageWorkgroup = 4,
    kStoragePushConstant = 9,
    kStorageBuffer = 12,
    kStoragePhysicalBuffer = 5349,
    kExecutionModelGlCompute = 5,
};

constexpr uint32_t kMaxIds = 1u << 20;
constexpr int kMaxDepth = 16; // of nested types and constant expressions

Status malformed(const char *what, size_t word) {
    return makeStatus(StatusCode::InvalidArgument, "SPIR-V: %s at word %zu", what, word);
}

class Inspector {
public:
    Inspector(const uint32_t *words, size_t wordCount, const std::vector<uint32_t> &constants)
        : words_(words), wordCount_(wordCount), constants_(constants) {}

    Result<SpirvInfo> inspect() {
        MOTE_TRY(scan());
        if (entryPoint_ == 0)
            return makeStatus(StatusCode::InvalidArgument, "SPIR-V: no compute entry point named main");
        if (workgroupSizeId_ != 0)
            MOTE_TRY(workgroupSizeFromConstant());
        for (const size_t at : variables_)
            MOTE_TRY(variable(at));
        for (const auto &[id, specId] : specIds_) {
            (void)id;
            info_.constants = std::max(info_.constants, specId + 1);
        }
        return info_;
    }

private:
    // An instruction's operand count is known to be large enough wherever its fields are read: see `least` in
    // scan().
    uint32_t op(size_t at) const { return words_[at] & 0xffff; }
    uint32_t length(size_t at) const { return words_[at] >> 16; }

    static uint32_t leastLength(uint32_t opcode) {
        switch (opcode) {
        case kOpTypeImage:
            return 9;
        case kOpEntryPoint:
        case kOpTypeInt:
        case kOpTypeVector:
        case kOpTypeMatrix:
        case kOpTypeArray:
        case kOpTypePointer:
        case kOpConstant:
        case kOpSpecConstant:
        case kOpSpecConstantOp:
        case kOpVariable:
        case kOpMemberDecorate:
            return 4;
        case kOpExecutionMode:
        case kOpTypeFloat:
        case kOpTypeRuntimeArray:
        case kOpConstantComposite:
        case kOpSpecConstantComposite:
        case kOpSpecConstantTrue:
        case kOpSpecConstantFalse:
        case kOpDecorate:
            return 3;
        case kOpTypeStruct:
        case kOpTypeBool:
        case kOpCapability:
            return 2;
        default:
            return 1;
        }
    }

    Status scan() {
        if (wordCount_ < 5 || words_[0] != kMagic)
            return malformed("no module", 0);
        if (words_[3] > kMaxIds)
            return malformed("too many ids", 3);
        definitions_.assign(words_[3], 0);
        for (size_t at = 5; at < wordCount_; at += length(at)) {
            if (length(at) < leastLength(op(at)) || length(at) > wordCount_ - at)
                return malformed("a cut instruction", at);
            MOTE_TRY(instruction(at));
        }
        return {};
    }

    Status define(uint32_t id, size_t at) {
        if (id >= definitions_.size())
            return malformed("an id out of bounds", at);
        definitions_[id] = at;
        return {};
    }

    Status instruction(size_t at) {
        const uint32_t *w = words_ + at;
        switch (op(at)) {
        case kOpCapability:
            info_.capabilities.push_back(w[1]);
            return {};
        case kOpEntryPoint: {
            // "main" and its terminator, packed into two words.
            const char name[8] = "main";
            if (w[1] == kExecutionModelGlCompute && length(at) >= 5 && std::memcmp(w + 3, name, 8) == 0)
                entryPoint_ = w[2];
            return {};
        }
        case kOpExecutionMode:
            if (w[2] == kModeLocalSize && length(at) >= 6)
                std::copy(w + 3, w + 6, info_.workgroupSize);
            return {};
        case kOpDecorate:
            decorate(at);
            return {};
        case kOpMemberDecorate:
            if (w[3] == kDecorationOffset && length(at) >= 5)
                memberOffsets_[{w[1], w[2]}] = w[4];
            return {};
        case kOpTypeBool:
        case kOpTypeInt:
        case kOpTypeFloat:
        case kOpTypeVector:
        case kOpTypeMatrix:
        case kOpTypeImage:
        case kOpTypeArray:
        case kOpTypeRuntimeArray:
        case kOpTypeStruct:
        case kOpTypePointer:
            return define(w[1], at);
        case kOpConstant:
        case kOpConstantComposite:
        case kOpSpecConstantTrue:
        case kOpSpecConstantFalse:
        case kOpSpecConstant:
        case kOpSpecConstantComposite:
        case kOpSpecConstantOp:
            return define(w[2], at);
        case kOpVariable:
            variables_.push_back(at);
            return define(w[2], at);
        default:
            return {};
        }
    }

    void decorate(size_t at) {
        const uint32_t *w = words_ + at;
        if (length(at) < 4)
            return;
        if (w[2] == kDecorationSpecId)
            specIds_[w[1]] = w[3];
        if (w[2] == kDecorationBinding)
            bindings_[w[1]] = w[3];
        if (w[2] == kDecorationDescriptorSet)
            sets_[w[1]] = w[3];
        if (w[2] == kDecorationArrayStride)
            arrayStrides_[w[1]] = w[3];
        if (w[2] == kDecorationBuiltIn && w[3] == kBuiltInWorkgroupSize)
            workgroupSizeId_ = w[1];
    }

    // Where an id is defined; 0, which no instruction has, for one that is not.
    size_t definition(uint32_t id) const { return id < definitions_.size() ? definitions_[id] : 0; }

    // The value of a 32-bit integer or boolean constant after specialisation.
    Result<uint32_t> constant(uint32_t id, int depth = 0) const {
        const size_t at = definition(id);
        if (at == 0 || depth > kMaxDepth)
            return malformed("a constant without value", at);
        const uint32_t *w = words_ + at;
        const auto spec = specIds_.find(id);
        if (spec != specIds_.end() && spec->second < constants_.size())
            return constants_[spec->second];
        switch (op(at)) {
        case kOpConstant:
        case kOpSpecConstant:
            return w[3];
        case kOpSpecConstantTrue:
            return 1u;
        case kOpSpecConstantFalse:
            return 0u;
        case kOpSpecConstantOp:
            return constantExpression(at, depth);
        default:
            return malformed("a constant of an unknown kind", at);
        }
    }

    Result<uint32_t> constantExpression(size_t at, int depth) const {
        const uint32_t *w = words_ + at;
        if (length(at) < 6)
            return malformed("a constant expression of an unknown kind", at);
        MOTE_TRY_ASSIGN(const uint32_t a, constant(w[4], depth + 1));
        MOTE_TRY_ASSIGN(const uint32_t b, constant(w[5], depth + 1));
        switch (w[3]) {
        case 128: // OpIAdd
            return a + b;
        case 130: // OpISub
            return a - b;
        case 132: // OpIMul
            return a * b;
        case 134: // OpUDiv
        case 135: // OpSDiv, of lengths, which are positive
            if (b != 0)
                return a / b;
            return malformed("a division by zero", at);
        case 137: // OpUMod
        case 139: // OpSMod
            if (b != 0)
                return a % b;
            return malformed("a division by zero", at);
        case 194: // OpShiftRightLogical
            return b < 32 ? a >> b : 0;
        case 196: // OpShiftLeftLogical
            return b < 32 ? a << b : 0;
        case 199: // OpBitwiseAnd
            return a & b;
        default:
            return malformed("a constant expression of an unknown kind", at);
        }
    }

    Status workgroupSizeFromConstant() {
        const size_t at = definition(workgroupSizeId_);
        if (at == 0 || (op(at) != kOpConstantComposite && op(at) != kOpSpecConstantComposite) ||
            length(at) != 6)
            return malformed("a workgroup size of an unknown form", at);
        for (uint32_t i = 0; i < 3; ++i) {
            MOTE_TRY_ASSIGN(info_.workgroupSize[i], constant(words_[at + 3 + i]));
        }
        return {};
    }

    // Bytes of a type; saturates far above every limit.
    Result<uint64_t> typeBytes(uint32_t id, int depth = 0) const {
        const size_t at = definition(id);
        if (at == 0 || depth > kMaxDepth)
            return malformed("a type without definition", at);
        const uint32_t *w = words_ + at;
        switch (op(at)) {
        case kOpTypeBool:
            return uint64_t{4};
        case kOpTypeInt:
        case kOpTypeFloat:
            return uint64_t{w[2] / 8};
        case kOpTypeVector: {
            MOTE_TRY_ASSIGN(const uint64_t component, typeBytes(w[2], depth + 1));
            return component * w[3];
        }
        case kOpTypeMatrix: {
            MOTE_TRY_ASSIGN(const uint64_t column, typeBytes(w[2], depth + 1));
            return column * w[3];
        }
        case kOpTypeArray: {
            MOTE_TRY_ASSIGN(const uint64_t element, typeBytes(w[2], depth + 1));
            MOTE_TRY_ASSIGN(const uint32_t count, constant(w[3]));
            const auto stride = arrayStrides_.find(id);
            const uint64_t step = stride != arrayStrides_.end() ? stride->second : element;
            return step > 1u << 30 || count > 1u << 30 ? uint64_t{1} << 60 : step * count;
        }
        case kOpTypeStruct: {
            uint64_t end = 0;
            for (uint32_t member = 0; member + 2 < length(at); ++member) {
                MOTE_TRY_ASSIGN(const uint64_t bytes, typeBytes(w[2 + member], depth + 1));
                const auto offset = memberOffsets_.find({id, member});
                end = std::max(end, (offset != memberOffsets_.end() ? offset->second : end) + bytes);
            }
            return end;
        }
        case kOpTypePointer: // an address, whatever is there
            if (w[2] == kStoragePhysicalBuffer)
                return uint64_t{8};
            return malformed("a type without size", at);
        default:
            return malformed("a type without size", at);
        }
    }

    Status variable(size_t at) {
        const uint32_t pointerAt = static_cast<uint32_t>(definition(words_[at + 1]));
        if (pointerAt == 0 || op(pointerAt) != kOpTypePointer)
            return malformed("a variable that is not a pointer", at);
        const uint32_t type = words_[pointerAt + 3];
        const uint32_t id = words_[at + 2];
        switch (words_[at + 3]) {
        case kStorageWorkgroup: {
            MOTE_TRY_ASSIGN(const uint64_t bytes, typeBytes(type));
            info_.sharedBytes += bytes;
            return {};
        }
        case kStoragePushConstant: {
            MOTE_TRY_ASSIGN(const uint64_t bytes, typeBytes(type));
            info_.pushBytes = static_cast<uint32_t>(std::min<uint64_t>(bytes, 1u << 30));
            return {};
        }
        case kStorageBuffer:
            return bind(id, info_.storageBindings, at);
        case kStorageUniformConstant: {
            const size_t image = definition(type);
            if (image == 0 || op(image) != kOpTypeImage || words_[image + 3] != kDimensionBuffer ||
                words_[image + 7] != kSampled || !isUnsigned(words_[image + 2]))
                break;
            return bind(id, info_.texelBindings, at);
        }
        case kStorageUniform:
            break;
        default:
            return {};
        }
        return malformed("a resource that is neither a storage buffer nor a texel buffer of integers", at);
    }

    bool isUnsigned(uint32_t typeId) const {
        const size_t at = definition(typeId);
        return at != 0 && op(at) == kOpTypeInt && words_[at + 2] == 32 && words_[at + 3] == 0;
    }

    Status bind(uint32_t id, uint32_t &mask, size_t at) {
        const auto set = sets_.find(id);
        const auto binding = bindings_.find(id);
        if (binding == bindings_.end() || binding->second > 31 || (set != sets_.end() && set->second != 0))
            return malformed("a buffer that is not at bindings 0 to 31 of descriptor set 0", at);
        info_.bindings = std::max(info_.bindings, binding->second + 1);
        mask |= 1u << binding->second;
        return {};
    }

    const uint32_t *words_;
    size_t wordCount_;
    const std::vector<uint32_t> &constants_;
    std::vector<size_t> definitions_; // word of the instruction that defines an id
    std::vector<size_t> variables_;
    std::map<uint32_t, uint32_t> specIds_, bindings_, sets_, arrayStrides_;
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> memberOffsets_; // (struct, member)
    uint32_t entryPoint_ = 0;
    uint32_t workgroupSizeId_ = 0;
    SpirvInfo info_;
};

} // namespace

Result<SpirvInfo> inspectSpirv(const uint32_t *words, size_t wordCount,
                               const std::vector<uint32_t> &constants) {
    return Inspector(words, wordCount, constants).inspect();
}

} // namespace mote::gpu
