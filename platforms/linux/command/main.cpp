// The `mote` command: options, and how it ends.
#include "commands.h"

#include <charconv>
#include <cstdio>
#include <exception>
#include <map>
#include <new>

#include <CLI/CLI.hpp>

namespace mote::command {

Size parseSize(const std::string &text, const std::string &option) {
    Size size;
    const char *end = text.data() + text.size();
    const auto [cross, widthError] = std::from_chars(text.data(), end, size.width);
    if (widthError == std::errc() && cross != end && *cross == 'x') {
        const auto [stop, heightError] = std::from_chars(cross + 1, end, size.height);
        if (heightError == std::errc() && stop == end && size.width > 0 && size.height > 0)
            return size;
    }
    throw CommandError(ExitCode::Usage,
                       option + ": found '" + text + "', expected WIDTHxHEIGHT, for example 640x480");
}

namespace {

const char *const kFooter = R"(Exit codes:
  0  done
  1  the run failed (non-finite values, a defect in Mote)
  2  wrong options, or a wish that the model cannot fulfil
  3  an input file is missing, damaged, of the wrong kind, or more than this device can do
  4  no Vulkan, no such device, or the device was lost
  5  the memory, or the budget given, does not suffice
  6  the self-check or a repeated run gave wrong results
  7  the output cannot be written
130  cancelled by Ctrl-C (143: terminated)

Environment: compiled pipelines and what --tune found are kept in $XDG_CACHE_HOME/mote, else in ~/.cache/mote.)";

void addDevice(CLI::App *command, DeviceOptions &options) {
    command->add_option("--device", options.device,
                        "number or part of the name of a device of 'mote devices'; default: the best");
    command->add_flag_callback(
        "--no-cache", [&options] { options.useCache = false; },
        "neither read nor write compiled pipelines and tuned kernels on disk");
}

void addSize(CLI::App *command, const char *name, Size &size, const std::string &help) {
    command
        ->add_option_function<std::string>(
            name, [name, &size](const std::string &text) { size = parseSize(text, name); }, help)
        ->type_name("WxH");
}

// CLI11 reads "-1" as the largest number and "1e3" as one; this does not.
template <typename Integer>
void addNumber(CLI::App *command, const std::string &name, Integer &number, Integer least, Integer most,
               const std::string &help) {
    const auto parse = [name, &number, least, most](const std::string &text) {
        const char *end = text.data() + text.size();
        Integer value = 0;
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        if (error != std::errc() || stop != end || value < least || value > most)
            throw CommandError(ExitCode::Usage, name + ": found '" + text +
                                                    "', expected a whole number from " +
                                                    std::to_string(least) + " to " + std::to_string(most));
        number = value;
    };
    command->add_option_function<std::string>(name, parse, help)->type_name("N");
}

void addTune(CLI::App *command, bool &tune) {
    command->add_flag("--tune", tune,
                      "find the fastest kernels for this size on this device: up to twenty seconds, once");
}

void addRecipe(CLI::App *command, RecipeChoice &recipe) {
    addNumber(command, "--steps", recipe.steps, 1u, 1'000'000u,
              "the recipe of so many steps, as the file has it; default: its first");
    command->add_option("--recipe", recipe.name, "the recipe of this name; 'mote info' lists them")
        ->type_name("NAME");
}

void addNoise(CLI::App *command, Noise &noise) {
    addNumber(command, "--seed", noise.seed, uint64_t{0}, UINT64_MAX,
              "of everything that is drawn; the same on every device; default 0");
    addNumber(command, "--other-seed", noise.otherSeed, uint64_t{0}, UINT64_MAX,
              "a second one, for --mix; default 0");
    command->add_option("--mix", noise.mix, "from --seed (0) to --other-seed (1), along a circle; default 0")
        ->type_name("0..1")
        ->check(CLI::Range(0.0f, 1.0f));
    const std::map<std::string, mote_noise_source> sources = {{"philox", MOTE_NOISE_PHILOX},
                                                              {"torch", MOTE_NOISE_TORCH}};
    command
        ->add_option(
            "--noise", noise.source,
            "philox: drawn by pixel, the default; torch: what PyTorch's CPU generator gives for the seed")
        ->transform(CLI::CheckedTransformer(sources))
        ->type_name("SOURCE");
}

// One subcommand with its options and what it does.
void addSubcommands(CLI::App &app, Interrupts &interrupts) {
    app.add_subcommand("devices", "List the devices to run on")->callback([] { runDevices(); });

    auto *info = app.add_subcommand("info", "Say what is in a model file");
    auto infoOptions = std::make_shared<InfoOptions>();
    info->add_option("FILE", infoOptions->file, "model file")->required();
    info->add_flag("--json", infoOptions->json, "for a program");
    addSize(info, "--size", infoOptions->size, "image size for the memory needed; default 512x512");
    info->callback([infoOptions] { runInfo(*infoOptions); });

    auto *check = app.add_subcommand("check", "Play a model's self-check on a device");
    auto checkOptions = std::make_shared<CheckOptions>();
    check->add_option("MODEL", checkOptions->model, "model file")->required();
    check->add_flag("--layers", checkOptions->layers, "the error of every op as a fraction of its tolerance");
    addNumber(check, "--repeat", checkOptions->repeat, 2u, 1'000'000u, "run N times and compare bit by bit");
    addDevice(check, checkOptions->device);
    check->callback([checkOptions, &interrupts] { runCheck(*checkOptions, interrupts); });

    auto *restore = app.add_subcommand("restore", "Restore a photo");
    auto restoreOptions = std::make_shared<RestoreOptions>();
    restore->add_option("IN", restoreOptions->input, "PNG or JPEG")->required();
    restore->add_option("-o,--output", restoreOptions->output, ".png, .jpg or .jpeg")->required();
    restore->add_option("--model", restoreOptions->model,
                        "model file; default: the one that comes with mote");
    restore->add_option("--mask", restoreOptions->mask,
                        "PNG or JPEG, white where the photo is to be filled; for models that fill");
    restore
        ->add_option("--preview", restoreOptions->preview, "write the estimate after step N to PREFIX-N.png")
        ->type_name("PREFIX");
    addRecipe(restore, restoreOptions->recipe);
    addNoise(restore, restoreOptions->noise);
    addNumber(restore, "--memory-budget", restoreOptions->memoryBudgetMegabytes, uint64_t{1},
              uint64_t{1} << 40, "megabytes of device memory to stay within; larger photos are tiled");
    addSize(restore, "--tile", restoreOptions->tile, "tile size; default: as large as memory allows");
    addTune(restore, restoreOptions->tune);
    addDevice(restore, restoreOptions->device);
    restore->callback([restoreOptions, &interrupts] { runRestore(*restoreOptions, interrupts); });

    auto *generate = app.add_subcommand("generate", "Make an image from noise");
    auto generateOptions = std::make_shared<GenerateOptions>();
    generate->add_option("-o,--output", generateOptions->output, ".png, .jpg or .jpeg")->required();
    addNoise(generate, generateOptions->noise);
    generate->get_option("--seed")->required();
    generate->add_option("--model", generateOptions->model,
                         "model file; default: the one that comes with mote");
    addSize(generate, "--size", generateOptions->size, "image size; default: what the model was trained at");
    addNumber(
        generate, "--count", generateOptions->count, 1u, 4096u,
        "images in one run, written as NAME-0.png, NAME-1.png, ...; image i is that of the seed plus i");
    generate
        ->add_option("--class", generateOptions->classes,
                     "of models with classes: one for all images, or one for each")
        ->delimiter(',')
        ->type_name("LABEL,...");
    generate
        ->add_option("--guidance", generateOptions->guidance,
                     "how much more of the class than of none; default: as the recipe has it")
        ->type_name("SCALE");
    generate
        ->add_option("--preview", generateOptions->preview, "write the estimate after step N to PREFIX-N.png")
        ->type_name("PREFIX");
    addRecipe(generate, generateOptions->recipe);
    addTune(generate, generateOptions->tune);
    addDevice(generate, generateOptions->device);
    generate->callback([generateOptions, &interrupts] { runGenerate(*generateOptions, interrupts); });

    const auto addTensors = [&app](const char *name, const char *help) {
        auto *command = app.add_subcommand(name, help);
        auto options = std::make_shared<TensorOptions>();
        command->add_option("MODEL", options->model, "model file")->required();
        command
            ->add_option(
                "--tensors", options->input,
                "safetensors: x_start, step_noise, inputs by name, class_labels, guidance (of a "
                "recipe with a\nknown region also mask and known); the batch leads, behind the steps "
                "of step_noise")
            ->required();
        command->add_option("-o,--output", options->output, "safetensors")->required();
        addRecipe(command, options->recipe);
        addDevice(command, options->device);
        return std::pair(command, options);
    };
    const auto [run, runOptions] = addTensors("run", "Run a model from tensors to tensors");
    addNoise(run, runOptions->noise);
    run->add_flag("--trace", runOptions->trace, "write every state (x) and every model_output, too");
    run->callback([options = runOptions, &interrupts] { runTensors(*options, interrupts); });
    const auto [eval, evalOptions] = addTensors("eval", "One forward pass of x_start at each timestep");
    eval->callback([options = evalOptions] { evaluateTensors(*options); });

    auto *bench = app.add_subcommand("bench", "Measure times and memory");
    auto benchOptions = std::make_shared<BenchOptions>();
    bench->add_option("MODEL", benchOptions->model, "model file")->required();
    addSize(bench, "--size", benchOptions->size, "image size");
    bench->get_option("--size")->required();
    addRecipe(bench, benchOptions->recipe);
    addNumber(bench, "--runs", benchOptions->runs, 1u, 100'000u, "images after the first; default 5");
    bench->add_flag("--tune", benchOptions->tune, "once more with the kernels that are fastest here");
    bench->add_flag("--json", benchOptions->json, "for a program");
    addDevice(bench, benchOptions->device);
    bench->callback([benchOptions, &interrupts] { runBench(*benchOptions, interrupts); });
}

int fail(ExitCode code, std::string message) {
    // Names from a hostile file must not command the terminal.
    for (char &c : message)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = '?';
    std::fprintf(stderr, "mote: %s\n", message.c_str());
    return static_cast<int>(code);
}

int run(int argumentCount, char **arguments) {
    Interrupts interrupts;
    CLI::App app("Few-step diffusion models on the GPU, through Vulkan.", "mote");
    app.set_version_flag("--version", std::string("mote ") + mote_version_string());
    app.require_subcommand(1);
    app.footer(kFooter);
    addSubcommands(app, interrupts);
    try {
        app.parse(argumentCount, arguments);
    } catch (const CLI::ParseError &error) {
        if (app.exit(error) != 0)
            return static_cast<int>(ExitCode::Usage);
    }
    // Standard output may be a full disk or a closed pipe.
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        return fail(ExitCode::Output, "standard output: cannot write");
    return 0;
}

} // namespace
} // namespace mote::command

int main(int argumentCount, char **arguments) {
    using namespace mote::command;
    try {
        return run(argumentCount, arguments);
    } catch (const CommandError &error) {
        return fail(error.code, error.what());
    } catch (const std::bad_alloc &) {
        return fail(ExitCode::Memory, "out of memory");
    } catch (const std::exception &error) {
        return fail(ExitCode::RunFailed, error.what());
    }
}
