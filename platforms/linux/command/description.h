// What a model says of itself: mote_model_describe's JSON as plain values, and the questions that the
// subcommands ask of it.
#pragma once

#include <mote/mote.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace mote::command {

struct PortDescription {
    std::string name, kind, source, description; // kind "image", "tensor", ...; source "app", "state", ...
    bool output = false;
    uint32_t channels = 0;
    float low = -1, high = 1; // of images: what 0 and 255 become
};

struct RecipeDescription {
    std::string name, sampler;
    uint32_t steps = 0;
    std::vector<double> timesteps;  // one per forward pass
    bool guided = false;            // a scale of guidance can be given
    uint32_t noiseDraws = 0;        // normals per element that its steps draw
    std::vector<std::string> flags; // "known region", ...: what its rows do that depends on data

    bool has(const std::string &flag) const;
    bool fills() const { return has("known region"); } // what a mask leaves open
};

// Which recipe of a file.
struct RecipeChoice {
    std::string name;   // empty: by steps
    uint32_t steps = 0; // 0: by name, or the first
};

struct ModelDescription {
    nlohmann::ordered_json json; // the whole text
    std::string name, version, licence, task, description;
    uint64_t parameters = 0, weightBytes = 0;
    std::map<std::string, uint64_t> opsByKind;
    uint32_t sizeMultiple = 1, statisticsWindow = 0;
    uint32_t height = 0, width = 0;         // of a model that runs at one size only, or zeros
    std::optional<uint32_t> receptiveField; // pixels to each side; none: the whole image
    // Of models with classes: how many labels there are and which stands for none, or the length of vectors.
    uint32_t labels = 0, vectorLength = 0;
    std::optional<uint32_t> nullClass;
    std::vector<PortDescription> ports;
    std::vector<RecipeDescription> recipes;

    bool hasClasses() const { return labels != 0 || vectorLength != 0; }
    // What the app gives: the model's ports, and of a recipe with a known region "mask" and "known".
    std::vector<PortDescription> inputsOf(const RecipeDescription &recipe) const;
    // The state's channels and the model output's.
    uint32_t stateChannels() const, outputChannels() const;
};

ModelDescription describe(const mote_model *model);

// Throws CommandError (Usage) with the list of those there are.
const RecipeDescription &chooseRecipe(const ModelDescription &model, const RecipeChoice &choice,
                                      const std::string &path);

// The given path, or, if that is empty, the model that comes with the command: ../share/mote/models beside
// the executable's directory where it is installed, ../models in a build tree. Throws CommandError (BadInput)
// with the places tried.
std::string modelPath(const std::string &given);

} // namespace mote::command
