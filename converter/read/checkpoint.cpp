#include "read/checkpoint.h"

#include "read/text.h"

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

} // namespace

UNetConfig readUNetConfig(const std::string &directory) {
    checkDirectory(directory);
    checkModelIndex(directory);
    const std::string path = directory + "/unet/config.json";
    return parseUNetConfig(parseJson(readTextFile(path), path), path);
}

namespace {

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

// Fourier frequencies stand under one name or, in files that kept shared tensors, under two.
constexpr const char *kFrequencies = "time_proj.weight", *kFrequenciesAgain = "time_proj.W";

// The first of the names under which diffusers saves a UNet's weights, in the order in which it looks for
// them.
std::string weightsPath(const std::string &directory) {
    static constexpr const char *kNames[] = {
        "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json"};
    std::string all;
    for (const char *name : kNames) {
        std::string path = text(directory, "/unet/", name);
        struct stat status = {};
        if (stat(path.c_str(), &status) == 0)
            return path;
        all += text(all.empty() ? "" : ", ", name);
    }
    throw ReadError(text(directory, "/unet: has no weights, expected one of ", all));
}

} // namespace

Checkpoint::Checkpoint(const std::string &directory)
    : directory_(directory), unet_(readUNetConfig(directory)), weights_(weightsPath(directory)),
      taker_(weights_, "unet/config.json") {}

void readVariance(UNetConfig &config, bool bySchedule, bool used) {
    const uint32_t in = config.inChannels, out = config.outChannels;
    if (bySchedule && (out % 2 != 0 || in < out / 2))
        throw ReadError(text("unet/config.json: out_channels is ", out, " and in_channels ", in,
                             ", expected twice the state's channels, because the scheduler's variance_type "
                             "is learned"));
    if (bySchedule || out == 2 * in)
        config.variance = used ? UNetConfig::Variance::Used : UNetConfig::Variance::Unused;
}

std::vector<float> Checkpoint::take(const std::string &name, const std::vector<uint64_t> &shape) {
    std::string found = name;
    if (weights_.find(name) == nullptr) {
        const std::string old = name == kFrequencies ? kFrequenciesAgain : oldAttentionName(name);
        if (!old.empty() && weights_.find(old) != nullptr)
            found = old;
    }
    std::vector<float> values = taker_.take(found, shape);
    if (found == kFrequencies && weights_.find(kFrequenciesAgain) != nullptr &&
        taker_.take(kFrequenciesAgain, shape) != values)
        throw ReadError(text(weights_.path(), ": tensors \"", kFrequencies, "\" and \"", kFrequenciesAgain,
                             "\" differ, expected the same frequencies in both"));
    return values;
}

} // namespace mote::convert
