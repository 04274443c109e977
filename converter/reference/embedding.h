// What an unfolded network is told beside the picture: features of the timestep, and classes.
#pragma once

#include "reference/reference.h"

namespace mote::convert::reference {

template <typename T> Array<T> runTimestepEmbedding(const Op &op, const Tables<T> &tables, const Step &step);
template <typename T> Array<T> runClassEmbedding(const Op &op, const Tables<T> &tables, const Step &step);

} // namespace mote::convert::reference
