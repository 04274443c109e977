// A network that its user describes: a JSON file of ops, functions of ops and the modules of a checkpoint.
// What may stand in it is in converter/graphs/README.md.
#pragma once

#include "lower/builder.h"
#include "read/weights.h"

#include <string>

namespace mote::convert {

struct Description {
    Network network;       // unfolded
    std::string name;      // of the kind of network
    std::string scheduler; // a scheduler_config.json's text, or empty
};

// The weights file that a description names, or empty.
std::string weightsOf(const nlohmann::json &description, const std::string &where);

// Every tensor of the weights is used, or listed as unused. Throws ReadError; `where` begins every message.
Description lowerDescription(const nlohmann::json &description, const std::string &where,
                             const Weights &weights);

} // namespace mote::convert
