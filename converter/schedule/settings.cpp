#include "schedule/settings.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "read/json.h"

namespace mote::convert::schedule {
namespace {

using nlohmann::json;

// Python writes an infinite number as a bare word, which is no JSON. It stands where nothing is clipped
// (lambda_min_clipped of the DPM-Solvers), which is what null says.
std::string withoutInfinities(std::string_view document) {
    constexpr std::string_view kWord = "-Infinity";
    std::string text;
    bool inString = false;
    for (size_t i = 0; i < document.size(); ++i) {
        const char character = document[i];
        if (!inString && document.substr(i).starts_with(kWord)) {
            text += "null";
            i += kWord.size() - 1;
            continue;
        }
        if (character == '"')
            inString = !inString;
        text += character;
        if (inString && character == '\\' && i + 1 < document.size())
            text += document[++i];
    }
    return text;
}

std::string plain(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

std::vector<std::string> splitChoices(const char *choices) {
    std::vector<std::string> all;
    std::string_view rest = choices;
    while (!rest.empty()) {
        const size_t end = std::min(rest.find('|'), rest.size());
        all.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return all;
}

std::string supportedValues(const SettingInfo &setting) {
    std::string range;
    if (setting.low > -INFINITY)
        range += " from " + plain(setting.low);
    if (setting.high < INFINITY)
        range += " to " + plain(setting.high);
    switch (setting.type) {
    case SettingType::Number:
        return "a number" + range;
    case SettingType::Integer:
        return "an integer" + range;
    case SettingType::Boolean:
        return "true, false";
    case SettingType::Numbers:
        return "a list of numbers" + range;
    case SettingType::Integers:
        return "a list of integers" + range;
    case SettingType::Choice:
        break;
    case SettingType::NoEffect:
        return "anything";
    }
    std::string all;
    for (const std::string &choice : splitChoices(setting.choices))
        all += (all.empty() ? "\"" : ", \"") + choice + "\"";
    return all.empty() ? "null" : all;
}

// The value of --option name=value: JSON where it is JSON, "True" and "False" as Python writes them, else a
// string.
json optionValue(const std::string &text) {
    if (text == "True" || text == "False")
        return text == "True";
    if (text == "None")
        return nullptr;
    json value = json::parse(text, nullptr, false);
    return value.is_discarded() ? json(text) : value;
}

bool finiteWithin(const json &value, const SettingInfo &setting) {
    if (!value.is_number())
        return false;
    const double number = value.get<double>();
    return std::isfinite(number) && number >= setting.low && number <= setting.high;
}

} // namespace

SchedulerConfig parseSchedulerConfig(std::string_view document, std::string file) {
    SchedulerConfig config{std::move(file), {}};
    const json parsed = parseJson(withoutInfinities(document), config.file);
    if (!parsed.is_object())
        throw ScheduleError(config.file + ": found " + parsed.type_name() +
                            ", expected a JSON object with the scheduler's settings");
    for (const auto &[key, found] : parsed.items())
        config.values[key] = found.dump();
    return config;
}

SchedulerConfig readSchedulerConfig(const std::string &path) {
    return parseSchedulerConfig(readTextFile(path), path);
}

Settings::Settings(const SchedulerConfig &config, std::string sampler, std::vector<SettingInfo> declared,
                   const std::vector<std::string> &tolerated, const NamedValues &options)
    : file_(config.file), sampler_(std::move(sampler)), declared_(std::move(declared)),
      values_(json::object()) {
    auto find = [&](std::string_view name) {
        return std::find_if(declared_.begin(), declared_.end(),
                            [&](const SettingInfo &setting) { return name == setting.name; });
    };
    auto names = [&] {
        std::string all;
        for (const SettingInfo &setting : declared_)
            all += (all.empty() ? "" : ", ") + std::string(setting.name);
        return all;
    };
    for (const SettingInfo &setting : declared_)
        values_[setting.name] = setting.fallback;
    for (const auto &[key, found] : config.values) {
        if (key.starts_with("_"))
            continue;
        if (find(key) != declared_.end()) {
            values_[key] = found;
            continue;
        }
        // A setting that is off, or that belongs to the scheduler which the file was written for, changes
        // nothing.
        const bool off = found == "null" || found == "false";
        if (!off && std::find(tolerated.begin(), tolerated.end(), key) == tolerated.end())
            throw ScheduleError(file_ + ": key \"" + key + "\": found " + shownJson(json::parse(found)) +
                                ", but sampler \"" + sampler_ +
                                "\" does not support this key; supported: " + names());
    }
    for (const auto &[key, text] : options) {
        if (find(key) == declared_.end())
            throw ScheduleError("option \"" + key + "\": found \"" + text + "\", but sampler \"" + sampler_ +
                                "\" does not support it; supported: " + names());
        values_[key] = optionValue(text).dump();
    }
    for (const SettingInfo &setting : declared_)
        check(setting);
}

void Settings::check(const SettingInfo &setting) const {
    const json found = json::parse(values_.at(setting.name));
    const bool nullable = std::string_view(setting.fallback) == "null";
    bool good = nullable && found.is_null();
    switch (setting.type) {
    case SettingType::Number:
        good = good || finiteWithin(found, setting);
        break;
    case SettingType::Integer:
        good = good || (found.is_number_integer() && finiteWithin(found, setting));
        break;
    case SettingType::Boolean:
        good = good || found.is_boolean();
        break;
    case SettingType::Choice: {
        const std::vector<std::string> all = splitChoices(setting.choices);
        good = good || (found.is_string() &&
                        std::find(all.begin(), all.end(), found.get<std::string>()) != all.end());
        break;
    }
    case SettingType::Numbers:
    case SettingType::Integers:
        good = good || (found.is_array() && std::all_of(found.begin(), found.end(), [&](const json &entry) {
                            return finiteWithin(entry, setting) &&
                                   (setting.type == SettingType::Numbers || entry.is_number_integer());
                        }));
        break;
    case SettingType::NoEffect:
        good = true;
        break;
    }
    if (!good)
        refuse(setting.name, "supported: " + supportedValues(setting));
}

const SettingInfo &Settings::info(const char *name) const {
    for (const SettingInfo &setting : declared_)
        if (std::string_view(name) == setting.name)
            return setting;
    throw std::logic_error("sampler " + sampler_ + " reads the setting " + name + " without declaring it");
}

bool Settings::declared(const char *name) const {
    return values_.contains(name);
}

const std::string &Settings::value(const char *name) const {
    return values_.at(info(name).name);
}

void Settings::refuse(const char *name, const std::string &reason) const {
    throw ScheduleError(file_ + ": key \"" + name + "\": found " + shownJson(json::parse(value(name))) +
                        ", " + reason);
}

double Settings::number(const char *name) const {
    return json::parse(value(name)).get<double>();
}
int64_t Settings::integer(const char *name) const {
    return json::parse(value(name)).get<int64_t>();
}
bool Settings::boolean(const char *name) const {
    return value(name) == "true";
}
std::string Settings::choice(const char *name) const {
    return json::parse(value(name)).get<std::string>();
}

std::optional<double> Settings::optionalNumber(const char *name) const {
    return value(name) == "null" ? std::nullopt : std::optional(number(name));
}

std::optional<std::vector<double>> Settings::numbers(const char *name) const {
    if (value(name) == "null")
        return std::nullopt;
    return json::parse(value(name)).get<std::vector<double>>();
}

std::vector<int64_t> Settings::integers(const char *name) const {
    return json::parse(value(name)).get<std::vector<int64_t>>();
}

} // namespace mote::convert::schedule
