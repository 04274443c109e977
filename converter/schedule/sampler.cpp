#include "schedule/sampler.h"
#include "schedule/guidance.h"

#include <algorithm>
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {
namespace {

constexpr int64_t kMaxSteps = 10000;

using enum GivenTimesteps;

const SamplerInfo kSamplers[] = {
    {"ddim", "DDIMScheduler", "Song, Meng and Ermon 2021 (DDIM), equations 12 and 16", AnyOrder, ddimSettings,
     compileDdim},
    {"ddim-inverse", "DDIMInverseScheduler", "Song, Meng and Ermon 2021 (DDIM), section 4.3", Refused,
     ddimInverseSettings, compileDdimInverse},
    {"ddpm", "DDPMScheduler", "Ho, Jain and Abbeel 2020 (DDPM), equations 6 and 7", Decreasing, ddpmSettings,
     compileDdpm},
    {"pndm", "PNDMScheduler", "Liu et al. 2022 (PNDM), equation 9, pseudo multistep and Runge-Kutta", Refused,
     pndmSettings, compilePndm},
    {"euler", "EulerDiscreteScheduler", "Karras et al. 2022 (EDM), algorithm 1 without correction",
     Decreasing, eulerSettings, compileEuler},
    {"euler-ancestral", "EulerAncestralDiscreteScheduler",
     "Karras et al. 2022 (EDM), algorithm 1; noise as Song et al. 2021 (DDIM), equation 16", Decreasing,
     eulerAncestralSettings, compileEulerAncestral},
    {"heun", "HeunDiscreteScheduler", "Karras et al. 2022 (EDM), algorithm 1", Decreasing, heunSettings,
     compileHeun},
    {"kdpm2", "KDPM2DiscreteScheduler",
     "Karras et al. 2022 (EDM), appendix D.2; Lu et al. 2022 (DPM-Solver-2)", Decreasing, kdpm2Settings,
     compileKdpm2},
    {"kdpm2-ancestral", "KDPM2AncestralDiscreteScheduler", "as kdpm2, with the noise of euler-ancestral",
     Decreasing, kdpm2Settings, compileKdpm2Ancestral},
    {"lms", "LMSDiscreteScheduler", "Adams-Bashforth on sigma (k-diffusion)", Decreasing, lmsSettings,
     compileLms},
    {"dpm-multistep", "DPMSolverMultistepScheduler", "Lu et al. 2022 (DPM-Solver, DPM-Solver++), algorithm 2",
     Decreasing, dpmMultistepSettings, compileDpmMultistep},
    {"dpm-singlestep", "DPMSolverSinglestepScheduler",
     "Lu et al. 2022 (DPM-Solver, DPM-Solver++), algorithm 1", Decreasing, dpmSinglestepSettings,
     compileDpmSinglestep},
    {"unipc", "UniPCMultistepScheduler", "Zhao et al. 2023 (UniPC), algorithms 5 to 8", Decreasing,
     uniPcSettings, compileUniPc},
    {"deis", "DEISMultistepScheduler", "Zhang and Chen 2023 (DEIS), section 4", Decreasing, deisSettings,
     compileDeis},
    {"lcm", "LCMScheduler", "Luo et al. 2023 (LCM), multistep sampling", Decreasing, lcmSettings, compileLcm},
    {"tcd", "TCDScheduler", "Zheng et al. 2024 (TCD), strategic stochastic sampling", Decreasing, tcdSettings,
     compileTcd},
    {"ipndm", "IPNDMScheduler", "Liu et al. 2022 (PNDM), pseudo multistep; v-diffusion", Refused,
     ipndmSettings, compileIpndm},
    {"flow-match-euler", "FlowMatchEulerDiscreteScheduler",
     "Lipman et al. 2023; Esser et al. 2024, equation 23", Refused, flowMatchSettings, compileFlowMatch},
    {"edm-euler", "EDMEulerScheduler", "Karras et al. 2022 (EDM), algorithm 1 without correction, table 1",
     Refused, edmEulerSettings, compileEdmEuler},
    {"edm-dpm-multistep", "EDMDPMSolverMultistepScheduler",
     "Lu et al. 2022 (DPM-Solver++) on Karras et al. 2022, table 1", Refused, edmDpmSettings, compileEdmDpm},
    {"consistency-model", "CMStochasticIterativeScheduler",
     "Song et al. 2023 (consistency models), algorithm 1", Decreasing, consistencyModelSettings,
     compileConsistencyModel},
    {"edm-heun", "", "Karras et al. 2022 (EDM), algorithm 2 with churn, table 1", Refused, edmHeunSettings,
     compileEdmHeun},
    {"ve-sde", "ScoreSdeVeScheduler", "Song et al. 2021 (score SDE), equations 6, 9, 46; algorithms 2 and 4",
     Refused, veSdeSettings, compileVeSde},
    {"vp-sde", "ScoreSdeVpScheduler", "Song et al. 2021 (score SDE), equations 6, 11, 46; algorithms 3 and 5",
     Refused, vpSdeSettings, compileVpSde},
    {"sub-vp-sde", "", "Song et al. 2021 (score SDE), equations 6 and 12", Refused, subVpSdeSettings,
     compileSubVpSde},
    {"ve-flow-rk4", "", "Song et al. 2021 (score SDE), equations 9 and 13; classical Runge-Kutta", Refused,
     veFlowSettings, compileVeFlow},
    {"vp-flow-rk4", "", "Song et al. 2021 (score SDE), equations 11 and 13; classical Runge-Kutta", Refused,
     vpFlowSettings, compileVpFlow},
    {"sub-vp-flow-rk4", "", "Song et al. 2021 (score SDE), equations 12 and 13; classical Runge-Kutta",
     Refused, subVpFlowSettings, compileSubVpFlow},
    {"resshift", "", "Yue et al. 2023 (ResShift), sections 2.1 and 2.2", Refused, residualShiftSettings,
     compileResShift},
    {"sinsr", "", "Wang et al. 2024 (SinSR), deterministic transition", Refused, residualShiftSettings,
     compileSinSr},
    {"repaint", "RePaintScheduler", "Lugmayr et al. 2022 (RePaint), algorithm 1", Refused, repaintSettings,
     compileRepaint},
};

// Well known, and no rows of a table that is made before the image is seen.
constexpr std::pair<std::string_view, std::string_view> kImpossible[] = {
    {"rk45", "an adaptive step size depends on the image"},
    {"dopri5", "an adaptive step size depends on the image"},
    {"dpm-adaptive", "an adaptive step size depends on the image"},
    {"dps", "it needs the gradient through the network"},
    {"cfg++", "it uses two outputs of the network differently in one step"},
};

std::string samplerNames() {
    std::string all;
    for (const SamplerInfo &sampler : kSamplers)
        all += (all.empty() ? "" : ", ") + std::string(sampler.name);
    return all;
}

const SamplerInfo *lookUp(std::string_view name) {
    for (const SamplerInfo &sampler : kSamplers)
        if (name == sampler.name || (!sampler.className.empty() && name == sampler.className))
            return &sampler;
    return nullptr;
}

void checkRequest(const SamplerInfo &sampler, const Request &request) {
    const std::string who = "sampler \"" + std::string(sampler.name) + "\": ";
    if (request.timesteps.empty()) {
        if (request.steps < 1 || request.steps > kMaxSteps)
            throw ScheduleError(who + "steps: found " + std::to_string(request.steps) + ", expected 1 to " +
                                std::to_string(kMaxSteps));
        return;
    }
    if (request.steps != 0 && request.steps != static_cast<int64_t>(request.timesteps.size()))
        throw ScheduleError(who + "found " + std::to_string(request.steps) + " steps and " +
                            std::to_string(request.timesteps.size()) + " timesteps, expected one of the two");
    if (sampler.given == GivenTimesteps::Refused)
        throw ScheduleError(who + "timesteps: found " + std::to_string(request.timesteps.size()) +
                            " given timesteps, expected --steps: this sampler makes its own");
    if (request.timesteps.size() > static_cast<size_t>(kMaxSteps))
        throw ScheduleError(who + "timesteps: found " + std::to_string(request.timesteps.size()) +
                            ", expected at most " + std::to_string(kMaxSteps));
    for (size_t i = 0; i < request.timesteps.size(); ++i) {
        const bool ordered = i == 0 || request.timesteps[i] < request.timesteps[i - 1];
        if (!std::isfinite(request.timesteps[i]) || (sampler.given == GivenTimesteps::Decreasing && !ordered))
            throw ScheduleError(who + "timesteps: found " + std::to_string(request.timesteps[i]) +
                                " at position " + std::to_string(i) +
                                ", expected finite, strictly decreasing timesteps");
    }
}

} // namespace

std::span<const SamplerInfo> samplers() {
    return kSamplers;
}

std::span<const std::pair<std::string_view, std::string_view>> impossibleSamplers() {
    return kImpossible;
}

const SamplerInfo &findSampler(std::string_view name) {
    if (const SamplerInfo *sampler = lookUp(name))
        return *sampler;
    for (const auto &[impossible, reason] : kImpossible)
        if (name == impossible)
            throw ScheduleError("sampler: found \"" + std::string(name) +
                                "\", which cannot be a step table: " + std::string(reason) +
                                "; supported: " + samplerNames());
    throw ScheduleError("sampler: found \"" + std::string(name) + "\", supported: " + samplerNames());
}

Table compile(const SchedulerConfig &config, std::string_view sampler, const Request &request) {
    std::string ownClass; // the value is JSON text, in quotes
    if (const auto found = config.values.find("_class_name");
        found != config.values.end() && found->second.size() > 2 && found->second.front() == '"')
        ownClass = found->second.substr(1, found->second.size() - 2);
    if (sampler.empty() && ownClass.empty())
        throw ScheduleError(config.file +
                            ": key \"_class_name\": not found, expected a scheduler's class, or --sampler");
    if (sampler.empty() && !lookUp(ownClass))
        throw ScheduleError(config.file + ": key \"_class_name\": found \"" + ownClass +
                            "\", supported: " + samplerNames() + " (or the diffusers class of one of them)");
    const SamplerInfo &chosen = findSampler(sampler.empty() ? ownClass : sampler);
    std::vector<std::string> tolerated;
    if (const SamplerInfo *own = lookUp(ownClass); own && own != &chosen)
        for (const SettingInfo &setting : own->settings())
            tolerated.emplace_back(setting.name);
    checkRequest(chosen, request);
    NamedValues options = request.options;
    const std::optional<Guidance> guidance = takeGuidance(options);
    const Settings settings(config, std::string(chosen.name), chosen.settings(), tolerated, options);
    Table table = chosen.compile({settings, request.steps, request.timesteps, request.rounding});
    if (guidance)
        applyGuidance(table, *guidance);
    return table;
}

std::vector<SettingInfo> joinSettings(std::initializer_list<std::vector<SettingInfo>> parts) {
    std::vector<SettingInfo> all;
    for (const std::vector<SettingInfo> &part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

std::vector<SettingInfo> clipSettings(const char *clipSampleFallback) {
    return {
        {"clip_sample", SettingType::Boolean, clipSampleFallback, 0, 0, "",
         "x0 is clamped to +-clip_sample_range"},
        {"clip_sample_range", SettingType::Number, "1.0", 0, 1e6, "", "see clip_sample"},
        {"thresholding", SettingType::Boolean, "false", 0, 0, "",
         "dynamic thresholding of x0 (Saharia et al. 2022, Imagen, section 2.3) instead of clip_sample"},
        {"dynamic_thresholding_ratio", SettingType::Number, "0.995", 0, 1, "", "quantile of |x0|"},
        {"sample_max_value", SettingType::Number, "1.0", 1, 1e6, "", "upper bound of the threshold"},
    };
}

Clip readClip(const Settings &settings) {
    Clip clip;
    if (settings.declared("thresholding") && settings.boolean("thresholding")) {
        clip.kind = ClipKind::Threshold;
        clip.quantile = settings.number("dynamic_thresholding_ratio");
        clip.maximum = settings.number("sample_max_value");
    } else if (settings.declared("clip_sample") && settings.boolean("clip_sample")) {
        clip.kind = ClipKind::Clamp;
        clip.high = settings.number("clip_sample_range");
        clip.low = -clip.high;
    }
    return clip;
}

SettingInfo strengthSetting() {
    return {"strength",
            SettingType::Number,
            "null",
            0,
            1,
            "",
            "option: starts from the condition image, noised, and takes this share of the steps"};
}

size_t skippedSteps(const Job &job) {
    if (!job.settings.declared("strength"))
        return 0;
    const std::optional<double> strength = job.settings.optionalNumber("strength");
    if (!strength)
        return 0;
    const int64_t taken = static_cast<int64_t>(static_cast<double>(job.count()) * *strength);
    if (taken < 1)
        job.settings.refuse("strength", "which leaves none of " + std::to_string(job.count()) + " steps");
    return static_cast<size_t>(job.count() - taken);
}

Start startOf(const Job &job, double alpha, double sigma, const Start &fromNoise) {
    if (!job.settings.declared("strength") || !job.settings.optionalNumber("strength"))
        return fromNoise;
    return {.noise = sigma, .condition = alpha};
}

std::vector<double> jobTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule,
                                 std::optional<int64_t> end) {
    const double last = static_cast<double>(noise.trainTimesteps() - 1);
    const char *what = "timesteps";
    std::vector<double> timesteps = job.timesteps;
    if (timesteps.empty()) {
        what = "steps_offset";
        if (job.steps > noise.trainTimesteps())
            throw ScheduleError(
                "sampler \"" + job.settings.sampler() + "\": steps: found " + std::to_string(job.steps) +
                ", expected at most num_train_timesteps = " + std::to_string(noise.trainTimesteps()));
        const int64_t offset =
            job.settings.declared("steps_offset") ? job.settings.integer("steps_offset") : 0;
        timesteps = spacedTimesteps(noise, readSpacing(job.settings), rule, job.steps, offset, end);
    }
    for (const double timestep : timesteps)
        if (timestep < 0 || timestep > last)
            throw ScheduleError(job.settings.file() + ": " + what + ": found timestep " +
                                std::to_string(timestep) + ", expected 0 to " +
                                std::to_string(noise.trainTimesteps() - 1));
    return timesteps;
}

std::vector<Descent> jobDescents(const Job &job, const NoiseSchedule &noise, double final) {
    const std::vector<int64_t> timesteps = jobWholeTimesteps(job, noise, SpacingRule::Whole);
    const int64_t stride = noise.trainTimesteps() / job.count();
    std::vector<Descent> descents;
    for (size_t i = 0; i < timesteps.size(); ++i) {
        const int64_t t = timesteps[i];
        const int64_t target = job.timesteps.empty()      ? t - stride
                               : i + 1 < timesteps.size() ? timesteps[i + 1]
                                                          : -1;
        descents.push_back({t, target, noise.alphasCumprod[static_cast<size_t>(t)],
                            target >= 0 ? noise.alphasCumprod[static_cast<size_t>(target)] : final});
    }
    return descents;
}

Start descentStart(const Job &job, const std::vector<Descent> &descents) {
    const double first = descents.front().from;
    return startOf(job, std::sqrt(first), std::sqrt(1 - first), {});
}

std::vector<int64_t> jobWholeTimesteps(const Job &job, const NoiseSchedule &noise, SpacingRule rule) {
    std::vector<int64_t> whole;
    for (const double timestep : jobTimesteps(job, noise, rule)) {
        if (timestep != std::nearbyint(timestep))
            throw ScheduleError("sampler \"" + job.settings.sampler() + "\": timesteps: found " +
                                std::to_string(timestep) + ", expected whole numbers");
        whole.push_back(static_cast<int64_t>(timestep));
    }
    whole.erase(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(skippedSteps(job)));
    return whole;
}

} // namespace mote::convert::schedule
