// Benchmarks of whole models: a forward pass, loading, the first and the next image, and minutes of them.
#pragma once

#include "ceilings.h"
#include "subject.h"

#include <memory>

namespace mote::bench {

// `sustain`: seconds of images one after the other; 0: none.
void registerPasses(const std::shared_ptr<Subject> &subject, const std::shared_ptr<Ceilings> &ceilings,
                    double sustain, const gpu::DeviceOptions &deviceOptions);

} // namespace mote::bench
