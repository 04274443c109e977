// Ports to an activation: channels that straddle blocks, more inputs than one dispatch takes.
#include "kernel_rig.h"

#include <cmath>

namespace mote::test {
namespace {

class Concat : public Kernels {
protected:
    static OpCase makeCase(const std::vector<uint32_t> &channels, uint32_t n, uint32_t h, uint32_t w) {
        Random random(n + h);
        OpCase made;
        made.op().kind = OpKind::Concat;
        made.op().name = "concat";
        uint32_t total = 0;
        for (uint32_t count : channels) {
            made.input(random.map(n, count, h, w), TensorKind::Port);
            made.op().inputScale.push_back(0.5f + static_cast<float>(total));
            made.op().inputOffset.push_back(-0.25f * static_cast<float>(total));
            total += count;
        }
        made.output({n, total, h, w});
        return made;
    }

    Map runCase(OpCase &c, size_t *dispatches = nullptr) {
        const Result<GraphKernels> kernels =
            chooseKernels(c.model, c.graph, c.shapes, traits(), [this](const gpu::PipelineDescription &p) {
                return device().pipelines().get(p).status();
            });
        EXPECT_TRUE(kernels.ok()) << kernels.status().message;
        OpBuffers buffers;
        for (const Map &plane : c.inputs)
            buffers.inputs.push_back(floats({plane.values.begin(), plane.values.end()}));
        buffers.session = session();
        const TensorShape &shape = c.shapes.tensors[c.op().output];
        buffers.output = buffer(tensorBytes(TensorKind::Activation, shape));
        const auto built = buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits());
        run(built);
        if (dispatches)
            *dispatches = built.value().size();
        return readActivation(buffers.output, shape);
    }

    // One multiplication, one addition, one rounding to fp16.
    static void expectClose(const Map &found, const Map &expected, double largestTerm) {
        ASSERT_EQ(found.values.size(), expected.values.size());
        for (size_t i = 0; i < found.values.size(); ++i) {
            const double arithmetic = 2 * 0x1p-24 * largestTerm;
            const double tolerance =
                arithmetic + 0x1p-11 * (std::fabs(expected.values[i]) + arithmetic) + 0x1p-25;
            const double fraction = std::fabs(found.values[i] - expected.values[i]) / tolerance;
            ASSERT_LE(fraction, 1) << i << ": " << found.values[i] << ", expected " << expected.values[i];
            ErrorLog::note("concat", fraction);
        }
    }
};

TEST_F(Concat, MatchesReferenceOverATableOfChannels) {
    const std::vector<std::vector<uint32_t>> table = {{1},    {3},          {3, 3},     {8},
                                                      {5, 8}, {1, 1, 1, 1}, {3, 10, 24}};
    for (const std::vector<uint32_t> &channels : table) {
        for (const auto &[n, h, w] : {std::array<uint32_t, 3>{1, 1, 1}, {1, 7, 13}, {2, 5, 9}}) {
            buffers_.clear();
            OpCase c = makeCase(channels, n, h, w);
            expectClose(runCase(c), c.reference(), 80);
        }
    }
}

TEST_F(Concat, MoreInputsThanOneDispatchTakes) {
    OpCase c = makeCase({1, 2, 3, 1, 5, 1, 8, 3}, 2, 6, 7);
    size_t dispatches = 0;
    expectClose(runCase(c, &dispatches), c.reference(), 80);
    EXPECT_EQ(dispatches, 4u); // of three blocks, the first from five inputs
}

// More than 65,535 workgroups: the grid folds.
TEST_F(Concat, MoreWorkgroupsThanOneDimensionHolds) {
    OpCase c = makeCase({1}, 1, 2101, 2003);
    ASSERT_GT(uint64_t{2101} * 2003 / 64, 65535u);
    expectClose(runCase(c), c.reference(), 2);
}

} // namespace
} // namespace mote::test
