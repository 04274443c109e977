// Rows of step tables, one at a time, within 4 * 2^-24 * sum|terms|; what is absent is never touched.
#include "kernel_rig.h"
#include "kernels/noise.h"

#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

constexpr uint32_t kWidth = 37, kHeight = 11, kChannels = 3;
constexpr uint64_t kElements = uint64_t{kWidth} * kHeight * kChannels;

class Sampler : public Kernels {
protected:
    struct State {
        std::vector<float> x, m, y, z, r[4];
    };

    static float uniform(Random &random) { return static_cast<float>(random.word()) * 0x1p-31f - 1; }

    static State makeState(uint32_t seed) {
        Random random(seed);
        State state;
        for (std::vector<float> *values :
             {&state.x, &state.m, &state.y, &state.z, &state.r[0], &state.r[1], &state.r[2], &state.r[3]})
            for (uint64_t i = 0; i < kElements; ++i)
                values->push_back(3 * uniform(random));
        return state;
    }

    // What the row must not read holds NaN patterns: unused vectors stay empty.
    SamplerBuffers upload(const State &state, uint32_t written, bool noise) {
        SamplerBuffers buffers;
        buffers.registerStride = kElements + 13;
        buffers.state = floats(state.x);
        buffers.modelOutput = floats(state.m);
        buffers.condition = floats(state.y);
        if (noise)
            buffers.noise = floats(state.z);
        buffers.registers = buffer(4 * buffers.registerStride * 4);
        for (uint32_t k = 0; k < 4; ++k)
            if ((written >> k & 1) != 0)
                std::memcpy(bytesOf(buffers.registers) + k * buffers.registerStride * 4, state.r[k].data(),
                            kElements * 4);
        SessionWords words;
        words.seedLow = 99;
        words.noiseWidth = kWidth;
        buffers.session = session(words);
        return buffers;
    }

    // Terms in double; the sum of their magnitudes as scale of the tolerance.
    struct Sum {
        double value = 0, magnitude = 0;
        void add(float coefficient, double term, double magnitudeOfTerm) {
            if (coefficient == 0)
                return;
            value += static_cast<double>(coefficient) * term;
            magnitude += std::fabs(static_cast<double>(coefficient)) * magnitudeOfTerm;
        }
        void add(float coefficient, double term) { add(coefficient, term, std::fabs(term)); }
    };

    static void expectClose(float found, const Sum &expected, const char *what, uint64_t i) {
        const double tolerance = 4 * 0x1p-24 * expected.magnitude;
        const double error = std::fabs(static_cast<double>(found) - expected.value);
        ASSERT_LE(error, tolerance) << what << ", element " << i << ": " << found << ", expected "
                                    << expected.value;
        if (tolerance > 0)
            ErrorLog::note("sampler", error / tolerance);
    }

    void runRow(const StepRow &row, uint32_t written, bool boundNoise) {
        const ImageExtent extent{1, kChannels, kHeight, kWidth};
        const State state = makeState(5);
        const SamplerBuffers buffers = upload(state, written, boundNoise);
        run(buildSamplerRow(row, written, extent, buffers, 2, 1, traits()));
        const std::vector<float> x = floatsOf(buffers.state), registers = floatsOf(buffers.registers);
        for (uint64_t i = 0; i < kElements; ++i) {
            Sum x0;
            x0.add(row.p, state.x[i]);
            x0.add(row.q, state.m[i]);
            if (row.clip == ClipKind::Clamp)
                x0.value = std::min(std::max(x0.value, static_cast<double>(row.clipLow)),
                                    static_cast<double>(row.clipHigh));
            const auto pixel = static_cast<uint32_t>(i % (kWidth * kHeight));
            const auto channel = static_cast<uint32_t>(i / (kWidth * kHeight));
            Sum next;
            next.add(row.a, state.x[i]);
            next.add(row.b, state.m[i]);
            next.add(row.g, x0.value, x0.magnitude);
            next.add(row.e, state.y[i]);
            next.add(row.c, boundNoise ? state.z[i] : noiseNormal({pixel, channel, 2, kStepNoiseStream}, 99));
            for (size_t k = 0; k < 4; ++k)
                if ((written >> k & 1) != 0)
                    next.add(row.h[k], state.r[k][i]);
            expectClose(x[i], next, "x", i);
            for (uint32_t k = 0; k < 4; ++k) {
                const float found = registers[k * buffers.registerStride + i];
                if (k == row.store) {
                    Sum stored;
                    stored.add(row.u, state.x[i]);
                    stored.add(row.v, state.m[i]);
                    stored.add(row.w, x0.value, x0.magnitude);
                    expectClose(found, stored, "register", i);
                } else if ((written >> k & 1) != 0) {
                    ASSERT_EQ(found, state.r[k][i]) << "a register that was not to be written";
                } else {
                    ASSERT_TRUE(std::isnan(found) || found > 1e37f)
                        << "a register that was not to be written";
                }
            }
            ASSERT_FALSE(HasFatalFailure());
        }
        EXPECT_EQ(sessionOf(buffers.session).nonFinite, kNothingFound);
    }
};

