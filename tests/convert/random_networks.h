// Configurations of UNet2DModel drawn from a table of values for each key, so that keys meet in ways that
// nobody thought of.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

struct KeyValues {
    const char *key;
    std::vector<nlohmann::json> values; // the first as often as all others together
};

// The keys that are drawn one by one; blocks and channels are drawn together.
const std::vector<KeyValues> &drawnKeys();

// The same seed gives the same configuration: one that converts.
nlohmann::json randomConfig(uint32_t seed);

} // namespace mote::convert
