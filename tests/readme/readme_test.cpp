// Runs the README's C example on a noisy picture and looks at what comes out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int kWidth = 93, kHeight = 61; // no multiple of anything

// A smooth colour gradient with one edge: [H][W][3].
std::vector<uint8_t> cleanPicture() {
    std::vector<uint8_t> pixels;
    for (int y = 0; y < kHeight; ++y)
        for (int x = 0; x < kWidth; ++x)
            for (int c = 0; c < 3; ++c)
                pixels.push_back(static_cast<uint8_t>(x < kWidth / 2 ? 60 + y + 20 * c : 180 - y + 10 * c));
    return pixels;
}

double psnr(const std::vector<uint8_t> &a, const std::vector<uint8_t> &b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.size()) / sum);
}

TEST(Readme, ExampleRestoresAPicture) {
    const std::vector<uint8_t> clean = cleanPicture();
    std::vector<uint8_t> noisy;
    std::mt19937 generator(1);
    std::normal_distribution<double> normal(0, 25);
    for (uint8_t value : clean)
        noisy.push_back(static_cast<uint8_t>(std::clamp(std::lround(value + normal(generator)), 0L, 255L)));
    const std::string header = "P6 " + std::to_string(kWidth) + " " + std::to_string(kHeight) + " 255\n";
    const std::string input = testing::TempDir() + "readme_noisy.ppm";
    const std::string output = testing::TempDir() + "readme_restored.ppm";
    {
        std::ofstream file(input, std::ios::binary);
        file << header;
        file.write(reinterpret_cast<const char *>(noisy.data()), static_cast<std::streamsize>(noisy.size()));
    }
    const std::string command =
        std::string("'") + EXAMPLE_PROGRAM + "' '" + SHIPPED_MODEL + "' < '" + input + "' > '" + output + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::ifstream file(output, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_EQ(bytes.size(), header.size() + clean.size());
    EXPECT_EQ(bytes.substr(0, header.size()), header);
    const std::vector<uint8_t> restored(bytes.begin() + static_cast<std::ptrdiff_t>(header.size()),
                                        bytes.end());
    const double gain = psnr(restored, clean) - psnr(noisy, clean);
    std::printf("gain %.2f dB\n", gain);
    EXPECT_GT(gain, 7.0);
}

} // namespace
