// Private to runtime/kernels: ops that another op's kernel makes.
#pragma once

#include "kernels/conv2d.h"

namespace mote::kernels {

// Moves every GroupNorm whose output one convolution alone reads into that convolution's kernel, where it and
// the norm's own kernel (of those chosen) are the ones that allow it and the pipelines are usable.
Status moveNorms(const Model &model, const Graph &graph, const GraphShapes &shapes, const Traits &traits,
                 const std::function<Status(const gpu::PipelineDescription &)> &usable, GraphKernels &chosen);

} // namespace mote::kernels
