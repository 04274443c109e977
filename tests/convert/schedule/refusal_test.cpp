// What cannot be honoured is refused by name: file, key, what was found, what is supported.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include <nlohmann/json.hpp>

#include "schedule/print.h"
#include "schedule/sampler.h"

namespace mote::convert::schedule {
namespace {

struct Refusal {
    const char *title, *config, *sampler;
    Request request;
    std::vector<const char *> named; // what the message must contain
};

std::string messageOf(const Refusal &refusal) {
    try {
        compile(parseSchedulerConfig(refusal.config, "scheduler_config.json"), refusal.sampler,
                refusal.request);
    } catch (const ReadError &error) {
        return error.what();
    }
    return "";
}

Request steps(int64_t count, NamedValues options = {}) {
    return {.steps = count, .timesteps = {}, .options = std::move(options)};
}

Request timesteps(std::vector<double> values) {
    return {.steps = 0, .timesteps = std::move(values), .options = {}};
}

TEST(Refusals, NameFileKeyFoundAndSupported) {
    const char *ddim = R"({"_class_name": "DDIMScheduler"})";
    const Refusal refusals[] = {
        {"unknown key",
         R"({"_class_name": "DDIMScheduler", "warp": 9})",
         "",
         steps(4),
         {"scheduler_config.json", "\"warp\"", "9", "supported", "beta_start"}},
        {"key of another sampler",
         R"({"_class_name": "DDIMScheduler", "use_karras_sigmas": true})",
         "",
         steps(4),
         {"use_karras_sigmas", "true", "ddim"}},
        {"unknown choice",
         R"({"_class_name": "DDIMScheduler", "beta_schedule": "laplace"})",
         "",
         steps(4),
         {"beta_schedule", "\"laplace\"", "\"squaredcos_cap_v2\""}},
        {"wrong type",
         R"({"_class_name": "DDIMScheduler", "clip_sample": "yes"})",
         "",
         steps(4),
         {"clip_sample", "\"yes\"", "true, false"}},
        {"out of range",
         R"({"_class_name": "DDIMScheduler", "num_train_timesteps": 0})",
         "",
         steps(4),
         {"num_train_timesteps", "found 0", "from 1"}},
        {"number too large",
         R"({"_class_name": "DDIMScheduler", "num_train_timesteps": 1e300})",
         "",
         steps(4),
         {"num_train_timesteps", "an integer"}},
        {"unknown class",
         R"({"_class_name": "VQDiffusionScheduler"})",
         "",
         steps(4),
         {"_class_name", "VQDiffusionScheduler", "ddim"}},
        {"no class", "{}", "", steps(4), {"_class_name", "not found"}},
        {"no object", "[1]", "", steps(4), {"scheduler_config.json", "array", "object"}},
        {"no JSON", "{\"a\":", "", steps(4), {"scheduler_config.json"}},
        {"unknown sampler", ddim, "ddimm", steps(4), {"\"ddimm\"", "supported", "ddim,"}},
        {"adaptive Runge-Kutta", ddim, "rk45", steps(4), {"\"rk45\"", "adaptive"}},
        {"adaptive DPM-Solver", ddim, "dpm-adaptive", steps(4), {"\"dpm-adaptive\"", "adaptive"}},
        {"gradients through the model", ddim, "dps", steps(4), {"\"dps\"", "gradient"}},
        {"two outputs used differently", ddim, "cfg++", steps(4), {"\"cfg++\"", "output"}},
        {"unknown option", ddim, "", steps(4, {{"etta", "1"}}), {"\"etta\"", "eta"}},
        {"option out of range", ddim, "", steps(4, {{"eta", "1.5"}}), {"\"eta\"", "1.5", "0 to 1"}},
        {"no steps", ddim, "", steps(0), {"steps", "found 0"}},
        {"too many steps", ddim, "", steps(1001), {"steps", "1001", "1000"}},
        {"timestep past the end", ddim, "", timesteps({1000}), {"1000", "0 to 999"}},
        {"fractional timestep", ddim, "", timesteps({10.5}), {"10.5", "whole"}},
        {"timestep that is no number", ddim, "", timesteps({NAN}), {"timesteps", "finite"}},
        {"rising timesteps",
         R"({"_class_name": "EulerDiscreteScheduler"})",
         "",
         timesteps({10, 20}),
         {"timesteps", "20", "decreasing"}},
        {"timesteps of its own",
         R"({"_class_name": "PNDMScheduler"})",
         "",
         timesteps({10}),
         {"pndm", "--steps"}},
        {"noise on the way up",
         ddim,
         "",
         {.steps = 0, .timesteps = {10, 20}, .options = {{"eta", "1"}}},
         {"eta", "timestep 10", "20"}},
        {"epsilon at alpha 0",
         R"({"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true, "timestep_spacing": "trailing"})",
         "",
         steps(4),
         {"epsilon", "alpha is 0", "v_prediction"}},
        {"betas beyond 1",
         R"({"_class_name": "DDIMScheduler", "beta_end": 1.0, "beta_start": 1.0})",
         "",
         steps(4),
         {"beta"}},
        {"too few betas",
         R"({"_class_name": "DDIMScheduler", "trained_betas": [0.1, 0.2]})",
         "",
         steps(4),
         {"trained_betas", "2", "1000"}},
        {"offset past the end",
         R"({"_class_name": "DDIMScheduler", "steps_offset": 900})",
         "",
         steps(4),
         {"steps_offset", "999"}},
        {"Runge-Kutta start in three steps",
         R"({"_class_name": "PNDMScheduler"})",
         "",
         steps(3),
         {"found 3", "at least 4"}},
        {"noise prediction to sigma 0",
         R"({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"})",
         "",
         steps(4),
         {"algorithm_type", "\"dpmsolver\"", "sigma_min"}},
        {"third order with noise",
         R"({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "solver_order": 3})",
         "",
         steps(4),
         {"solver_order", "3"}},
        {"lambda clipped to nothing",
         R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": 50})",
         "",
         steps(4),
         {"lambda_min_clipped", "50", "no timestep"}},
        {"continuous timesteps given",
         R"({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction"})",
         "",
         timesteps({10}),
         {"timestep_type", "continuous", "discrete"}},
        {"sigmas the wrong way round",
         R"({"_class_name": "EDMEulerScheduler", "sigma_min": 100})",
         "",
         steps(4),
         {"sigma_min", "100", "sigma_max"}},
        {"more steps than were distilled",
         R"({"_class_name": "LCMScheduler"})",
         "",
         steps(51),
         {"51", "original_inference_steps"}},
        {"dynamic shifting",
         R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true})",
         "",
         steps(4),
         {"use_dynamic_shifting", "true"}},
    };
    for (const Refusal &refusal : refusals) {
        const std::string message = messageOf(refusal);
        EXPECT_FALSE(message.empty()) << refusal.title << ": was accepted";
        for (const char *part : refusal.named)
            EXPECT_NE(message.find(part), std::string::npos)
                << refusal.title << ": \"" << message << "\" lacks \"" << part << "\"";
    }
}

