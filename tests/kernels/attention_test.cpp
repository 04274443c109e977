// Attention against the reference: heads, head sizes that are no multiple of eight, one token.
#include "kernel_rig.h"

#include "shaders/embedded.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

struct AttentionCase {
    const char *name;
    uint32_t channels, heads, n, h, w;
    double spread = 1; // of q, k and v: large ones make one-hot softmaxes
};

const AttentionCase kCases[] = {
    {"OneToken", 8, 1, 1, 1, 1},   {"HeadsOfEight", 32, 4, 1, 6, 7}, {"OneHeadOf64", 64, 1, 2, 5, 5},
    {"HeadsOf40", 80, 2, 1, 4, 9}, {"HeadOf160", 160, 1, 1, 3, 3},   {"HeadsOf24", 48, 2, 1, 8, 9},
    {"HeadsOfTwo", 6, 3, 1, 4, 5}, {"HeadsOfFive", 20, 4, 2, 3, 7},  {"HeadOf13", 13, 1, 1, 9, 8},
    {"HeadsOfOne", 3, 3, 1, 2, 2}, {"Sharp", 32, 2, 1, 8, 9, 6},     {"SharpHeadsOfTen", 20, 2, 1, 5, 6, 6},
};

class Attention : public Kernels, public testing::WithParamInterface<AttentionCase> {
protected:
    OpCase makeCase(const AttentionCase &wanted) {
        Random random(wanted.channels);
        OpCase c;
        c.op().kind = OpKind::Attention;
        c.op().name = wanted.name;
        c.op().heads = wanted.heads;
        Map qkv = random.map(wanted.n, 3 * wanted.channels, wanted.h, wanted.w);
        for (double &value : qkv.values)
            value *= wanted.spread;
        convert::reference::roundToHalf(qkv);
        c.input(std::move(qkv));
        c.output({wanted.n, wanted.channels, wanted.h, wanted.w});
        return c;
    }

    Result<GraphKernels> choose(const OpCase &c, const std::vector<ShaderId> &shaders) {
        return chooseKernels(c.model, c.graph, c.shapes, traits(),
                             [&shaders](const gpu::PipelineDescription &pipeline) {
                                 for (ShaderId shader : shaders)
                                     if (pipeline.shader.id == static_cast<uint32_t>(shader))
                                         return Status{};
                                 return makeStatus(StatusCode::Unsupported, "not asked for");
                             });
    }

    void expectMatches(const OpCase &c, const AttentionCase &wanted, const GraphKernels &kernels,
                       const Map &expected, size_t dispatches) {
        // A score is a sum of d products in fp32: it moves by at most (d + 4) 2^-24 sum|q k| / sqrt(d). A
        // probability moves by twice that, by what GLSL grants exp ((3 + 2 |x|) 2^-23, x down to the spread
        // of the scores) and by the rounding of the sums over the keys; the output by that much of the
        // largest |v|, and by its storage.
        const uint32_t d = wanted.channels / wanted.heads;
        const double tokens = static_cast<double>(wanted.h) * wanted.w, largest = wanted.spread;
        const double score = d * largest * largest / std::sqrt(static_cast<double>(d));
        const double moved =
            2 * (d + 4) * 0x1p-24 * score + (3 + 2 * 2 * score) * 0x1p-23 + (tokens + 8) * 0x1p-24;
        const TensorShape &shape = c.shapes.tensors[c.graph.ops[0].output];
        OpBuffers buffers;
        buffers.inputs = {activation(c.inputs[0])};
        buffers.session = session();
        buffers.output = buffer(tensorBytes(TensorKind::Activation, shape));
        if (kernels.ops[0].scratchBytes != 0)
            buffers.scratch = buffer(kernels.ops[0].scratchBytes);
        const auto built = buildDispatches(kernels, c.model, c.graph, c.shapes, 0, buffers, traits());
        run(built);
        EXPECT_EQ(built->size(), dispatches);
        const Map found = readActivation(buffers.output, shape);
        for (size_t i = 0; i < found.values.size(); ++i) {
            const double arithmetic = moved * largest;
            const double tolerance =
                arithmetic + 0x1p-11 * (std::fabs(expected.values[i]) + arithmetic) + 0x1p-25;
            const double fraction = std::fabs(found.values[i] - expected.values[i]) / tolerance;
            ASSERT_LE(fraction, 1) << i << ": " << found.values[i] << ", expected " << expected.values[i];
            ErrorLog::note(kernels.ops[0].name, fraction);
        }
        const std::vector<float> whole = floatsOf(buffers.output);
        std::memset(bytesOf(buffers.output), 0x7e, whole.size() * 4);
        std::vector<Dispatch> slices;
        for (const Dispatch &dispatch : built.value())
            for (Dispatch &part : split(dispatch, std::max<uint64_t>(dispatch.operations / 40, 1), traits()))
                slices.push_back(std::move(part));
        run(slices);
        EXPECT_EQ(0, std::memcmp(whole.data(), bytesOf(buffers.output), whole.size() * 4)) << "in slices";
    }
};

