// Direct convolution for the reference interpreter: no im2col, no transform, every product is added in one
// fixed order (kernel row, kernel column, input channel), so results do not depend on threads or sizes.
#pragma once

#include "reference/reference.h"

#include <functional>

namespace mote::convert::reference {

struct ConvolutionShape {
    uint32_t kernelHeight = 1, kernelWidth = 1, stride = 1;
    uint32_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;
    bool upsampleInput = false; // nearest x2, before padding
};

// Cross-correlation of the channel-concatenated inputs. weight [out][kh][kw][in]; bias: `outputs` values or
// nullptr. The caller has checked that channels agree.
template <typename T>
Array<T> convolve(const std::vector<const Array<T> *> &inputs, const T *weight, const T *bias,
                  uint32_t outputs, const ConvolutionShape &shape);

// Calls body(i) for i in [0, count); on two threads if `work`, in multiplications, is worth it.
void parallelFor(uint32_t count, uint64_t work, const std::function<void(uint32_t)> &body);

} // namespace mote::convert::reference
