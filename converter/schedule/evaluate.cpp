#include "schedule/evaluate.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace mote::convert::schedule {
namespace {

// The quantile as torch.quantile has it: linear between the two order statistics around q (n - 1).
template <typename Real> Real quantileOf(std::vector<Real> values, double q) {
    const double position = q * static_cast<double>(values.size() - 1);
    const size_t below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, values.size() - 1);
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(below), values.end());
    const Real low = values[below];
    const Real high =
        above == below ? low
                       : *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(above), values.end());
    return low + static_cast<Real>(position - static_cast<double>(below)) * (high - low);
}

template <typename Real> double norm(std::span<const Real> values) {
    double sum = 0;
    for (const Real value : values)
        sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
}

} // namespace

template <typename Real> void applyClip(const Clip &clip, size_t batch, std::span<Real> x0) {
    if (clip.kind == ClipKind::None)
        return;
    if (clip.kind == ClipKind::Clamp) {
        for (Real &value : x0)
            value = std::clamp(value, static_cast<Real>(clip.low), static_cast<Real>(clip.high));
        return;
    }
    const size_t elements = x0.size() / batch;
    for (size_t image = 0; image < batch; ++image) {
        const std::span<Real> part = x0.subspan(image * elements, elements);
        std::vector<Real> magnitudes(elements);
        std::transform(part.begin(), part.end(), magnitudes.begin(),
                       [](Real value) { return std::abs(value); });
        const Real s = std::clamp(quantileOf(std::move(magnitudes), clip.quantile), Real(1),
                                  static_cast<Real>(clip.maximum));
        for (Real &value : part)
            value = std::clamp(value, -s, s) / s;
    }
}

template <typename Real>
Run<Real> runTable(const Table &table, const RunInputs<Real> &inputs, const Model<Real> &model) {
    const size_t count = inputs.noise.size();
    if (inputs.batch == 0 || count % inputs.batch != 0)
        throw std::invalid_argument("runTable: the batch does not divide the number of elements");
    const size_t elements = count / inputs.batch;
    auto real = [](double value) { return static_cast<Real>(value); };

    Run<Real> run;
    std::vector<Real> x(count), next(count), m(count), extra, x0(count);
    std::array<std::vector<Real>, kRegisters> registers;
    for (size_t i = 0; i < count; ++i) {
        x[i] = real(table.initNoise) * inputs.noise[i];
        if (table.initCondition != 0)
            x[i] += real(table.initCondition) * inputs.condition[i];
    }
    auto keepState = [&](double scale) {
        run.states.emplace_back(count);
        std::transform(x.begin(), x.end(), run.states.back().begin(),
                       [&](Real value) { return value / real(scale); });
    };
    keepState(table.initScale);

    for (size_t index = 0; index < table.rows.size(); ++index) {
        const Row &row = table.rows[index];
        extra.assign(row.logVariance ? count : 0, Real(0));
        model(x, row, index, m, extra);
        run.outputs.push_back(m);
        for (size_t i = 0; i < count; ++i)
            x0[i] = real(row.p) * x[i] + real(row.q) * m[i];
        applyClip<Real>(row.clip, inputs.batch, x0);
        run.previews.push_back(x0);

        std::span<const Real> z;
        if (row.c != 0 || row.known)
            z = inputs.stepNoise(index);
        for (size_t image = 0; image < inputs.batch; ++image) {
            Real b = real(row.b), c = real(row.c);
            if (row.langevin) {
                const double rho = norm<Real>(z.subspan(image * elements, elements)) /
                                   norm<Real>(std::span<const Real>(m).subspan(image * elements, elements));
                b = real(row.b * rho * rho);
                c = real(row.c * rho);
            }
            for (size_t i = image * elements; i < (image + 1) * elements; ++i) {
                Real value = 0;
                if (row.a != 0)
                    value += real(row.a) * x[i];
                if (b != 0)
                    value += b * m[i];
                if (row.g != 0)
                    value += real(row.g) * x0[i];
                for (size_t k = 0; k < row.h.size(); ++k)
                    if (row.h[k] != 0)
                        value += real(row.h[k]) * registers[k].at(i);
                if (row.e != 0)
                    value += real(row.e) * inputs.condition[i];
                if (c != 0 && row.logVariance) {
                    const auto [low, high] = *row.logVariance;
                    const Real fraction = (extra[i] + Real(1)) / Real(2);
                    value += c * std::exp(Real(0.5) * (real(low) + fraction * real(high - low))) * z[i];
                } else if (c != 0) {
                    value += c * z[i];
                }
                if (row.known) {
                    const Real inside =
                        real((*row.known)[0]) * inputs.condition[i] + real((*row.known)[1]) * z[i];
                    value = inputs.mask[i] * inside + (Real(1) - inputs.mask[i]) * value;
                }
                next[i] = value;
            }
        }
        if (row.store >= 0) {
            std::vector<Real> &kept = registers[static_cast<size_t>(row.store)];
            kept.resize(count);
            for (size_t i = 0; i < count; ++i) {
                Real value = 0;
                if (row.u != 0)
                    value += real(row.u) * x[i];
                if (row.v != 0)
                    value += real(row.v) * m[i];
                if (row.w != 0)
                    value += real(row.w) * x0[i];
                kept[i] = value;
            }
        }
        std::swap(x, next);
        keepState(row.scale);
    }
    return run;
}

template void applyClip<float>(const Clip &, size_t, std::span<float>);
template void applyClip<double>(const Clip &, size_t, std::span<double>);
template Run<float> runTable<float>(const Table &, const RunInputs<float> &, const Model<float> &);
template Run<double> runTable<double>(const Table &, const RunInputs<double> &, const Model<double> &);

} // namespace mote::convert::schedule
