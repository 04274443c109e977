// The result of a band, see attention_interface.glsl. A unit makes up to 8 x BLOCKS channels of 8 x QUERIES queries;
// channels fastest: workgroups = ceil(slots * ceil(columns / (8 QUERIES)) * ceil(headBlocks / BLOCKS) / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

// Loops over queries end at a constant that only the driver knows: unrolled there, the modules stay small.
layout(constant_id = 0) const int BLOCKS = 2;
layout(constant_id = 1) const int QUERIES = 8; // of an invocation: 4 or 8; BLOCKS * QUERIES is at most 16

TENSOR(0, qkv)
TENSOR(1, weights)
TENSOR(2, highest)
layout(binding = 3, std430) writeonly buffer Target { uvec4 target[]; };

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    const int sets = QUERIES / 4; // of queries that have their weights together
    uint queryGroups = (pc.groups + sets - 1) / sets;
    uint channelGroups = (pc.headBlocks + BLOCKS - 1) / BLOCKS;
    uint slotQuery = unit / channelGroups;
    uint firstBlock = (unit - slotQuery * channelGroups) * BLOCKS;
    uint slot = slotQuery / queryGroups;
    uint firstSet = (slotQuery - slot * queryGroups) * sets;
    bool live = number < pc.groupCount && slot < pc.slots;
    uint valueBase = partBase(pc.firstSlot + slot, 2);

    uint places[2]; // [set]
    float most[8], sums[8]; // [query]
    [[unroll]] for (int p = 0; p < QUERIES; ++p) {
        most[p] = LOWEST;
        sums[p] = 0;
    }
    [[unroll]] for (int s = 0; s < sets; ++s)
        places[s] = slot * pc.groups + min(firstSet + s, pc.groups - 1);
    uint range = 0;
    if (live) do {
        [[unroll]] for (int p = 0; p < QUERIES; ++p)
            most[p] = max(most[p],
                          uintBitsToFloat(FETCH(highest, (places[p / 4] * pc.ranges + range) * 8 + lane)[p % 4]));
    } while (++range < pc.ranges);

    float results[8][8][8]; // [block][channel][query]
    [[unroll]] for (int c = 0; c < BLOCKS; ++c)
        [[unroll]] for (int o = 0; o < 8; ++o)
            [[unroll]] for (int p = 0; p < QUERIES; ++p)
                results[c][o][p] = 0;
    uint eight = 0;
    if (live) do {
        uvec4 words[8], tops[2], own[8];
        [[unroll]] for (int s = 0; s < sets; ++s) {
            uint place = (places[s] * pc.eights + eight) * 40 + lane;
            tops[s] = FETCH(weights, place + 32);
            [[unroll]] for (int p = 0; p < 4; ++p)
                words[4 * s + p] = FETCH(weights, place + 8 * p);
        }
        // Keys that are not there weigh 0; their values are those of the last.
        uint key = min(8 * eight + lane, pc.tokens - 1);
        [[unroll]] for (int c = 0; c < BLOCKS; ++c)
            own[c] = FETCH(qkv, valueBase + min(firstBlock + c, pc.headBlocks - 1) * pc.tokens + key);
        float inputs[8][8]; // [query][key]
        [[unroll]] for (int p = 0; p < QUERIES; ++p) {
            float factor = exp2(uintBitsToFloat(tops[p / 4][p % 4]) - most[p]) * (1.0 / WEIGHT_ONE);
            vec4 low = vec4(ivec4(words[p] & 0xffffu)) * factor, high = vec4(ivec4(words[p] >> 16)) * factor;
            [[unroll]] for (int i = 0; i < 4; ++i) {
                inputs[p][2 * i] = low[i];
                inputs[p][2 * i + 1] = high[i];
            }
            vec4 both = low + high;
            sums[p] += (both.x + both.y) + (both.z + both.w);
        }
        [[unroll]] for (int c = 0; c < BLOCKS; ++c) {
            Eight value = unpackEight(own[c]); // of key `lane`
            [[unroll]] for (int o = 0; o < 8; ++o) {
                float ownChannel = o < 4 ? value.low[o & 3] : value.high[o & 3];
                [[unroll]] for (int i = 0; i < 8; ++i) {
                    float one = subgroupShuffle(ownChannel, i);
                    [[unroll]] for (int p = 0; p < QUERIES; ++p)
                        results[c][o][p] += one * inputs[p][i];
                }
            }
        }
    } while (++eight < pc.eights);

    uint image = (pc.firstSlot + slot) / pc.heads;
    uint head = pc.firstSlot + slot - image * pc.heads;
    [[unroll]] for (int p = 0; p < QUERIES; ++p) {
        uint column = firstSet * GROUP + lane + 8 * p;
        float share = 1.0 / sums[p];
        [[unroll]] for (int c = 0; c < BLOCKS; ++c) {
            uvec4 words = packEightInSteps(
                Eight(vec4(results[c][0][p], results[c][1][p], results[c][2][p], results[c][3][p]) * share,
                      vec4(results[c][4][p], results[c][5][p], results[c][6][p], results[c][7][p]) * share));
            // Each stores what its neighbour made, see fromNeighbour.
            uvec4 moved = uvec4(fromNeighbour(words.x), fromNeighbour(words.y), fromNeighbour(words.z),
                                fromNeighbour(words.w));
            uint place = fromNeighbour((image * pc.outputBlocks + head * pc.headBlocks + firstBlock + c) * pc.tokens +
                                       pc.firstQuery + column);
            if (live && (column ^ 1) < pc.columns && firstBlock + c < pc.headBlocks)
                target[place] = moved;
        }
    }
}
