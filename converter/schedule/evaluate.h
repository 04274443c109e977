// Runs a step table over plain arrays: what the tests compare with, and what the reference interpreter loops
// with.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "schedule/step_table.h"

namespace mote::convert::schedule {

// Real is double, or float for the arithmetic of the device. Arrays are [batch][elements]; operands that a
// row does not use may be empty, and are not read.
template <typename Real> struct RowOperands {
    std::span<const Real> x, m;
    std::span<const Real> extra; // the network's variance output, [-1, 1]
    std::span<const Real> y, z, mask;
    std::array<std::span<const Real>, kRegisters> registers;
};

template <typename Real> struct RowResult {
    std::vector<Real> next; // x'
    std::vector<Real> x0;   // after N
    std::vector<Real> kept; // what goes into row.store; empty if nothing does
};

template <typename Real>
RowResult<Real> applyRow(const Row &row, size_t batch, const RowOperands<Real> &operands);

// Everything that a run takes besides the model.
template <typename Real> struct RunInputs {
    size_t batch = 1;
    std::span<const Real> noise;     // z of the start
    std::span<const Real> condition; // y
    std::span<const Real> mask;      // of known regions: 1 = known
    std::function<std::span<const Real>(size_t row)>
        stepNoise; // z of a row; asked only where the row uses it
};

// Writes the network's output m for the state x, both [batch][elements]; `extra` is its variance output in
// rows with learned variance, else empty.
template <typename Real>
using Network = std::function<void(std::span<const Real> x, const Row &row, size_t index, std::span<Real> m,
                                   std::span<Real> extra)>;

template <typename Real> struct Trajectory {
    std::vector<std::vector<Real>> states;   // rows + 1, in the scheduler's own scale (x / scale)
    std::vector<std::vector<Real>> outputs;  // m per row
    std::vector<std::vector<Real>> previews; // x0 per row
};

template <typename Real>
Trajectory<Real> runTable(const Table &table, const RunInputs<Real> &inputs, const Network<Real> &network);

} // namespace mote::convert::schedule
