// Cutting work into submissions that each hold the GPU for a bounded time. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mote::pipeline {

// Where a list of pieces is cut: submission s holds pieces [ends[s - 1], ends[s]) (ends[-1] = 0). A
// submission is closed before the piece that would take it over the budget; a piece that is over it by itself
// stands alone.
std::vector<size_t> cutSubmissions(const std::vector<double> &milliseconds, double budgetMilliseconds);

// Workgroups [first, first + count) of one dispatch.
struct GroupRange {
    uint32_t first = 0, count = 0;
};

// Splits a dispatch of `groups` workgroups that takes `milliseconds` into the fewest nearly equal parts of at
// most the budget each (of one workgroup at least). A dispatch within the budget stays whole.
std::vector<GroupRange> splitDispatch(uint32_t groups, double milliseconds, double budgetMilliseconds);

} // namespace mote::pipeline
