// The golden cases through a session: every forward pass, every trajectory.
#pragma once

#include "pipeline/rig.h"

namespace mote::test {

// Each returns the largest error as a fraction of the fp16 tolerance, and how many tensors it compared.
// preferredKernel: as LoadedModel::open.
struct Judged {
    double worst = 0;
    int compared = 0;
};
Judged runForwardPasses(const GoldenCase &of, const std::shared_ptr<gpu::Device> &device,
                        const std::string &preferredKernel = {});
Judged runTrajectories(const GoldenCase &of, const std::shared_ptr<gpu::Device> &device);

} // namespace mote::test
