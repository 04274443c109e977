// What a UNet2DModel's config.json may say, as data: a key is read, checked, refused and printed from its
// entry.
#pragma once

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <span>
#include <string>

namespace mote::convert {

enum class KeyType {
    Count,   // a whole number within [low, high]
    Counts,  // a list of 1 to kMaxLevels of them
    Number,  // within [low, high]
    Boolean, //
    Choice,  // one of `choices`, in any case where diffusers ignores it
    Blocks,  // a list of `choices`, one per level
    Size,    // null, a whole number, or two
    NoEffect // on inference: accepted whatever it says
};

constexpr size_t kMaxLevels = 8;

// `fallback`: JSON, what diffusers takes where the key is absent. `orNull`: null is a value of its own.
// `choices`: separated by '|'. `refused`: what diffusers also knows and Mote does not, and why; or empty.
struct UNetKey {
    const char *name;
    KeyType type;
    const char *fallback;
    bool orNull;
    double low, high;
    const char *choices;
    const char *meaning;
    const char *refused;
};

std::span<const UNetKey> unetKeys();

// "silu, swish, mish", "whole numbers from 1 to 8, or null": the values that are supported.
std::string supportedValues(const UNetKey &key);

// A table in Markdown: each key with what is supported and what is refused.
std::string describeKeysAsMarkdown();

// A configuration with every key checked against its entry and absent ones at their fallbacks. Throws
// ReadError with `where`, key, value, what is supported, and why not more, where one is not known or does not
// fit.
class UNetKeys {
public:
    UNetKeys(const nlohmann::json &object, std::string where);

    uint32_t count(const char *name) const;
    std::optional<uint32_t> optionalCount(const char *name) const;
    std::vector<uint32_t> counts(const char *name) const;
    double number(const char *name) const;
    bool boolean(const char *name) const;
    std::string choice(const char *name) const;
    std::optional<std::string> optionalChoice(const char *name) const;
    std::vector<std::string> blocks(const char *name,
                                    size_t levels) const; // refused where their number differs

    // Of a value that is well formed but does not go with another one. `reason` says with what.
    [[noreturn]] void refuse(const char *name, const std::string &reason) const;

private:
    const nlohmann::json &at(const char *name) const;

    std::string where_;
    std::map<std::string, nlohmann::json> values_;
};

} // namespace mote::convert
