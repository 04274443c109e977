#include "random_networks.h"

#include "random_unet.h"
#include "read/error.h"

#include <stdexcept>
#include <tuple>

namespace mote::convert {

namespace {

using nlohmann::json;

// Not a distribution of the standard library: those differ from one to the next.
uint32_t below(std::mt19937 &generator, size_t count) {
    return static_cast<uint32_t>(generator() % count);
}

template <typename T> const T &oneOf(std::mt19937 &generator, const std::vector<T> &values) {
    return values[below(generator, values.size())];
}

const std::vector<std::string> kDown = {"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"},
                               kUp = {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"},
                               kSkipDown = {"SkipDownBlock2D", "AttnSkipDownBlock2D"},
                               kSkipUp = {"SkipUpBlock2D", "AttnSkipUpBlock2D"};

// Skip blocks come first on the way down and last on the way up; `skips`: how many.
json drawnBlocks(std::mt19937 &generator, size_t levels, bool down, size_t skips) {
    json blocks = json::array();
    for (size_t level = 0; level < levels; ++level) {
        const bool skip = down ? level < skips : level >= levels - skips;
        blocks.push_back(oneOf(generator, skip ? (down ? kSkipDown : kSkipUp) : (down ? kDown : kUp)));
    }
    return blocks;
}

json drawn(std::mt19937 &generator) {
    json config = json::object();
    for (const KeyValues &key : drawnKeys())
        config[key.key] = below(generator, 2) == 0 ? key.values[0] : oneOf(generator, key.values);
    const bool skips = below(generator, 4) == 0;
    const std::vector<json> plain = {{8, 12},  {8},         {12, 24},       {15, 30},
                                     {20, 10}, {12, 8, 16}, {16, 8, 8, 12}, {40, 8}},
                            wide = {{32}, {32, 64}, {32, 32, 32}, {64, 32}};
    const json channels = oneOf(generator, skips ? wide : plain);
    config["block_out_channels"] = channels;
    const size_t levels = channels.size();
    const auto skipCount = [&] {
        return !skips ? 0 : below(generator, 2) == 0 ? levels : below(generator, levels + 1);
    };
    config["down_block_types"] = drawnBlocks(generator, levels, true, skipCount());
    config["up_block_types"] = drawnBlocks(generator, levels, false, skipCount());
    const std::vector<std::pair<uint32_t, uint32_t>> ports = {{3, 3}, {6, 3}, {5, 3}, {3, 6}, {1, 1}, {2, 4}};
    std::tie(config["in_channels"], config["out_channels"]) = skips ? ports[0] : oneOf(generator, ports);
    if (config["time_embedding_type"] == "learned")
        config["num_train_timesteps"] = 1000;
    return config;
}

} // namespace

const std::vector<KeyValues> &drawnKeys() {
    static const std::vector<KeyValues> all = {
        {"sample_size", {nullptr, 16, {12, 20}}},
        {"center_input_sample", {false, true}},
        {"time_embedding_type", {"positional", "fourier", "learned"}},
        {"flip_sin_to_cos", {true, false}},
        {"freq_shift", {0, 1, 0.5}},
        {"layers_per_block", {1, 2}},
        {"mid_block_scale_factor", {1, 1.4142135623730951, 0.5}},
        {"add_attention", {true, false}},
        {"attention_head_dim", {8, nullptr, 1, 3, 4, 5, 16}},
        {"attn_norm_num_groups", {nullptr, 1, 2, 4}},
        {"downsample_padding", {1, 0}},
        {"downsample_type", {"conv", "resnet"}},
        {"upsample_type", {"conv", "resnet"}},
        {"act_fn", {"silu", "swish", "SiLU", "mish", "gelu", "relu"}},
        {"norm_num_groups", {4, 1, 2, 3, 5, nullptr}},
        {"norm_eps", {1e-5, 1e-6, 0.1}},
        {"resnet_time_scale_shift", {"default", "scale_shift"}},
        {"class_embed_type", {nullptr, "timestep", "identity"}},
        {"num_class_embeds", {nullptr, 5}},
        {"dropout", {0, 0.1}},
    };
    return all;
}

json randomConfig(uint32_t seed) {
    std::mt19937 generator(seed);
    for (int attempt = 0; attempt < 1000; ++attempt) {
        const json config = drawn(generator);
        try {
            RandomTensors tensors;
            lowerUNet(parseUNetConfig(json::parse(config.dump()), "config"), tensors.source());
            return config;
        } catch (const ReadError &) { // groups that do not divide the channels, and the like
        }
    }
    throw std::logic_error("no configuration of a thousand converts");
}

} // namespace mote::convert
