// The result of a band, see attention_interface.glsl. A unit makes up to 16 channels of 64 queries; channels fastest:
// groups = ceil(slots * ceil(columns / 64) * ceil(headBlocks / 2) / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

TENSOR(0, qkv)
TENSOR(1, weights)
layout(binding = 2, std430) readonly buffer Sums { float sums[]; };
layout(binding = 3, std430) writeonly buffer Target { uvec4 target[]; };

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint queryGroups = (pc.columns + 63) >> 6;
    uint channelGroups = (pc.headBlocks + 1) >> 1;
    uint slotQuery = unit / channelGroups;
    uint firstBlock = (unit - slotQuery * channelGroups) * 2;
    uint slot = slotQuery / queryGroups;
    uint first = (slotQuery - slot * queryGroups) * 64 + lane; // column
    bool live = number < pc.groupCount && slot < pc.slots;
    uint valueBase = partBase(pc.firstSlot + slot, 2);

    float results[2][8][8]; // [block][channel][query]
    [[unroll]] for (int c = 0; c < 2; ++c)
        [[unroll]] for (int o = 0; o < 8; ++o)
            [[unroll]] for (int p = 0; p < EIGHT; ++p)
                results[c][o][p] = 0;
    uint places[8];
    [[unroll]] for (int p = 0; p < EIGHT; ++p)
        places[p] = slot * 2 * pc.keyGroups * pc.columns + min(first + 8 * p, pc.columns - 1);
    uint keys = 0;
    if (live) do {
        float inputs[8][8]; // [query][key]
        [[unroll]] for (int p = 0; p < EIGHT; ++p) {
            Eight of = unpackEight(FETCH(weights, places[p] + keys * pc.columns));
            [[unroll]] for (int i = 0; i < 4; ++i) {
                inputs[p][i] = of.low[i];
                inputs[p][i + 4] = of.high[i];
            }
        }
        // Keys that are not there weigh 0; their values are those of the last.
        uint key = min(8 * keys + lane, pc.tokens - 1);
        [[unroll]] for (int c = 0; c < 2; ++c) {
            uint block = min(firstBlock + c, pc.headBlocks - 1);
            Eight own = unpackEight(FETCH(qkv, valueBase + block * pc.tokens + key)); // of key `lane`
            [[unroll]] for (int o = 0; o < 8; ++o) {
                float ownChannel = o < 4 ? own.low[o & 3] : own.high[o & 3];
                [[unroll]] for (int i = 0; i < 8; ++i) {
                    float value = subgroupShuffle(ownChannel, i);
                    [[unroll]] for (int p = 0; p < EIGHT; ++p)
                        results[c][o][p] += value * inputs[p][i];
                }
            }
        }
    } while (++keys < 2 * pc.keyGroups);

    uint image = (pc.firstSlot + slot) / pc.heads;
    uint head = pc.firstSlot + slot - image * pc.heads;
    [[unroll]] for (int p = 0; p < EIGHT; ++p) {
        uint column = first + 8 * p;
        bool real = live && column < pc.columns;
        float share = 1.0 / sums[real ? slot * pc.columns + column : 0];
        [[unroll]] for (int c = 0; c < 2; ++c) {
            uvec4 words = packEightInSteps(
                Eight(vec4(results[c][0][p], results[c][1][p], results[c][2][p], results[c][3][p]) * share,
                      vec4(results[c][4][p], results[c][5][p], results[c][6][p], results[c][7][p]) * share));
            if (real && firstBlock + c < pc.headBlocks)
                target[(image * pc.outputBlocks + head * pc.headBlocks + firstBlock + c) * pc.tokens +
                       pc.firstQuery + column] = words;
        }
    }
}
