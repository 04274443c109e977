// How a broken rule is said, and the rules that decode.cpp, reader.cpp and validate*.cpp share.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstdint>
#include <string>

namespace mote {

template <typename Enum> unsigned number(Enum value) {
    return static_cast<unsigned>(value);
}

// "<file>: " and the formatted rest, which is "<field>: found <found>, expected <expected>". printf, because
// a hundred rules that concatenate strings are 60 kB of code.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
Status
wrong(const std::string &file, const char *format, ...);

// The name in quotation marks, with whatever a terminal might act upon replaced.
std::string quoted(const std::string &name);

// A name: 1 to kMaxNameBytes bytes of UTF-8 without control characters.
Status checkName(const std::string &file, const std::string &field, const std::string &name);
// A text that may be empty, and longer: also with line feeds and tabs.
Status checkText(const std::string &file, const std::string &field, const std::string &value,
                 uint32_t maxBytes);

// A finite number; infinities and NaNs would travel through every pixel. `above`: and larger than zero.
Status checkFinite(const std::string &file, const char *where, const char *field, float value,
                   bool above = false);

Status validateRecipes(const Model &model, const std::string &file);
// One graph of the model; weights are known to be sound (their shapes, types and places).
Status validateGraph(const Model &model, uint32_t index, const std::string &file);

} // namespace mote
