// Checked JSON: bounded size and depth, no duplicate keys, and errors that name the file.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mote::convert {

// Something in the input cannot be read. The message names file, place, what was found and what was expected.
struct ReadError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr size_t kMaxConfigBytes = size_t(1) << 20;

// `where` begins every message, e.g. "unet/config.json".
nlohmann::json parseJson(std::string_view text, const std::string &where);

// A whole file, refused if it is larger than `maxBytes`.
std::string readTextFile(const std::string &path, size_t maxBytes = kMaxConfigBytes);

// Value as JSON text, shortened for a message.
std::string shownJson(const nlohmann::json &value);

} // namespace mote::convert
