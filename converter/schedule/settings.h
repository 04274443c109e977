// What a sampler can be told: the keys of a diffusers scheduler_config.json and the options of the command
// line, in one name space. Each sampler declares its settings in a table; what is not declared is refused by
// name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "read/error.h"

namespace mote::convert::schedule {

// A configuration, an option or a number of steps that cannot be honoured. The message names file, key, what
// was found and what is supported.
struct ScheduleError : ReadError {
    using ReadError::ReadError;
};

// A scheduler_config.json: each key with its value as JSON text. `file` is used in messages only.
struct SchedulerConfig {
    std::string file;
    std::map<std::string, std::string> values;
};

SchedulerConfig readSchedulerConfig(const std::string &path);
SchedulerConfig parseSchedulerConfig(std::string_view text, std::string file);

enum class SettingType { Number, Integer, Boolean, Choice, Numbers, Integers, NoEffect };

// One declared setting. `fallback` is JSON text, "null" where absence means something of its own. `choices`
// are separated by '|'. NoEffect: accepted whatever it says, because the original scheduler accepts it and
// never reads it.
struct SettingInfo {
    const char *name;
    SettingType type;
    const char *fallback;
    double low, high;
    const char *choices;
    const char *meaning;
};

using NamedValues = std::vector<std::pair<std::string, std::string>>; // --option name=value

// The declared settings of one sampler with the values found. Options win over the file, the file over the
// fallback.
class Settings {
public:
    // `tolerated`: keys of the file's own scheduler class that the chosen sampler does not know; they are
    // ignored, as diffusers' from_config does when it makes one scheduler from the configuration of another.
    Settings(const SchedulerConfig &config, std::string sampler, std::vector<SettingInfo> declared,
             const std::vector<std::string> &tolerated, const NamedValues &options);

    double number(const char *name) const;
    int64_t integer(const char *name) const;
    bool boolean(const char *name) const;
    std::string choice(const char *name) const;
    std::optional<std::vector<double>> numbers(const char *name) const;
    std::vector<int64_t> integers(const char *name) const;
    std::optional<double> optionalNumber(const char *name) const;
    bool declared(const char *name) const;

    const std::string &sampler() const { return sampler_; }
    const std::string &file() const { return file_; }
    [[noreturn]] void refuse(const char *name, const std::string &reason) const; // with the value found

private:
    const SettingInfo &info(const char *name) const;
    const std::string &value(const char *name) const; // JSON text
    void check(const SettingInfo &setting) const;

    std::string file_, sampler_;
    std::vector<SettingInfo> declared_;
    std::map<std::string, std::string> values_; // one entry per declared setting, JSON text
};

} // namespace mote::convert::schedule
