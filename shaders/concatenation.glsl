// Eight channels of two sources, the second one's channels right behind the first one's. Include after
// numeric.glsl and tensor.glsl and declare before: tensors source0 and source1, [N][blocks][H][W] uvec4; constants SOURCES (1
// or 2) and SHIFT, channels0 % 8 (source1 starts in the middle of a block); push constants channels0,
// blocks0, blocks1.
#ifndef MOTE_CONCATENATION_GLSL
#define MOTE_CONCATENATION_GLSL

uint halfAt(uvec4 words, int i) {
    return (words[i >> 1] >> (16 * (i & 1))) & 0xffff;
}

// Of a pixel of a plane of that many, as stored.
uvec4 loadWords(uint image, uint block, uint pixel, uint plane) {
    uint whole = pc.channels0 >> 3; // blocks that are all source0's
    if (SOURCES == 1 || block < whole)
        return FETCH(source0, (image * pc.blocks0 + block) * plane + pixel);
    uint base1 = image * pc.blocks1;
    if (SHIFT == 0)
        return FETCH(source1, (base1 + block - whole) * plane + pixel);
    // Channels before SHIFT come from the block before, the others from source1's block `next`.
    uint next = block - whole;
    bool mixed = next == 0;
    uvec4 before, after = uvec4(0), words = uvec4(0);
    if (mixed)
        before = FETCH(source0, (image * pc.blocks0 + whole) * plane + pixel);
    else
        before = FETCH(source1, (base1 + next - 1) * plane + pixel);
    if (next < pc.blocks1)
        after = FETCH(source1, (base1 + next) * plane + pixel);
    [[unroll]] for (int i = 0; i < 8; ++i) {
        uint bits = i < SHIFT ? halfAt(before, mixed ? i : i + 8 - SHIFT) : halfAt(after, max(i - SHIFT, 0));
        words[i >> 1] |= bits << (16 * (i & 1));
    }
    return words;
}

Eight loadEight(uint image, uint block, uint pixel, uint plane) {
    return unpackEight(loadWords(image, block, pixel, plane));
}

#endif
