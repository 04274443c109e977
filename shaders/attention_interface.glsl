// Attention for software devices in two dispatches: a running softmax needs its sums at hand, more than registers hold,
// and there an array cannot be indexed at run time.
//
//   attention_scores.comp   weights of the softmax: of eight keys together, relative to the highest score of these eight,
//                           so that no second pass over the scores is needed; that score; the highest of a range
//   attention_values.comp   out = sum of weights v / sum of weights, each eight's times 2^(its highest - the highest)
//
// Scores are log2(e) q k^T / sqrt(d), LOWEST for keys that pad the last eight, and e^x is made as 2^x.
//
// They work on a band that is small enough for the caches: `slots` pairs of image and head from firstSlot on, and of
// each `columns` queries from firstQuery on, GROUP at a time.
//
//   qkv      as in attention.comp, d a multiple of 8
//   weights  [slots][groups][eights][5][8 lanes] uvec4; of lane n 0..3 are for query n, 8 + n, 16 + n, 24 + n: eight
//            keys in steps of 1 / WEIGHT_ONE, 16 bits each; 4 has the highest scores for these queries, bits of floats
//   highest  [slots][groups][ranges][8 lanes] uvec4, likewise, of RANGE_EIGHTS eights
//
// Weights in these steps are within 2^-17 of their eight's largest: halfs would be within 2^-12.
//
// Workgroup: eight units, each made by eight neighbouring invocations. Features: subgroup operations basic and shuffle,
// subgroups of exactly 8. What is read comes through texel buffers.
#ifndef MOTE_ATTENTION_INTERFACE_GLSL
#define MOTE_ATTENTION_INTERFACE_GLSL

layout(local_size_x = LOCAL_SIZE) in;

#define LOWEST -3.0e38
#define GROUP 32
#define RANGE_EIGHTS 16
#define WEIGHT_ONE 65535.0

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint tokens;
    uint headBlocks; // d / 8
    uint heads;
    uint inputBlocks, outputBlocks; // of qkv, of the result
    uint eights;                    // ceil(tokens / 8)
    uint firstSlot, slots;
    uint firstQuery, columns;
    uint groups; // of queries, ceil(columns / GROUP)
    uint ranges;
    float scale; // log2(e) / sqrt(d)
} pc;

// First block of a slot's q (part 0), k (1) or v (2) as texels of qkv.
uint partBase(uint slot, uint part) {
    uint image = slot / pc.heads;
    uint head = slot - image * pc.heads;
    return (image * pc.inputBlocks + part * pc.outputBlocks + head * pc.headBlocks) * pc.tokens;
}

#endif
