#include "description.h"

#include "errors.h"

#include <algorithm>
#include <climits>

#include <unistd.h>

namespace mote::command {
namespace {

using nlohmann::ordered_json;

// Beside the directory of the executable: as installed, and in a build tree.
constexpr const char *kDefaultModels[] = {"share/mote/models/restore.mote", "models/restore.mote"};

PortDescription portOf(const ordered_json &json) {
    PortDescription port;
    port.name = json.at("name").get<std::string>();
    port.kind = json.at("kind").get<std::string>();
    port.source = json.at("source").get<std::string>();
    port.description = json.at("description").get<std::string>();
    port.output = json.at("direction").get<std::string>() == "output";
    // ["N", "3", "H", "W"]; the channels are a number.
    port.channels = static_cast<uint32_t>(std::stoul(json.at("shape").at(1).get<std::string>()));
    if (json.contains("value_range")) {
        port.low = json.at("value_range").at(0).get<float>();
        port.high = json.at("value_range").at(1).get<float>();
    }
    return port;
}

RecipeDescription recipeOf(const ordered_json &json) {
    RecipeDescription recipe;
    recipe.name = json.at("name").get<std::string>();
    recipe.sampler = json.at("sampler").get<std::string>();
    recipe.steps = json.at("steps").get<uint32_t>();
    recipe.timesteps = json.at("timesteps").get<std::vector<double>>();
    recipe.guided = !json.at("guidance").is_null();
    recipe.noiseDraws = json.at("noise_draws").get<uint32_t>();
    recipe.flags = json.at("flags").get<std::vector<std::string>>();
    return recipe;
}

const PortDescription *findPort(const ModelDescription &model, bool output, const std::string &source) {
    for (const PortDescription &port : model.ports)
        if (port.output == output && port.source == source)
            return &port;
    return nullptr;
}

uint32_t channelsOf(const ModelDescription &model, bool output, const std::string &source) {
    const PortDescription *port = findPort(model, output, source);
    if (!port)
        throw CommandError(ExitCode::BadInput,
                           model.name + ": ports: found none with source '" + source + "', expected one");
    return port->channels;
}

} // namespace

std::vector<PortDescription> ModelDescription::inputsOf(const RecipeDescription &recipe) const {
    std::vector<PortDescription> inputs;
    const PortDescription *state = nullptr;
    for (const PortDescription &port : ports) {
        if (!port.output && port.source == "app")
            inputs.push_back(port);
        if (!port.output && port.source == "state")
            state = &port;
    }
    const auto add = [&](const PortDescription &input) {
        if (std::none_of(inputs.begin(), inputs.end(),
                         [&](const PortDescription &other) { return other.name == input.name; }))
            inputs.push_back(input);
    };
    if (recipe.fills() && state != nullptr) {
        PortDescription mask, known = *state;
        mask.name = "mask";
        mask.kind = "image";
        mask.channels = 1;
        mask.low = 0;
        known.name = "known";
        add(mask);
        add(known);
    }
    return inputs;
}

uint32_t ModelDescription::stateChannels() const {
    return channelsOf(*this, false, "state");
}
uint32_t ModelDescription::outputChannels() const {
    return channelsOf(*this, true, "model output");
}

ModelDescription describe(const mote_model *model) {
    ModelDescription result;
    const char *text = mote_model_describe(model);
    try {
        result.json = ordered_json::parse(text ? text : "");
        const ordered_json &json = result.json;
        result.name = json.at("name").get<std::string>();
        result.version = json.at("version").get<std::string>();
        result.licence = json.at("licence").get<std::string>();
        result.task = json.at("task").get<std::string>();
        result.description = json.at("description").get<std::string>();
        result.parameters = json.at("parameters").get<uint64_t>();
        result.weightBytes = json.at("weight_bytes").get<uint64_t>();
        if (!json.at("statistics_window").is_null())
            result.statisticsWindow = json.at("statistics_window").get<uint32_t>();
        if (!json.at("receptive_field").is_null())
            result.receptiveField = json.at("receptive_field").get<uint32_t>();
        for (const ordered_json &graph : json.at("graphs")) {
            result.sizeMultiple = std::max(result.sizeMultiple, graph.at("size_multiple").get<uint32_t>());
            if (const ordered_json &conditioning = graph.at("conditioning"); !conditioning.is_null()) {
                if (conditioning.at("labels").is_null())
                    result.vectorLength = conditioning.at("vector_length").get<uint32_t>();
                else
                    result.labels = conditioning.at("labels").get<uint32_t>();
                if (!conditioning.at("null_class").is_null())
                    result.nullClass = conditioning.at("null_class").get<uint32_t>();
            }
            if (const ordered_json &size = graph.at("size"); !size.is_null()) {
                result.height = size.at(0).get<uint32_t>();
                result.width = size.at(1).get<uint32_t>();
            }
            for (const ordered_json &port : graph.at("ports"))
                result.ports.push_back(portOf(port));
            for (const auto &[kind, count] : graph.at("op_counts").items())
                result.opsByKind[kind] += count.get<uint64_t>();
        }
        for (const ordered_json &recipe : json.at("recipes"))
            result.recipes.push_back(recipeOf(recipe));
    } catch (const std::exception &error) { // a JSON error, or a number that is none
        throw CommandError(ExitCode::RunFailed,
                           std::string("the library's description of the model: ") + error.what());
    }
    return result;
}

bool RecipeDescription::has(const std::string &flag) const {
    return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

const RecipeDescription &chooseRecipe(const ModelDescription &model, const RecipeChoice &choice,
                                      const std::string &path) {
    std::string available;
    for (const RecipeDescription &recipe : model.recipes) {
        const bool named = choice.name.empty() || recipe.name == choice.name;
        const bool counted = choice.steps == 0 || recipe.steps == choice.steps;
        if (named && counted)
            return recipe;
        available += (available.empty() ? "'" : ", '") + recipe.name + "' of " +
                     std::to_string(recipe.steps) + (recipe.steps == 1 ? " step" : " steps");
    }
    std::string wanted = choice.name.empty() ? "" : " '" + choice.name + "'";
    if (choice.steps != 0)
        wanted += " of " + std::to_string(choice.steps) + (choice.steps == 1 ? " step" : " steps");
    throw CommandError(ExitCode::Usage,
                       path + ": recipe: found none" + wanted + ", expected one of: " + available);
}

std::string modelPath(const std::string &given) {
    if (!given.empty())
        return given;
    char executable[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", executable, sizeof executable);
    if (length <= 0 || static_cast<size_t>(length) >= sizeof executable)
        throw CommandError(ExitCode::BadInput,
                           "default model: /proc/self/exe cannot be read; give --model FILE");
    std::string directory(executable, static_cast<size_t>(length));
    for (int levels = 0; levels < 2; ++levels) // the executable's name, then bin
        directory.resize(std::min(directory.find_last_of('/'), directory.size()));
    std::string tried;
    for (const char *model : kDefaultModels) {
        std::string path = directory + "/" + model;
        if (access(path.c_str(), R_OK) == 0)
            return path;
        tried += (tried.empty() ? "" : " and ") + path;
    }
    throw CommandError(ExitCode::BadInput,
                       "default model: tried " + tried + ", found neither; give --model FILE");
}

} // namespace mote::command
