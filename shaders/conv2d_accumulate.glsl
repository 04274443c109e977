// Part of conv2d.comp, included once per source: one kernel row of one source's channel blocks.
// Reads SOURCE[] from block `base` on, `blocks` of them; advances weightIndex.
for (uint block = 0; block < blocks; ++block) {
#if ROW3
    uvec4 pixels[PIXELS + 2];
    [[unroll]] for (int j = 0; j < PIXELS + 2; ++j) {
        bool inside = rowInside && columnInside[j];
        uvec4 loaded = SOURCE[inside ? base + rowBase + columns[j] : 0];
        pixels[j] = inside ? loaded : uvec4(0);
    }
    for (int kx = 0; kx < 3; ++kx) {
#else
    for (int kx = 0; kx < KERNEL_WIDTH; ++kx) {
        uvec4 pixels[PIXELS];
        [[unroll]] for (int j = 0; j < PIXELS; ++j) {
            int column = (int(x0) + j) * STRIDE + kx - pc.padLeft;
            bool inside = rowInside && uint(column) < inputColumns;
            uvec4 loaded = SOURCE[inside ? base + rowBase + (uint(column) >> UPSAMPLE) : 0];
            pixels[j] = inside ? loaded : uvec4(0);
        }
#endif
        [[unroll]] for (int pair = 0; pair < 4; ++pair) {
            Eight even = unpackEight(weights[weightIndex + 2 * pair]);
            Eight odd = unpackEight(weights[weightIndex + 2 * pair + 1]);
            [[unroll]] for (int p = 0; p < PIXELS; ++p) {
                vec2 x = unpackHalf2x16(pixels[p][pair]);
                sums[p].low += x.x * even.low + x.y * odd.low;
                sums[p].high += x.x * even.high + x.y * odd.high;
            }
        }
        weightIndex += 8;
#if ROW3
        [[unroll]] for (int j = 0; j < PIXELS + 1; ++j)
            pixels[j] = pixels[j + 1];
#endif
    }
    base += inputPlane;
}
