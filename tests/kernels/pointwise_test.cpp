// Pointwise against the reference, and the zeros that transposed convolutions read: sources that share a
// block, tables by row, maps by element, residuals, activations.
#include "kernel_rig.h"
#include "read/half.h"

#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

enum class Affine { None, Rows, Map };

struct PointCase {
    const char *name;
    std::vector<uint32_t> channels; // of the one or two sources
    uint32_t n, h, w;
    Affine affine = Affine::None;
    bool residual = false;
    ActivationFunction activation = ActivationFunction::None;
};

using enum ActivationFunction;

const PointCase kCases[] = {
    {"OneElement", {1}, 1, 1, 1, Affine::Rows},
    {"Joined", {8, 8}, 1, 5, 7},
    {"JoinedInOneBlock", {3, 4}, 2, 5, 7},
    {"JoinedAcrossBlocks", {20, 20}, 1, 14, 14, Affine::Rows},
    {"JoinedTensAcrossBlocks", {10, 10}, 2, 28, 28, Affine::Rows, false, Silu},
    {"JoinedFivesAndThirteens", {5, 13}, 1, 3, 70, Affine::Map, true, Gelu},
    {"Silu", {10}, 1, 28, 28, Affine::None, false, Silu},
    {"Mish", {12}, 1, 9, 11, Affine::None, false, Mish},
    {"Gelu", {12}, 1, 9, 11, Affine::None, false, Gelu},
    {"Relu", {7}, 1, 9, 11, Affine::None, false, Relu},
    {"Residual", {17}, 3, 6, 5, Affine::None, true},
    {"MapOfOneChannel", {1}, 1, 28, 28, Affine::Map},
    {"MapOfFortyChannels", {40}, 1, 3, 3, Affine::Map},
    {"MapAndBatch", {10}, 3, 7, 7, Affine::Map, true, Silu},
    {"LargeMap", {9}, 1, 130, 141, Affine::Map, true, Relu},
};

class Pointwise : public Kernels, public testing::WithParamInterface<PointCase> {
protected:
    static constexpr uint32_t kRows = 3, kRow = 2;

    static OpCase makeCase(const PointCase &c) {
        Random random(c.h * 5 + c.w);
        OpCase made;
        Op &op = made.op();
        op.kind = OpKind::Pointwise;
        op.name = c.name;
        op.activation = c.activation;
        uint32_t channels = 0;
        for (uint32_t count : c.channels) {
            made.input(random.map(c.n, count, c.h, c.w));
            channels += count;
        }
        if (c.residual)
            made.setResidual(random.map(c.n, channels, c.h, c.w));
        if (c.affine == Affine::Rows)
            op.affine = made.table({kRows, 2, channels}, random.halfs(size_t{kRows} * 2 * channels));
        if (c.affine == Affine::Map)
            op.affine = made.table({2, channels, c.h, c.w}, random.halfs(size_t{2} * channels * c.h * c.w));
        made.output({c.n, channels, c.h, c.w});
        return made;
    }

    Map runCase(OpCase &c, uint32_t row) {
        const Result<GraphKernels> kernels =
            chooseKernels(c.model, c.graph, c.shapes, traits(), [this](const gpu::PipelineDescription &p) {
                return device().pipelines().get(p).status();
            });
        EXPECT_TRUE(kernels.ok()) << kernels.status().message;
        const OpKernel &kernel = kernels->ops[0];
        OpBuffers buffers;
        for (const Map &in : c.inputs)
            buffers.inputs.push_back(activation(in));
        if (c.op().residual != kNone)
            buffers.residual = activation(c.residual);
        if (c.op().affine != kNone) {
            const auto &values = c.tables[c.op().affine].values;
            std::vector<std::byte> packed(kernel.affineBytes);
            packAffine(kernel, c.model, c.graph, 0, std::vector<float>(values.begin(), values.end()).data(),
                       packed.data());
            buffers.affine = bufferOf(packed.data(), packed.size());
        }
        buffers.session = session();
        buffers.row = row;
        const TensorShape &shape = c.shapes.tensors[c.op().output];
        buffers.output = buffer(tensorBytes(TensorKind::Activation, shape));
        run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
        return readActivation(buffers.output, shape);
    }

