// A checkpoint on disk that a test may damage: a small UNet with random weights in a temporary folder.
#pragma once

#include "random_unet.h"
#include "support/scratch_folder.h"

#include <functional>
#include <string>

namespace mote::convert {

class CheckpointFolder {
public:
    // `rename`: what a tensor is called in the file.
    explicit CheckpointFolder(const nlohmann::json &config = smallConfig(),
                              const std::function<std::string(const std::string &)> &rename = {});

    const std::string &path() const { return folder_.path(); }
    std::string file(const char *name) const { return folder_.at(name); }
    static constexpr const char *kIndex = "model_index.json";
    static constexpr const char *kConfig = "unet/config.json";
    static constexpr const char *kScheduler = "scheduler/scheduler_config.json";
    static constexpr const char *kWeights = "unet/diffusion_pytorch_model.safetensors";

    std::string read(const char *name) const;
    void write(const char *name, const std::string &content) const;
    // Changes one file as JSON.
    void edit(const char *name, const std::function<void(nlohmann::json &)> &change) const;
    // Changes the safetensors header; its length is written anew, the data stay.
    void editHeader(const std::function<void(nlohmann::json &)> &change) const;
    // Replaces the header by this text.
    void replaceHeader(const std::string &header) const;

private:
    test::ScratchFolder folder_;
};

std::string fileContent(const std::string &path);
void writeFile(const std::string &path, const std::string &content);

} // namespace mote::convert
