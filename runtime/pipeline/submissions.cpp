#include "pipeline/submissions.h"

#include <algorithm>
#include <cmath>

namespace mote::pipeline {

std::vector<size_t> cutSubmissions(const std::vector<double> &milliseconds, double budgetMilliseconds) {
    std::vector<size_t> ends;
    double sum = 0;
    for (size_t i = 0; i < milliseconds.size(); ++i) {
        const bool open = i > (ends.empty() ? 0 : ends.back());
        if (open && sum + milliseconds[i] > budgetMilliseconds) {
            ends.push_back(i);
            sum = 0;
        }
        sum += milliseconds[i];
    }
    if (!milliseconds.empty())
        ends.push_back(milliseconds.size());
    return ends;
}

std::vector<GroupRange> splitDispatch(uint32_t groups, double milliseconds, double budgetMilliseconds) {
    const double wanted = std::ceil(milliseconds / budgetMilliseconds);
    // The comparison is false for a NaN and for what would not fit the integer below.
    const uint64_t parts =
        wanted >= 1 && wanted < groups ? static_cast<uint64_t>(wanted) : (wanted >= groups ? groups : 1);
    std::vector<GroupRange> ranges;
    for (uint64_t part = 0; part < std::max<uint64_t>(parts, 1); ++part) {
        const uint64_t first = part * groups / parts, end = (part + 1) * groups / parts;
        ranges.push_back({static_cast<uint32_t>(first), static_cast<uint32_t>(end - first)});
    }
    return ranges;
}

} // namespace mote::pipeline
