// The self-check that a file carries: one small forward pass with samples of every op's output, so that a
// device can be tested without the converter.
#pragma once

#include "reference/network.h"

namespace mote::convert {

// `network` is folded and rounded to what is stored; evaluated at row `timestepIndex`, with outputs rounded
// to fp16 where the device stores fp16. The size is twice the smallest legal one (twice, so that no map is a
// single pixel, on which a 3x3 convolution would use one of its nine taps), or that where twice would be too
// much. `ops` is empty, meaning that there is no self-check, where even that exceeds 256 kB. Throws
// ReadError, naming the op, where fp16 storage overflows.
//
// Tolerances follow the model: for each op, four times the largest difference, relative to its rms, between
// fp16 storage and exact arithmetic, and at least two units in the last place of its largest value.
SelfCheck makeSelfCheck(const Network &network, uint32_t timestepIndex);

} // namespace mote::convert
