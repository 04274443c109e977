// What dispatches took on this device, kept between processes, so that a first run need not measure what an
// earlier one has. Only where submissions are cut depends on it, never a result.
#pragma once

#include "pipeline/commands.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace mote::pipeline {

class DispatchTimes {
public:
    // What the device's cache directory has; nothing where it has none or a damaged file.
    static DispatchTimes read(const gpu::Device &device);

    std::optional<double> find(const Command &command) const; // milliseconds
    void set(const Command &command, double milliseconds);

    // Adds them to what the directory has, where there is one. A failure is logged: it costs time, nothing
    // else.
    void write(const gpu::Device &device) const;

    // As kept: a key of 64 bits and a double each.
    std::vector<uint8_t> encode() const;
    // Nothing where the length is wrong, or a time is negative, no number, or beyond a quarter of an hour.
    static DispatchTimes decode(const std::vector<uint8_t> &bytes);

private:
    std::map<uint64_t, double>
        milliseconds_; // by what a dispatch is: pipeline, workgroups, operations, bytes
};

} // namespace mote::pipeline
