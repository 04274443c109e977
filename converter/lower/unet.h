// UNet2DModel -> an unfolded graph, op for op what diffusers 0.29.2 computes
// (models/unets/unet_2d.py, unet_2d_blocks.py, models/resnet.py, models/attention_processor.py).
#pragma once

#include "read/checkpoint.h"
#include "reference/network.h"

namespace mote::convert {

// Takes every tensor that the configuration asks for. Throws ReadError where a group count does not divide
// its channels or a head is larger. Ports: "x" (State), "condition" (App, where there is one),
// "model_output". Ops are named after the checkpoint's modules.
Network lowerUNet(const UNetConfig &config, const TensorSource &tensors);

// The same from a checkpoint, of which a tensor that is left over is an error by name.
Network lowerUNet(Checkpoint &checkpoint);

} // namespace mote::convert
