// Values that PyTorch 1.13 gives on a CPU with AVX2: g = torch.Generator().manual_seed(seed), then
// torch.randn(count, generator=g) for each count. bench/torch_noise.py compares at length.
#include "pipeline/torch_generator.h"

#include <gtest/gtest.h>

#include <vector>

namespace mote::test {
namespace {

std::vector<float> drawn(pipeline::TorchGenerator &generator, size_t count) {
    std::vector<float> values(count);
    generator.normals(values.data(), count);
    return values;
}

void expectValues(const std::vector<float> &found, const std::vector<float> &expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i], expected[i], 1e-6f) << i;
}

TEST(TorchGenerator, GivesSixteenAtOnceOrScalarsThatSpareEverySecond) {
    pipeline::TorchGenerator generator(0);
    expectValues(drawn(generator, 5), {1.54099607f, -0.293428898f, -2.17878938f, 0.568431258f, -1.08452237f});
    expectValues(drawn(generator, 4), {-1.39859545f, 0.403346837f, 0.838026345f, -0.719257593f});
    expectValues(drawn(generator, 16),
                 {0.598839462f, -1.55509508f, -0.34136039f, 1.85300612f, 0.468096405f, -0.157712445f,
                  1.44366014f, 0.266049415f, 1.38936615f, 1.58633423f, 0.946298361f, -0.843676746f,
                  0.931826591f, 1.25900924f, 2.00498056f, 0.0537369028f});
    expectValues(drawn(generator, 3), {-0.403343529f, -0.891995311f, -1.50910771f});
}

TEST(TorchGenerator, DrawsTheLastSixteenAgainWhereTheCountIsNoMultiple) {
    pipeline::TorchGenerator generator(42);
    expectValues(drawn(generator, 17),
                 {1.92691529f, -0.159597471f, -0.497397542f, 0.439589262f, -0.758131146f, 1.07831764f,
                  0.800800562f, 1.68062055f, 0.355859905f, 1.29642284f, 0.61046648f, 1.33473778f,
                  -0.23162432f, 0.041759491f, -0.251575291f, 0.859858513f, -0.309726775f});
    pipeline::TorchGenerator longer(42);
    const std::vector<float> thousand = drawn(longer, 1000);
    expectValues({thousand.begin(), thousand.begin() + 4},
                 {1.92691529f, 1.48728406f, 0.900717199f, -2.10552096f});
    expectValues({thousand.end() - 4, thousand.end()},
                 {0.699140668f, -0.0362699144f, -0.379759401f, -0.853454411f});
}

TEST(TorchGenerator, TakesTheLowHalfOfTheSeed) {
    for (const uint64_t seed : {uint64_t{5}, (uint64_t{1} << 32) + 5}) {
        pipeline::TorchGenerator generator(seed);
        const std::vector<float> values = drawn(generator, 24);
        expectValues({values.begin(), values.begin() + 4},
                     {1.84232986f, 0.518887162f, -1.71192133f, -1.7013793f});
    }
}

TEST(TorchGenerator, GoesOnFromTensorToTensor) {
    pipeline::TorchGenerator generator(7); // two of shape [1, 3, 8, 8]
    const std::vector<float> start = drawn(generator, 192), step = drawn(generator, 192);
    expectValues({start.begin(), start.begin() + 3}, {-0.82013452f, 0.39563116f, 0.8989085f});
    expectValues({start.end() - 3, start.end()}, {-1.27964759f, -0.98914582f, -0.00438324828f});
    expectValues({step.begin(), step.begin() + 3}, {-0.357550114f, 0.18637985f, -1.1653893f});
}

} // namespace
} // namespace mote::test
