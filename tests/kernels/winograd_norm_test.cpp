// GroupNorms that a convolution by Winograd's algorithm makes while it reads: the two ops against the
// reference.
#include "kernel_rig.h"

#include "read/half.h"

#include <cmath>

namespace mote::test {
namespace {

struct Wanted {
    const char *name;
    std::vector<uint32_t> channels; // of the norm's one or two sources
    uint32_t groups, outputs, n, h, w;
    ActivationFunction activation = ActivationFunction::Silu;
    bool upsample = false;
    uint32_t padTop = 1, padLeft = 1;
    uint32_t rows = 1;    // of the affine table
    uint32_t entries = 3; // of statistics, per channel
    double offset = 0;    // of the inputs
};

constexpr ActivationFunction kPlain = ActivationFunction::None, kSilu = ActivationFunction::Silu;

const Wanted kCases[] = {
    {"OnePixel", {40}, 8, 64, 1, 1, 1},
    {"OddSizeOddChannels", {37}, 1, 43, 1, 7, 9},
    {"GroupsOfFourBatchTwo", {64}, 16, 32, 2, 17, 13},
    {"GroupsOfSixteen", {64}, 4, 40, 1, 9, 17},
    {"NoActivation", {40}, 8, 48, 1, 6, 9, kPlain},
    {"Mish", {40}, 8, 48, 1, 6, 9, ActivationFunction::Mish},
    {"TwoSources", {16, 40}, 8, 64, 1, 10, 12},
    {"TwoSourcesBatchTwo", {24, 40}, 8, 46, 2, 7, 5},
    {"UnevenPadding", {40}, 8, 64, 1, 6, 9, kSilu, false, 2, 0},
    {"Upsample", {72}, 8, 48, 1, 5, 7, kSilu, true},
    {"UpsampleTwoSources", {64, 9}, 1, 72, 2, 3, 5, kSilu, true},
    {"Rows", {64}, 8, 33, 1, 4, 4, kSilu, false, 1, 1, 3},
    {"ManyEntries", {48}, 6, 64, 1, 40, 44, kSilu, false, 1, 1, 1, 128},
    {"FarFromZero", {40}, 4, 48, 1, 17, 19, kSilu, false, 1, 1, 1, 5, 30},
    {"SeveralBands", {128}, 32, 128, 1, 66, 70},
    {"SeveralBandsBatchTwo", {96, 64}, 20, 128, 2, 41, 40},
    // In one dispatch, behind that of the coefficients.
    {"WholeOnePixel", {32}, 8, 32, 1, 1, 1},
    {"WholeOddSizeOddChannels", {37}, 1, 37, 1, 7, 9},
    {"WholeGroupsOfFourBatchTwo", {32}, 8, 32, 2, 17, 13},
    {"WholeNoActivation", {16}, 2, 16, 1, 6, 9, kPlain},
    {"WholeMish", {24}, 8, 20, 1, 6, 9, ActivationFunction::Mish},
    {"WholeTwoSources", {16, 32}, 6, 48, 2, 10, 12},
    {"WholeRows", {32}, 8, 17, 1, 4, 4, kSilu, false, 1, 1, 3},
    {"WholeManyEntries", {48}, 6, 32, 1, 40, 44, kSilu, false, 1, 1, 1, 128},
    {"WholeFarFromZero", {40}, 4, 32, 1, 17, 19, kSilu, false, 1, 1, 1, 5, 30},
};

bool isWhole(const Wanted &wanted) {
    return std::string(wanted.name).find("Whole") == 0;
}

class WinogradNorm : public Kernels {
protected:
    static void SetUpTestSuite() { openDevice(nullptr); }

