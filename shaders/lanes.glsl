// For kernels in which eight neighbouring invocations work together, as software devices like it: there a shuffle is
// one instruction, while shared memory is read lane by lane and packHalf2x16 costs three times what it costs spelled
// out. Include after numeric.glsl. Features: subgroup operations basic and shuffle, subgroups of 8 or more.
#ifndef MOTE_LANES_GLSL
#define MOTE_LANES_GLSL

// Number of this eight within the workgroup; the lane within the eight.
uint eightNumber() { return gl_SubgroupID * (gl_SubgroupSize >> 3) + (gl_SubgroupInvocationID >> 3); }
uint laneNumber() { return gl_SubgroupInvocationID & 7; }

// The sum over the eight, the same bits in all of them.
float sumOfLanes(float value) {
    value += subgroupShuffle(value, gl_SubgroupInvocationID ^ 1);
    value += subgroupShuffle(value, gl_SubgroupInvocationID ^ 2);
    return value + subgroupShuffle(value, gl_SubgroupInvocationID ^ 4);
}

// What lane ^ 1 has. For what is stored: lavapipe stores lane by lane, and LLVM moves arithmetic on what is stored into that
// loop, where it spills a vector for each operand and lane. It moves nothing past a shuffle.
uint fromNeighbour(uint value) { return subgroupShuffle(value, gl_SubgroupInvocationID ^ 1); }

// The fp16 bits of a float, rounded to nearest even; what is too large and NaN become infinity.
uint halfBits(float value) {
    uint bits = floatBitsToUint(value);
    uint sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    // Exponents differ by 112; 13 bits of the fraction go.
    uint normal = min((bits + 0xc8000fffu + ((bits >> 13) & 1)) >> 13, 0x7c00u);
    // The last bit of 0.5 as a float is that of a subnormal half.
    uint subnormal = floatBitsToUint(uintBitsToFloat(bits) + 0.5) - 0x3f000000u;
    return (bits < 0x38800000u ? subnormal : normal) | sign;
}

uint packHalves(float low, float high) { return halfBits(low) | halfBits(high) << 16; }

uvec4 packEightInSteps(Eight v) {
    return uvec4(packHalves(v.low.x, v.low.y), packHalves(v.low.z, v.low.w), packHalves(v.high.x, v.high.y),
                 packHalves(v.high.z, v.high.w));
}

#endif
