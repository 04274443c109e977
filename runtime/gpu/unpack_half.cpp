#include "gpu/unpack_half.h"

#include <cstddef>
#include <cstring>
#include <initializer_list>

namespace mote::gpu {
namespace {

// SPIR-V 1.3, section 3.32; GLSL.std.450's instruction.
enum Opcode : uint32_t {
    OpExtInstImport = 11,
    OpExtInst = 12,
    OpTypeBool = 20,
    OpTypeInt = 21,
    OpTypeFloat = 22,
    OpTypeVector = 23,
    OpTypeFunction = 33,
    OpConstant = 43,
    OpFunction = 54,
    OpFunctionParameter = 55,
    OpFunctionEnd = 56,
    OpFunctionCall = 57,
    OpCompositeConstruct = 80,
    OpConvertUToF = 112,
    OpBitcast = 124,
    OpIAdd = 128,
    OpFMul = 133,
    OpSelect = 169,
    OpUGreaterThanEqual = 174,
    OpULessThan = 176,
    OpShiftRightLogical = 194,
    OpShiftLeftLogical = 196,
    OpBitwiseOr = 197,
    OpBitwiseAnd = 199,
    OpLabel = 248,
    OpReturnValue = 254,
};
constexpr uint32_t kUnpackHalf2x16 = 62;
constexpr size_t kHeaderWords = 5, kBoundWord = 3;

class Rewriter {
public:
    explicit Rewriter(const std::vector<uint32_t> &words) : words_(words) {}

    std::vector<uint32_t> rewrite() {
        scan();
        if (!used_)
            return words_;
        next_ = words_[kBoundWord];
        function_ = next_++;
        std::vector<uint32_t> result(words_.begin(), words_.begin() + kHeaderWords);
        for (size_t at = kHeaderWords; at < words_.size(); at += lengthAt(at)) {
            if (at == firstFunction_)
                declare(result);
            if (isUnpack(at)) // type, result, function, argument
                emit(result, OpFunctionCall, {words_[at + 1], words_[at + 2], function_, words_[at + 5]});
            else
                result.insert(result.end(), words_.begin() + static_cast<std::ptrdiff_t>(at),
                              words_.begin() + static_cast<std::ptrdiff_t>(at + lengthAt(at)));
        }
        define(result);
        result[kBoundWord] = next_;
        return result;
    }

private:
    uint32_t opcodeAt(size_t at) const { return words_[at] & 0xffff; }
    size_t lengthAt(size_t at) const { return words_[at] >> 16; }
    bool isUnpack(size_t at) const {
        return opcodeAt(at) == OpExtInst && words_[at + 3] == set_ && words_[at + 4] == kUnpackHalf2x16;
    }

    static void emit(std::vector<uint32_t> &to, Opcode opcode, std::initializer_list<uint32_t> operands) {
        to.push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | opcode);
        to.insert(to.end(), operands);
    }

    // Types may be declared once only, so those that are there are found.
    void scan() {
        for (size_t at = kHeaderWords; at < words_.size(); at += lengthAt(at)) {
            const uint32_t *word = &words_[at];
            switch (opcodeAt(at)) {
            case OpExtInstImport:
                if (lengthAt(at) == 6 && std::memcmp(word + 2, "GLSL.std.450\0\0\0", 16) == 0)
                    set_ = word[1];
                break;
            case OpTypeBool:
                bool_ = word[1];
                break;
            case OpTypeInt:
                if (word[2] == 32 && word[3] == 0)
                    uint_ = word[1];
                break;
            case OpTypeFloat:
                if (word[2] == 32)
                    float_ = word[1];
                break;
            case OpTypeVector:
                if (float_ != 0 && word[2] == float_ && word[3] == 2)
                    pair_ = word[1];
                break;
            case OpTypeFunction:
                if (lengthAt(at) == 4 && word[2] == pair_ && word[3] == uint_)
                    functionType_ = word[1];
                break;
            case OpFunction:
                if (firstFunction_ == 0)
                    firstFunction_ = at;
                break;
            default:
                used_ = used_ || isUnpack(at);
            }
        }
    }

    uint32_t constant(std::vector<uint32_t> &to, uint32_t type, uint32_t bits) {
        const uint32_t id = next_++;
        emit(to, OpConstant, {type, id, bits});
        return id;
    }

