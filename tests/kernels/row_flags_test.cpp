// Rows with operations that depend on data, one at a time, within 4 * 2^-24 * sum|terms| of the formula in
// double, in batches and in bands.
#include "kernel_rig.h"
#include "kernels/noise.h"
#include "row_reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mote::test {
namespace {

constexpr double kUnit = 0x1p-24;

class RowFlags : public Kernels {
protected:
    ImageExtent whole{2, 3, 17, 37, 0};
    bool boundNoise = true;

    uint64_t imageElements() const { return elementsOf(whole) / whole.batch; }

    RowOperands makeOperands(uint32_t seed) {
        Random random(seed);
        const auto normal = [&] {
            double sum = -6;
            for (int i = 0; i < 12; ++i)
                sum += random.word() * 0x1p-32;
            return static_cast<float>(sum);
        };
        RowOperands operands;
        for (std::vector<float> *values :
             {&operands.x, &operands.m, &operands.y, &operands.z, &operands.known, &operands.variance})
            for (uint64_t i = 0; i < elementsOf(whole); ++i)
                values->push_back(normal());
        for (uint64_t i = 0; i < elementsOf(whole) / whole.channels; ++i) {
            const uint32_t kind = random.word() >> 30;
            operands.mask.push_back(kind == 0   ? 0
                                    : kind == 1 ? 1
                                                : static_cast<float>(random.word()) * 0x1p-32f);
        }
        if (!boundNoise)
            for (uint64_t i = 0; i < elementsOf(whole); ++i) {
                const auto pixel = static_cast<uint32_t>(i % (whole.width * whole.height));
                const auto plane = static_cast<uint32_t>(i / (whole.width * whole.height));
                operands.z[i] = noiseNormal({pixel, plane % whole.channels, 3, kStepNoiseStream},
                                            99 + plane / whole.channels);
            }
        return operands;
    }

    // Rows [first, first + count) of every plane.
    std::vector<float> rowsOf(const std::vector<float> &planes, uint32_t first, uint32_t count) const {
        std::vector<float> rows;
        for (size_t plane = 0; plane * whole.height * whole.width < planes.size(); ++plane) {
            const auto begin =
                planes.begin() + static_cast<std::ptrdiff_t>((plane * whole.height + first) * whole.width);
            rows.insert(rows.end(), begin, begin + static_cast<std::ptrdiff_t>(count) * whole.width);
        }
        return rows;
    }

    // The next state, put together from bands of these heights.
    std::vector<float> apply(const StepRow &row, const RowOperands &operands,
                             const std::vector<uint32_t> &heights) {
        SessionWords words;
        words.seedLow = 99;
        words.noiseWidth = whole.width;
        const BufferRange session = buffer(sessionBytes(whole.batch));
        std::memcpy(bytesOf(session), &words, sizeof words);
        std::vector<SamplerBand> bands;
        uint32_t first = 0;
        for (const uint32_t height : heights) {
            SamplerBand band;
            band.extent = whole;
            band.extent.firstRow = first;
            band.extent.height = height;
            const auto upload = [&](const std::vector<float> &planes) {
                return floats(rowsOf(planes, first, height));
            };
            band.buffers.state = upload(operands.x);
            band.buffers.modelOutput = upload(operands.m);
            band.buffers.condition = upload(operands.y);
            if (boundNoise)
                band.buffers.noise = upload(operands.z);
            band.buffers.mask = upload(operands.mask);
            band.buffers.known = upload(operands.known);
            band.buffers.variance = upload(operands.variance);
            band.buffers.session = session;
            bands.push_back(band);
            first += height;
        }
        Recipe recipe;
        recipe.rows = {row};
        const uint64_t bytes = measureBytes(recipe, whole);
        const BufferRange memory = bytes == 0 ? BufferRange{} : buffer(bytes);
        Result<std::vector<Dispatch>> list = buildRowMeasures(row, bands, memory, 3, traits());
        EXPECT_TRUE(list.ok()) << list.status().message;
        EXPECT_EQ(list->empty(), bytes == 0);
        for (const SamplerBand &band : bands) {
            Result<Dispatch> dispatch = buildSamplerRow(row, 0, band.extent, band.buffers, 3, 7, traits());
            EXPECT_TRUE(dispatch.ok()) << dispatch.status().message;
            list->push_back(std::move(dispatch.value()));
        }
        run(list);
        nonFinite = sessionOf(session).nonFinite;
        std::vector<float> next(elementsOf(whole));
        for (const SamplerBand &band : bands) {
            const std::vector<float> values = floatsOf(band.buffers.state);
            const size_t bandRows = size_t{band.extent.height} * whole.width;
            for (size_t plane = 0; plane < size_t{whole.batch} * whole.channels; ++plane)
                std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(plane * bandRows), bandRows,
                            next.begin() + static_cast<std::ptrdiff_t>(
                                               (plane * whole.height + band.extent.firstRow) * whole.width));
        }
        return next;
    }

