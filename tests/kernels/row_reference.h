// A row of a recipe in double, with the sum of the magnitudes of its terms: what a kernel's result is held
// to.
#pragma once

#include "kernels/image_kernels.h"

#include <array>
#include <vector>

namespace mote::test {

// [N][C][H][W], the mask [N][1][H][W]; what the row does not use may be empty.
struct RowOperands {
    std::vector<float> x, m, y, z, mask, known, variance;
    std::array<std::vector<float>, 4> registers; // those written are not empty
};

struct RowSums {
    std::vector<double> next, nextTerms; // |error| <= 4 * 2^-24 * terms is asked for
    std::vector<double> kept, keptTerms; // where the row stores
    std::vector<double> x0;              // what the row makes of p x + q m
};

RowSums rowInDouble(const StepRow &row, const ImageExtent &whole, const RowOperands &operands);

} // namespace mote::test
