// Messages: text("tensor ", name, " has ", count, " values").
#pragma once

#include <concepts>
#include <cstdio>
#include <string>
#include <string_view>

namespace mote::convert {

inline void appendText(std::string &to, std::string_view part) {
    to += part;
}
inline void appendText(std::string &to, char part) {
    to += part;
}
template <std::integral Integer>
requires(!std::same_as<Integer, char>) void appendText(std::string &to, Integer part) {
    to += std::to_string(part);
}

inline void appendText(std::string &to, double part) { // 499, 0.25
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.9g", part);
    to += buffer;
}

template <typename... Parts> std::string text(const Parts &...parts) {
    std::string result;
    (appendText(result, parts), ...);
    return result;
}

} // namespace mote::convert
