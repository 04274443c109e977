#include "row_reference.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

double normOf(const float *values, uint64_t count) {
    double sum = 0;
    for (uint64_t i = 0; i < count; ++i)
        sum += double{values[i]} * values[i];
    return std::sqrt(sum);
}

// torch.quantile, linear, of the magnitudes.
double quantileOf(std::vector<double> values, double q) {
    for (double &value : values)
        value = std::fabs(value);
    std::sort(values.begin(), values.end());
    const double position = q * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(position);
    const size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (position - std::floor(position)) * (values[above] - values[below]);
}

struct Sum {
    double value = 0, terms = 0;
    // A term whose coefficient is 0 is absent.
    void add(double coefficient, const std::vector<float> &operand, uint64_t i) {
        if (coefficient != 0)
            add(coefficient * double{operand[i]}, std::fabs(coefficient * double{operand[i]}));
    }
    void add(double term, double magnitude) {
        value += term;
        terms += magnitude;
    }
};

} // namespace

RowSums rowInDouble(const StepRow &row, const ImageExtent &whole, const RowOperands &operands) {
    const uint64_t elements = elementsOf(whole) / whole.batch, plane = elements / whole.channels;
    RowSums sums;
    for (uint32_t image = 0; image < whole.batch; ++image) {
        const uint64_t first = image * elements;
        std::vector<double> x0(elements), x0Terms(elements);
        for (uint64_t k = 0; k < elements; ++k) {
            Sum sum;
            sum.add(double{row.p}, operands.x, first + k);
            sum.add(double{row.q}, operands.m, first + k);
            x0[k] = sum.value;
            x0Terms[k] = sum.terms;
        }
        if (row.clip == ClipKind::Clamp)
            for (double &value : x0)
                value = std::clamp(value, double{row.clipLow}, double{row.clipHigh});
        if (row.clip == ClipKind::Threshold) {
            const double s = std::clamp(quantileOf(x0, double{row.quantile}), 1.0, double{row.thresholdMax});
            for (double &value : x0)
                value = std::clamp(value, -s, s) / s;
        }
        sums.x0.insert(sums.x0.end(), x0.begin(), x0.end());
        double b = double{row.b}, c = double{row.c};
        if (row.langevin) {
            const double rho = normOf(&operands.z[first], elements) / normOf(&operands.m[first], elements);
            b *= rho * rho;
            c *= rho;
        }
        for (uint64_t k = 0; k < elements; ++k) {
            const uint64_t i = first + k;
            double deviation = c;
            if (row.variance == VarianceKind::Interpolated)
                deviation *= std::exp(double{row.varianceExponent} * (double{operands.variance[i]} + 1) / 2);
            if (row.variance == VarianceKind::Direct)
                deviation *= std::sqrt(double{operands.variance[i]});
            Sum next;
            next.add(double{row.a}, operands.x, i);
            next.add(b, operands.m, i);
            next.add(double{row.g} * x0[k], std::fabs(double{row.g}) * x0Terms[k]);
            next.add(double{row.e}, operands.y, i);
            next.add(deviation, operands.z, i);
            for (size_t r = 0; r < 4; ++r)
                if (!operands.registers[r].empty())
                    next.add(double{row.h[r]}, operands.registers[r], i);
            if (row.known) {
                const double fill = double{operands.mask[image * plane + k % plane]};
                next.value *= fill;
                next.terms *= fill;
                next.add((1 - fill) * double{row.knownImage}, operands.known, i);
                next.add((1 - fill) * double{row.knownNoise}, operands.z, i);
            }
            sums.next.push_back(next.value);
            sums.nextTerms.push_back(next.terms);
            if (row.store == kNone)
                continue;
            Sum kept;
            kept.add(double{row.u}, operands.x, i);
            kept.add(double{row.v}, operands.m, i);
            kept.add(double{row.w} * x0[k], std::fabs(double{row.w}) * x0Terms[k]);
            sums.kept.push_back(kept.value);
            sums.keptTerms.push_back(kept.terms);
        }
    }
    return sums;
}

} // namespace mote::test
