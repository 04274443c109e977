// The result of a band, see attention_interface.glsl. A unit makes up to 8 x BLOCKS channels of 8 x QUERIES queries; channels
// fastest: groups = ceil(slots * ceil(columns / (8 QUERIES)) * ceil(headBlocks / BLOCKS) / 8). It makes the softmax's
// weights as it needs them, all channels of a small head at a time: cheaper than to keep them.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

layout(constant_id = 1) const int BLOCKS = 8;
layout(constant_id = 2) const int QUERIES = 2; // of an invocation; BLOCKS * QUERIES is at most 16

TENSOR(0, qkv)
TENSOR(1, scores) // fp32 bits
layout(binding = 2, std430) readonly buffer Highest { float highest[]; };
layout(binding = 3, std430) writeonly buffer Target { uvec4 target[]; };

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint queryGroups = (pc.columns + 8 * QUERIES - 1) / (8 * QUERIES);
    uint channelGroups = (pc.headBlocks + BLOCKS - 1) / BLOCKS;
    uint slotQuery = unit / channelGroups;
    uint firstBlock = (unit - slotQuery * channelGroups) * BLOCKS;
    uint slot = slotQuery / queryGroups;
    uint first = (slotQuery - slot * queryGroups) * (8 * QUERIES) + lane; // column
    bool live = number < pc.groupCount && slot < pc.slots;
    uint valueBase = partBase(pc.firstSlot + slot, 2);

    uint columns[8], places[8]; // [query]
    float most[8], sums[8];
    [[unroll]] for (int p = 0; p < QUERIES; ++p) {
        columns[p] = min(first + 8 * p, pc.columns - 1);
        places[p] = slot * 4 * pc.keyGroups * pc.columns + columns[p];
        most[p] = LOWEST;
        sums[p] = 0;
    }
    uint range = 0;
    if (live) do {
        [[unroll]] for (int p = 0; p < QUERIES; ++p)
            most[p] = max(most[p], highest[(slot * pc.ranges + range) * pc.columns + columns[p]]);
    } while (++range < pc.ranges);

    float results[8][8][8]; // [block][channel][query]
    [[unroll]] for (int c = 0; c < BLOCKS; ++c)
        [[unroll]] for (int o = 0; o < 8; ++o)
            [[unroll]] for (int p = 0; p < QUERIES; ++p)
                results[c][o][p] = 0;
    uint keys = 0;
    if (live) do {
        float inputs[8][8]; // [query][key]
        [[unroll]] for (int p = 0; p < QUERIES; ++p) {
            uint place = places[p] + 2 * keys * pc.columns;
            vec4 low = exp(uintBitsToFloat(FETCH(scores, place)) - most[p]);
            vec4 high = exp(uintBitsToFloat(FETCH(scores, place + pc.columns)) - most[p]);
            [[unroll]] for (int i = 0; i < 4; ++i) {
                inputs[p][i] = low[i];
                inputs[p][i + 4] = high[i];
            }
            vec4 both = low + high;
            sums[p] += (both.x + both.y) + (both.z + both.w);
        }
        // Keys that are not there weigh 0; their values are those of the last.
        uint key = min(8 * keys + lane, pc.tokens - 1);
        [[unroll]] for (int c = 0; c < BLOCKS; ++c) {
            uint block = min(firstBlock + c, pc.headBlocks - 1);
            Eight own = unpackEight(FETCH(qkv, valueBase + block * pc.tokens + key)); // of key `lane`
            [[unroll]] for (int o = 0; o < 8; ++o) {
                float ownChannel = o < 4 ? own.low[o & 3] : own.high[o & 3];
                [[unroll]] for (int i = 0; i < 8; ++i) {
                    float value = subgroupShuffle(ownChannel, i);
                    [[unroll]] for (int p = 0; p < QUERIES; ++p)
                        results[c][o][p] += value * inputs[p][i];
                }
            }
        }
    } while (++keys < 2 * pc.keyGroups);

    uint image = (pc.firstSlot + slot) / pc.heads;
    uint head = pc.firstSlot + slot - image * pc.heads;
    [[unroll]] for (int p = 0; p < QUERIES; ++p) {
        uint column = first + 8 * p;
        float share = 1.0 / sums[p];
        [[unroll]] for (int c = 0; c < BLOCKS; ++c) {
            uvec4 words = packEightInSteps(
                Eight(vec4(results[c][0][p], results[c][1][p], results[c][2][p], results[c][3][p]) * share,
                      vec4(results[c][4][p], results[c][5][p], results[c][6][p], results[c][7][p]) * share));
            // Each stores what its neighbour made, see fromNeighbour.
            uvec4 moved = uvec4(fromNeighbour(words.x), fromNeighbour(words.y), fromNeighbour(words.z), fromNeighbour(words.w));
            uint place = fromNeighbour((image * pc.outputBlocks + head * pc.headBlocks + firstBlock + c) * pc.tokens +
                                       pc.firstQuery + column);
            if (live && (column ^ 1) < pc.columns && firstBlock + c < pc.headBlocks)
                target[place] = moved;
        }
    }
}
