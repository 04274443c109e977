// Where a network comes from: a checkpoint in one of the layouts that the converter knows, or a configuration
// that is filled with random weights.
#pragma once

#include "lower/simple_unet.h"
#include "read/checkpoint.h"
#include "schedule/settings.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mote::convert {

class Source {
public:
    // `path`: a folder, or a file of tensors. `architecture`: "unet2d" (a folder in diffusers layout),
    // "simple_unet" (a folder with simpleunet.json), the path of a description that ends in ".json", or
    // empty: what the folder holds. With a seed no weights are read; see random_weights.h. Throws ReadError.
    Source(const std::string &path, const std::string &architecture, std::optional<uint64_t> randomWeights);
    ~Source();

    const std::string &kind() const { return kind_; } // "UNet2DModel", "SimpleUNet", a description's name
    uint64_t bytes() const { return bytes_; }         // of the tensors, once lowered
    const UNetConfig *unet() const { return unet_ ? &*unet_ : nullptr; }
    std::string timeEmbedding() const;             // the file, and its field that says how time is embedded
    void readVariance(bool bySchedule, bool used); // see readVariance of UNetConfig
    schedule::SchedulerConfig scheduler() const;   // the checkpoint's own; throws ReadError where it has none

    // Every tensor of the checkpoint is used. The unfolded network.
    Network lower();

private:
    void openFolder(const std::string &folder);
    void openSimpleUNet(const std::string &folder);
    void openDescription(const std::string &path);
    Network lowerFrom(const TensorSource &tensors) const; // where the configuration says everything

    std::string path_, kind_;
    std::optional<uint64_t> randomWeights_;
    std::optional<UNetConfig> unet_;
    std::optional<Checkpoint> checkpoint_; // of unet_, unless its weights are random
    std::optional<SimpleUNetConfig> simple_;
    nlohmann::json description_;                              // null: none
    std::string descriptionPath_, scheduler_, schedulerFrom_; // JSON text, and the file that has it
    std::optional<Weights> weights_;
    uint64_t bytes_ = 0;
};

} // namespace mote::convert
