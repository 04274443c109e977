// The sampler families, one file each. sampler.cpp lists them; families share the helpers at the end.
#pragma once

#include <initializer_list>

#include "schedule/sampler.h"

namespace mote::convert::schedule {

// ddim.cpp, ddim_inverse.cpp, ddpm.cpp, pndm.cpp
std::vector<SettingInfo> ddimSettings();
Table compileDdim(const Job &job);
std::vector<SettingInfo> ddimInverseSettings();
Table compileDdimInverse(const Job &job);
std::vector<SettingInfo> ddpmSettings();
Table compileDdpm(const Job &job);
std::vector<SettingInfo> pndmSettings();
Table compilePndm(const Job &job);

// euler.cpp, heun.cpp, kdpm2.cpp, lms.cpp
std::vector<SettingInfo> eulerSettings();
Table compileEuler(const Job &job);
std::vector<SettingInfo> eulerAncestralSettings();
Table compileEulerAncestral(const Job &job);
std::vector<SettingInfo> heunSettings();
Table compileHeun(const Job &job);
std::vector<SettingInfo> kdpm2Settings();
Table compileKdpm2(const Job &job);
Table compileKdpm2Ancestral(const Job &job);
std::vector<SettingInfo> lmsSettings();
Table compileLms(const Job &job);

// dpm_solver.cpp, unipc.cpp, deis.cpp
std::vector<SettingInfo> dpmMultistepSettings();
Table compileDpmMultistep(const Job &job);
std::vector<SettingInfo> dpmSinglestepSettings();
Table compileDpmSinglestep(const Job &job);
std::vector<SettingInfo> uniPcSettings();
Table compileUniPc(const Job &job);
std::vector<SettingInfo> deisSettings();
Table compileDeis(const Job &job);

// lcm.cpp, ipndm.cpp, flow_match.cpp, edm.cpp, consistency_model.cpp
std::vector<SettingInfo> lcmSettings();
Table compileLcm(const Job &job);
std::vector<SettingInfo> tcdSettings();
Table compileTcd(const Job &job);
std::vector<SettingInfo> ipndmSettings();
Table compileIpndm(const Job &job);
std::vector<SettingInfo> flowMatchSettings();
Table compileFlowMatch(const Job &job);
std::vector<SettingInfo> edmEulerSettings();
Table compileEdmEuler(const Job &job);
std::vector<SettingInfo> edmDpmSettings();
Table compileEdmDpm(const Job &job);
std::vector<SettingInfo> consistencyModelSettings();
Table compileConsistencyModel(const Job &job);

// score_sde.cpp, probability_flow.cpp, edm_heun.cpp, residual_shift.cpp, repaint.cpp
std::vector<SettingInfo> veSdeSettings();
Table compileVeSde(const Job &job);
std::vector<SettingInfo> vpSdeSettings();
Table compileVpSde(const Job &job);
std::vector<SettingInfo> subVpSdeSettings();
Table compileSubVpSde(const Job &job);
std::vector<SettingInfo> vpFlowSettings();
Table compileVpFlow(const Job &job);
std::vector<SettingInfo> subVpFlowSettings();
Table compileSubVpFlow(const Job &job);
std::vector<SettingInfo> veFlowSettings();
Table compileVeFlow(const Job &job);
std::vector<SettingInfo> edmHeunSettings();
Table compileEdmHeun(const Job &job);
std::vector<SettingInfo> residualShiftSettings();
Table compileResShift(const Job &job);
Table compileSinSr(const Job &job);
std::vector<SettingInfo> repaintSettings();
Table compileRepaint(const Job &job);

// `strength`: the run starts from the condition image with noise, and its first steps are left out (Meng et
// al. 2022, "SDEdit"; image-to-image and truncated restoration).
SettingInfo strengthSetting();
// How many steps are left out; 0 without strength.
size_t skippedSteps(const Job &job);
// x = alpha y + sigma z where a run starts from the image, else `fromNoise`.
Start startOf(const Job &job, double alpha, double sigma, const Start &fromNoise);

// clip_sample, clip_sample_range, thresholding and its two parameters, shared by the samplers that clip x0.
std::vector<SettingInfo> clipSettings(const char *clipSampleFallback);
Clip readClip(const Settings &settings);

// The timesteps of a job: those given, checked against the schedule, or spaced ones.
std::vector<double> jobTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule,
                                 std::optional<int64_t> end = {});
// Whole timesteps, as indices into the schedule's tables, less the skipped ones.
std::vector<int64_t> jobWholeTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule);

// A run of DDIM or DDPM: whole timesteps, each with alphasCumprod there and where its step goes. Steps go
// `num_train_timesteps / count` down, as diffusers has it whatever the spacing; with given timesteps, to the
// next one. Below timestep 0 alphasCumprod is `final`.
struct Descent {
    int64_t timestep, target; // target < 0: the image
    double from, to;
};
std::vector<Descent> jobDescents(const Job &job, const NoiseSchedule &noise, double final);
// x = sqrt(A) y + sqrt(1 - A) z where the run starts from the image, else noise.
Start descentStart(const Job &job, const std::vector<Descent> &descents);

std::vector<SettingInfo> joinSettings(std::initializer_list<std::vector<SettingInfo>> parts);

} // namespace mote::convert::schedule
