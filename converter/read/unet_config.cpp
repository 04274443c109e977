#include "read/checkpoint.h"

#include "read/text.h"

#include <cmath>

namespace mote::convert {

namespace {

using nlohmann::json;

// Reads one key after another and remembers which: what is left over at the end is refused.
class Fields {
public:
    Fields(const json &object, const std::string &where) : object_(object), where_(where) {
        if (!object.is_object())
            throw ReadError(text(where, ": found ", shownJson(object), ", expected an object"));
    }

    [[noreturn]] void refuse(const char *key, const std::string &expected) const {
        const json *value = find(key);
        throw ReadError(text(where_, ": key \"", key, "\" is ",
                             value != nullptr ? shownJson(*value) : "absent", ", supported: ", expected));
    }

    uint32_t count(const char *key, uint32_t fallback, uint32_t low, uint32_t high) {
        const json *value = take(key);
        return value == nullptr ? fallback : countOf(key, *value, low, high);
    }

    std::optional<uint32_t> optionalCount(const char *key, std::optional<uint32_t> fallback, uint32_t low,
                                          uint32_t high) {
        const json *value = take(key);
        if (value == nullptr)
            return fallback;
        if (value->is_null())
            return std::nullopt;
        return countOf(key, *value, low, high);
    }

    double number(const char *key, double fallback, double low, double high, const char *expected) {
        const json *value = take(key);
        if (value == nullptr)
            return fallback;
        if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
            refuse(key, expected);
        return value->get<double>();
    }

    bool boolean(const char *key, bool fallback) {
        const json *value = take(key);
        if (value == nullptr)
            return fallback;
        if (!value->is_boolean())
            refuse(key, "true, false");
        return value->get<bool>();
    }

    std::string choice(const char *key, const char *fallback, const std::vector<std::string> &choices) {
        const json *value = take(key);
        return value == nullptr ? fallback : choiceOf(key, *value, choices);
    }

    std::vector<uint32_t> counts(const char *key, std::vector<uint32_t> fallback, size_t most, uint32_t low,
                                 uint32_t high) {
        const json *value = take(key);
        if (value == nullptr)
            return fallback;
        if (!value->is_array() || value->empty() || value->size() > most)
            refuse(key, text("a list of 1 to ", most, " numbers"));
        std::vector<uint32_t> all;
        for (const json &each : *value)
            all.push_back(countOf(key, each, low, high));
        return all;
    }

    std::vector<std::string> choiceList(const char *key, std::vector<std::string> fallback, size_t length,
                                        const std::vector<std::string> &choices) {
        const json *value = take(key);
        if (value != nullptr) {
            if (!value->is_array())
                refuse(key, text("a list of ", length, " block names"));
            fallback.clear();
            for (const json &each : *value)
                fallback.push_back(choiceOf(key, each, choices));
        }
        if (fallback.size() != length)
            refuse(key, text(length, " block names, one per entry of block_out_channels"));
        return fallback;
    }

    // A key that is understood at one value only.
    void expectNull(const char *key, const char *why) {
        const json *value = take(key);
        if (value != nullptr && !value->is_null())
            refuse(key, text("null (", why, ")"));
    }

    // A key that has no effect on inference, whatever it says.
    void noEffect(const char *key) { take(key); }

    void expectNoMore() const {
        for (const auto &[key, value] : object_.items())
            if (!key.starts_with("_") && !taken_.contains(key))
                throw ReadError(text(where_, ": key ", shownJson(json(key)), " (", shownJson(value),
                                     ") is not known; keys of UNet2DModel are supported"));
    }

private:
    const json *find(const char *key) const {
        const auto found = object_.find(key);
        return found == object_.end() ? nullptr : &*found;
    }

    const json *take(const char *key) {
        taken_.insert(key);
        return find(key);
    }

    uint32_t countOf(const char *key, const json &value, uint32_t low, uint32_t high) const {
        if (!value.is_number_unsigned() || value.get<uint64_t>() < low || value.get<uint64_t>() > high)
            refuse(key, text("whole numbers from ", low, " to ", high));
        return value.get<uint32_t>();
    }

