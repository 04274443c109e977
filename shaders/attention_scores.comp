// The softmax's weights of a band, see attention_interface.glsl. The queries stay in registers while all keys of a range
// go by, as the source of conv2d_held.comp does. A unit makes a range of keys for a group of queries, KEYS at a time;
// ranges fastest: workgroups = ceil(slots * groups * ranges / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

layout(constant_id = 0) const int BLOCKS = 8; // pc.headBlocks, at most 64
layout(constant_id = 1) const int KEYS = 2;   // 1, 2 or 4
layout(constant_id = 2) const int FOUR = 4;   // for loops that the driver unrolls, which keeps the module small

TENSOR(0, qkv)
layout(binding = 1, std430) writeonly buffer Target { uvec4 target[]; };
layout(binding = 2, std430) writeonly buffer Highest { uvec4 highest[]; };

// 2^x in steps of 1 / WEIGHT_ONE, in the low 16 bits. x is not above 0. 2^x = 2^n 2^f as in quickSilu of
// winograd_source.glsl, the polynomial within 3e-6, exact where x is whole, and times WEIGHT_ONE / 2^16.
uint weightBits(float x) {
    float t = (x > -20.0 ? x : -20.0) + 16.0;
    precise float shifted = t + 12582912.0;
    precise float f = t - (shifted - 12582912.0);
    const float one = WEIGHT_ONE / 65536.0;
    float power = (((0.00958285 * one * f + 0.05590642 * one) * f + 0.24024099 * one) * f + 0.69312419 * one) * f + one;
    precise float steps = uintBitsToFloat(floatBitsToUint(power) + (floatBitsToUint(shifted) << 23)) + 8388608.0;
    return floatBitsToUint(steps);
}

uint pairOfWeights(float low, float high) { return (weightBits(low) & 0xffffu) | weightBits(high) << 16; }

// max() asks which of the two is a NaN.
vec4 higher(vec4 a, vec4 b) { return mix(b, a, greaterThan(a, b)); }

Eight queriesOf(uint first, uint number, uint block) {
    return unpackEight(FETCH(qkv, first + min(number, pc.columns - 1) + block * pc.tokens));
}

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint slotGroup = unit / pc.ranges;
    uint range = unit - slotGroup * pc.ranges;
    uint slot = slotGroup / pc.groups;
    uint first = (slotGroup - slot * pc.groups) * GROUP + lane; // column
    bool live = number < pc.groupCount && slot < pc.slots;
    slot = live ? slot : 0;
    uint keyBase = partBase(pc.firstSlot + slot, 1), queryBase = partBase(pc.firstSlot + slot, 0);

    // Vectors of four queries: what the driver does with arrays of arrays goes with the square of their size.
    vec4 inputs[512]; // [channel]
    uint queries = queryBase + pc.firstQuery;
    [[unroll]] for (int block = 0; block < BLOCKS; ++block) {
        Eight a = queriesOf(queries, first, block), b = queriesOf(queries, first + 8, block);
        Eight c = queriesOf(queries, first + 16, block), d = queriesOf(queries, first + 24, block);
        [[unroll]] for (int i = 0; i < FOUR; ++i) {
            inputs[8 * block + i] = vec4(a.low[i], b.low[i], c.low[i], d.low[i]) * pc.scale;
            inputs[8 * block + 4 + i] = vec4(a.high[i], b.high[i], c.high[i], d.high[i]) * pc.scale;
        }
    }

    const int blocksAtATime = 8 / KEYS;
    const int fetches = (BLOCKS + blocksAtATime - 1) / blocksAtATime;
    vec4 most = vec4(LOWEST);
    uint eight = range * RANGE_EIGHTS;
    uint end = min(eight + RANGE_EIGHTS, pc.eights);
    if (live) do {
        vec4 scores[8]; // [key]
        [[unroll]] for (int o = 0; o < 8; ++o) scores[o] = vec4(0);
        uint part = 0; // of the eight
        do {
            // Of key n % KEYS lane n has the blocks whose numbers are n / KEYS modulo blocksAtATime.
            uint key = keyBase + min(8 * eight + KEYS * part + lane % KEYS, pc.tokens - 1);
            uvec4 own[64];
            [[unroll]] for (int set = 0; set < fetches; ++set)
                own[set] = FETCH(qkv, key + min(blocksAtATime * set + lane / KEYS, BLOCKS - 1) * pc.tokens);
            vec4 sums[4]; // [key]
            [[unroll]] for (int o = 0; o < KEYS; ++o) sums[o] = vec4(0);
            [[unroll]] for (int k = 0; k < 8 * BLOCKS; ++k) {
                vec2 pair = unpackHalf2x16(own[k / 8 / blocksAtATime][k / 2 % 4]);
                [[unroll]] for (int o = 0; o < KEYS; ++o)
                    sums[o] += subgroupShuffle(pair[k % 2], k / 8 % blocksAtATime * KEYS + o) * inputs[k];
            }
            [[unroll]] for (int o = 0; o < 8; ++o)
                scores[o] = o + KEYS < 8 ? scores[min(o + KEYS, 7)] : sums[max(o + KEYS - 8, 0)];
        } while (++part < 8 / KEYS);

        uint place = (slotGroup * pc.eights + eight) * 40 + lane;
        [[unroll]] for (int o = 1; o < 8; ++o) scores[o] = 8 * eight + o < pc.tokens ? scores[o] : vec4(LOWEST);
        vec4 top = higher(higher(higher(scores[0], scores[1]), higher(scores[2], scores[3])),
                          higher(higher(scores[4], scores[5]), higher(scores[6], scores[7])));
        most = higher(most, top);
        [[unroll]] for (int o = 0; o < 8; ++o) scores[o] -= top;
        [[unroll]] for (int p = 0; p < FOUR; ++p) {
            uvec4 words = uvec4(pairOfWeights(scores[0][p], scores[1][p]), pairOfWeights(scores[2][p], scores[3][p]),
                                pairOfWeights(scores[4][p], scores[5][p]), pairOfWeights(scores[6][p], scores[7][p]));
            // Each stores what its neighbour made, see fromNeighbour.
            target[(place ^ 1) + 8 * p] = uvec4(fromNeighbour(words.x), fromNeighbour(words.y), fromNeighbour(words.z),
                                                fromNeighbour(words.w));
        }
        target[place + 32] = floatBitsToUint(top);
    } while (++eight < end);
    if (live)
        highest[(slotGroup * pc.ranges + range) * 8 + lane] = floatBitsToUint(most);
}
