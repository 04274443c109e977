// Half or twice the size: the kinds of Resample.
#pragma once

#include "reference/reference.h"

namespace mote::convert::reference {

template <typename T> Array<T> resampled(const Op &op, const Array<T> &in, Resample resample);

} // namespace mote::convert::reference
