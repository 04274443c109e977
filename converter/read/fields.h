// Reads the keys of a JSON object one after another, checked, and refuses what is left over: a key that is
// not read would be a wish that is not honoured. "note" is for people and may stand anywhere.
#pragma once

#include "read/json.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mote::convert {

class Fields {
public:
    // `where` begins every message. Both outlive this. Throws ReadError where it is no object.
    Fields(const nlohmann::json &object, std::string where);

    const std::string &where() const { return where_; }
    const nlohmann::json *find(const char *key); // or nullptr

    // Without a fallback the key is needed.
    uint32_t count(const char *key, std::optional<uint32_t> fallback, uint32_t low, uint32_t high);
    double number(const char *key, std::optional<double> fallback, double low, double high);
    bool boolean(const char *key, std::optional<bool> fallback);
    std::string text(const char *key, std::optional<std::string> fallback);

    [[noreturn]] void refuse(const char *key, const std::string &expected);
    void expectNoMore() const;

private:
    const nlohmann::json *need(const char *key, bool optional, const char *expected);

    const nlohmann::json &object_;
    std::string where_;
    std::set<std::string> read_{"note"};
};

} // namespace mote::convert
