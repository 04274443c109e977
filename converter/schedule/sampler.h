// The samplers by name: what each can be told, where its formulas come from, and how a table is compiled.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schedule/schedule.h"
#include "schedule/settings.h"
#include "schedule/step_table.h"

namespace mote::convert::schedule {

// What the user asks for. Either `steps` or `timesteps` (exactly these, in this order).
struct Request {
    int64_t steps = 0;
    std::vector<double> timesteps = {};
    NamedValues options = {}; // --option name=value
    Rounding rounding = Rounding::Library;
};

// What a sampler's compile function gets: checked settings, and steps > 0 or timesteps, never both.
struct Job {
    const Settings &settings;
    int64_t steps;
    const std::vector<double> &timesteps;
    Rounding rounding;

    // Steps asked for, however they were asked for.
    int64_t count() const { return timesteps.empty() ? steps : static_cast<int64_t>(timesteps.size()); }
};

// Which timesteps a user may give a sampler.
enum class GivenTimesteps { Refused, Decreasing, AnyOrder };

struct SamplerInfo {
    std::string_view name;      // "ddim", as in --sampler
    std::string_view className; // "DDIMScheduler", as in _class_name; empty for samplers beyond diffusers
    std::string_view source;    // paper and equations
    GivenTimesteps given;
    std::vector<SettingInfo> (*settings)();
    Table (*compile)(const Job &job);
};

std::span<const SamplerInfo> samplers();

// Well-known ones that cannot be a table, and why.
std::span<const std::pair<std::string_view, std::string_view>> impossibleSamplers();

// By name or by class name. Throws with the list of names.
const SamplerInfo &findSampler(std::string_view name);

// `sampler` empty: the one that the configuration's _class_name names.
Table compile(const SchedulerConfig &config, std::string_view sampler, const Request &request);

} // namespace mote::convert::schedule
