// One single shape for a program that has it run in turn with others (peers.py).
#pragma once

#include "gpu/device.h"

#include <memory>
#include <string>

namespace mote::bench {

// Reads words from standard input: "run" is answered with the milliseconds of the shape by the host's clock,
// from submission to the end of its fence, "error" with its relative L2 error against the same ops in double.
// Throws std::runtime_error, also where no shape has that name.
void serve(const std::shared_ptr<gpu::Device> &device, const std::string &shape);

} // namespace mote::bench