    void expectRow(const StepRow &row, const RowOperands &operands, const std::vector<float> &found) {
        const RowSums expected = rowInDouble(row, whole, operands);
        double worst = 0;
        for (size_t i = 0; i < found.size(); ++i) {
            const double error = std::fabs(found[i] - expected.next[i]);
            const double bound = 4 * kUnit * expected.nextTerms[i];
            ASSERT_LE(error, bound) << "element " << i << ": " << found[i] << ", expected "
                                    << expected.next[i];
            worst = std::max(worst, bound > 0 ? error / bound : 0);
        }
        ErrorLog::note("sampler, flagged", worst);
    }

    void runRow(const StepRow &row) {
        const RowOperands operands = makeOperands(11);
        const std::vector<float> found = apply(row, operands, {whole.height});
        expectRow(row, operands, found);
        EXPECT_EQ(nonFinite, kNothingFound);
        // Bands change nothing, to the bit.
        const std::vector<float> banded = apply(row, operands, {1, whole.height - 6, 5});
        EXPECT_EQ(0, std::memcmp(found.data(), banded.data(), found.size() * sizeof(float)));
    }

    uint32_t nonFinite = 0;
};

StepRow thresholdRow() {
    StepRow row;
    row.p = 2.5f;
    row.q = -1.5f;
    row.g = 0.9f;
    row.b = 0.4f;
    row.clip = ClipKind::Threshold;
    row.quantile = 0.995f;
    row.thresholdMax = 100;
    return row;
}

TEST_F(RowFlags, DynamicThresholdIsTheInterpolatedQuantileOfEachImage) {
    for (const float quantile : {0.995f, 0.5f, 0.9f, 1.0f, 0.001f}) {
        StepRow row = thresholdRow();
        row.quantile = quantile;
        runRow(row);
    }
}

TEST_F(RowFlags, DynamicThresholdStaysBetweenOneAndItsMaximum) {
    StepRow row = thresholdRow();
    row.thresholdMax = 1.5f;
    runRow(row);
    row.p = 0.01f;
    row.q = 0;
    runRow(row);
}

TEST_F(RowFlags, DynamicThresholdOfASinglePixel) {
    whole = {1, 1, 1, 1, 0};
    const StepRow row = thresholdRow();
    RowOperands operands = makeOperands(1);
    operands.x[0] = 3;
    expectRow(row, operands, apply(row, operands, {1}));
}

// Most values alike: both order statistics are in one bin, and the next one is far away.
TEST_F(RowFlags, DynamicThresholdAmongEqualValues) {
    for (const float quantile : {0.5f, 0.998f, 0.9995f, 1.0f}) {
        StepRow row = thresholdRow();
        row.p = 1;
        row.q = 0;
        row.quantile = quantile;
        RowOperands operands = makeOperands(2);
        for (size_t i = 0; i < operands.x.size(); ++i)
            operands.x[i] = i % imageElements() < 3 ? 50.0f + static_cast<float>(i % imageElements()) : -2.0f;
        expectRow(row, operands, apply(row, operands, {whole.height}));
    }
}

