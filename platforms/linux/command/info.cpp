// mote info: what is in a file, without a device.
#include "commands.h"
#include "description.h"
#include "files.h"

#include <cinttypes>
#include <cstdio>

namespace mote::command {
namespace {

using nlohmann::ordered_json;

struct Need {
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    std::string refusal; // why there is no estimate
};

Need needAt(const mote_model *model, const RecipeDescription &recipe, Size size) {
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = size.width;
    desc.height = size.height;
    desc.recipe = recipe.name.c_str();
    Need need;
    if (mote_model_estimate(model, &desc, &need.estimate) != MOTE_OK)
        need.refusal = mote_last_message();
    return need;
}

void printJson(ordered_json json, uint64_t bytes, Size size, const Need &need) {
    json["file_bytes"] = bytes;
    ordered_json memory = {{"width", size.width}, {"height", size.height}};
    if (need.refusal.empty()) {
        const mote_estimate &estimate = need.estimate;
        memory["peak_bytes"] = estimate.peak_bytes;
        memory["weight_bytes"] = estimate.weight_bytes;
        memory["activation_bytes"] = estimate.activation_bytes;
        memory["activation_bound_bytes"] = estimate.activation_bound_bytes;
        memory["image_bytes"] = estimate.image_bytes;
        memory["staging_bytes"] = estimate.staging_bytes;
        memory["operations"] = estimate.operations;
        memory["tile_width"] = estimate.tile_width;
        memory["tile_height"] = estimate.tile_height;
        memory["tile_count"] = estimate.tile_count;
        memory["tile_overlap"] = estimate.tile_overlap;
    } else {
        memory["refused"] = need.refusal;
    }
    json["memory"] = std::move(memory);
    std::printf("%s\n", json.dump(2).c_str());
}

double mebibytes(uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

void printPorts(const ModelDescription &model) {
    for (const PortDescription &port : model.ports) {
        std::printf("%-14s %s (%s from %s), %u channels", port.output ? "output" : "input", port.name.c_str(),
                    port.kind.c_str(), port.source.c_str(), port.channels);
        if (port.kind == "image")
            std::printf(", %g to %g", static_cast<double>(port.low), static_cast<double>(port.high));
        std::printf("%s%s\n", port.description.empty() ? "" : ": ", port.description.c_str());
    }
}

void printRecipes(const ModelDescription &model) {
    for (const RecipeDescription &recipe : model.recipes) {
        std::printf("%-14s %s: %u steps of %s, timesteps", "recipe", recipe.name.c_str(), recipe.steps,
                    recipe.sampler.c_str());
        for (const double timestep : recipe.timesteps)
            std::printf(" %g", timestep);
        std::printf("%s%s", recipe.noiseDraws > 0 ? ", draws noise" : "", recipe.guided ? ", guided" : "");
        for (const std::string &flag : recipe.flags)
            std::printf(", %s", flag.c_str());
        std::printf("\n");
    }
}

void printText(const ModelDescription &model, uint64_t bytes, Size size, const Need &need) {
    std::printf("%-14s %s %s\n", "name", model.name.c_str(), model.version.c_str());
    std::printf("%-14s %s\n", "licence", model.licence.c_str());
    std::printf("%-14s %s\n", "task", model.task.c_str());
    if (!model.description.empty())
        std::printf("%-14s %s\n", "description", model.description.c_str());
    std::printf("%-14s %" PRIu64 " (%.2f MiB of weights, file %.2f MiB)\n", "parameters", model.parameters,
                mebibytes(model.weightBytes), mebibytes(bytes));
    uint64_t ops = 0;
    std::string kinds;
    for (const auto &[kind, count] : model.opsByKind) {
        ops += count;
        if (count > 0)
            kinds += (kinds.empty() ? "" : ", ") + std::to_string(count) + " " + kind;
    }
    std::printf("%-14s %" PRIu64 " (%s)\n", "ops", ops, kinds.c_str());
    printPorts(model);
    if (model.labels > 0)
        std::printf("%-14s 0 to %u%s\n", "classes", model.labels - 1,
                    model.nullClass ? (", " + std::to_string(*model.nullClass) + " for none").c_str() : "");
    if (model.vectorLength > 0)
        std::printf("%-14s vectors of %u numbers\n", "classes", model.vectorLength);
    printRecipes(model);
    if (model.width != 0)
        std::printf("%-14s %ux%u only\n", "sizes", model.width, model.height);
    else
        std::printf("%-14s multiples of %u; other sizes are reflected up and cropped back\n", "sizes",
                    model.sizeMultiple);
    if (model.receptiveField)
        std::printf("%-14s %u pixels to each side\n", "sees", *model.receptiveField);
    else
        std::printf("%-14s the whole image\n", "sees");
    if (model.statisticsWindow > 0)
        std::printf("%-14s learnt over %u x %u pixels\n", "statistics", model.statisticsWindow,
                    model.statisticsWindow);
    if (!need.refusal.empty()) {
        std::printf("%-14s at %ux%u: %s\n", "memory", size.width, size.height, need.refusal.c_str());
        return;
    }
    const mote_estimate &estimate = need.estimate;
    std::printf(
        "%-14s at %ux%u: %.1f MiB (weights %.1f, activations %.1f of which %.1f at once, images %.1f, "
        "staging %.1f)\n",
        "memory", size.width, size.height, mebibytes(estimate.peak_bytes), mebibytes(estimate.weight_bytes),
        mebibytes(estimate.activation_bytes), mebibytes(estimate.activation_bound_bytes),
        mebibytes(estimate.image_bytes), mebibytes(estimate.staging_bytes));
    std::printf("%-14s at %ux%u: %.3g operations with recipe %s\n", "work", size.width, size.height,
                static_cast<double>(estimate.operations), model.recipes.front().name.c_str());
}

} // namespace

void runInfo(const InfoOptions &options) {
    const uint64_t bytes = fileBytes(options.file);
    const ModelHandle handle = openModel(nullptr, options.file);
    const ModelDescription model = describe(handle.get());
    const RecipeDescription &recipe = chooseRecipe(model, {}, options.file);
    auto size = options.size;
    if (model.width != 0) {
        size.width = model.width;
        size.height = model.height;
    }
    const Need need = needAt(handle.get(), recipe, size);
    if (options.json)
        printJson(model.json, bytes, size, need);
    else
        printText(model, bytes, size, need);
}

} // namespace mote::command
