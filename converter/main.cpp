// mote-convert: a diffusers checkpoint becomes a .mote file; also prints step tables.
#include "convert.h"
#include "read/text.h"
#include "read/unet_keys.h"
#include "schedule/print.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

using namespace mote::convert;

enum ExitCode { kDone = 0, kDefect = 1, kUsage = 2, kInput = 3, kOutput = 4 };

constexpr const char *kFooter = "Exit status: 0 done; 2 the command line is wrong; 3 the checkpoint, the "
                                "scheduler or a setting cannot be read or is\n"
                                "not supported; 4 the file cannot be written; 1 a defect in mote-convert. On "
                                "failure no file is left behind.";

int say(ExitCode code, const char *message) {
    std::fprintf(stderr, "mote-convert: %s\n", message);
    return code;
}

} // namespace

int main(int argc, char **argv) {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD,
            1 << 18); // a tensor that is freed goes back to the system: the peak is what is in use
#endif
    CLI::App app(
        "Converts a checkpoint in diffusers layout (a UNet2DModel with its scheduler) into a .mote file.",
        "mote-convert");
    app.footer(kFooter);
    ConvertOptions options;
    std::string output, eta;
    std::vector<std::string> samplerOptions, recipes;
    app.add_option("DIR", options.directory,
                   "folder with model_index.json, unet/config.json, unet/diffusion_pytorch_model.safetensors "
                   "(or .bin, or\n"
                   "shards) and scheduler/scheduler_config.json; or what --arch names");
    app.add_option("--arch", options.architecture,
                   "unet2d; simple_unet: DIR has simpleunet.json; or a description of a network "
                   "(converter/graphs/README.md),\n"
                   "for which DIR may be a file of tensors")
        ->type_name("NAME|FILE.json");
    app.add_option(
           "--random-weights", options.randomWeights,
           "fills a configuration without weights, for benchmarks: the time and memory of a network do not\n"
           "depend on its weights")
        ->type_name("SEED");
    app.add_option("-o,--output", output, "the file to write")->type_name("FILE.mote");
    app.add_option("--scheduler", options.schedulerConfig,
                   "used instead of the checkpoint's own scheduler_config.json")
        ->type_name("FILE.json");
    app.add_option("--sampler", options.sampler, "see 'mote-convert samplers'")
        ->type_name("NAME")
        ->capture_default_str();
    app.add_option("--recipe", recipes,
                   "a recipe by name, of a sampler of its own, as often as needed; --sampler, --steps, "
                   "--timesteps, --eta\nand --option say nothing of it")
        ->type_name("NAME=SAMPLER:STEPS[,OPTION=VALUE...]")
        ->allow_extra_args(false);
    CLI::Option *steps = app.add_option("--steps", options.steps,
                                        "one recipe for each number of steps; 4 if nothing else makes one")
                             ->delimiter(',')
                             ->type_name("N,...");
    app.add_option("--timesteps", options.timesteps, "one recipe with exactly these timesteps, in this order")
        ->delimiter(',')
        ->type_name("T,...")
        ->excludes(steps);
    app.add_option("--eta", eta, "share of noise in each step, for samplers that take it; 0 if not given")
        ->type_name("NUMBER");
    app.add_option("--option", samplerOptions, "a setting of the sampler, as often as needed")
        ->type_name("NAME=VALUE")
        ->allow_extra_args(false);
    app.add_option("--name", options.name, "the model's name")->type_name("TEXT")->capture_default_str();
    app.add_option("--version", options.version, "the model's version")->type_name("TEXT");
    app.add_option("--licence", options.licence, "the weights' licence")->type_name("TEXT");
    app.add_option("--task", options.task,
                   "what the model is for: generate, restore, denoise, deblur, jpeg, super-resolution-x2, "
                   "super-resolution-x4, inpaint or colourise; 'restore' with a condition, else 'generate'")
        ->type_name("TASK");
    app.add_option("--description", options.description, "a sentence or more for its user")
        ->type_name("TEXT");
    app.add_option(
           "--statistics-window", options.statisticsWindow,
           "side, in pixels, of the pictures over which GroupNorm statistics were learnt; 0: not stated")
        ->type_name("PIXELS");

    app.add_option("--null-class", options.nullClass,
                   "the label that stands for no class, for guidance, or 'none'; the last class if not given")
        ->type_name("LABEL");

    CLI::App *list = app.add_subcommand("samplers", "lists the samplers and their settings");
    CLI::App *support =
        app.add_subcommand("support", "prints what is supported and what is refused, as tables in Markdown");
    CLI::App *table =
        app.add_subcommand("step-table", "prints the step table of a scheduler_config.json as JSON");
    std::string tableConfig, tableSampler;
    int64_t tableSteps = 0;
    std::vector<double> tableTimesteps;
    std::vector<std::string> tableOptions;
    table->add_option("FILE", tableConfig, "a scheduler_config.json")->required();
    table->add_option("--sampler", tableSampler, "by default the one that the file names");
    CLI::Option *countOption = table->add_option("--steps", tableSteps, "number of steps");
    table->add_option("--timesteps", tableTimesteps, "exactly these")->delimiter(',')->excludes(countOption);
    table->add_option("--option", tableOptions, "name=value, as often as needed");

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? kDone : kUsage;
    }
    try {
        if (list->parsed()) {
            std::fputs(schedule::describeSamplers().c_str(), stdout);
            return kDone;
        }
        if (support->parsed()) {
            std::printf("### Samplers\n\n%s\n### Keys of a UNet2DModel's config.json\n\n%s",
                        schedule::describeSamplersAsMarkdown().c_str(), describeKeysAsMarkdown().c_str());
            return kDone;
        }
        if (table->parsed()) {
            schedule::Request request;
            request.steps = tableSteps;
            request.timesteps = tableTimesteps;
            request.rounding =
                schedule::Rounding::Exact; // a file holds the library's fp32 schedule: see its README
            for (const std::string &option : tableOptions)
                request.options.push_back(schedule::parseOption(option));
            const schedule::Table compiled =
                schedule::compile(schedule::readSchedulerConfig(tableConfig), tableSampler, request);
            std::printf("%s\n", schedule::stepTableJson(compiled).c_str());
            return kDone;
        }
        if (options.directory.empty() || output.empty())
            return say(kUsage, "a checkpoint DIR and -o FILE.mote are needed; see --help");
        if (!eta.empty())
            options.samplerOptions.emplace_back("eta", eta);
        for (const std::string &option : samplerOptions)
            options.samplerOptions.push_back(schedule::parseOption(option));
        for (const std::string &recipe : recipes)
            options.recipes.push_back(parseRecipe(recipe));
        options.keepConstants = false;
        const Conversion conversion = convertCheckpoint(options);
        writeConversion(conversion, output);
        std::fputs(describeConversion(conversion, output).c_str(), stdout);
        return kDone;
    } catch (const ReadError &error) { // ScheduleError is one
        return say(kInput, error.what());
    } catch (const WriteError &error) {
        return say(kOutput, error.what());
    } catch (const std::exception &error) {
        return say(kDefect, text("a defect, please report it: ", error.what()).c_str());
    }
}
