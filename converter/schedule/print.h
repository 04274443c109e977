// The subcommands `samplers` and `step-table` of mote-convert, as text.
#pragma once

#include <string>

#include "schedule/sampler.h"

namespace mote::convert::schedule {

// A table for people: every sampler with its class, source, settings, defaults and choices.
std::string describeSamplers();
// Two tables in Markdown, for documentation that must not go stale: samplers, those that cannot be among
// them, and every setting.
std::string describeSamplersAsMarkdown();

// {"init": {"z", "y"}, "rows": [...]}, names as in README.md, every number in full double precision.
std::string stepTableJson(const Table &table);

// "name=value" of --option. Throws if there is no '='.
std::pair<std::string, std::string> parseOption(const std::string &text);

} // namespace mote::convert::schedule
