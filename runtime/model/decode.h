// Root -> Model: verifies the FlatBuffer and converts it to plain structs. Says nothing about what the
// structs mean: that is validate.h's part.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstddef>
#include <cstdint>
#include <string>

namespace mote {

// `root` is aligned to 16 bytes. `file` begins each message.
Result<Model> decodeRoot(const uint8_t *root, size_t bytes, const std::string &file);

} // namespace mote
