#include "read/unet_keys.h"

#include "read/json.h"
#include "read/text.h"

#include <algorithm>
#include <stdexcept>

namespace mote::convert {

namespace {

using nlohmann::json;

constexpr double kMaxChannels = 1 << 16;

constexpr const char *kDownBlocks =
    "DownBlock2D|AttnDownBlock2D|ResnetDownsampleBlock2D|SkipDownBlock2D|AttnSkipDownBlock2D";
constexpr const char *kUpBlocks =
    "UpBlock2D|AttnUpBlock2D|ResnetUpsampleBlock2D|SkipUpBlock2D|AttnSkipUpBlock2D";
constexpr const char *kOtherBlocks = "CrossAttn and SimpleCrossAttn blocks read text (UNet2DConditionModel), "
                                     "Encoder and Decoder blocks know no "
                                     "time, K blocks are of another upscaler's network";

constexpr UNetKey kKeys[] = {
    {"_class_name", KeyType::Choice, R"("UNet2DModel")", false, 0, 0, "UNet2DModel", "the network's class",
     "another class is another network"},
    {"sample_size", KeyType::Size, "null", true, 1, kMaxChannels, "",
     "nominal height and width; any size can be run", ""},
    {"in_channels", KeyType::Count, "3", false, 1, kMaxChannels, "",
     "channels of the input: the state, then the condition", ""},
    {"out_channels", KeyType::Count, "3", false, 1, kMaxChannels, "",
     "channels of the output: the state's, or twice as many, then the second half is a learned variance", ""},
    {"center_input_sample", KeyType::Boolean, "false", false, 0, 0, "", "the input becomes 2 x - 1", ""},
    {"time_embedding_type", KeyType::Choice, R"("positional")", false, 0, 0, "positional|fourier|learned",
     "features of the timestep", ""},
    {"flip_sin_to_cos", KeyType::Boolean, "true", false, 0, 0, "", "positional: cosines before sines", ""},
    {"freq_shift", KeyType::Number, "0", false, -1e6, 1e6, "",
     "positional: frequencies exp(-ln(10000) i / (half - freq_shift))", ""},
    {"down_block_types", KeyType::Blocks,
     R"(["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"])", false, 0, 0, kDownBlocks,
     "one per level, finest first", kOtherBlocks},
    {"up_block_types", KeyType::Blocks, R"(["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"])",
     false, 0, 0, kUpBlocks, "one per level, deepest first", kOtherBlocks},
    {"block_out_channels", KeyType::Counts, "[224, 448, 672, 896]", false, 1, kMaxChannels, "",
     "channels of each level, finest first", ""},
    {"layers_per_block", KeyType::Count, "2", false, 1, 64, "",
     "residual blocks of a level on the way down; one more on the way up", ""},
    {"mid_block_scale_factor", KeyType::Number, "1", false, 1e-3, 1e3, "",
     "what the middle's sums are divided by", ""},
    {"add_attention", KeyType::Boolean, "true", false, 0, 0, "", "attention in the middle", ""},
    {"attention_head_dim", KeyType::Count, "8", true, 1, kMaxChannels, "",
     "channels of one head; null: one head of all channels", ""},
    {"attn_norm_num_groups", KeyType::Count, "null", true, 1, kMaxChannels, "",
     "groups of the norm before the middle's attention; null: norm_num_groups, or with scale_shift no norm",
     ""},
    {"downsample_padding", KeyType::Count, "1", false, 0, 1, "",
     "1: padded on all sides; 0: right and bottom", "another padding does not halve the size"},
    {"downsample_type", KeyType::Choice, R"("conv")", false, 0, 0, "conv|resnet",
     "how AttnDownBlock2D halves the size", ""},
    {"upsample_type", KeyType::Choice, R"("conv")", false, 0, 0, "conv|resnet",
     "how AttnUpBlock2D doubles the size", ""},
    {"act_fn", KeyType::Choice, R"("silu")", false, 0, 0, "silu|swish|mish|gelu|relu",
     "activation of the residual blocks", ""},
    {"norm_num_groups", KeyType::Count, "32", true, 1, kMaxChannels, "",
     "groups of the norms; null: a quarter of the channels, at most 32, with Skip blocks only", ""},
    {"norm_eps", KeyType::Number, "1e-5", false, 1e-12, 1, "", "epsilon of the norms", ""},
    {"resnet_time_scale_shift", KeyType::Choice, R"("default")", false, 0, 0, "default|scale_shift",
     "time is added after the first convolution, or scales and shifts after the second norm",
     "ada_group and spatial need another embedding than the timestep's"},
    {"class_embed_type", KeyType::Choice, "null", true, 0, 0, "timestep|identity",
     "what a class is: null: a row of a table, where num_class_embeds is given; timestep: a number, embedded "
     "as time is; "
     "identity: a vector",
     "diffusers takes any other value for no class at all; timestep with fourier features, because label 0 "
     "has "
     "no logarithm"},
    {"num_class_embeds", KeyType::Count, "null", true, 1, 1 << 16, "",
     "classes; of the type timestep: labels that are tabulated, 1000 by default", ""},
    {"num_train_timesteps", KeyType::Count, "null", true, 1, 1 << 24, "",
     "learned time_embedding_type: rows of its table", ""},
    {"dropout", KeyType::NoEffect, "0", false, 0, 0, "", "training only", ""},
};

const UNetKey &entryOf(std::string_view name) {
    for (const UNetKey &key : kKeys)
        if (name == key.name)
            return key;
    throw std::logic_error(text("key ", name, " is read without being declared"));
}

std::vector<std::string> choicesOf(const UNetKey &key) {
    std::vector<std::string> all;
    std::string_view rest = key.choices;
    while (!rest.empty()) {
        const size_t end = std::min(rest.find('|'), rest.size());
        all.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return all;
}

bool isCount(const UNetKey &key, const json &value) {
    return value.is_number_unsigned() && value.get<double>() >= key.low && value.get<double>() <= key.high;
}

bool isChoice(const UNetKey &key, const json &value) {
    const std::vector<std::string> all = choicesOf(key);
    return value.is_string() && std::find(all.begin(), all.end(), value.get<std::string>()) != all.end();
}

template <typename Test> bool isListOf(const json &value, size_t least, size_t most, Test test) {
    return value.is_array() && value.size() >= least && value.size() <= most &&
           std::all_of(value.begin(), value.end(), test);
}

bool fits(const UNetKey &key, const json &value) {
    if (key.orNull && value.is_null())
        return true;
    const auto count = [&](const json &each) { return isCount(key, each); };
    switch (key.type) {
    case KeyType::Count:
        return count(value);
    case KeyType::Counts:
        return isListOf(value, 1, kMaxLevels, count);
    case KeyType::Number:
        return value.is_number() && value.get<double>() >= key.low && value.get<double>() <= key.high;
    case KeyType::Boolean:
        return value.is_boolean();
    case KeyType::Choice:
        return isChoice(key, value);
    case KeyType::Blocks:
        return isListOf(value, 1, kMaxLevels, [&](const json &each) { return isChoice(key, each); });
    case KeyType::Size:
        return count(value) || isListOf(value, 2, 2, count);
    case KeyType::NoEffect:
        break;
    }
    return true;
}

// Spellings that mean the same to diffusers: activations in any case, block names with their old prefix.
json spelled(const UNetKey &key, json value) {
    const auto name = [&](json &each) {
        if (!each.is_string())
            return;
        std::string found = each.get<std::string>();
        constexpr std::string_view kOldPrefix = "UNetRes";
        if (key.type == KeyType::Blocks && found.starts_with(kOldPrefix))
            found.erase(0, kOldPrefix.size());
        if (std::string_view(key.name) == "act_fn")
            std::transform(found.begin(), found.end(), found.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        each = found;
    };
    name(value);
    if (value.is_array())
        std::for_each(value.begin(), value.end(), name);
    return value;
}

[[noreturn]] void refuseValue(const std::string &where, const UNetKey &key, const json &value) {
    throw ReadError(text(where, ": key \"", key.name, "\" is ", shownJson(value), ", supported: ",
                         supportedValues(key), *key.refused != '\0' ? "; " : "", key.refused));
}

} // namespace

std::span<const UNetKey> unetKeys() {
    return kKeys;
}

std::string supportedValues(const UNetKey &key) {
    const std::string range = text(" from ", key.low, " to ", key.high);
    std::string all;
    switch (key.type) {
    case KeyType::Count:
        all = "whole numbers" + range;
        break;
    case KeyType::Counts:
        all = text("a list of 1 to ", kMaxLevels, " whole numbers", range);
        break;
    case KeyType::Number:
        all = "a number" + range;
        break;
    case KeyType::Boolean:
        all = "true, false";
        break;
    case KeyType::Choice:
    case KeyType::Blocks:
        for (const std::string &choice : choicesOf(key))
            all += all.empty() ? choice : ", " + choice;
        if (key.type == KeyType::Blocks)
            all = "a list, one per entry of block_out_channels, of " + all;
        break;
    case KeyType::Size:
        all = "whole numbers" + range + ", or two of them";
        break;
    case KeyType::NoEffect:
        return "anything";
    }
    return !key.orNull ? all : all.empty() ? "null" : all + ", or null";
}

std::string describeKeysAsMarkdown() {
    std::string out = "| key | supported | default | meaning | refused |\n|---|---|---|---|---|\n";
    for (const UNetKey &key : kKeys)
        out += text("| `", key.name, "` | ", supportedValues(key), " | ", key.fallback, " | ", key.meaning,
                    " | ", key.refused, " |\n");
    return out;
}

UNetKeys::UNetKeys(const json &object, std::string where) : where_(std::move(where)) {
    if (!object.is_object())
        throw ReadError(text(where_, ": found ", shownJson(object), ", expected an object"));
    for (const auto &item : object.items())
        if (!item.key().starts_with("_") &&
            std::none_of(std::begin(kKeys), std::end(kKeys),
                         [&](const UNetKey &key) { return item.key() == key.name; }))
            throw ReadError(text(where_, ": key ", shownJson(json(item.key())), " (", shownJson(item.value()),
                                 ") is not known; keys of UNet2DModel are supported"));
    for (const UNetKey &key : kKeys) {
        const auto found = object.find(key.name);
        const json value = spelled(key, found == object.end() ? json::parse(key.fallback) : *found);
        if (!fits(key, value))
            refuseValue(where_, key, found == object.end() ? value : *found);
        values_.emplace(key.name, value);
    }
}

const json &UNetKeys::at(const char *name) const {
    return values_.at(entryOf(name).name);
}

uint32_t UNetKeys::count(const char *name) const {
    return at(name).get<uint32_t>();
}

std::optional<uint32_t> UNetKeys::optionalCount(const char *name) const {
    return at(name).is_null() ? std::nullopt : std::optional(at(name).get<uint32_t>());
}

std::vector<uint32_t> UNetKeys::counts(const char *name) const {
    return at(name).get<std::vector<uint32_t>>();
}

double UNetKeys::number(const char *name) const {
    return at(name).get<double>();
}

bool UNetKeys::boolean(const char *name) const {
    return at(name).get<bool>();
}

std::string UNetKeys::choice(const char *name) const {
    return at(name).get<std::string>();
}

std::optional<std::string> UNetKeys::optionalChoice(const char *name) const {
    return at(name).is_null() ? std::nullopt : std::optional(choice(name));
}

std::vector<std::string> UNetKeys::blocks(const char *name, size_t levels) const {
    if (at(name).size() != levels)
        refuse(name, text("block_out_channels asks for ", levels, " block names"));
    return at(name).get<std::vector<std::string>>();
}

void UNetKeys::refuse(const char *name, const std::string &reason) const {
    throw ReadError(text(where_, ": key \"", name, "\" is ", shownJson(at(name)), "; ", reason));
}

} // namespace mote::convert
