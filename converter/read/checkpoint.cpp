#include "read/checkpoint.h"

#include "read/text.h"

#include <cmath>
#include <sys/stat.h>

namespace mote::convert {

namespace {

using nlohmann::json;

void checkDirectory(const std::string &directory) {
    struct stat status = {};
    if (stat(directory.c_str(), &status) != 0)
        throw ReadError(
            text(directory, ": not found, expected a folder with model_index.json, unet and scheduler"));
    if (!S_ISDIR(status.st_mode))
        throw ReadError(
            text(directory, ": not a folder, expected one with model_index.json, unet and scheduler"));
}

// Components beyond a UNet and a scheduler (a VAE, a text encoder) would be left out silently: refused by
// name.
void checkModelIndex(const std::string &directory) {
    const std::string path = directory + "/model_index.json";
    const json index = parseJson(readTextFile(path), path);
    if (!index.is_object())
        throw ReadError(text(path, ": found ", shownJson(index), ", expected an object"));
    for (const auto &[key, value] : index.items()) {
        if (key.starts_with("_"))
            continue;
        const std::string where = text(path, ": component ", shownJson(json(key)));
        if (!value.is_array() || value.size() != 2)
            throw ReadError(text(where, " is ", shownJson(value), ", expected [library, class]"));
        if (value[0].is_null() && value[1].is_null())
            continue; // an optional component that is not there
        if (key != "unet" && key != "scheduler")
            throw ReadError(
                text(where, " (", shownJson(value[1]), ") is not supported; unet and scheduler are"));
        if (key == "unet" && value[1] != "UNet2DModel")
            throw ReadError(text(where, " is a ", shownJson(value[1]), ", supported: \"UNet2DModel\""));
    }
    if (!index.contains("unet"))
        throw ReadError(text(path, ": component \"unet\" is missing"));
}

UNetConfig readUNetConfig(const std::string &directory) {
    checkDirectory(directory);
    checkModelIndex(directory);
    const std::string path = directory + "/unet/config.json";
    return parseUNetConfig(parseJson(readTextFile(path), path), path);
}

// The name under which checkpoints from before diffusers' renaming hold an attention tensor, or "".
std::string oldAttentionName(const std::string &name) {
    static constexpr const char *kRenamed[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
    if (name.find(".attentions.") == std::string::npos)
        return {};
    for (const auto &[now, before] : kRenamed)
        if (const size_t at = name.rfind(now); at != std::string::npos)
            return name.substr(0, at) + before + name.substr(at + std::string_view(now).size());
    return {};
}

std::string shapeText(const std::vector<uint64_t> &shape) {
    std::string all = "[";
    for (size_t i = 0; i < shape.size(); ++i)
        all += i == 0 ? text(shape[i]) : text(", ", shape[i]);
    return all + "]";
}

} // namespace

Checkpoint::Checkpoint(const std::string &directory)
    : directory_(directory), unet_(readUNetConfig(directory)),
      weights_(directory + "/unet/diffusion_pytorch_model.safetensors") {}

std::vector<float> Checkpoint::take(const std::string &name, const std::vector<uint64_t> &shape) {
    const SafetensorsEntry *entry = weights_.find(name);
    if (entry == nullptr)
        if (const std::string old = oldAttentionName(name); !old.empty())
            entry = weights_.find(old);
    if (entry == nullptr)
        throw ReadError(text(weights_.path(), ": tensor \"", name, "\" of shape ", shapeText(shape),
                             " is missing; unet/config.json asks for it"));
    if (entry->shape != shape)
        throw ReadError(text(weights_.path(), ": tensor \"", entry->name, "\" has shape ",
                             shapeText(entry->shape), ", unet/config.json asks for ", shapeText(shape)));
    std::vector<float> values = weights_.readFloats(*entry);
    for (size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]))
            throw ReadError(text(weights_.path(), ": tensor \"", entry->name, "\" element ", i, " is ",
                                 std::isnan(values[i]) ? "NaN" : "infinite", ", expected a finite number"));
    taken_.insert(entry->name);
    return values;
}

void Checkpoint::expectAllTaken() const {
    for (const SafetensorsEntry &entry : weights_.entries())
        if (!taken_.contains(entry.name))
            throw ReadError(text(weights_.path(), ": tensor \"", entry.name, "\" of shape ",
                                 shapeText(entry.shape),
                                 " is not used by the model that unet/config.json describes"));
}

} // namespace mote::convert
