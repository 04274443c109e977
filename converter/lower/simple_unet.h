// SimpleUNet, the UNet of a widely copied PyTorch tutorial: two levels, one residual block each, the time
// vector added as it is (no SiLU before its projection), the pooling and the upsampling between the blocks. A
// checkpoint is a state dict and a small JSON file of hyper-parameters.
#pragma once

#include "lower/builder.h"

#include <string>

namespace mote::convert {

struct SimpleUNetConfig {
    uint32_t inChannels = 3, outChannels = 3; // more in than out: the state, then a condition
    uint32_t channels = 32;                   // of the finest level; 2 and 4 times as many inside
    uint32_t timeChannels = 256;
    uint32_t normGroups = 8;
    double normEps = 1e-5;
    std::string weights;   // file of tensors, beside the JSON
    std::string scheduler; // a scheduler_config.json's text
};

constexpr const char *kSimpleUNetFile = "simpleunet.json";

// Throws ReadError; `where` begins every message.
SimpleUNetConfig parseSimpleUNetConfig(const nlohmann::json &config, const std::string &where);

Network lowerSimpleUNet(const SimpleUNetConfig &config, const TensorSource &tensors);

} // namespace mote::convert
