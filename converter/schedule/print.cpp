#include "schedule/print.h"

#include "schedule/guidance.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace mote::convert::schedule {
namespace {

using Json = nlohmann::ordered_json;

Json clipJson(const Clip &clip) {
    switch (clip.kind) {
    case ClipKind::None:
        break;
    case ClipKind::Clamp:
        return {{"kind", "clamp"}, {"min", clip.low}, {"max", clip.high}};
    case ClipKind::Threshold:
        return {{"kind", "threshold"}, {"quantile", clip.quantile}, {"max", clip.maximum}};
    }
    return nullptr;
}

Json rowJson(const Row &row) {
    Json flags = Json::array();
    if (row.langevin)
        flags.push_back("langevin");
    if (row.known)
        flags.push_back("known");
    if (row.learned.kind != VarianceKind::Fixed)
        flags.push_back("learned_variance");
    Json out = {{"t", row.timestep}, {"p", row.p}, {"q", row.q}, {"clip", clipJson(row.clip)},
                {"a", row.a},        {"b", row.b}, {"g", row.g}, {"h", row.h},
                {"e", row.e},        {"c", row.c}};
    out["store"] = nullptr;
    if (row.store >= 0)
        out["store"] = {{"register", row.store}, {"u", row.u}, {"v", row.v}, {"w", row.w}};
    out["draws"] = row.draws;
    out["scale"] = row.scale;
    out["flags"] = flags;
    if (row.guided)
        out["guidance"] = {{"scale", row.guidance}, {"rescale", row.guidanceRescale}};
    if (row.known)
        out["known"] = {{"e", (*row.known)[0]}, {"c", (*row.known)[1]}};
    if (row.learned.kind == VarianceKind::Interpolated)
        out["log_variance"] = {{"low", row.learned.low}, {"high", row.learned.high}};
    return out;
}

std::string settingLine(const SettingInfo &setting) {
    std::string line = "      " + std::string(setting.name) + " = " + setting.fallback;
    if (*setting.choices)
        line += " (" + std::string(setting.choices) + ")";
    return line + ": " + setting.meaning + "\n";
}

std::string givenTimesteps(GivenTimesteps given) {
    switch (given) {
    case GivenTimesteps::AnyOrder:
        return "any, in any order";
    case GivenTimesteps::Decreasing:
        return "any, decreasing";
    case GivenTimesteps::Refused:
        break;
    }
    return "its own";
}

// A setting and the samplers that have it so.
struct SettingUse {
    SettingInfo setting;
    std::string samplers;
};

void noteUse(std::vector<SettingUse> &uses, const SettingInfo &setting, std::string_view sampler) {
    const auto same = std::find_if(uses.begin(), uses.end(), [&](const SettingUse &use) {
        return std::string_view(use.setting.name) == setting.name &&
               std::string_view(use.setting.choices) == setting.choices &&
               std::string_view(use.setting.fallback) == setting.fallback;
    });
    if (same == uses.end())
        uses.push_back({setting, std::string(sampler)});
    else
        same->samplers += ", " + std::string(sampler);
}

// A bar would end the table's cell.
std::string escaped(const char *text) {
    std::string out;
    for (const char c : std::string_view(text))
        out += c == '|' ? std::string("\\|") : std::string(1, c);
    return out;
}

std::string valuesOf(const SettingInfo &setting) {
    const auto limits = [&] {
        char text[64];
        std::snprintf(text, sizeof text, " from %g to %g", setting.low, setting.high);
        return setting.low < setting.high && std::isfinite(setting.low) ? std::string(text) : std::string();
    };
    switch (setting.type) {
    case SettingType::Number:
        return "a number" + limits();
    case SettingType::Integer:
        return "a whole number" + limits();
    case SettingType::Boolean:
        return "true, false";
    case SettingType::Choice: {
        std::string all;
        for (const char c : std::string_view(setting.choices))
            all += c == '|' ? std::string(", ") : std::string(1, c);
        return all;
    }
    case SettingType::Numbers:
        return "a list of numbers" + limits();
    case SettingType::Integers:
        return "a list of whole numbers" + limits();
    case SettingType::NoEffect:
        break;
    }
    return "anything";
}

std::string describeGuidance() {
    std::string text =
        "every sampler, for models with classes\n    classifier-free guidance, by --option name=value:\n";
    for (const SettingInfo &setting : guidanceSettings())
        text += settingLine(setting);
    return text;
}

} // namespace

std::string describeSamplers() {
    std::string text;
    for (const SamplerInfo &sampler : samplers()) {
        text += std::string(sampler.name);
        if (!sampler.className.empty())
            text += " (" + std::string(sampler.className) + ")";
        text += "\n    " + std::string(sampler.source) + "\n    timesteps: " + givenTimesteps(sampler.given) +
                "\n    settings, by --option name=value or from the scheduler's configuration:\n";
        for (const SettingInfo &setting : sampler.settings())
            text += settingLine(setting);
    }
    return text + describeGuidance();
}

std::string describeSamplersAsMarkdown() {
    std::string text =
        "| sampler | diffusers class | given timesteps | settings | source |\n|---|---|---|---|---|\n";
    std::vector<SettingUse> uses;
    for (const SamplerInfo &sampler : samplers()) {
        std::string names;
        for (const SettingInfo &setting : sampler.settings()) {
            names += (names.empty() ? "`" : ", `") + std::string(setting.name) + "`";
            noteUse(uses, setting, sampler.name);
        }
        text += "| `" + std::string(sampler.name) + "` | " + std::string(sampler.className) + " | " +
                givenTimesteps(sampler.given) + " | " + names + " | " + std::string(sampler.source) + " |\n";
    }
    for (const SettingInfo &setting : guidanceSettings())
        noteUse(uses, setting, "every one");
    for (const auto &[name, reason] : impossibleSamplers())
        text += "| `" + std::string(name) + "` | | | refused: " + std::string(reason) + " | |\n";
    text +=
        "\n| setting | values | default | meaning | samplers, where they differ |\n|---|---|---|---|---|\n";
    for (const SettingUse &use : uses) {
        const auto same = [&](const SettingUse &other) {
            return std::string_view(other.setting.name) == use.setting.name;
        };
        const bool differs = std::count_if(uses.begin(), uses.end(), same) > 1;
        text += "| `" + std::string(use.setting.name) + "` | " + valuesOf(use.setting) + " | " +
                use.setting.fallback + " | " + escaped(use.setting.meaning) + " | " +
                (differs ? use.samplers : "") + " |\n";
    }
    return text;
}

std::string stepTableJson(const Table &table) {
    Json out = {{"sampler", table.sampler},
                {"steps", table.steps},
                {"init", {{"z", table.initNoise}, {"y", table.initCondition}, {"scale", table.initScale}}},
                {"rows", Json::array()}};
    for (const Row &row : table.rows)
        out["rows"].push_back(rowJson(row));
    return out.dump(1);
}

std::pair<std::string, std::string> parseOption(const std::string &text) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos)
        throw ScheduleError("--option: found \"" + text + "\", expected name=value");
    return {text.substr(0, equals), text.substr(equals + 1)};
}

} // namespace mote::convert::schedule
