// Writing a .mote file. The same model and weights give the same bytes.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace mote {

// Fills `to` with bytes [offset, offset + bytes) of weight `weight`. Called with ascending weights and
// offsets, each byte asked for once, in pieces of at most 1 MiB.
using WeightProvider = std::function<Status(uint32_t weight, uint64_t offset, void *to, size_t bytes)>;

// Checks the model as a reader would, then writes it under a temporary name beside `path` and renames it
// there. On failure nothing is left and an existing file stays as it was. Weight::segment, offset and bytes
// and Model::segments are the writer's to choose: what the model holds there is ignored.
Status writeModel(const Model &model, const WeightProvider &weights, const std::string &path);

} // namespace mote