StepRow rowOf(float a, float b) {
    StepRow row;
    row.a = a;
    row.b = b;
    return row;
}

TEST_F(Sampler, DdimFolded) {
    runRow(rowOf(1.5f, -0.7f), 0, false);
}

TEST_F(Sampler, DdimClipped) {
    StepRow row = rowOf(0.3f, 0.4f);
    row.clip = ClipKind::Clamp;
    row.p = 2.5f;
    row.q = -1.5f;
    row.g = 0.9f;
    runRow(row, 0, false);
}

TEST_F(Sampler, GeneratedNoise) {
    StepRow row = rowOf(0.9f, 0.1f);
    row.c = 0.25f;
    runRow(row, 0, false);
}

TEST_F(Sampler, BoundNoiseAndCondition) {
    StepRow row = rowOf(0.9f, 0.1f);
    row.c = 0.25f;
    row.e = -0.5f;
    runRow(row, 0, true);
}

TEST_F(Sampler, LargeCoefficientsThatCancel) {
    runRow(rowOf(160.0f, -159.0f), 0, false);
}

TEST_F(Sampler, AllRegistersAndEveryTerm) {
    StepRow row = rowOf(1.1f, -0.2f);
    row.p = 0.6f;
    row.q = 0.7f;
    row.clip = ClipKind::Clamp;
    row.clipLow = -2;
    row.clipHigh = 2;
    row.g = 0.3f;
    row.e = 0.8f;
    row.c = 0.05f;
    row.h = {0.4f, -1.3f, 2.2f, -0.6f};
    row.store = 2;
    row.u = 0.2f;
    row.v = -0.9f;
    row.w = 1.7f;
    runRow(row, 15, true);
}

// The first rows of a multistep method: coefficients are there, the registers are not.
TEST_F(Sampler, UnwrittenRegistersAreNotRead) {
    StepRow row = rowOf(1.0f, 0.5f);
    row.h = {0.4f, 0.3f, 0.2f, 0.1f};
    row.store = 1;
    row.u = 1;
    row.v = 2;
    runRow(row, 0, false);
    runRow(row, 0b0001, false);
}

// x itself may be absent: its coefficient is 0.
TEST_F(Sampler, AbsentStateIsNotRead) {
    const State state = makeState(6);
    SamplerBuffers buffers = upload(state, 0, false);
    buffers.state = buffer(kElements * 4); // NaN patterns
    buffers.condition = buffer(kElements * 4);
    run(buildSamplerRow(rowOf(0, 2), 0, {1, kChannels, kHeight, kWidth}, buffers, 0, 1, traits()));
    const std::vector<float> x = floatsOf(buffers.state);
    for (uint64_t i = 0; i < kElements; ++i)
        ASSERT_EQ(x[i], 2 * state.m[i]);
}

