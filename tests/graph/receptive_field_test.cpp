// Downsampling factor and receptive field against values worked out by hand, and by marking pixels.
#include "graph/chain.h"
#include "model/sample_model.h"

#include <gtest/gtest.h>
#include <string>
#include <vector>

namespace mote::test {
namespace {

uint32_t factorOf(Chain &chain) {
    const Result<uint32_t> factor = downsamplingFactor(chain.graph());
    EXPECT_TRUE(factor.ok()) << factor.status().message;
    return factor.ok() ? factor.value() : 0;
}

uint32_t radiusOf(Chain &chain) {
    const Result<ReceptiveField> field = receptiveField(chain.model, chain.graph());
    EXPECT_TRUE(field.ok()) << field.status().message;
    EXPECT_FALSE(field->wholeImage);
    return field.ok() ? field->radius : 0;
}

TEST(ReceptiveField, StackedConvolutionsAddTheirRadii) {
    Chain chain(3);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 0u); // pointwise
    Chain one(3);
    one.conv(8, 3, 1, 1, 1);
    one.finish();
    EXPECT_EQ(radiusOf(one), 1u);
    Chain many(3);
    for (int i = 0; i < 5; ++i)
        many.conv(8, 3, 1, 1, 1);
    many.conv(8, 7, 1, 3, 3);
    many.finish();
    EXPECT_EQ(radiusOf(many), 5u + 3);
    EXPECT_EQ(factorOf(many), 1u);
}

TEST(ReceptiveField, DownAndUpByHand) {
    // Stride 2 with padding 1 sees 2i-1..2i+1; then up: y sees floor((y-1)/2)..floor((y+1)/2).
    // y = 0: -1..0 -> -3..1; y = 1: 0..1 -> -1..3, radius 3 below y = 0 and 2 above y = 1.
    Chain chain(3);
    chain.conv(8, 3, 2, 1, 1);
    chain.conv(8, 3, 1, 1, 1, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 3u);
    EXPECT_EQ(factorOf(chain), 2u);
    // Padding on the far side only sees 2i..2i+2. y = 0: -1..0 -> -2..2; y = 1: 0..1 -> 0..4, radius 3.
    Chain far(3);
    far.conv(8, 3, 2, 0, 1);
    far.conv(8, 3, 1, 1, 1, Resample::NearestUp2);
    far.finish();
    EXPECT_EQ(radiusOf(far), 3u);
    // Averages and 1x1 convolutions: y sees its own block of four.
    Chain average(3);
    average.norm(Resample::AverageDown2);
    average.norm(Resample::AverageDown2);
    average.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    average.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    average.finish();
    EXPECT_EQ(radiusOf(average), 3u);
    EXPECT_EQ(factorOf(average), 4u);
    // Looking ahead only: pixel 0 sees blocks 0..2 of four, down to pixel 11.
    Chain ahead(3);
    ahead.norm(Resample::AverageDown2);
    ahead.norm(Resample::AverageDown2);
    ahead.conv(8, 3, 1, 0, 2);
    ahead.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    ahead.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    ahead.finish();
    EXPECT_EQ(radiusOf(ahead), 11u);
}

TEST(ReceptiveField, FiltersReachOnePixelFurther) {
    // Down sees 2i-1..2i+2; up: 2i sees i-1..i, 2i+1 sees i..i+1.
    // y = 0: -1..0 -> -3..2; y = 1: 0..1 -> -1..4: radius 3 both ways.
    Chain chain(3);
    chain.resample(Resample::FirDown2);
    chain.resample(Resample::FirUp2);
    chain.conv(3, 1, 1, 0, 0);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 3u);
    EXPECT_EQ(factorOf(chain), 2u);
    // Twice: y = 1 -> 0..1 -> -1..1 -> -3..4 -> -7..10; y = 2 sees the same.
    Chain twice(3);
    for (const Resample how : {Resample::FirDown2, Resample::FirDown2, Resample::FirUp2, Resample::FirUp2})
        twice.resample(how);
    twice.conv(3, 1, 1, 0, 0);
    twice.finish();
    EXPECT_EQ(radiusOf(twice), 9u);
    EXPECT_EQ(factorOf(twice), 4u);
    Chain plain(3);
    plain.resample(Resample::AverageDown2);
    plain.resample(Resample::NearestUp2);
    plain.conv(3, 1, 1, 0, 0);
    plain.finish();
    EXPECT_EQ(radiusOf(plain), 1u);
    EXPECT_EQ(factorOf(plain), 2u);
}

TEST(ReceptiveField, ResidualsCount) {
    Chain chain(8);
    const uint32_t start = chain.last();
    chain.conv(8, 1, 2, 0, 0); // sees 2i
    Op &op = chain.conv(8, 1, 1, 0, 0);
    op.residual = start;
    op.residualResample = Resample::AverageDown2; // sees 2i..2i+1
    chain.conv(8, 1, 1, 0, 0, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 1u); // y = 0 sees 0..1, y = 1 sees 0..1
    chain.graph().ops[2].residual = kNone;
    EXPECT_EQ(radiusOf(chain), 1u); // y = 1 sees 0
    chain.graph().ops[1].stride = 1;
    chain.graph().ops[3].inputResample = Resample::None;
    EXPECT_EQ(radiusOf(chain), 0u);
}

