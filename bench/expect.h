// The runtime's statuses as exceptions: a benchmark that cannot run says why and ends.
#pragma once

#include "model/status.h"

#include <stdexcept>
#include <utility>

namespace mote::bench {

inline void expect(const Status &status) {
    if (!status.ok())
        throw std::runtime_error(status.message);
}

template <typename T> T expect(Result<T> result) {
    expect(result.status());
    return std::move(result.value());
}

} // namespace mote::bench
