// The noise generator: known answers, distribution, and the same bits on the GPU.
#include "kernel_rig.h"
#include "kernels/noise.h"

#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

// Random123's own known-answer vectors for philox4x32-10.
TEST(Philox, KnownAnswers) {
    struct Known {
        NoiseCounter counter;
        uint64_t key;
        uint32_t words[4];
    };
    const Known known[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         0xffffffffffffffff,
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (const Known &one : known) {
        uint32_t words[4];
        philox(one.counter, one.key, words);
        for (int i = 0; i < 4; ++i)
            EXPECT_EQ(words[i], one.words[i]);
    }
}

// Against Box-Muller in double on the same words: the polynomials are good to a few units in the last place.
TEST(Noise, IsBoxMullerOfTheFirstTwoWords) {
    double largest = 0;
    for (uint32_t pixel = 0; pixel < 100000; ++pixel) {
        uint32_t words[4];
        philox({pixel, 1, 2, 3}, 42, words);
        const double u = ((words[0] >> 8) + 1) * 0x1p-24, v = (words[1] >> 8) * 0x1p-24;
        const double radius = std::sqrt(-2 * std::log(u));
        const double expected = radius * std::cos(2 * 3.14159265358979323846 * v);
        const double found = static_cast<double>(noiseNormal({pixel, 1, 2, 3}, 42));
        largest = std::max(largest, std::fabs(found - expected) / (radius + 1e-30));
    }
    EXPECT_LT(largest, 8 * 0x1p-24);
}

// Moments of a million normals within five standard errors, the tails where they should be, neighbours
// unrelated.
TEST(Noise, IsStandardNormal) {
    constexpr int kCount = 1 << 20;
    double sum = 0, squares = 0, cubes = 0, fourths = 0, products = 0, previous = 0;
    int beyondOne = 0, beyondTwo = 0, beyondThree = 0;
    for (uint32_t i = 0; i < kCount; ++i) {
        const auto z = static_cast<double>(noiseNormal({i & 1023, i >> 10 & 3, i >> 12, 1}, 7));
        sum += z;
        squares += z * z;
        cubes += z * z * z;
        fourths += z * z * z * z;
        products += z * previous;
        previous = z;
        beyondOne += std::fabs(z) > 1 ? 1 : 0;
        beyondTwo += std::fabs(z) > 2 ? 1 : 0;
        beyondThree += std::fabs(z) > 3 ? 1 : 0;
    }
    const double n = kCount, error = 5 / std::sqrt(n);
    EXPECT_NEAR(sum / n, 0, error);
    EXPECT_NEAR(squares / n, 1, error * std::sqrt(2.0));
    EXPECT_NEAR(cubes / n, 0, error * std::sqrt(15.0));
    EXPECT_NEAR(fourths / n, 3, error * std::sqrt(96.0));
    EXPECT_NEAR(products / n, 0, error);
    EXPECT_NEAR(beyondOne / n, 0.317311, error * 0.47);
    EXPECT_NEAR(beyondTwo / n, 0.045500, error * 0.21);
    EXPECT_NEAR(beyondThree / n, 0.0026998, error * 0.052);
}

TEST(Noise, EveryPartOfTheCounterAndTheKeyMatters) {
    const float z = noiseNormal({1, 2, 3, 4}, 5);
    EXPECT_NE(z, noiseNormal({2, 2, 3, 4}, 5));
    EXPECT_NE(z, noiseNormal({1, 3, 3, 4}, 5));
    EXPECT_NE(z, noiseNormal({1, 2, 4, 4}, 5));
    EXPECT_NE(z, noiseNormal({1, 2, 3, 5}, 5));
    EXPECT_NE(z, noiseNormal({1, 2, 3, 4}, 6));
    EXPECT_NE(z, noiseNormal({1, 2, 3, 4}, 5 + (uint64_t{1} << 32)));
}

class NoiseKernel : public Kernels {
protected:
    static uint32_t bitsOf(float value) {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return bits;
    }
};

// A padded image two pixels wider than the photo, two images of a batch, a seed that carries into its high
// word.
TEST_F(NoiseKernel, EqualsTheCpuToTheBit) {
    const ImageExtent extent{2, 3, 61, 102};
    const uint64_t elements = uint64_t{2} * 3 * 61 * 102, seed = 0x12ffffffff;
    SessionWords words;
    words.seedLow = static_cast<uint32_t>(seed);
    words.seedHigh = static_cast<uint32_t>(seed >> 32);
    words.noiseWidth = 100;
    const BufferRange target = buffer(elements * 4), shared = session(words);
    run(buildNoise(extent, target, shared, kStepNoiseStream, 3, traits()));
    const std::vector<float> found = floatsOf(target);
    size_t i = 0, different = 0;
    for (uint32_t n = 0; n < 2; ++n)
        for (uint32_t c = 0; c < 3; ++c)
            for (uint32_t y = 0; y < 61; ++y)
                for (uint32_t x = 0; x < 102; ++x, ++i)
                    different += bitsOf(found[i]) !=
                                         bitsOf(noiseNormal({y * 100 + x, c, 3, kStepNoiseStream}, seed + n))
                                     ? 1
                                     : 0;
    EXPECT_EQ(different, 0u) << "of " << elements;
}

// A band of rows has the noise that it has as a part of the whole.
TEST_F(NoiseKernel, BandsOfAnImageEqualTheWhole) {
    const ImageExtent extent{1, 3, 20, 30}, band{1, 3, 7, 30, 12};
    SessionWords words;
    words.seedLow = 9;
    words.noiseWidth = 30;
    const BufferRange shared = session(words), whole = buffer(1800 * 4), part = buffer(630 * 4);
    run(buildNoise(extent, whole, shared, kInitialNoiseStream, 0, traits()));
    run(buildNoise(band, part, shared, kInitialNoiseStream, 0, traits()));
    for (size_t channel = 0; channel < 3; ++channel)
        EXPECT_EQ(0, std::memcmp(bytesOf(whole) + (channel * 20 + 12) * 120,
                                 bytesOf(part) + channel * 7 * 120, 7 * 120));
}

} // namespace
} // namespace mote::test
