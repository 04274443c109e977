// Runs a step table over plain arrays: what the tests compare with, and what the reference interpreter loops
// with.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "schedule/step_table.h"

namespace mote::convert::schedule {

// Everything that a run takes besides the model. Arrays are [batch][elements]; Real is double, or float for
// the arithmetic of the device.
template <typename Real> struct RunInputs {
    size_t batch = 1;
    std::span<const Real> noise;     // z of the start
    std::span<const Real> condition; // y; empty where no row uses it
    std::span<const Real> mask;      // of known regions: 1 = known
    std::function<std::span<const Real>(size_t row)>
        stepNoise; // z of a row; asked only where the row uses it
};

// m = model(x, timestep of the row). `extra` is the variance output of rows with learned variance, else
// empty.
template <typename Real>
using Model = std::function<void(std::span<const Real> x, const Row &row, size_t index, std::span<Real> m,
                                 std::span<Real> extra)>;

template <typename Real> struct Run {
    std::vector<std::vector<Real>> states;   // rows + 1, in the scheduler's own scale (x / scale)
    std::vector<std::vector<Real>> outputs;  // m per row
    std::vector<std::vector<Real>> previews; // x0 per row, after N
};

template <typename Real>
Run<Real> runTable(const Table &table, const RunInputs<Real> &inputs, const Model<Real> &model);

// x0 after N; `x0` is [batch][elements].
template <typename Real> void applyClip(const Clip &clip, size_t batch, std::span<Real> x0);

} // namespace mote::convert::schedule