TEST(ReceptiveField, AttentionSeesTheWholeImage) {
    Chain chain(6);
    chain.attention();
    chain.finish();
    const Result<ReceptiveField> field = receptiveField(chain.model, chain.graph());
    ASSERT_TRUE(field.ok());
    EXPECT_TRUE(field->wholeImage);
    const Sample sample = sampleModel();
    const Result<ReceptiveField> whole = receptiveField(sample.model, sample.model.graphs[0]);
    ASSERT_TRUE(whole.ok());
    EXPECT_TRUE(whole->wholeImage);
}

TEST(ReceptiveField, APortSmallerThanTheImageCountsInImagePixels) {
    // A latent of an eighth decoded to the image: one 3x3 convolution at the latent's size reaches 8 + 7
    // pixels.
    Chain chain(4);
    chain.graph().ports[0].shape[2].denominator = chain.graph().ports[0].shape[3].denominator = 8;
    chain.conv(4, 3, 1, 1, 1);
    for (int i = 0; i < 3; ++i)
        chain.conv(4, 1, 1, 0, 0, Resample::NearestUp2);
    chain.finish();
    EXPECT_EQ(radiusOf(chain), 15u);
    EXPECT_EQ(factorOf(chain), 8u);
}

// The same dependence found by marking pixels forwards through a chain of convolutions of random shapes.
TEST(ReceptiveField, AgreesWithMarkingPixels) {
    uint32_t state = 5;
    const auto below = [&state](uint32_t limit) {
        return ((state = state * 1664525u + 1013904223u) >> 16) % limit;
    };
    for (int trial = 0; trial < 60; ++trial) {
        struct Layer {
            uint32_t kernel, stride, before, after;
            bool up;
        };
        std::vector<Layer> layers;
        int level = 0;
        for (uint32_t i = 0; i < 2 + below(7); ++i) {
            const uint32_t kernel = 1 + 2 * below(3);
            Layer layer{kernel, 1, kernel / 2, kernel / 2, false};
            const uint32_t what = below(3);
            if (what == 1 && level < 3) {
                layer.stride = 2;
                ++level;
                if (kernel == 3 && below(2) == 0)
                    layer.before = 0;
            } else if (what == 2 && level > 0) {
                layer.up = true;
                --level;
            }
            layers.push_back(layer);
        }
        for (; level > 0; --level)
            layers.push_back({1, 1, 0, 0, true});
        Chain chain(3);
        for (const Layer &layer : layers)
            chain.conv(4, layer.kernel, layer.stride, layer.before, layer.after,
                       layer.up ? Resample::NearestUp2 : Resample::None);
        chain.finish();
        // Long enough that the middle third never touches the border.
        constexpr int kLength = 1024;
        std::vector<std::vector<int>> sees(
            kLength); // the input pixels that each pixel of the present map sees
        for (int i = 0; i < kLength; ++i)
            sees[static_cast<size_t>(i)] = {i, i};
        for (const Layer &layer : layers) {
            const auto at = [&](int i) -> std::vector<int> {
                const int index = layer.up ? i / 2 : i;
                const bool inside = i >= 0 && index < static_cast<int>(sees.size());
                return inside ? sees[static_cast<size_t>(index)] : std::vector<int>{};
            };
            const auto length = static_cast<int>(sees.size() * (layer.up ? 2 : 1));
            std::vector<std::vector<int>> next;
            for (int i = 0; i * static_cast<int>(layer.stride) + static_cast<int>(layer.kernel) <=
                            length + static_cast<int>(layer.before + layer.after);
                 ++i) {
                std::vector<int> hull;
                for (int k = 0; k < static_cast<int>(layer.kernel); ++k) {
                    const std::vector<int> from =
                        at(i * static_cast<int>(layer.stride) - static_cast<int>(layer.before) + k);
                    if (from.empty())
                        continue;
                    hull = hull.empty()
                               ? from
                               : std::vector<int>{std::min(hull[0], from[0]), std::max(hull[1], from[1])};
                }
                next.push_back(hull);
            }
            sees = next;
        }
        int radius = 0;
        for (int i = kLength / 3; i < 2 * kLength / 3; ++i)
            radius =
                std::max({radius, i - sees[static_cast<size_t>(i)][0], sees[static_cast<size_t>(i)][1] - i});
        EXPECT_EQ(radiusOf(chain), static_cast<uint32_t>(radius)) << "trial " << trial;
    }
}

TEST(ReceptiveField, APointwiseResidualCounts) {
    Chain chain(8);
    chain.conv(8, 5, 1, 2, 2);
    const uint32_t skip = chain.last();
    chain.pointwise().residual = skip;
    chain.finish();
    EXPECT_EQ(receptiveField(chain.model, chain.graph()).value().radius, 2u);
    Chain near(8);
    near.conv(8, 7, 1, 3, 3);
    const uint32_t far = near.last();
    near.conv(8, 1, 1, 0, 0);
    near.pointwise().residual = far;
    near.finish();
    EXPECT_EQ(receptiveField(near.model, near.graph()).value().radius, 3u);
}

TEST(ReceptiveField, AFactorBeyondReasonIsRefused) {
    Chain chain(3);
    for (int i = 0; i < 11; ++i)
        chain.conv(8, 3, 2, 1, 1);
    EXPECT_EQ(downsamplingFactor(chain.graph()).status().code, StatusCode::Unsupported);
    EXPECT_EQ(receptiveField(chain.model, chain.graph()).status().code, StatusCode::Unsupported);
}

} // namespace
} // namespace mote::test
