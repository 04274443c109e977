// Private to runtime/kernels: what GroupNorm's own kernels and those that normalise what they read share.
#pragma once

#include "kernels/ops.h"

namespace mote::kernels {

struct NormFacts {
    uint32_t channels0 = 0, channels = 0; // of the first source; of both
    uint32_t blocks0 = 0, blocks1 = 0;
    uint32_t groupChannels = 0;
    uint32_t tiles0 = 0, tiles1 = 0; // statistics entries per channel
    uint32_t norms = 1;              // groups that a block of eight channels touches, at most

    bool two() const { return blocks1 != 0; }
    // Of statistics, that each of `lanes` invocations combines for a group.
    uint64_t entries(uint32_t lanes) const {
        return divideUp(uint64_t{groupChannels} * std::max(tiles0, tiles1), lanes);
    }
};
NormFacts normFactsOf(const OpView &view, const GraphKernels &kernels);

// Source0, source1, affine, statistics0, statistics1, then `target` and the session buffer: the bindings of
// shaders/group_statistics.glsl.
std::vector<Binding> normBindings(const NormFacts &facts, const OpBuffers &buffers, const Binding &target);

// Whether a kernel whose eight lanes are the channels of a block can normalise what it reads: its loops over
// statistics are short enough, and no block has channels of both sources, which have two addresses.
bool lanesCanNormalise(const OpView &norm, const NormFacts &facts);

// For a kernel that normalises what it reads in many dispatches: one more before them, whose result takes the
// place of the affine table. See shaders/groupnorm_coefficients.comp.
uint64_t coefficientBytes(const TensorShape &shape);
gpu::PipelineDescription coefficientsPipeline(const OpView &norm);
Result<Dispatch> buildCoefficients(const OpView &norm, const NormFacts &facts, const OpBuffers &buffers,
                                   const BufferRange &target, const Traits &traits);

// Whether the norm's kernel is that for software devices, whose buffers fit texel buffers.
bool isLanesNorm(const OpKernel &kernel);

} // namespace mote::kernels