    // Ops 0, the norm, and 1, the convolution.
    static OpCase makeCase(const Wanted &c) {
        Random random(c.outputs * 31 + c.h);
        OpCase made;
        uint32_t channels = 0;
        for (uint32_t count : c.channels) {
            Map map = random.map(c.n, count, c.h, c.w);
            for (double &value : map.values)
                value += c.offset;
            convert::reference::roundToHalf(map);
            made.input(std::move(map));
            channels += count;
        }
        Op &norm = made.op();
        norm.kind = OpKind::GroupNorm;
        norm.name = "norm";
        norm.groups = c.groups;
        norm.activation = c.activation;
        norm.affine = made.table({c.rows, 2, channels}, random.halfs(size_t{c.rows} * 2 * channels));
        made.output({c.n, channels, c.h, c.w});
        Op conv;
        conv.kind = OpKind::Conv2d;
        conv.name = "conv";
        conv.inputs = {norm.output};
        conv.weight = made.table({c.outputs, 3, 3, channels}, random.halfs(size_t{c.outputs} * 9 * channels),
                                 DataType::F16);
        conv.bias = made.table({1, c.outputs}, random.halfs(c.outputs));
        conv.padTop = c.padTop;
        conv.padLeft = c.padLeft;
        conv.padBottom = conv.padRight = 1;
        conv.inputResample = c.upsample ? Resample::NearestUp2 : Resample::None;
        conv.output = static_cast<uint32_t>(made.graph.tensors.size());
        const uint32_t up = c.upsample ? 2 : 1;
        made.graph.tensors.push_back({"output", TensorKind::Activation, c.outputs});
        made.shapes.tensors.push_back({c.n, c.outputs, c.h * up + c.padTop - 1, c.w * up + c.padLeft - 1});
        made.shapes.costs.push_back({1000, 1000});
        made.graph.ops.push_back(conv);
        return made;
    }

    Result<GraphKernels> choose(const OpCase &c, const std::string &preferred = {}) {
        Traits with = traits();
        with.preferred = preferred.empty() ? "conv2d winograd" : preferred; // of small maps, too
        return chooseKernels(c.model, c.graph, c.shapes, with,
                             [this](const gpu::PipelineDescription &pipeline) {
                                 return device().pipelines().get(pipeline).status();
                             });
    }