TEST_F(Sampler, StartFromNoiseAndCondition) {
    Recipe recipe;
    recipe.initNoise = 0.75f;
    recipe.initCondition = 1.5f;
    const State state = makeState(7);
    for (bool bound : {false, true}) {
        SamplerBuffers buffers = upload(state, 0, bound);
        buffers.state = buffer(kElements * 4);
        run(buildSamplerStart(recipe, {1, kChannels, kHeight, kWidth}, buffers, traits()));
        const std::vector<float> x = floatsOf(buffers.state);
        for (uint64_t i = 0; i < kElements; ++i) {
            const auto pixel = static_cast<uint32_t>(i % (kWidth * kHeight));
            const auto channel = static_cast<uint32_t>(i / (kWidth * kHeight));
            Sum expected;
            expected.add(0.75f,
                         bound ? state.z[i] : noiseNormal({pixel, channel, 0, kInitialNoiseStream}, 99));
            expected.add(1.5f, state.y[i]);
            expectClose(x[i], expected, "x", i);
        }
    }
}

TEST_F(Sampler, FlagsInfinitiesAndNaNsOfTheModel) {
    for (float bad : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
        State state = makeState(8);
        state.m[kElements - 1] = bad;
        const SamplerBuffers buffers = upload(state, 0, false);
        run(buildSamplerRow(rowOf(1, 0), 0, {1, kChannels, kHeight, kWidth}, buffers, 0, 6u << 16 | 0xffff,
                            traits()));
        EXPECT_EQ(sessionOf(buffers.session).nonFinite, 6u << 16 | 0xffff);
    }
}

// Bands of rows, each with its own buffers, have what the whole image has in their rows.
TEST_F(Sampler, BandsOfAnImageEqualTheWhole) {
    StepRow row = rowOf(0.9f, 0.1f);
    row.c = 0.25f;
    row.h = {0.5f, 0, 0, 0};
    row.store = 1;
    row.u = 1;
    const State state = makeState(9);
    const SamplerBuffers whole = upload(state, 1, false);
    run(buildSamplerRow(row, 1, {1, kChannels, kHeight, kWidth}, whole, 1, 1, traits()));
    const std::vector<float> x = floatsOf(whole.state), registers = floatsOf(whole.registers);
    for (const auto &[first, count] : {std::pair<uint32_t, uint32_t>{0, 4}, {4, 7}}) {
        const auto rows = [&, first = first, count = count](const std::vector<float> &planes,
                                                            uint64_t offset) {
            std::vector<float> values;
            for (uint32_t c = 0; c < kChannels; ++c)
                for (uint32_t i = 0; i < count * kWidth; ++i)
                    values.push_back(planes[offset + (c * kHeight + first) * kWidth + i]);
            return values;
        };
        SamplerBuffers band = whole;
        const std::vector<float> before = rows(state.x, 0);
        band.state = floats(before);
        band.modelOutput = floats(rows(state.m, 0));
        band.registerStride = before.size();
        std::vector<float> both = rows(state.r[0], 0);
        both.resize(2 * before.size());
        band.registers = floats(both);
        run(buildSamplerRow(row, 1, {1, kChannels, count, kWidth, first}, band, 1, 1, traits()));
        EXPECT_EQ(floatsOf(band.state), rows(x, 0));
        std::vector<float> stored = floatsOf(band.registers);
        stored.erase(stored.begin(), stored.begin() + static_cast<std::ptrdiff_t>(before.size()));
        EXPECT_EQ(stored, rows(registers, whole.registerStride));
    }
}

// More than 65,535 workgroups: the grid folds.
TEST_F(Sampler, ClearsMoreThanOneDimensionHolds) {
    const ImageExtent extent{1, 1, 65537, 256};
    const BufferRange target = buffer(elementsOf(extent) * 4);
    const Result<Dispatch> clear = buildClear(extent, target, session(), traits());
    ASSERT_TRUE(clear.ok());
    EXPECT_GT(clear->groups[1], 1u);
    run(clear);
    const std::vector<float> values = floatsOf(target);
    size_t left = 0;
    for (float value : values)
        left += value != 0 ? 1 : 0;
    EXPECT_EQ(left, 0u);
}

TEST(RegisterCount, IsOneMoreThanTheHighestStored) {
    Recipe recipe;
    EXPECT_EQ(registerCount(recipe), 0u);
    recipe.rows.resize(3);
    EXPECT_EQ(registerCount(recipe), 0u);
    recipe.rows[1].store = 2;
    recipe.rows[2].store = 0;
    EXPECT_EQ(registerCount(recipe), 3u);
}

} // namespace
} // namespace mote::test
