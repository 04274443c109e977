// The names of those of pickle's opcodes (Lib/pickletools.py) that unpickler.h does not read.
#pragma once

#include <cstdint>

namespace mote::convert {

// NULL: read, or not one of pickle's.
const char *unreadOpcode(uint8_t code);

} // namespace mote::convert
