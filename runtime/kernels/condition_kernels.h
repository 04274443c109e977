// Dispatches that make the rows of bias and affine tables for each image of a graph with conditioning
// (model.h).
#pragma once

#include "kernels/kernels.h"

namespace mote {

struct ConditionBuffers {
    BufferRange steps;      // [rows of the table][length] floats
    BufferRange conditions; // [classes or images][length] floats
    BufferRange chosen;     // [images] uint: which of the conditions an image has
    BufferRange vectors;    // [rows][images][length] floats
};

// vectors[row] = activation(steps[timestepIndex] + conditions[chosen]), for all images.
Result<Dispatch> buildConditionVector(const ConditionBuffers &buffers, ActivationFunction activation,
                                      uint32_t images, uint32_t length, uint32_t timestepIndex, uint32_t row,
                                      const Traits &traits);

// table [count][row] floats = staticRow + projection x vectors, for `count` vectors. staticRow, projection:
// as packed.
Result<Dispatch> buildConditionProject(const std::string &op, BufferRange staticRow, BufferRange projection,
                                       BufferRange vectors, BufferRange table, uint32_t count,
                                       uint32_t length, const Traits &traits);

} // namespace mote
