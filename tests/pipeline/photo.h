// A shipped photo and how good a restoration of it is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mote::test {

// Planar RGB in [-1, 1], as the shipped model wants its condition.
struct Photo {
    uint32_t height = 0, width = 0;
    std::vector<float> planes; // [3][height][width]
};

// A part of tests/photos/<name>.
Photo readPhoto(const std::string &name, uint32_t x, uint32_t y, uint32_t width, uint32_t height);

// Gaussian noise of `sigma` (of 255) added, not clipped; the same for the same seed.
Photo withNoise(const Photo &photo, double sigma, uint64_t seed);

// In dB, of values in [-1, 1], after rounding to 8 bits.
double psnr(const std::vector<float> &found, const std::vector<float> &expected);

} // namespace mote::test
