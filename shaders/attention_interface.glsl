// Attention for software devices in two dispatches, each the product of conv2d_shuffle.comp: a running softmax needs its
// sums at hand, more than registers hold, and there an array cannot be indexed at run time.
//
//   attention_scores.comp   scores[key][query] = q k^T / sqrt(d), LOWEST for keys that pad the last sixteen; the highest
//                           score of each query within ranges of keys (attention_scores_few.comp: of small heads)
//   attention_values.comp   out = exp(scores - highest) v / sum of exp(scores - highest)
//
// They work on a band that is small enough for the caches: `slots` pairs of image and head from firstSlot on, and of
// each `columns` queries from firstQuery on.
//
//   qkv      as in attention.comp, d a multiple of 8
//   scores   [slots][4 keyGroups][columns] vec4 (four keys)
//   highest  [slots][ranges][columns] floats
//
// Workgroup: eight units, each made by eight neighbouring invocations. Features: subgroup operations basic and shuffle,
// subgroups of exactly 8. What is read comes through texel buffers.
#ifndef MOTE_ATTENTION_INTERFACE_GLSL
#define MOTE_ATTENTION_INTERFACE_GLSL

layout(local_size_x = LOCAL_SIZE) in;

// Loops over queries end at a constant that only the driver knows: unrolled there, the modules stay small.
layout(constant_id = 0) const int EIGHT = 8;

#define LOWEST -3.0e38

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint tokens;
    uint headBlocks; // d / 8
    uint heads;
    uint inputBlocks, outputBlocks; // of qkv, of the result
    uint keyGroups;                 // ceil(tokens / 16)
    uint firstSlot, slots;
    uint firstQuery, columns;
    uint ranges; // of keys with one highest score
    float scale; // 1 / sqrt(d)
} pc;

// First block of a slot's q (part 0), k (1) or v (2) as texels of qkv.
uint partBase(uint slot, uint part) {
    uint image = slot / pc.heads;
    uint head = slot - image * pc.heads;
    return (image * pc.inputBlocks + part * pc.outputBlocks + head * pc.headBlocks) * pc.tokens;
}

#endif
