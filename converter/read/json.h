// Checked JSON: bounded size and depth, no duplicate keys, and errors that name the file.
#pragma once

#include "read/error.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace mote::convert {

constexpr size_t kMaxConfigBytes = size_t(1) << 20;

// `where` begins every message, e.g. "unet/config.json".
nlohmann::json parseJson(std::string_view text, const std::string &where);

// A whole file, refused if it is larger than `maxBytes`.
std::string readTextFile(const std::string &path, size_t maxBytes = kMaxConfigBytes);

// Value as JSON text, shortened for a message.
std::string shownJson(const nlohmann::json &value);

} // namespace mote::convert
