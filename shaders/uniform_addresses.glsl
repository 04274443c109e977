// For kernels in which the eight invocations of a subgroup are eight channels and read and store side by side, so that one
// address serves all eight. lavapipe reads such a value with one instruction, as the operand of a multiplication, and
// stores it with few, if it knows that the address is the same in a subgroup and no loop or branch may have set
// invocations aside. From 22.3 on it takes for the same what is computed from constants and push constants alone, with
// whatever index a push constant is read. So a kernel's unit is straight code, and its number goes once through a table in
// the push constants that holds 0 to 3, 7 or 15. (Vulkan asks for one index in a whole workgroup there; here it is one in a
// subgroup, which lavapipe runs at a time. No other driver has subgroups of eight, and these kernels ask for them.)
//
// Reads are volatile only so that the driver does not compare each with all before it when it makes a pipeline: there are
// hundreds, none of them twice.
//
// Declare before: push constants `uint digits[1 << DIGIT_BITS]`, and DIGIT_BITS unless it is 2. Features: subgroup operations basic and shuffle, subgroups of exactly
// 8; buffer device addresses and 64-bit integers. What is read through an address is not checked against a buffer's end.
#ifndef MOTE_UNIFORM_ADDRESSES_GLSL
#define MOTE_UNIFORM_ADDRESSES_GLSL

#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require

#include "numeric.glsl"

#ifndef DIGIT_BITS
#define DIGIT_BITS 2
#endif

layout(buffer_reference, std430, buffer_reference_align = 16) volatile readonly buffer Floats {
    vec4 at[];
};
layout(buffer_reference, std430, buffer_reference_align = 16) volatile readonly buffer Words {
    uvec4 at[];
};

// The same number, of at most so many bits, for addresses. It is that of the whole subgroup, which the shuffle tells the
// compiler.
uint uniformBits(uint number, int bits) {
    uint value = subgroupShuffle(number, 0), sum = 0;
    [[unroll]] for (int bit = 0; bit < bits; bit += DIGIT_BITS)
        sum += pc.digits[(value >> bit) & ((1 << DIGIT_BITS) - 1)] << bit;
    return sum;
}
uint uniformNumber(uint number) { return uniformBits(number, 18); }

uint64_t packed(uvec2 address) { return packUint2x32(address); }

// Of eight words side by side each invocation its own.
uint wordOfLane(uvec4 low, uvec4 high) {
    uint lane = gl_SubgroupInvocationID;
    uvec4 own = lane < 4 ? low : high;
    return (lane & 2) == 0 ? ((lane & 1) == 0 ? own.x : own.y) : ((lane & 1) == 0 ? own.z : own.w);
}
float floatOfLane(vec4 low, vec4 high) {
    uint lane = gl_SubgroupInvocationID;
    vec4 own = lane < 4 ? low : high;
    return (lane & 2) == 0 ? ((lane & 1) == 0 ? own.x : own.y) : ((lane & 1) == 0 ? own.z : own.w);
}

// The first and the second half of a word. Their bits in a float's place lack 112 in the exponent. Infinities and NaNs become
// numbers from 65536 on.
float floatOfHalf(int bits) { return uintBitsToFloat(uint(bits >> 3) & 0x8fffe000u) * uintBitsToFloat(0x77800000u); }
float firstHalf(uint word) { return floatOfHalf(int(word << 16)); }
float secondHalf(uint word) { return floatOfHalf(int(word)); }

// Of the eight channels of a pixel, as stored, each invocation its own: 0 to 3 the even ones, 4 to 7 the odd ones.
uint channelOfLane() { return (gl_SubgroupInvocationID & 3) * 2 + (gl_SubgroupInvocationID >> 2); }
float valueOfLane(uvec4 words) {
    uint lane = gl_SubgroupInvocationID;
    uint word = (lane & 2) == 0 ? ((lane & 1) == 0 ? words.x : words.y) : ((lane & 1) == 0 ? words.z : words.w);
    return floatOfHalf(int(word << (lane < 4 ? 16 : 0)));
}

// Of a block of channels in their order each invocation its own.
float ofChannel(Eight values) {
    uint channel = channelOfLane();
    vec4 four = channel < 4 ? values.low : values.high;
    return (channel & 2) == 0 ? ((channel & 1) == 0 ? four.x : four.y) : ((channel & 1) == 0 ? four.z : four.w);
}

// What eight invocations have, side by side, for uniform stores.
vec4 lowOfLanes(float value) {
    return vec4(subgroupShuffle(value, 0), subgroupShuffle(value, 1), subgroupShuffle(value, 2),
                subgroupShuffle(value, 3));
}
vec4 highOfLanes(float value) {
    return vec4(subgroupShuffle(value, 4), subgroupShuffle(value, 5), subgroupShuffle(value, 6),
                subgroupShuffle(value, 7));
}
u64vec4 eightOfLanes(float value) {
    uint bits = floatBitsToUint(value);
    return u64vec4(packUint2x32(uvec2(subgroupShuffle(bits, 0), subgroupShuffle(bits, 1))),
                   packUint2x32(uvec2(subgroupShuffle(bits, 2), subgroupShuffle(bits, 3))),
                   packUint2x32(uvec2(subgroupShuffle(bits, 4), subgroupShuffle(bits, 5))),
                   packUint2x32(uvec2(subgroupShuffle(bits, 6), subgroupShuffle(bits, 7))));
}

#endif