TEST(Printing, OptionsNeedAName) {
    EXPECT_EQ(parseOption("eta=0.5"), (std::pair<std::string, std::string>("eta", "0.5")));
    EXPECT_EQ(parseOption("a=b=c").second, "b=c");
    EXPECT_THROW(parseOption("eta"), ScheduleError);
    EXPECT_THROW(parseOption("=1"), ScheduleError);
}

TEST(Printing, EverySamplerIsDescribedWithItsSource) {
    const std::string text = describeSamplers(), markdown = describeSamplersAsMarkdown();
    for (const SamplerInfo &sampler : samplers()) {
        EXPECT_NE(text.find(std::string(sampler.name)), std::string::npos);
        EXPECT_NE(text.find(std::string(sampler.source)), std::string::npos);
        EXPECT_NE(markdown.find("`" + std::string(sampler.name) + "`"), std::string::npos);
    }
}

TEST(Printing, TablesAreJsonInFullPrecision) {
    const SchedulerConfig config =
        parseSchedulerConfig(R"({"_class_name": "DPMSolverMultistepScheduler"})", "s.json");
    const Table table = compile(config, "", {.steps = 3, .timesteps = {}, .options = {}});
    const nlohmann::json printed = nlohmann::json::parse(stepTableJson(table));
    ASSERT_EQ(printed.at("rows").size(), 3u);
    for (size_t i = 0; i < table.rows.size(); ++i) {
        const nlohmann::json &row = printed.at("rows").at(i);
        EXPECT_EQ(row.at("a").get<double>(), table.rows[i].a);
        EXPECT_EQ(row.at("b").get<double>(), table.rows[i].b);
        EXPECT_EQ(row.at("h").at(0).get<double>(), table.rows[i].h[0]);
        EXPECT_EQ(row.at("store").at("register").get<int>(), table.rows[i].store);
        EXPECT_TRUE(row.at("clip").is_null());
        EXPECT_TRUE(row.at("flags").empty());
    }
}

} // namespace
} // namespace mote::convert::schedule
