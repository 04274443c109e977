// What the converter throws when its input is wrong.
#pragma once

#include <stdexcept>

namespace mote::convert {

// Something in the input cannot be read or honoured. The message names file, place, what was found and what
// was expected.
struct ReadError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace mote::convert
