// The whole way from a checkpoint to a model file.
#pragma once

#include "fold/fold.h"
#include "fold/store.h"
#include "schedule/sampler.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mote::convert {

constexpr int64_t kDefaultSteps = 4;

// A recipe by name, of a sampler of its own.
struct RecipeRequest {
    std::string name, sampler;
    int64_t steps = 0;
    schedule::NamedValues options;
};

// "NAME=SAMPLER:STEPS[,option=value...]" of --recipe. Throws ReadError.
RecipeRequest parseRecipe(const std::string &text);

struct ConvertOptions {
    std::string directory;                 // or a file of tensors
    std::string architecture;              // see Source
    std::optional<uint64_t> randomWeights; // a seed
    std::string schedulerConfig;           // empty: the checkpoint's own
    std::vector<RecipeRequest> recipes;    // in the file before those of `steps` and `timesteps`
    std::string sampler = "ddim";          // name or class name; for `steps` and `timesteps`
    std::vector<int64_t> steps;            // one recipe each; with no other recipe: kDefaultSteps
    std::vector<double> timesteps;         // one recipe of exactly these, in this order
    schedule::NamedValues samplerOptions;
    std::string name = "unnamed", version, licence, task, description; // task empty: "restore" or "generate"
    uint32_t statisticsWindow = 0;
    bool keepConstants = true; // in Conversion::network; a file needs the stored ones only
    std::string
        nullClass; // the label that stands for no class, or "none"; empty: the last row of a table of classes
};

struct Conversion {
    Network network; // folded, rounded to what is stored
    Model model;     // complete but for the places of its weights, which the writer chooses
    StoredConstants constants;
    FoldReport report;
    uint64_t checkpointBytes = 0; // of tensors
    double selfCheckSeconds = 0;  // that making the self-check took
};

// Throws ReadError where the input cannot be read or is not supported.
Conversion convertCheckpoint(const ConvertOptions &options);

// The file could not be written.
struct WriteError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void writeConversion(const Conversion &conversion, const std::string &path);

// What was folded, and into what, for a person: a few lines.
std::string describeConversion(const Conversion &conversion, const std::string &path);

} // namespace mote::convert
