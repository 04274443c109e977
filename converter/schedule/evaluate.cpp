#include "schedule/evaluate.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace mote::convert::schedule {
namespace {

// The quantile as torch.quantile has it: linear between the two order statistics around q (n - 1).
template <typename Real> Real quantileOf(std::vector<Real> values, double q) {
    const double position = q * static_cast<double>(values.size() - 1);
    const auto below = values.begin() + static_cast<std::ptrdiff_t>(position);
    std::nth_element(values.begin(), below, values.end());
    const auto above = std::min_element(below + 1, values.end());
    const Real high = above == values.end() ? *below : *above;
    return *below + static_cast<Real>(position - std::floor(position)) * (high - *below);
}

template <typename Real> void applyClip(const Clip &clip, size_t batch, std::span<Real> x0) {
    if (clip.kind == ClipKind::Clamp)
        for (Real &value : x0)
            value = std::clamp(value, static_cast<Real>(clip.low), static_cast<Real>(clip.high));
    if (clip.kind != ClipKind::Threshold)
        return;
    const size_t elements = x0.size() / batch;
    for (size_t image = 0; image < batch; ++image) {
        const std::span<Real> part = x0.subspan(image * elements, elements);
        std::vector<Real> magnitudes(elements);
        std::transform(part.begin(), part.end(), magnitudes.begin(),
                       [](Real value) { return std::abs(value); });
        const Real quantile = quantileOf(std::move(magnitudes), clip.quantile);
        const Real s = std::clamp(quantile, Real(1), static_cast<Real>(clip.maximum));
        for (Real &value : part)
            value = std::clamp(value, -s, s) / s;
    }
}

template <typename Real> double norm(std::span<const Real> values) {
    double sum = 0;
    for (const Real value : values)
        sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
}

// What the network's variance output makes of the noise's coefficient.
template <typename Real>
double deviationOf(const LearnedVariance &learned, std::span<const Real> extra, size_t i) {
    switch (learned.kind) {
    case VarianceKind::Fixed:
        break;
    case VarianceKind::Interpolated: {
        const double fraction = (static_cast<double>(extra[i]) + 1) / 2;
        return std::exp((learned.low + fraction * (learned.high - learned.low)) / 2);
    }
    case VarianceKind::Direct:
        return std::sqrt(static_cast<double>(extra[i]));
    }
    return 1;
}

} // namespace

template <typename Real> RowResult<Real> applyRow(const Row &row, size_t batch, const RowOperands<Real> &in) {
    const size_t count = in.x.size();
    if (batch == 0 || count % batch != 0)
        throw std::invalid_argument("applyRow: the batch does not divide the number of elements");
    const size_t elements = count / batch;
    auto real = [](double value) { return static_cast<Real>(value); };
    // A term with coefficient 0 is absent: its operand may be empty, or not a number.
    auto add = [&](Real &sum, double coefficient, std::span<const Real> operand, size_t i) {
        if (coefficient != 0)
            sum += real(coefficient) * operand[i];
    };

    RowResult<Real> out;
    out.x0.resize(count);
    for (size_t i = 0; i < count; ++i) {
        add(out.x0[i], row.p, in.x, i);
        add(out.x0[i], row.q, in.m, i);
    }
    applyClip<Real>(row.clip, batch, out.x0);

    out.next.resize(count);
    for (size_t image = 0; image < batch; ++image) {
        double b = row.b, c = row.c;
        if (row.langevin) {
            const double rho = norm<Real>(in.z.subspan(image * elements, elements)) /
                               norm<Real>(in.m.subspan(image * elements, elements));
            b *= rho * rho;
            c *= rho;
        }
        for (size_t i = image * elements; i < (image + 1) * elements; ++i) {
            Real value = 0;
            add(value, row.a, in.x, i);
            add(value, b, in.m, i);
            add(value, row.g, out.x0, i);
            for (size_t k = 0; k < row.h.size(); ++k)
                add(value, row.h[k], in.registers[k], i);
            add(value, row.e, in.y, i);
            add(value, c * deviationOf(row.learned, in.extra, i), in.z, i);
            if (row.known) {
                Real inside = 0;
                add(inside, (*row.known)[0], in.y, i);
                add(inside, (*row.known)[1], in.z, i);
                value = in.mask[i] * inside + (Real(1) - in.mask[i]) * value;
            }
            out.next[i] = value;
        }
    }
    if (row.store >= 0) {
        out.kept.resize(count);
        for (size_t i = 0; i < count; ++i) {
            add(out.kept[i], row.u, in.x, i);
            add(out.kept[i], row.v, in.m, i);
            add(out.kept[i], row.w, out.x0, i);
        }
    }
    return out;
}

template <typename Real>
Trajectory<Real> runTable(const Table &table, const RunInputs<Real> &inputs, const Network<Real> &network) {
    const size_t count = inputs.noise.size();
    Trajectory<Real> run;
    std::vector<Real> x(count), m(count), extra;
    std::array<std::vector<Real>, kRegisters> registers;
    for (size_t i = 0; i < count; ++i) {
        x[i] = static_cast<Real>(table.initNoise) * inputs.noise[i];
        if (table.initCondition != 0)
            x[i] += static_cast<Real>(table.initCondition) * inputs.condition[i];
    }
    auto keepState = [&](double scale) {
        run.states.push_back(x);
        for (Real &value : run.states.back())
            value /= static_cast<Real>(scale);
    };
    keepState(table.initScale);
    for (size_t index = 0; index < table.rows.size(); ++index) {
        const Row &row = table.rows[index];
        extra.assign(row.learned.kind != VarianceKind::Fixed ? count : 0, Real(0));
        network(x, row, index, m, extra);
        RowOperands<Real> operands{x, m, extra, inputs.condition, {}, inputs.mask, {}};
        if (row.c != 0 || row.known)
            operands.z = inputs.stepNoise(index);
        std::copy(registers.begin(), registers.end(), operands.registers.begin());
        RowResult<Real> result = applyRow(row, inputs.batch, operands);
        if (row.store >= 0)
            registers[static_cast<size_t>(row.store)] = std::move(result.kept);
        x = std::move(result.next);
        run.outputs.push_back(m);
        run.previews.push_back(std::move(result.x0));
        keepState(row.scale);
    }
    return run;
}

template RowResult<float> applyRow<float>(const Row &, size_t, const RowOperands<float> &);
template RowResult<double> applyRow<double>(const Row &, size_t, const RowOperands<double> &);
template Trajectory<float> runTable<float>(const Table &, const RunInputs<float> &, const Network<float> &);
template Trajectory<double> runTable<double>(const Table &, const RunInputs<double> &,
                                             const Network<double> &);

} // namespace mote::convert::schedule
