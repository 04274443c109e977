// The sampler families; each is one file. Used by sampler.cpp, which lists them.
#pragma once

#include "schedule/sampler.h"

namespace mote::convert::schedule {

std::vector<SettingInfo> ddimSettings();
Table compileDdim(const Job &job);

// clip_sample, clip_sample_range, thresholding and its two parameters, shared by the samplers that clip x0.
std::vector<SettingInfo> clipSettings(const char *clipSampleFallback);
Clip readClip(const Settings &settings);

// The timesteps of a job: those given, checked against the schedule, or spaced ones.
std::vector<double> jobTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule);
// Whole timesteps, as indices into the schedule's tables.
std::vector<int64_t> jobWholeTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule);

std::vector<SettingInfo> joinSettings(std::initializer_list<std::vector<SettingInfo>> parts);

} // namespace mote::convert::schedule
