// Resampling against the reference: every kind over a table of shapes, and its statistics.
#include "kernel_rig.h"

#include <cmath>

namespace mote::test {
namespace {

constexpr Resample kKinds[] = {Resample::NearestUp2, Resample::AverageDown2, Resample::FirUp2,
                               Resample::FirDown2};

class Resampling : public Kernels {
protected:
    static OpCase makeCase(Resample how, Map map) {
        const bool up = how == Resample::NearestUp2 || how == Resample::FirUp2;
        const TensorShape shape{map.batch, map.channels, up ? map.height * 2 : map.height / 2,
                                up ? map.width * 2 : map.width / 2};
        OpCase made;
        made.op().kind = OpKind::Resample;
        made.op().name = "resample";
        made.op().outputResample = how;
        made.input(std::move(map));
        made.output(shape);
        return made;
    }

    // Up to 16 products in fp32, and half a unit in the last place of what is stored.
    void expectMatchesReference(OpCase c, bool statistics) {
        if (statistics)
            c.wantStatistics();
        const Result<GraphKernels> kernels =
            chooseKernels(c.model, c.graph, c.shapes, traits(), [this](const gpu::PipelineDescription &p) {
                return device().pipelines().get(p).status();
            });
        ASSERT_TRUE(kernels.ok()) << kernels.status().message;
        const uint32_t output = c.op().output;
        buffers_.clear();
        OpBuffers buffers;
        buffers.inputs = {activation(c.inputs[0])};
        buffers.session = session();
        buffers.output = buffer(tensorBytes(TensorKind::Activation, c.shapes.tensors[output]));
        if (statistics)
            buffers.outputStatistics = buffer(kernels->statistics[output].bytes);
        run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
        const Map found = readActivation(buffers.output, c.shapes.tensors[output]);
        const Map expected = c.reference(), magnitude = c.reference(true);
        ASSERT_EQ(found.values.size(), expected.values.size());
        for (size_t i = 0; i < found.values.size(); ++i) {
            const double sum = 20 * 0x1p-24 * magnitude.values[i];
            const double tolerance = sum + 0x1p-11 * (std::fabs(expected.values[i]) + sum) + 0x1p-25;
            const double fraction = std::fabs(found.values[i] - expected.values[i]) / tolerance;
            ASSERT_LE(fraction, 1) << i << ": " << found.values[i] << ", expected " << expected.values[i];
            ErrorLog::note("resample", fraction);
        }
        if (statistics)
            expectStatistics(found, floatsOf(buffers.outputStatistics), kernels->statistics[output].tiles);
    }
};

TEST_F(Resampling, MatchesReferenceOverATableOfShapes) {
    const TensorShape table[] = {{1, 1, 2, 2},  {1, 3, 7, 9},   {2, 8, 5, 6},  {1, 24, 2, 33},
                                 {2, 13, 9, 3}, {1, 40, 16, 2}, {3, 5, 10, 14}};
    for (const Resample how : kKinds)
        for (const TensorShape &shape : table)
            for (const bool statistics : {false, true})
                expectMatchesReference(makeCase(how, Random(shape.w).map(shape.n, shape.c, shape.h, shape.w)),
                                       statistics);
}

TEST_F(Resampling, OnePixelIsDoubledAndNothingOutsideItCounts) {
    for (const Resample how : {Resample::NearestUp2, Resample::FirUp2})
        expectMatchesReference(makeCase(how, Random(1).map(2, 3, 1, 1)), false);
}

// By hand: what the filter does to a single bright pixel, so that a mistake shared with the reference is
// seen.
TEST_F(Resampling, TheFilterOfOneBrightPixel) {
    Map bright(1, 1, 4, 6);
    bright.at(0, 0, 1, 2) = 1;
    const Map up = makeCase(Resample::FirUp2, bright).reference();
    const double doubled[4] = {0.25, 0.75, 0.75, 0.25}; // rows 1..4, columns 3..6
    for (uint32_t y = 0; y < up.height; ++y)
        for (uint32_t x = 0; x < up.width; ++x) {
            const bool inside = y >= 1 && y <= 4 && x >= 3 && x <= 6;
            EXPECT_DOUBLE_EQ(up.at(0, 0, y, x), inside ? doubled[y - 1] * doubled[x - 3] : 0)
                << y << " " << x;
        }
    // Output row 0 reads rows -1..2, so row 1 is its third tap, and the first of output row 1 (rows 1..4);
    // column 2 is the fourth tap of output column 0 and the second of output column 1.
    const Map down = makeCase(Resample::FirDown2, bright).reference();
    EXPECT_DOUBLE_EQ(down.at(0, 0, 0, 0), 0.375 * 0.125);
    EXPECT_DOUBLE_EQ(down.at(0, 0, 0, 1), 0.375 * 0.375);
    EXPECT_DOUBLE_EQ(down.at(0, 0, 0, 2), 0);
    EXPECT_DOUBLE_EQ(down.at(0, 0, 1, 0), 0.125 * 0.125);
    EXPECT_DOUBLE_EQ(down.at(0, 0, 1, 1), 0.125 * 0.375);
    expectMatchesReference(makeCase(Resample::FirUp2, bright), false);
    expectMatchesReference(makeCase(Resample::FirDown2, bright), false);
}

// More than 65,535 workgroups: the grid folds.
TEST_F(Resampling, MoreWorkgroupsThanOneDimensionHolds) {
    ASSERT_GT(uint64_t{2102} * 2004 / 64, 65535u);
    expectMatchesReference(makeCase(Resample::NearestUp2, Random(5).map(1, 1, 1051, 1002)), false);
}

} // namespace
} // namespace mote::test
