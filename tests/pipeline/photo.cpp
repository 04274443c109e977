#include "pipeline/photo.h"

#include "kernels/noise.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace mote::test {

Photo readPhoto(const std::string &name, uint32_t x, uint32_t y, uint32_t width, uint32_t height) {
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    const std::string path = std::string(MOTE_TESTS_DIR "/photos/") + name;
    if (!png_image_begin_read_from_file(&image, path.c_str()))
        throw std::runtime_error(path + ": " + image.message);
    image.format = PNG_FORMAT_RGB;
    std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
    if (!png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr))
        throw std::runtime_error(path + ": " + image.message);
    if (x + width > image.width || y + height > image.height)
        throw std::runtime_error(path + " is smaller than the part asked for");
    Photo photo{height, width, {}};
    for (uint32_t c = 0; c < 3; ++c)
        for (uint32_t row = 0; row < height; ++row)
            for (uint32_t column = 0; column < width; ++column)
                photo.planes.push_back(
                    static_cast<float>(pixels[(size_t{y + row} * image.width + x + column) * 3 + c]) /
                        127.5f -
                    1.0f);
    return photo;
}

Photo withNoise(const Photo &photo, double sigma, uint64_t seed) {
    Photo noisy = photo;
    for (size_t i = 0; i < noisy.planes.size(); ++i)
        noisy.planes[i] +=
            static_cast<float>(sigma / 127.5 * noiseNormal({static_cast<uint32_t>(i), 0, 0, 7}, seed));
    return noisy;
}

double psnr(const std::vector<float> &found, const std::vector<float> &expected) {
    const auto byteOf = [](float value) {
        return std::clamp(std::floor((double(value) + 1) * 127.5 + 0.5), 0.0, 255.0);
    };
    double squares = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const double difference = byteOf(found[i]) - byteOf(expected[i]);
        squares += difference * difference;
    }
    return 10 * std::log10(255.0 * 255.0 * static_cast<double>(found.size()) / squares);
}

} // namespace mote::test
