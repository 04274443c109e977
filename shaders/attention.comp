// Self-attention over the H*W tokens of a map: per head, softmax(q k^T / sqrt(d)) v, d = C / heads.
//
//   qkv     [N][ceil(3C/8)][tokens] uvec4: q, then k, then v, head after head
//   target  [N][ceil(C/8)][tokens] uvec4
//
// An invocation makes up to SLICE blocks of eight output channels of one query, walking over the keys KEYS at
// a time with a running maximum (Milakov, Gimelshein, "Online normalizer calculation for softmax", 2018): no
// score is ever stored. The scores are formed anew for each slice. All sums in fp32.
//
// Variants: ALIGNED: d is a multiple of 8, so that heads are whole blocks; slices = ceil(d / 8 / SLICE) a
// head. Otherwise any d: an invocation makes one block and walks once for each head that the block touches.
// Workgroup: 64 queries of one slice of one image; query tile fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "numeric.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#if ALIGNED
layout(constant_id = 0) const int SLICE = 4; // 1..4
#define KEYS 4
#else
const int SLICE = 1;
#define KEYS 1
#endif

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint tokens, tiles; // tiles of 64 queries
    uint channels;      // C
    uint headChannels;  // d
    uint slices;        // ALIGNED: per head; otherwise 1
    uint heads;         // ALIGNED: heads; otherwise blocks of the output
    uint inputBlocks, outputBlocks;
    float scale; // 1 / sqrt(d)
}
pc;

layout(binding = 0, std430) readonly buffer Qkv {
    uvec4 qkv[];
};
layout(binding = 0, std430) readonly buffer QkvWords {
    uint qkvWords[];
};
layout(binding = 1, std430) writeonly buffer Target {
    uvec4 target[];
};

// Channels channel .. channel + 7 of a token; those from `end` on are zero.
Eight load(uint image, uint channel, uint end, uint token) {
#if ALIGNED
    return unpackEight(qkv[(image * pc.inputBlocks + (channel >> 3)) * pc.tokens + token]);
#else
    Eight value = Eight(vec4(0), vec4(0));
    [[unroll]] for (uint i = 0; i < 8; ++i) {
        uint c = channel + i;
        if (c < end) {
            uint word =
                qkvWords[4 * ((image * pc.inputBlocks + (c >> 3)) * pc.tokens + token) + ((c & 7) >> 1)];
            vec2 halves = unpackHalf2x16(word);
            float v = (c & 1) == 0 ? halves.x : halves.y;
            if (i < 4)
                value.low[i] = v;
            else
                value.high[i - 4] = v;
        }
    }
    return value;
#endif
}

// A step of the running sum over the keys, for eight channels.
void addValues(inout Eight sum, float correction, float scores[KEYS], uint image, uint channel, uint end,
               uint key) {
    sum.low *= correction;
    sum.high *= correction;
    [[unroll]] for (uint i = 0; i < KEYS; ++i) {
        Eight v = load(image, channel, end, min(key + i, pc.tokens - 1));
        sum.low += scores[i] * v.low;
        sum.high += scores[i] * v.high;
    }
}

// The output channels valueChannel .. of one head for one query: sums, not yet divided by `total`.
void walkKeys(uint image, uint head, uint query, uint valueChannel, uint valueEnd, uint blocks,
              out Eight sums[4], out float total) {
    uint d = pc.headChannels;
    uint qChannel = head * d;
    uint kChannel = pc.channels + qChannel;
    float highest = -3.0e38;
    total = 0;
    [[unroll]] for (int s = 0; s < 4; ++s) {
        sums[s] = Eight(vec4(0), vec4(0));
    }
    for (uint key = 0; key < pc.tokens; key += KEYS) {
        float scores[KEYS];
        [[unroll]] for (uint i = 0; i < KEYS; ++i) {
            scores[i] = 0;
        }
        for (uint c = 0; c < d; c += 8) {
            Eight q = load(image, qChannel + c, qChannel + d, query);
            [[unroll]] for (uint i = 0; i < KEYS; ++i) {
                Eight k = load(image, kChannel + c, kChannel + d, min(key + i, pc.tokens - 1));
                scores[i] += dot(q.low, k.low) + dot(q.high, k.high);
            }
        }
        float before = highest;
        [[unroll]] for (uint i = 0; i < KEYS; ++i) {
            scores[i] = key + i < pc.tokens ? scores[i] * pc.scale : -3.0e38;
            highest = max(highest, scores[i]);
        }
        float correction = exp(before - highest);
        total *= correction;
        [[unroll]] for (uint i = 0; i < KEYS; ++i) {
            scores[i] = exp(scores[i] - highest);
            total += scores[i];
        }
        addValues(sums[0], correction, scores, image, valueChannel, valueEnd, key);
        if (SLICE > 1)
            addValues(sums[1], correction, scores, image, valueChannel + 8 * min(1, blocks - 1), valueEnd,
                      key);
        if (SLICE > 2)
            addValues(sums[2], correction, scores, image, valueChannel + 8 * min(2, blocks - 1), valueEnd,
                      key);
        if (SLICE > 3)
            addValues(sums[3], correction, scores, image, valueChannel + 8 * min(3, blocks - 1), valueEnd,
                      key);
    }
}

void main() {
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint unit = group / pc.tiles;
    uint query = (group - unit * pc.tiles) * LOCAL_SIZE + gl_LocalInvocationID.x;
    if (groupLive && query < pc.tokens) {
        Eight sums[4];
        float total;
#if ALIGNED
        uint imageHead = unit / pc.slices;
        uint slice = unit - imageHead * pc.slices;
        uint image = imageHead / pc.heads;
        uint head = imageHead - image * pc.heads;
        uint headBlocks = pc.headChannels >> 3;
        uint blocks = min(headBlocks - slice * SLICE, SLICE);
        uint channel = head * pc.headChannels + 8 * slice * SLICE;
        walkKeys(image, head, query, 2 * pc.channels + channel, 3 * pc.channels, blocks, sums, total);
        [[unroll]] for (int s = 0; s < 4; ++s) {
            if (s < SLICE && s < blocks)
                target[(image * pc.outputBlocks + (channel >> 3) + s) * pc.tokens + query] =
                    packEight(Eight(sums[s].low / total, sums[s].high / total));
        }
#else
        uint image = unit / pc.outputBlocks;
        uint block = unit - image * pc.outputBlocks;
        uint lastHead = min(8 * block + 7, pc.channels - 1) / pc.headChannels;
        Eight value = Eight(vec4(0), vec4(0));
        for (uint head = 8 * block / pc.headChannels; head <= lastHead; ++head) {
            walkKeys(image, head, query, 2 * pc.channels + 8 * block, 3 * pc.channels, 1, sums, total);
            uint first = head * pc.headChannels;
            [[unroll]] for (uint i = 0; i < 8; ++i) {
                uint c = 8 * block + i;
                if (c >= first && c < min(first + pc.headChannels, pc.channels)) {
                    if (i < 4)
                        value.low[i] = sums[0].low[i] / total;
                    else
                        value.high[i - 4] = sums[0].high[i - 4] / total;
                }
            }
        }
        target[(image * pc.outputBlocks + block) * pc.tokens + query] = packEight(value);
#endif
    }
}