    // A product, two sums and an activation in fp32, then one rounding to fp16. Activations grow no error by
    // more than 1.1 and are themselves within 2^-20 of their argument.
    static void expectClose(const char *kernel, const Map &found, const Map &expected,
                            const Map &magnitudes) {
        ASSERT_EQ(found.values.size(), expected.values.size());
        for (size_t i = 0; i < found.values.size(); ++i) {
            const double arithmetic = (4 * 0x1p-24 + 0x1p-20) * magnitudes.values[i];
            const double tolerance =
                arithmetic + 0x1p-11 * (std::fabs(expected.values[i]) + arithmetic) + 0x1p-25;
            const double fraction = std::fabs(found.values[i] - expected.values[i]) / tolerance;
            ASSERT_LE(fraction, 1) << i << ": " << found.values[i] << ", expected " << expected.values[i];
            ErrorLog::note(kernel, fraction);
        }
    }
};

TEST_P(Pointwise, MatchesTheReference) {
    OpCase c = makeCase(GetParam());
    const Map found = runCase(c, kRow);
    if (GetParam().affine == Affine::Rows) { // the reference sees the row as the only one
        auto &table = c.tables[c.op().affine];
        const auto size = static_cast<std::ptrdiff_t>(2 * table.shape[2]);
        table.values = {table.values.begin() + kRow * size, table.values.begin() + (kRow + 1) * size};
        table.shape[0] = 1;
    }
    const Map expected = c.reference();
    c.op().activation = None;
    expectClose("pointwise", found, expected, c.reference(true));
}

INSTANTIATE_TEST_SUITE_P(Table, Pointwise, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

TEST_F(Kernels, ZerosBetweenPixelsAreExact) {
    Random random(3);
    for (const auto &[channels, h, w] :
         {std::array{1u, 1u, 1u}, {10u, 3u, 3u}, {40u, 7u, 9u}, {17u, 65u, 33u}}) {
        OpCase c;
        c.op().kind = OpKind::Resample;
        c.op().name = "zeros";
        c.op().outputResample = Resample::ZerosUp2;
        c.input(random.map(2, channels, h, w));
        c.output({2, channels, 2 * h, 2 * w});
        const auto usable = [](const gpu::PipelineDescription &p) {
            return device().pipelines().get(p).status();
        };
        const Result<GraphKernels> kernels = chooseKernels(c.model, c.graph, c.shapes, traits(), usable);
        ASSERT_TRUE(kernels.ok()) << kernels.status().message;
        OpBuffers buffers;
        buffers.inputs = {activation(c.inputs[0])};
        buffers.session = session();
        const TensorShape &shape = c.shapes.tensors[c.op().output];
        buffers.output = buffer(tensorBytes(TensorKind::Activation, shape));
        run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
        EXPECT_EQ(readActivation(buffers.output, shape).values, c.reference().values);
    }
}

// As where the driver's compiler fails at unpackHalf2x16.
class HalvesByBits : public Pointwise {
protected:
    static void SetUpTestSuite() {
        gpu::LimitsClamp clamp = gpu::floorClamp();
        clamp.noUnpackHalf = true;
        openDevice(&clamp);
    }
};

TEST_F(HalvesByBits, EveryHalfSurvivesUnpackingAndPacking) {
    // Two sources that share a block, so that no word is copied as it is.
    OpCase c = makeCase({"EveryHalf", {4, 4}, 1, 64, 128});
    std::vector<double> expected;
    uint32_t half = 0;
    for (Map &in : c.inputs)
        for (auto &value : in.values) {
            const bool number = (half & 0x7c00) != 0x7c00;
            value = number ? static_cast<double>(convert::floatFromHalf(static_cast<uint16_t>(half)))
                           : std::copysign(HUGE_VAL, (half & 0x8000) != 0 ? -1.0 : 1.0);
            expected.push_back(value);
            ++half;
        }
    ASSERT_EQ(half, 0x10000u);
    const Map found = runCase(c, kRow);
    ASSERT_EQ(found.values.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        // Packing may make a NaN of an infinity (SwiftShader's does): neither is lost.
        const bool same = std::isfinite(expected[i])
                              ? std::memcmp(&found.values[i], &expected[i], sizeof(double)) == 0
                              : !std::isfinite(found.values[i]);
        ASSERT_TRUE(same) << i << ": " << found.values[i] << ", expected " << expected[i];
    }
}

} // namespace
} // namespace mote::test
