#include "pipeline/io.h"

#include <algorithm>
#include <cstring>

namespace mote::pipeline {

Status checkImage(const std::string &what, const ImageView &image, uint32_t width, uint32_t height) {
    if (image.bytesPerPixel != 1 && image.bytesPerPixel != 3 && image.bytesPerPixel != 4)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: format: found %u, expected MOTE_GRAY8, MOTE_RGB8 or MOTE_RGBA8", what.c_str(),
                          image.bytesPerPixel);
    if (image.pixels == nullptr)
        return makeStatus(StatusCode::InvalidArgument, "%s: pixels is null", what.c_str());
    if (image.width != width || image.height != height)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: found %u x %u pixels, expected the session's %u x %u", what.c_str(),
                          image.width, image.height, width, height);
    const size_t row = size_t{width} * image.bytesPerPixel;
    if (image.stride < row)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: stride: found %zu bytes, expected 0 or at least %zu", what.c_str(),
                          image.stride, row);
    return {};
}

void PaddedReader::read(uint64_t first, uint64_t count, float *to) const {
    const uint64_t plane = uint64_t{rows} * paddedWidth;
    uint64_t at = first;
    while (at < first + count) {
        const uint64_t channel = at / plane, inPlane = at % plane;
        const uint32_t y = firstRow + static_cast<uint32_t>(inPlane / paddedWidth);
        const float *row = planes + (channel * height + reflectIndex(y, height)) * width;
        uint32_t x = static_cast<uint32_t>(inPlane % paddedWidth);
        for (; x < paddedWidth && at < first + count; ++x, ++at)
            *to++ = row[x < width ? x : reflectIndex(x, width)] * scale;
    }
}

void cropPlanes(const float *padded, uint32_t channels, uint32_t paddedHeight, uint32_t paddedWidth,
                uint32_t height, uint32_t width, float scale, float *to) {
    for (uint32_t c = 0; c < channels; ++c)
        for (uint32_t y = 0; y < height; ++y) {
            const float *row = padded + (uint64_t{c} * paddedHeight + y) * paddedWidth;
            for (uint32_t x = 0; x < width; ++x)
                *to++ = row[x] * scale;
        }
}

void packRows(const ImageView &image, uint32_t first, uint32_t count, uint8_t *to) {
    const size_t row = size_t{image.width} * image.bytesPerPixel;
    for (uint32_t i = 0; i < count; ++i)
        std::memcpy(to + i * row, image.pixels + reflectIndex(first + i, image.height) * image.stride, row);
}

void unpackRows(const uint8_t *rgba, const ImageView &image, const ImageView *alpha) {
    const uint32_t scale = alpha != nullptr ? image.width / alpha->width : 1;
    for (uint32_t y = 0; y < image.height; ++y) {
        const uint8_t *source = rgba + size_t{4} * y * image.width;
        uint8_t *target = image.pixels + y * image.stride;
        const uint8_t *opacity = alpha != nullptr ? alpha->pixels + y / scale * alpha->stride : nullptr;
        for (size_t x = 0; x < image.width; ++x, source += 4, target += image.bytesPerPixel) {
            if (image.bytesPerPixel == 1) {
                target[0] = static_cast<uint8_t>(
                    (299u * source[0] + 587u * source[1] + 114u * source[2] + 500) / 1000);
                continue;
            }
            const uint8_t a = opacity != nullptr ? opacity[4 * (x / scale) + 3] : uint8_t{255};
            std::memcpy(target, source, 3);
            if (image.bytesPerPixel == 4)
                target[3] = a;
        }
    }
}

float halfToFloat(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 31u;
    uint32_t mantissa = half & 1023u;
    uint32_t bits = 0;
    if (exponent == 31) { // infinity, NaN
        bits = sign | 0x7F800000u | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else if (mantissa != 0) { // subnormal: mantissa * 2^-24
        uint32_t shift = 0;
        while ((mantissa & 1024u) == 0) {
            mantissa <<= 1;
            ++shift;
        }
        bits = sign | (113 - shift) << 23 | (mantissa & 1023u) << 13;
    } else {
        bits = sign;
    }
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void unpackActivation(const uint16_t *blocks, uint32_t channels, uint32_t height, uint32_t width, float *to) {
    const uint64_t plane = uint64_t{height} * width;
    for (uint32_t c = 0; c < channels; ++c)
        for (uint64_t i = 0; i < plane; ++i)
            *to++ = halfToFloat(blocks[((c / 8) * plane + i) * 8 + c % 8]);
}

} // namespace mote::pipeline
