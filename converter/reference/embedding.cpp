#include "reference/embedding.h"

#include "reference/checks.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace mote::convert::reference {

template <typename T> Array<T> runTimestepEmbedding(const Op &op, const Tables<T> &tables, const Step &step) {
    using Kind = TimestepFeatures::Kind;
    const TimestepFeatures &features = step.features;
    const uint32_t half = features.channels / 2;
    expect(op, half > 0, "no timestep features given");
    Array<T> out(1, features.channels, 1, 1); // an odd last feature stays 0
    if (features.kind == Kind::Learned) {
        const Table<T> &table = tableOf(op, tables, op.weight, "weight");
        expect(op, table.shape.size() == 2 && table.shape[1] == features.channels,
               "weight is not [T][channels]");
        if (!(step.timestep >= 0 && step.timestep < table.shape[0]))
            fail(op, text("the table has ", table.shape[0], " timesteps"));
        const auto first = size_t(step.timestep) * features.channels;
        std::copy_n(table.values.begin() + std::ptrdiff_t(first), features.channels, out.values.begin());
        return out;
    }
    const bool fourier = features.kind == Kind::Fourier;
    const Table<T> none, &weight = fourier ? tableOf(op, tables, op.weight, "weight") : none;
    expect(op, !fourier || weight.values.size() == half, "weight is not [channels / 2]");
    for (uint32_t i = 0; i < half; ++i) {
        const double phase =
            fourier ? 2 * std::numbers::pi * std::log(step.timestep) * double(weight.values[i])
                    : step.timestep * std::exp(-std::log(10000.0) * i / (half - features.frequencyShift));
        const double s = std::sin(phase), c = std::cos(phase);
        out.values[i] = T(features.flipSinToCos ? c : s);
        out.values[half + i] = T(features.flipSinToCos ? s : c);
    }
    return out;
}

template <typename T> Array<T> runClassEmbedding(const Op &op, const Tables<T> &tables, const Step &step) {
    if (step.classInput == ClassInput::Vector) {
        expect(op, !step.vectors.empty(), "no vectors given");
        Array<T> out(uint32_t(step.vectors.size()), uint32_t(step.vectors[0].size()), 1, 1);
        for (uint32_t n = 0; n < out.batch; ++n)
            std::copy(step.vectors[n].begin(), step.vectors[n].end(), out.plane(n, 0));
        return out;
    }
    expect(op, !step.labels.empty(), "no labels given");
    const Table<T> *rows =
        step.classInput == ClassInput::Row ? &tableOf(op, tables, op.weight, "weight") : nullptr;
    const uint32_t channels = rows != nullptr ? rows->shape.at(1) : step.features.channels;
    Array<T> out(uint32_t(step.labels.size()), channels, 1, 1);
    for (uint32_t n = 0; n < out.batch; ++n) {
        if (rows != nullptr) {
            expect(op, step.labels[n] < rows->shape[0], "a label is beyond the table");
            std::copy_n(rows->values.begin() + std::ptrdiff_t(size_t(step.labels[n]) * channels), channels,
                        out.plane(n, 0));
            continue;
        }
        Step ofLabel;
        ofLabel.timestep = step.labels[n];
        ofLabel.features = step.features;
        const Array<T> features = runTimestepEmbedding<T>(op, tables, ofLabel);
        std::copy(features.values.begin(), features.values.end(), out.plane(n, 0));
    }
    return out;
}

template Array<float> runTimestepEmbedding<float>(const Op &, const Tables<float> &, const Step &);
template Array<double> runTimestepEmbedding<double>(const Op &, const Tables<double> &, const Step &);
template Array<float> runClassEmbedding<float>(const Op &, const Tables<float> &, const Step &);
template Array<double> runClassEmbedding<double>(const Op &, const Tables<double> &, const Step &);

} // namespace mote::convert::reference
