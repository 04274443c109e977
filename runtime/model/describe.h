// A model in words: JSON text for programs, with everything that does not depend on a size or a device.
#pragma once

#include "model/model.h"

#include <cstdint>
#include <string>

namespace mote {

const char *opKindName(OpKind kind); // "Conv2d"; "unknown" for what this version does not know

// FORMAT.md lists the keys. UTF-8, indented, keys always in the same order, a line feed at the end.
std::string describeModel(const Model &model);

} // namespace mote
