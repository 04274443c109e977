// How a broken rule is said, for decode.cpp and validate*.cpp: "<file>: <field>: found <found>, expected
// <expected>".
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstdint>
#include <cstdio>
#include <string>

namespace mote {

inline Status wrong(const std::string &file, const std::string &field, const std::string &found,
                    const std::string &expected) {
    return Status{StatusCode::InvalidModel,
                  file + ": " + field + ": found " + found + ", expected " + expected};
}

inline std::string text(uint64_t value) {
    return std::to_string(value);
}

inline std::string text(float value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(value));
    return buffer;
}

// "ops[3]"
inline std::string item(const char *list, size_t index) {
    return std::string(list) + "[" + std::to_string(index) + "]";
}

// "'name'", with whatever a terminal might act upon replaced.
std::string quoted(const std::string &name);

// A name: 1 to kMaxNameBytes bytes of UTF-8 without control characters.
Status checkName(const std::string &file, const std::string &field, const std::string &name);
// A text that may be empty, and longer: also with line feeds and tabs.
Status checkText(const std::string &file, const std::string &field, const std::string &value,
                 uint32_t maxBytes);

// One graph of the model; weights are known to be sound (their shapes, types and places).
Status validateGraph(const Model &model, uint32_t index, const std::string &file);

} // namespace mote