    void declare(std::vector<uint32_t> &to) {
        if (bool_ == 0) {
            bool_ = next_++;
            emit(to, OpTypeBool, {bool_});
        }
        if (functionType_ == 0) {
            functionType_ = next_++;
            emit(to, OpTypeFunction, {functionType_, pair_, uint_});
        }
        low_ = constant(to, uint_, 0xffff);
        sixteen_ = constant(to, uint_, 16);
        thirteen_ = constant(to, uint_, 13);
        magnitude_ = constant(to, uint_, 0x7fff);
        sign_ = constant(to, uint_, 0x8000);
        infinity_ = constant(to, uint_, 0x7c00);
        normal_ = constant(to, uint_, 0x400);
        bias_ = constant(to, uint_, 112u << 23);         // what the exponents differ by
        twice_ = constant(to, uint_, 224u << 23);        // from 31 to 255
        unit_ = constant(to, float_, (127u - 24) << 23); // 2^-24, of a subnormal
    }

    uint32_t made(std::vector<uint32_t> &to, Opcode opcode, uint32_t type, uint32_t a, uint32_t b) {
        const uint32_t id = next_++;
        emit(to, opcode, {type, id, a, b});
        return id;
    }
    uint32_t converted(std::vector<uint32_t> &to, Opcode opcode, uint32_t type, uint32_t a) {
        const uint32_t id = next_++;
        emit(to, opcode, {type, id, a});
        return id;
    }
    uint32_t selected(std::vector<uint32_t> &to, uint32_t condition, uint32_t yes, uint32_t no) {
        const uint32_t id = next_++;
        emit(to, OpSelect, {uint_, id, condition, yes, no});
        return id;
    }

    // The float of a half in the low 16 bits.
    uint32_t widened(std::vector<uint32_t> &to, uint32_t half) {
        const uint32_t magnitude = made(to, OpBitwiseAnd, uint_, half, magnitude_);
        const uint32_t special = made(to, OpUGreaterThanEqual, bool_, magnitude, infinity_);
        const uint32_t normal =
            made(to, OpIAdd, uint_, made(to, OpShiftLeftLogical, uint_, magnitude, thirteen_),
                 selected(to, special, twice_, bias_));
        const uint32_t subnormal =
            converted(to, OpBitcast, uint_,
                      made(to, OpFMul, float_, converted(to, OpConvertUToF, float_, magnitude), unit_));
        const uint32_t small = made(to, OpULessThan, bool_, magnitude, normal_);
        const uint32_t bits = selected(to, small, subnormal, normal);
        const uint32_t sign =
            made(to, OpShiftLeftLogical, uint_, made(to, OpBitwiseAnd, uint_, half, sign_), sixteen_);
        return converted(to, OpBitcast, float_, made(to, OpBitwiseOr, uint_, bits, sign));
    }

    void define(std::vector<uint32_t> &to) {
        const uint32_t word = next_++, label = next_++;
        emit(to, OpFunction, {pair_, function_, 0, functionType_});
        emit(to, OpFunctionParameter, {uint_, word});
        emit(to, OpLabel, {label});
        const uint32_t low = widened(to, made(to, OpBitwiseAnd, uint_, word, low_));
        const uint32_t high = widened(to, made(to, OpShiftRightLogical, uint_, word, sixteen_));
        emit(to, OpReturnValue, {made(to, OpCompositeConstruct, pair_, low, high)});
        emit(to, OpFunctionEnd, {});
    }

    const std::vector<uint32_t> &words_;
    bool used_ = false;
    size_t firstFunction_ = 0;
    uint32_t set_ = 0, bool_ = 0, uint_ = 0, float_ = 0, pair_ = 0, functionType_ = 0; // ids
    uint32_t function_ = 0, next_ = 0;
    uint32_t low_ = 0, sixteen_ = 0, thirteen_ = 0, magnitude_ = 0, sign_ = 0, infinity_ = 0, normal_ = 0;
    uint32_t bias_ = 0, twice_ = 0, unit_ = 0; // ids of constants
};

} // namespace

std::vector<uint32_t> withoutUnpackHalf(const std::vector<uint32_t> &words) {
    return Rewriter(words).rewrite();
}

} // namespace mote::gpu
