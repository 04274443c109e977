// The scores of a band, see attention_interface.glsl. A unit makes 16 keys for 64 queries; key groups fastest:
// groups = ceil(slots * ceil(columns / 64) * keyGroups / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

TENSOR(0, qkv)
layout(binding = 1, std430) writeonly buffer Target { vec4 target[]; };
layout(binding = 2, std430) writeonly buffer Highest { float highest[]; }; // a range is a key group

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint queryGroups = (pc.columns + 63) >> 6;
    uint slotQuery = unit / pc.keyGroups;
    uint keyGroup = unit - slotQuery * pc.keyGroups;
    uint slot = slotQuery / queryGroups;
    uint first = (slotQuery - slot * queryGroups) * 64 + lane; // column
    bool live = number < pc.groupCount && slot < pc.slots;
    uint keyBase = partBase(pc.firstSlot + slot, 1), queryBase = partBase(pc.firstSlot + slot, 0);

    float sums[2][8][8]; // [eight keys][key][query]
    [[unroll]] for (int c = 0; c < 2; ++c)
        [[unroll]] for (int o = 0; o < 8; ++o)
            [[unroll]] for (int p = 0; p < EIGHT; ++p)
                sums[c][o][p] = 0;
    uint places[8];
    [[unroll]] for (int p = 0; p < EIGHT; ++p)
        places[p] = queryBase + pc.firstQuery + min(first + 8 * p, pc.columns - 1);
    uint block = 0;
    if (live) do {
        float inputs[8][8]; // [query][channel]
        [[unroll]] for (int p = 0; p < EIGHT; ++p) {
            Eight q = unpackEight(FETCH(qkv, places[p] + block * pc.tokens));
            [[unroll]] for (int i = 0; i < 4; ++i) {
                inputs[p][i] = q.low[i];
                inputs[p][i + 4] = q.high[i];
            }
        }
        [[unroll]] for (int c = 0; c < 2; ++c) {
            // Of key `lane` of these eight.
            uint key = min(keyGroup * 16 + 8 * c + lane, pc.tokens - 1);
            Eight own = unpackEight(FETCH(qkv, keyBase + block * pc.tokens + key));
            [[unroll]] for (int i = 0; i < 8; ++i) {
                float ownChannel = i < 4 ? own.low[i & 3] : own.high[i & 3];
                [[unroll]] for (int o = 0; o < 8; ++o) {
                    float k = subgroupShuffle(ownChannel, o);
                    [[unroll]] for (int p = 0; p < EIGHT; ++p)
                        sums[c][o][p] += k * inputs[p][i];
                }
            }
        }
    } while (++block < pc.headBlocks);

    float most[8]; // [query]
    [[unroll]] for (int p = 0; p < EIGHT; ++p)
        most[p] = LOWEST;
    [[unroll]] for (int quad = 0; quad < 4; ++quad) {
        bvec4 real = lessThan(16 * keyGroup + 4 * quad + uvec4(0, 1, 2, 3), uvec4(pc.tokens));
        uint place = ((slot * pc.keyGroups + keyGroup) * 4 + quad) * pc.columns + first;
        int c = quad >> 1, o = 4 * (quad & 1);
        [[unroll]] for (int p = 0; p < EIGHT; ++p) {
            vec4 scores = vec4(sums[c][o][p], sums[c][o + 1][p], sums[c][o + 2][p], sums[c][o + 3][p]) * pc.scale;
            scores = mix(vec4(LOWEST), scores, real);
            most[p] = max(most[p], max(max(scores.x, scores.y), max(scores.z, scores.w)));
            if (live && first + 8 * p < pc.columns)
                target[place + 8 * p] = scores;
        }
    }
    [[unroll]] for (int p = 0; p < EIGHT; ++p)
        if (live && first + 8 * p < pc.columns)
            highest[(slot * pc.ranges + keyGroup) * pc.columns + first + 8 * p] = most[p];
}