    std::string choiceOf(const char *key, const json &value, const std::vector<std::string> &choices) const {
        std::string all;
        for (const std::string &choice : choices) {
            if (value.is_string() && value.get<std::string>() == choice)
                return choice;
            all += all.empty() ? choice : text(", ", choice);
        }
        refuse(key, all);
    }

    const json &object_;
    std::string where_;
    std::set<std::string> taken_;
};

constexpr size_t kMaxLevels = 8;
constexpr uint32_t kMaxChannels = 1 << 16;
constexpr uint32_t kMaxLayers = 64;

} // namespace

UNetConfig parseUNetConfig(const json &object, const std::string &where) {
    Fields fields(object, where);
    if (const auto name = object.find("_class_name"); name != object.end() && *name != "UNet2DModel")
        fields.refuse("_class_name", "UNet2DModel");
    UNetConfig config;
    config.inChannels = fields.count("in_channels", 3, 1, kMaxChannels);
    config.outChannels = fields.count("out_channels", 3, 1, kMaxChannels);
    if (config.inChannels < config.outChannels)
        throw ReadError(text(where, ": in_channels is ", config.inChannels, " and out_channels ",
                             config.outChannels,
                             ", supported: as many in as out, or more in (the state, then the condition)"));
    config.blockOutChannels =
        fields.counts("block_out_channels", {224, 448, 672, 896}, kMaxLevels, 1, kMaxChannels);
    const size_t levels = config.blockOutChannels.size();
    config.downBlockTypes = fields.choiceList(
        "down_block_types", {"DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"}, levels,
        {"DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"});
    config.upBlockTypes =
        fields.choiceList("up_block_types", {"AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"},
                          levels, {"UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"});
    config.layersPerBlock = fields.count("layers_per_block", 2, 1, kMaxLayers);
    config.centerInputSample = fields.boolean("center_input_sample", false);
    fields.choice("time_embedding_type", "positional", {"positional"});
    config.flipSinToCos = fields.boolean("flip_sin_to_cos", true);
    config.freqShift = fields.number("freq_shift", 0, -1e6, 1e6, "a number");
    const uint32_t half = config.blockOutChannels[0] / 2; // the integer quotient, as diffusers has it
    if (std::fabs(half - config.freqShift) < 1e-9)
        fields.refuse("freq_shift", "a number other than half of the first entry of block_out_channels");
    config.midBlockScaleFactor =
        fields.number("mid_block_scale_factor", 1, 1e-3, 1e3, "a number from 0.001 to 1000");
    config.addAttention = fields.boolean("add_attention", true);
    config.attentionHeadDim = fields.optionalCount("attention_head_dim", 8, 1, kMaxChannels);
    config.attnNormNumGroups = fields.optionalCount("attn_norm_num_groups", std::nullopt, 1, kMaxChannels);
    config.downsamplePadding = fields.count("downsample_padding", 1, 0, 1);
    config.downsampleWithResnet = fields.choice("downsample_type", "conv", {"conv", "resnet"}) == "resnet";
    config.upsampleWithResnet = fields.choice("upsample_type", "conv", {"conv", "resnet"}) == "resnet";
    fields.choice("act_fn", "silu", {"silu", "swish"});
    config.normNumGroups = fields.count("norm_num_groups", 32, 1, kMaxChannels);
    config.normEps = fields.number("norm_eps", 1e-5, 1e-12, 1, "a number from 1e-12 to 1");
    config.scaleShift =
        fields.choice("resnet_time_scale_shift", "default", {"default", "scale_shift"}) == "scale_shift";
    fields.expectNull("class_embed_type", "models without class conditioning");
    fields.expectNull("num_class_embeds", "models without class conditioning");
    fields.noEffect("sample_size");         // nominal only
    fields.noEffect("dropout");             // training only
    fields.noEffect("num_train_timesteps"); // read with a learned time embedding only
    fields.expectNoMore();
    return config;
}

} // namespace mote::convert
