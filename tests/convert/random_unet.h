// Small UNets with random weights, made from a configuration alone.
#pragma once

#include "lower/unet.h"
#include "reference/reference.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace mote::convert {

// Normal weights scaled by 1/sqrt(inputs) as a trained network's are, norms' weights around 1; every tensor
// that was asked for is remembered.
struct RandomTensors {
    std::mt19937 generator{20240117};
    std::map<std::string, std::pair<std::vector<uint64_t>, std::vector<float>>> given;

    TensorSource source() {
        return [this](const std::string &name, const std::vector<uint64_t> &shape) {
            uint64_t count = 1, inputs = 1;
            for (size_t i = 0; i < shape.size(); ++i) {
                count *= shape[i];
                if (i > 0)
                    inputs *= shape[i];
            }
            const bool norm = shape.size() == 1 && name.ends_with(".weight");
            std::normal_distribution<float> normal(norm ? 1.0f : 0.0f,
                                                   shape.size() == 1 ? 0.2f : 1 / std::sqrt(float(inputs)));
            std::vector<float> values(count);
            for (float &value : values)
                value = normal(generator);
            given[name] = {shape, values};
            return values;
        };
    }
};

inline nlohmann::json smallConfig() {
    return {{"in_channels", 3},
            {"out_channels", 3},
            {"block_out_channels", {8, 12}},
            {"down_block_types", {"DownBlock2D", "AttnDownBlock2D"}},
            {"up_block_types", {"AttnUpBlock2D", "UpBlock2D"}},
            {"layers_per_block", 1},
            {"attention_head_dim", 4},
            {"norm_num_groups", 4}};
}

// Without attention: an output pixel depends on a window, and tiles can be made.
inline nlohmann::json plainConfig(uint32_t inputs = 3, uint32_t outputs = 3) {
    nlohmann::json config = smallConfig();
    config["in_channels"] = inputs;
    config["out_channels"] = outputs;
    config["down_block_types"] = {"DownBlock2D", "DownBlock2D"};
    config["up_block_types"] = {"UpBlock2D", "UpBlock2D"};
    config["add_attention"] = false;
    return config;
}

template <typename T>
reference::Array<T> randomArray(uint32_t n, uint32_t c, uint32_t h, uint32_t w, uint32_t seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<double> normal;
    reference::Array<T> array(n, c, h, w);
    for (T &value : array.values)
        value = T(normal(generator));
    return array;
}

} // namespace mote::convert