TEST_P(Attention, EveryVariantMatchesReference) {
    const OpCase c = makeCase(GetParam());
    const Map expected = c.reference();
    int variants = 0;
    for (ShaderId shader : {ShaderId::Attention, ShaderId::AttentionAny}) {
        buffers_.clear();
        const Result<GraphKernels> kernels = choose(c, {shader});
        if (!kernels.ok())
            continue;
        ++variants;
        expectMatches(c, GetParam(), kernels.value(), expected, 1);
    }
    EXPECT_EQ(variants, GetParam().channels / GetParam().heads % 8 == 0 ? 2 : 1);
}

// The kernel for software devices, on a device that is not clamped.
class AttentionBands : public Attention {
protected:
    static void SetUpTestSuite() { openDevice(nullptr); }
};

const AttentionCase kBandCases[] = {
    {"OneToken", 8, 1, 1, 1, 1},        {"HeadsOfEight", 32, 4, 1, 6, 7},
    {"OneHeadOf64", 64, 1, 2, 5, 5},    {"HeadsOf40", 80, 2, 1, 4, 9},
    {"HeadsOf72", 144, 2, 1, 5, 9},     {"HeadOf160", 160, 1, 1, 3, 3},
    {"HeadsOf24", 48, 2, 2, 8, 9},      {"Sharp", 32, 2, 1, 8, 9, 6},
    {"BandsOfSlots", 64, 8, 2, 20, 20}, {"BandsOfQueries", 16, 2, 1, 31, 39},
};

TEST_P(AttentionBands, MatchesReference) {
    const OpCase c = makeCase(GetParam());
    const Result<GraphKernels> kernels = choose(c, {ShaderId::AttentionScores, ShaderId::AttentionValues});
    const Traits with = traits();
    ASSERT_EQ(kernels.ok(), with.cpu && with.caps.subgroupSize == 8 &&
                                (with.caps.subgroupOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0)
        << kernels.status().message;
    if (!kernels.ok())
        return;
    const std::string name = GetParam().name;
    const size_t bands = name == "BandsOfSlots" ? 3 : name == "BandsOfQueries" ? 4 : 1;
    expectMatches(c, GetParam(), kernels.value(), c.reference(), 2 * bands);
}

INSTANTIATE_TEST_SUITE_P(Table, AttentionBands, testing::ValuesIn(kBandCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

INSTANTIATE_TEST_SUITE_P(Table, Attention, testing::ValuesIn(kCases),
                         [](const auto &entry) { return std::string(entry.param.name); });

TEST(AttentionLimits, RefusesWhatWouldLoopTooLong) {
    OpCase c;
    c.op().kind = OpKind::Attention;
    c.op().name = "mid.attention";
    c.input(Map(1, 24, 1, 1));
    c.output({1, 8, 1, 1});
    c.shapes.tensors[0] = {1, 24, 512, 512};
    c.shapes.tensors[1] = {1, 8, 512, 512};
    const Status status =
        chooseKernels(c.model, c.graph, c.shapes, {}, [](const auto &) { return Status{}; }).status();
    EXPECT_EQ(status.code, StatusCode::Unsupported);
    EXPECT_NE(status.message.find("mid.attention"), std::string::npos) << status.message;
    EXPECT_NE(status.message.find("262144 tokens"), std::string::npos) << status.message;
}

} // namespace
} // namespace mote::test
