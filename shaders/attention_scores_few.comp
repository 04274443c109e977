// As attention_scores.comp for heads of at most 64 channels: the queries stay in registers while all keys of a range go by,
// as the source of conv2d_held.comp does. A unit makes up to 128 keys for 32 queries, four keys at a time; ranges fastest:
// groups = ceil(slots * ceil(columns / 32) * ranges / 8).
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "tensor.glsl"
#include "lanes.glsl"
#include "attention_interface.glsl"

layout(constant_id = 1) const int BLOCKS = 8; // pc.headBlocks
layout(constant_id = 2) const int QUERIES = 4; // of an invocation; unrolled by the driver

TENSOR(0, qkv)
layout(binding = 1, std430) writeonly buffer Target { vec4 target[]; };
layout(binding = 2, std430) writeonly buffer Highest { float highest[]; };

void main() {
    uint lane = laneNumber();
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint queryGroups = (pc.columns + 8 * QUERIES - 1) / (8 * QUERIES);
    uint slotQuery = unit / pc.ranges;
    uint range = unit - slotQuery * pc.ranges;
    uint slot = slotQuery / queryGroups;
    uint first = (slotQuery - slot * queryGroups) * (8 * QUERIES) + lane; // column
    bool live = number < pc.groupCount && slot < pc.slots;
    slot = live ? slot : 0;
    uint keyBase = partBase(pc.firstSlot + slot, 1), queryBase = partBase(pc.firstSlot + slot, 0);

    float inputs[64][4]; // [channel][query]
    [[unroll]] for (int p = 0; p < QUERIES; ++p) {
        uint place = queryBase + pc.firstQuery + min(first + 8 * p, pc.columns - 1);
        [[unroll]] for (int block = 0; block < BLOCKS; ++block) {
            Eight q = unpackEight(FETCH(qkv, place + block * pc.tokens));
            [[unroll]] for (int i = 0; i < 8; ++i)
                inputs[8 * block + i][p] = (i < 4 ? q.low[i & 3] : q.high[i & 3]) * pc.scale;
        }
    }

    float most[4]; // [query]
    [[unroll]] for (int p = 0; p < QUERIES; ++p)
        most[p] = LOWEST;
    uint quad = range * 32;
    uint end = min(quad + 32, 4 * pc.keyGroups);
    if (live) do {
        // Lanes 0..3 hold these keys' channels of one block, lanes 4..7 of the next.
        uint key = keyBase + min(4 * quad + (lane & 3), pc.tokens - 1);
        uvec4 own[4];
        [[unroll]] for (int pair = 0; pair < (BLOCKS + 1) / 2; ++pair)
            own[pair] = FETCH(qkv, key + min(2 * pair + (lane >> 2), BLOCKS - 1) * pc.tokens);
        float sums[4][4]; // [key][query]
        [[unroll]] for (int o = 0; o < 4; ++o)
            [[unroll]] for (int p = 0; p < QUERIES; ++p)
                sums[o][p] = 0;
        [[unroll]] for (int k = 0; k < 8 * BLOCKS; ++k) {
            Eight of = unpackEight(own[k >> 4]);
            float ownChannel = (k & 4) == 0 ? of.low[k & 3] : of.high[k & 3];
            [[unroll]] for (int o = 0; o < 4; ++o) {
                float weight = subgroupShuffle(ownChannel, o + ((k & 8) >> 1));
                [[unroll]] for (int p = 0; p < QUERIES; ++p)
                    sums[o][p] += weight * inputs[k][p];
            }
        }
        bvec4 real = lessThan(4 * quad + uvec4(0, 1, 2, 3), uvec4(pc.tokens));
        uint place = (slot * pc.keyGroups * 4 + quad) * pc.columns + first;
        [[unroll]] for (int p = 0; p < QUERIES; ++p) {
            vec4 scores = mix(vec4(LOWEST), vec4(sums[0][p], sums[1][p], sums[2][p], sums[3][p]), real);
            most[p] = max(most[p], max(max(scores.x, scores.y), max(scores.z, scores.w)));
            if (first + 8 * p < pc.columns)
                target[place + 8 * p] = scores;
        }
    } while (++quad < end);
    [[unroll]] for (int p = 0; p < QUERIES; ++p)
        if (live && first + 8 * p < pc.columns)
            highest[(slot * pc.ranges + range) * pc.columns + first + 8 * p] = most[p];
}