// More than one workgroup counts, and values that differ in their last bits only.
TEST_F(RowFlags, DynamicThresholdTellsNeighbouringFloatsApart) {
    whole = {1, 3, 64, 96, 0};
    StepRow row = thresholdRow();
    row.p = 1;
    row.q = row.b = 0;
    row.g = 1;
    row.quantile = 0.75f;
    RowOperands operands = makeOperands(3);
    for (size_t i = 0; i < operands.x.size(); ++i)
        operands.x[i] = 3 + static_cast<float>(i * 7919 % operands.x.size()) * 0x1p-22f; // all distinct
    const std::vector<float> found = apply(row, operands, {32, 32});
    std::vector<float> sorted = operands.x;
    std::sort(sorted.begin(), sorted.end());
    const double position = 0.75 * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<size_t>(position);
    const double s =
        sorted[below] + (position - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]);
    for (size_t i = 0; i < found.size(); ++i)
        ASSERT_NEAR(found[i], std::min(operands.x[i] / s, 1.0), kUnit) << i;
}

TEST_F(RowFlags, LangevinStepFromTheNormsOfEachImage) {
    StepRow row;
    row.a = 1;
    row.b = 0.045f;
    row.c = 0.3f;
    row.langevin = true;
    runRow(row);
    boundNoise = false;
    runRow(row);
}

TEST_F(RowFlags, LangevinStepWithLargeAndSmallOutputs) {
    StepRow row;
    row.a = 1;
    row.b = 0.045f;
    row.c = 0.3f;
    row.langevin = true;
    for (const float scale : {1e-4f, 1e4f}) {
        RowOperands operands = makeOperands(4);
        for (float &value : operands.m)
            value *= scale;
        expectRow(row, operands, apply(row, operands, {whole.height}));
    }
}

TEST_F(RowFlags, InterpolatedVariance) {
    StepRow row;
    row.a = 1.01f;
    row.b = -0.3f;
    row.c = 0.02f;
    row.variance = VarianceKind::Interpolated;
    for (const float exponent : {0.05f, 1.5f, 18.0f}) {
        row.varianceExponent = exponent;
        runRow(row);
    }
}

TEST_F(RowFlags, DirectVariance) {
    StepRow row;
    row.a = 1.01f;
    row.b = -0.3f;
    row.c = 0.7f;
    row.variance = VarianceKind::Direct;
    RowOperands operands = makeOperands(5);
    for (float &value : operands.variance)
        value = value * value;
    expectRow(row, operands, apply(row, operands, {whole.height}));
}

TEST_F(RowFlags, NegativeVarianceIsReported) {
    StepRow row;
    row.c = 0.7f;
    row.variance = VarianceKind::Direct;
    RowOperands operands = makeOperands(6);
    for (float &value : operands.variance)
        value = 1;
    apply(row, operands, {whole.height});
    EXPECT_EQ(nonFinite, kNothingFound);
    operands.variance[77] = -1e-3f;
    apply(row, operands, {whole.height});
    EXPECT_EQ(nonFinite, 7u);
}

TEST_F(RowFlags, KnownRegionIsMixedByTheMask) {
    StepRow row;
    row.a = 0.9f;
    row.b = -0.2f;
    row.c = 0.1f;
    row.known = true;
    row.knownImage = 0.8f;
    row.knownNoise = 0.6f;
    runRow(row);
    boundNoise = false;
    runRow(row);
    row.c = row.knownNoise = 0;
    row.knownImage = 1;
    runRow(row);
}

// What is known is returned as it was, and what is to be filled never sees it.
TEST_F(RowFlags, KnownPixelsAreThoseOfTheImage) {
    StepRow row;
    row.b = 1;
    row.known = true;
    row.knownImage = 1;
    RowOperands operands = makeOperands(7);
    const uint64_t plane = imageElements() / whole.channels;
    for (size_t i = 0; i < operands.mask.size(); ++i)
        operands.mask[i] = i % 3 == 0 ? 0.0f : 1.0f;
    const std::vector<float> found = apply(row, operands, {whole.height});
    for (size_t i = 0; i < found.size(); ++i) {
        const float fill = operands.mask[i / imageElements() * plane + i % plane];
        ASSERT_EQ(found[i], fill == 0 ? operands.known[i] : operands.m[i]) << i;
    }
}

TEST_F(RowFlags, AllAtOnce) {
    StepRow row = thresholdRow();
    row.a = 0.3f;
    row.c = 0.2f;
    row.langevin = true;
    row.variance = VarianceKind::Interpolated;
    row.varianceExponent = 0.7f;
    row.known = true;
    row.knownImage = 0.9f;
    row.knownNoise = 0.1f;
    runRow(row);
}

} // namespace
} // namespace mote::test
