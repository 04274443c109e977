// What the app gives and takes, as plain structs, and the conversions between it and padded planes of floats.
#pragma once

#include "model/status.h"
#include "pipeline/tiling.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace mote::pipeline {

// 8-bit pixels, 1 (gray), 3 (RGB) or 4 (RGBA) bytes each. Borrowed.
struct ImageView {
    uint32_t bytesPerPixel = 3, width = 0, height = 0;
    size_t stride = 0; // bytes, not 0
    uint8_t *pixels = nullptr;
};

// [N][C][H][W] floats, dense. Borrowed.
struct TensorView {
    uint32_t n = 0, c = 0, h = 0, w = 0;
    float *data = nullptr;
};

// Checks what a caller gave; `what` begins the message ("image for port 'condition'").
Status checkImage(const std::string &what, const ImageView &image, uint32_t width, uint32_t height);

// Of a band [channels][rows][paddedWidth] of a padded image elements [first, first + count), times `scale`,
// out of one image of a tensor whose height and width are at most the padded ones; what lies beyond them is
// reflected.
struct PaddedReader {
    const float *planes = nullptr;
    uint32_t height = 0, width = 0, paddedWidth = 0;
    uint32_t firstRow = 0, rows = 0; // of the band
    float scale = 1;

    void read(uint64_t first, uint64_t count, float *to) const;
};

// The top left height x width of padded planes, times `scale`.
void cropPlanes(const float *padded, uint32_t channels, uint32_t paddedHeight, uint32_t paddedWidth,
                uint32_t height, uint32_t width, float scale, float *to);

// Rows [first, first + count) of an image that is continued downwards by reflection, one after the other
// without gaps.
void packRows(const ImageView &image, uint32_t first, uint32_t count, uint8_t *to);

// Writes width * height RGBA pixels without gaps in the image's format. Gray is the luma of Rec. 601. Alpha
// comes from `alpha`, an image with four bytes a pixel of the same size (it may be `image` itself) or of a
// whole part of it (then it is repeated), or is 255 where it is null.
void unpackRows(const uint8_t *rgba, const ImageView &image, const ImageView *alpha);

// Activations [C/8][H][W][8] fp16 to [C][H][W] floats.
void unpackActivation(const uint16_t *blocks, uint32_t channels, uint32_t height, uint32_t width, float *to);

float halfToFloat(uint16_t half);

} // namespace mote::pipeline
