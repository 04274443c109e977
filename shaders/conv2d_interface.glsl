// What the variants of the convolution share: constants, push constants, bindings, the way in and the way
// out. Include after numeric.glsl and tensor.glsl. The header of conv2d.comp says what each binding holds.
#ifndef MOTE_CONV2D_INTERFACE_GLSL
#define MOTE_CONV2D_INTERFACE_GLSL

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int KERNEL_HEIGHT = 3;
layout(constant_id = 1) const int KERNEL_WIDTH = 3;
layout(constant_id = 2) const int STRIDE = 1;
layout(constant_id = 3) const int UPSAMPLE = 0; // 1: the input is doubled by nearest neighbour
layout(constant_id = 4) const int SOURCES = 1;
layout(constant_id = 5) const int RESIDUAL = 0; // 0 none, 1 same size, 2 nearest x2, 3 average 2x2
layout(constant_id = 6) const int OUTPUT_PORT = 0;
layout(constant_id = 7) const int STATISTICS = 0;

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint inputHeight, inputWidth; // as stored
    uint outputHeight, outputWidth;
    uint outputChannels, outputBlocks;
    uint blocks0, blocks1;
    uint tiles;          // per image
    uint tileLoops;      // walks of a workgroup
    uint segmentsPerRow; // ceil(outputWidth / PIXELS)
    int padTop, padLeft;
    uint biasIndex;  // of the row's first vec4
    uint biasStride; // vec4 from an image's row to the next one's; 0: one row for all
    float outputScale;
    uint residualHeight, residualWidth;
}
pc;

TENSOR(0, source0)
TENSOR(1, source1)
TENSOR(2, weights)
TENSOR(3, bias) // fp32 bits
TENSOR(4, residual)
layout(binding = 5, std430) writeonly buffer Target {
    uvec4 target[];
};
layout(binding = 5, std430) writeonly buffer TargetPort {
    float targetPort[];
};
layout(binding = 6, std430) writeonly buffer Statistics {
    vec4 statistics[];
};

// Eight channels of an input pixel as stored, or zero outside of the map, without a branch that parts
// invocations.
uvec4 loadInput(bool second, bool inside, uint index) {
    uint place = inside ? index : 0;
    uvec4 loaded;
    if (second)
        loaded = FETCH(source1, place);
    else
        loaded = FETCH(source0, place);
    return inside ? loaded : uvec4(0);
}

Eight biasOf(uint image, uint outputBlock) {
    uint index = pc.biasIndex + image * pc.biasStride + 2 * outputBlock;
    return Eight(uintBitsToFloat(FETCH(bias, index)), uintBitsToFloat(FETCH(bias, index + 1)));
}

Eight addedResidual(uint image, uint outputBlock, uint y, uint x) {
    uint base = (image * pc.outputBlocks + outputBlock) * pc.residualHeight * pc.residualWidth;
    if (RESIDUAL == 2)
        return unpackEight(FETCH(residual, base + (y >> 1) * pc.residualWidth + (x >> 1)));
    if (RESIDUAL == 3) {
        uint index = base + 2 * y * pc.residualWidth + 2 * x;
        Eight a = unpackEight(FETCH(residual, index)), b = unpackEight(FETCH(residual, index + 1));
        Eight c = unpackEight(FETCH(residual, index + pc.residualWidth));
        Eight d = unpackEight(FETCH(residual, index + pc.residualWidth + 1));
        return Eight(((a.low + b.low) + (c.low + d.low)) * 0.25,
                     ((a.high + b.high) + (c.high + d.high)) * 0.25);
    }
    return unpackEight(FETCH(residual, base + y * pc.residualWidth + x));
}

void storePort(uint image, uint outputBlock, uint pixel, Eight value) {
    uint plane = pc.outputHeight * pc.outputWidth;
    uint channel = 8 * outputBlock;
    uint index = (image * pc.outputChannels + channel) * plane + pixel;
    [[unroll]] for (uint i = 0; i < 4; ++i) {
        if (channel + i < pc.outputChannels)
            targetPort[index + i * plane] = value.low[i];
        if (channel + 4 + i < pc.outputChannels)
            targetPort[index + (4 + i) * plane] = value.high[i];
    }
}

// Adds the residual, scales, stores; returns the values as an activation stores them.
uvec4 storeOutput(uint image, uint outputBlock, uint y, uint x, Eight value) {
    if (RESIDUAL != 0) {
        Eight added = addedResidual(image, outputBlock, y, x);
        value.low += added.low;
        value.high += added.high;
    }
    value.low *= pc.outputScale;
    value.high *= pc.outputScale;
    uvec4 words = packEight(value);
    if (OUTPUT_PORT != 0)
        storePort(image, outputBlock, y * pc.outputWidth + x, value);
    else
        target[((image * pc.outputBlocks + outputBlock) * pc.outputHeight + y) * pc.outputWidth + x] = words;
    return words;
}

#endif