    bool suits() const {
        const Traits with = traits();
        return with.cpu && with.caps.subgroupSize == 8 && with.caps.bufferDeviceAddress &&
               (with.caps.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0;
    }

    // [N][blocks][entries][8] vec4 of the values' count, mean and squared deviations, cut into `entries`
    // parts.
    BufferRange statisticsOf(const Map &map, uint32_t entries) {
        const uint32_t blocks = (map.channels + 7) / 8;
        std::vector<float> raw(size_t{map.batch} * blocks * entries * 32, 0.0f);
        const size_t size = map.planeSize();
        for (uint32_t n = 0; n < map.batch; ++n)
            for (uint32_t c = 0; c < map.channels; ++c)
                for (uint32_t entry = 0; entry < entries; ++entry) {
                    const size_t begin = entry * size / entries, end = (entry + 1) * size / entries;
                    double mean = 0, deviations = 0;
                    for (size_t i = begin; i < end; ++i)
                        mean += map.plane(n, c)[i] / static_cast<double>(end - begin);
                    for (size_t i = begin; i < end; ++i)
                        deviations += (map.plane(n, c)[i] - mean) * (map.plane(n, c)[i] - mean);
                    float *to = &raw[(((size_t{n} * blocks + c / 8) * entries + entry) * 8 + c % 8) * 4];
                    to[0] = static_cast<float>(end - begin);
                    to[1] = static_cast<float>(mean);
                    to[2] = static_cast<float>(deviations);
                }
        return floats(raw);
    }

    struct Ran {
        Map found;
        SessionWords session;
        size_t dispatches = 0;
    };
    Ran runCase(OpCase &c, GraphKernels kernels, uint32_t entries, uint32_t row) {
        Ran ran;
        OpBuffers norm, conv;
        for (size_t i = 0; i < c.inputs.size(); ++i) {
            norm.inputs.push_back(activation(c.inputs[i]));
            norm.inputStatistics.push_back(statisticsOf(c.inputs[i], entries));
            kernels.statistics[c.op().inputs[i]].tiles = entries; // in place of the inputs' makers
        }
        const auto floatTable = [&](uint32_t table) {
            return std::vector<float>(c.tables[table].values.begin(), c.tables[table].values.end());
        };
        std::vector<std::byte> packed(kernels.ops[0].affineBytes);
        packAffine(kernels.ops[0], c.model, c.graph, 0, floatTable(c.op().affine).data(), packed.data());
        norm.affine = bufferOf(packed.data(), packed.size());
        norm.session = session();
        norm.row = row;
        norm.errorCode = 77;

        const Op &op = c.graph.ops[1];
        const OpKernel &kernel = kernels.ops[1];
        std::vector<uint16_t> halfs;
        for (double value : c.tables[op.weight].values)
            halfs.push_back(convert::halfFromDouble(value));
        packed.resize(kernel.weightBytes);
        packWeights(kernel, c.model, c.graph, 1, halfs.data(), packed.data());
        conv.weights = bufferOf(packed.data(), packed.size());
        packed.resize(kernel.biasBytes);
        packBias(kernel, c.model, c.graph, 1, floatTable(op.bias).data(), packed.data());
        conv.bias = bufferOf(packed.data(), packed.size());
        conv.inputs.resize(1); // has no memory
        conv.scratch = buffer(kernel.scratchBytes);
        conv.output = buffer(tensorBytes(TensorKind::Activation, c.shapes.tensors[op.output]));
        conv.norm = &norm;

        const auto none = buildDispatches(kernels, c.model, c.graph, c.shapes, 0, norm, traits());
        EXPECT_TRUE(none.ok() && none->empty());
        const auto built = buildDispatches(kernels, c.model, c.graph, c.shapes, 1, conv, traits());
        run(built);
        ran.dispatches = built.ok() ? built->size() : 0;
        ran.found = readActivation(conv.output, c.shapes.tensors[op.output]);
        ran.session = sessionOf(norm.session);
        return ran;
    }
};

class WinogradNormShapes : public WinogradNorm, public testing::WithParamInterface<Wanted> {};

// As a Winograd convolution alone: what is normalised is not rounded on the way, and its exponential adds
// 8e-5.
TEST_P(WinogradNormShapes, BothOpsMatchTheReference) {
    if (!suits())
        GTEST_SKIP() << "for software devices with subgroups of eight";
    const Wanted &wanted = GetParam();
    OpCase c = makeCase(wanted);
    const Result<GraphKernels> kernels = choose(c);
    ASSERT_TRUE(kernels.ok()) << kernels.status().message;
    ASSERT_EQ(kernels->ops[0].within, 1u);
    ASSERT_EQ(kernels->ops[1].norm, 0u);
    const uint32_t row = wanted.rows - 1;
    const Ran ran = runCase(c, kernels.value(), wanted.entries, row);
    EXPECT_EQ(ran.session.nonFinite, kNothingFound);
    // Of many tiles and blocks the coefficients are a dispatch of their own.
    const TensorShape &map = c.shapes.tensors[c.graph.ops[1].output];
    const uint32_t tiles = (map.h + 3) / 4 * ((map.w + 3) / 4);
    if (isWhole(wanted))
        EXPECT_EQ(ran.dispatches, 2u);
    else
        EXPECT_EQ(ran.dispatches > 3,
                  map.n * ((tiles + 7) / 8) * ((c.shapes.tensors[c.op().output].c + 7) / 8) > 16);

    auto &affine = c.tables[c.op().affine];
    const uint32_t channels = affine.shape[2];
    affine.values = {affine.values.begin() + row * 2 * channels,
                     affine.values.begin() + (row + 1) * 2 * channels};
    affine.shape[0] = 1;
    const Map normalised = c.reference();
    const Map expected = convert::reference::runOp<double>(c.graph.ops[1], {&normalised}, nullptr, c.tables);
    ASSERT_EQ(ran.found.values.size(), expected.values.size());
    double error = 0, sum = 0, largest = 0;
    for (size_t i = 0; i < expected.values.size(); ++i) {
        const double difference = ran.found.values[i] - expected.values[i];
        error += difference * difference;
        sum += expected.values[i] * expected.values[i];
        largest = std::max(largest, std::fabs(difference));
    }
    const double rms = std::sqrt(sum / static_cast<double>(expected.values.size()));
    const double tolerance = isWhole(wanted) ? 0.3e-3 : 0.45e-3;
    EXPECT_LE(std::sqrt(error / sum), tolerance);
    EXPECT_LE(largest / rms, 16.0 / 3 * tolerance);
    ErrorLog::note(isWhole(wanted) ? "conv2d winograd whole, normalised" : "conv2d winograd, normalised",
                   std::max(std::sqrt(error / sum), largest / rms * 3 / 16) / tolerance);
}

INSTANTIATE_TEST_SUITE_P(Table, WinogradNormShapes, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

TEST_F(WinogradNorm, FlagsInfinitiesAndNaNs) {
    if (!suits())
        GTEST_SKIP() << "for software devices with subgroups of eight";
    for (const char *name :
         {"OnePixel", "GroupsOfFourBatchTwo", "SeveralBandsBatchTwo", "WholeGroupsOfFourBatchTwo"})
        for (double bad : {HUGE_VAL, std::nan("")}) {
            buffers_.clear();
            const auto wanted = std::find_if(std::begin(kCases), std::end(kCases), [&](const Wanted &one) {
                return name == std::string(one.name);
            });
            OpCase c = makeCase(*wanted);
            c.inputs.back().values.back() = bad; // of the last image
            const Result<GraphKernels> kernels = choose(c);
            ASSERT_TRUE(kernels.ok()) << kernels.status().message;
            EXPECT_EQ(runCase(c, kernels.value(), 3, 0).session.nonFinite, 77u) << name;
        }
}

TEST_F(WinogradNorm, StaysAnOpOfItsOwnWhereItMust) {
    if (!suits())
        GTEST_SKIP() << "for software devices with subgroups of eight";
    const auto alone = [this](const OpCase &c, const std::string &preferred = {}) {
        const Result<GraphKernels> kernels = choose(c, preferred);
        EXPECT_TRUE(kernels.ok()) << kernels.status().message;
        return kernels->ops[0].within == kNone && kernels->ops[1].norm == kNone;
    };
    const Wanted plain{"Plain", {64}, 8, 64, 1, 32, 32};
    EXPECT_FALSE(alone(makeCase(plain)));
    EXPECT_TRUE(alone(makeCase(plain), "conv2d texels"));
    EXPECT_TRUE(alone(makeCase(plain), "groupnorm lanes"));
    EXPECT_TRUE(alone(makeCase(plain), "groupnorm"));

    EXPECT_TRUE(alone(makeCase({"TwoSourcesInTheMiddleOfABlock", {30, 34}, 8, 46, 2, 7, 5})));

    OpCase readTwice = makeCase(plain);
    Op second = readTwice.graph.ops[1];
    second.output = static_cast<uint32_t>(readTwice.graph.tensors.size());
    readTwice.graph.tensors.push_back(readTwice.graph.tensors.back());
    readTwice.shapes.tensors.push_back(readTwice.shapes.tensors.back());
    readTwice.shapes.costs.push_back({1, 1});
    readTwice.graph.ops.push_back(second);
    EXPECT_TRUE(alone(readTwice));

    OpCase added = makeCase(plain);
    added.graph.ops[1].residual = added.op().output;
    EXPECT_TRUE(alone(added));

    OpCase halved = makeCase(plain);
    halved.op().outputResample = Resample::AverageDown2;
    halved.shapes.tensors[1].h = halved.shapes.tensors[1].w = 16;
    halved.shapes.tensors[2].h = halved.shapes.tensors[2].w = 16;
    EXPECT_TRUE(alone(halved));

    EXPECT_TRUE(alone(makeCase({"Doubled", {64}, 8, 64, 1, 16, 16, kSilu, true, 2, 2})));
}

} // namespace
} // namespace mote::test
