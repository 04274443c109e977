#include "checkpoint_folder.h"

#include "read/safetensors.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace mote::convert {

using nlohmann::json;

std::string fileContent(const std::string &path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream)
        throw std::runtime_error(path + " cannot be read");
    std::ostringstream content;
    content << stream.rdbuf();
    return content.str();
}

void writeFile(const std::string &path, const std::string &content) {
    std::ofstream stream(path, std::ios::binary | std::ios::trunc);
    stream << content;
    if (!stream.flush())
        throw std::runtime_error(path + " cannot be written");
}

CheckpointFolder::CheckpointFolder(const json &config,
                                   const std::function<std::string(const std::string &)> &rename) {
    std::filesystem::create_directories(folder_.at("unet"));
    std::filesystem::create_directories(folder_.at("scheduler"));
    write(kIndex, R"({"_class_name": "DDIMPipeline", "scheduler": ["diffusers", "DDIMScheduler"],
                      "unet": ["diffusers", "UNet2DModel"]})");
    write(kConfig, config.dump());
    write(kScheduler, R"({"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 0.0001,
                          "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "sample",
                          "timestep_spacing": "trailing", "clip_sample": true})");
    RandomTensors tensors;
    lowerUNet(parseUNetConfig(json::parse(config.dump()), "config"), tensors.source());
    std::vector<TensorToWrite> all;
    for (const auto &[name, tensor] : tensors.given)
        all.push_back({rename ? rename(name) : name, tensor.first, tensor.second});
    writeSafetensors(file(kWeights), all);
}

std::string CheckpointFolder::read(const char *name) const {
    return fileContent(file(name));
}

void CheckpointFolder::write(const char *name, const std::string &content) const {
    writeFile(file(name), content);
}

void CheckpointFolder::edit(const char *name, const std::function<void(json &)> &change) const {
    json value = json::parse(read(name));
    change(value);
    write(name, value.dump());
}

namespace {

size_t headerBytes(const std::string &content) {
    size_t bytes = 0;
    for (size_t i = 8; i-- > 0;)
        bytes = bytes << 8 | static_cast<uint8_t>(content[i]);
    return bytes;
}

} // namespace

void CheckpointFolder::replaceHeader(const std::string &header) const {
    const std::string before = read(kWeights);
    std::string after;
    for (size_t i = 0; i < 8; ++i)
        after += static_cast<char>(header.size() >> (8 * i));
    write(kWeights, after + header + before.substr(8 + headerBytes(before)));
}

void CheckpointFolder::editHeader(const std::function<void(json &)> &change) const {
    const std::string before = read(kWeights);
    json header = json::parse(before.substr(8, headerBytes(before)));
    change(header);
    replaceHeader(header.dump());
}

} // namespace mote::convert
