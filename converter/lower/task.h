// The inputs of a network as its task names them.
#pragma once

#include "model/task.h"
#include "reference/network.h"

namespace mote::convert {

// Of a network that was just lowered. Inpaint: what stands beside the state, [mask, known], becomes two
// ports, in this order (as in the inpainting variants of latent diffusion, Rombach et al. 2022, with the
// picture in place of the latent). Throws ReadError where the channels are not the task's.
void applyTask(Network &network, const Task &task);

} // namespace mote::convert
