#include "read/checkpoint.h"

#include "read/text.h"
#include "read/unet_keys.h"

#include <algorithm>
#include <cmath>

namespace mote::convert {

namespace {

bool isSkip(const std::string &block) {
    return block.find("Skip") != std::string::npos;
}

// Skip blocks carry an image of 3 channels beside the maps: on the way down from the input on, on the way up
// to the output. It is halved and doubled by them alone, so that it fits the maps only where no other block
// changes the size before them on the way down, or after them on the way up. The last block of each way
// changes no size.
void checkSkipBlocks(const UNetConfig &config, const UNetKeys &keys) {
    const size_t resampling = config.blockOutChannels.size() - 1;
    const auto names = [&](const std::vector<std::string> &types) {
        return std::vector<std::string>(types.begin(), types.begin() + std::ptrdiff_t(resampling));
    };
    const std::vector<std::string> down = names(config.downBlockTypes), up = names(config.upBlockTypes);
    const auto firstPlain = std::find_if_not(down.begin(), down.end(), isSkip);
    if (std::any_of(firstPlain, down.end(), isSkip))
        keys.refuse("down_block_types",
                    text("a Skip block after ", *firstPlain, " gets an image of another size than its map"));
    const auto firstSkip = std::find_if(up.begin(), up.end(), isSkip);
    if (firstSkip != up.end() && !std::all_of(firstSkip, up.end(), isSkip))
        keys.refuse("up_block_types",
                    text("after ", *firstSkip, " only Skip blocks double the image that it makes"));
    if (firstSkip != up.end() && !isSkip(config.upBlockTypes.back()))
        keys.refuse("up_block_types",
                    text("after ", *firstSkip, " only Skip blocks double the image that it makes"));
    if (std::any_of(down.begin(), down.end(), isSkip) && config.inChannels != 3)
        keys.refuse("in_channels", "Skip blocks on the way down take images of 3 channels");
    if (firstSkip != up.end() && config.outChannels != 3)
        keys.refuse("out_channels", "Skip blocks on the way up make images of 3 channels");
    if (config.normNumGroups)
        return;
    for (const std::vector<std::string> *types : {&config.downBlockTypes, &config.upBlockTypes})
        for (const std::string &type : *types)
            if (!isSkip(type))
                keys.refuse("norm_num_groups",
                            text("only Skip blocks have groups of their own; there is ", type));
}

} // namespace

UNetConfig parseUNetConfig(const nlohmann::json &object, const std::string &where) {
    const UNetKeys keys(object, where);
    UNetConfig config;
    config.inChannels = keys.count("in_channels");
    config.outChannels = keys.count("out_channels");
    if (config.inChannels < config.outChannels && config.outChannels != 2 * config.inChannels)
        throw ReadError(text(where, ": in_channels is ", config.inChannels, " and out_channels ",
                             config.outChannels,
                             ", supported: as many in as out, more in (the state, then the condition), or "
                             "twice as many out (with the variance)"));
    if (config.outChannels == 2 * config.inChannels)
        config.variance = UNetConfig::Variance::Unused;
    config.blockOutChannels = keys.counts("block_out_channels");
    const size_t levels = config.blockOutChannels.size();
    config.downBlockTypes = keys.blocks("down_block_types", levels);
    config.upBlockTypes = keys.blocks("up_block_types", levels);
    config.layersPerBlock = keys.count("layers_per_block");
    config.centerInputSample = keys.boolean("center_input_sample");
    config.timeEmbeddingType = keys.choice("time_embedding_type");
    config.flipSinToCos = keys.boolean("flip_sin_to_cos");
    config.freqShift = keys.number("freq_shift");
    const uint32_t half = config.blockOutChannels[0] / 2; // the integer quotient, as diffusers has it
    if (config.timeEmbeddingType == "positional" && std::fabs(half - config.freqShift) < 1e-9)
        keys.refuse("freq_shift",
                    "supported: a number other than half of the first entry of block_out_channels");
    config.numTrainTimesteps = keys.optionalCount("num_train_timesteps").value_or(0);
    if (config.timeEmbeddingType == "learned" && config.numTrainTimesteps == 0)
        keys.refuse("num_train_timesteps", "the learned time_embedding_type needs its number of timesteps");
    config.midBlockScaleFactor = keys.number("mid_block_scale_factor");
    config.addAttention = keys.boolean("add_attention");
    config.attentionHeadDim = keys.optionalCount("attention_head_dim");
    config.attnNormNumGroups = keys.optionalCount("attn_norm_num_groups");
    config.downsamplePadding = keys.count("downsample_padding");
    config.downsampleWithResnet = keys.choice("downsample_type") == "resnet";
    config.upsampleWithResnet = keys.choice("upsample_type") == "resnet";
    config.actFn = keys.choice("act_fn") == "swish" ? "silu" : keys.choice("act_fn");
    config.normNumGroups = keys.optionalCount("norm_num_groups");
    config.normEps = keys.number("norm_eps");
    config.scaleShift = keys.choice("resnet_time_scale_shift") == "scale_shift";
    const std::optional<std::string> type = keys.optionalChoice("class_embed_type");
    const std::optional<uint32_t> classes = keys.optionalCount("num_class_embeds");
    if (type == "identity") {
        config.classEmbedding = ClassEmbedding::Vector;
    } else if (type == "timestep") {
        config.classEmbedding = ClassEmbedding::Timestep;
        config.classes = classes.value_or(1000);
    } else if (classes) {
        config.classEmbedding = ClassEmbedding::Table;
        config.classes = *classes;
    }
    if (config.classEmbedding == ClassEmbedding::Timestep && config.timeEmbeddingType == "fourier")
        keys.refuse("class_embed_type",
                    "with the fourier time_embedding_type diffusers takes the logarithm of "
                    "a label, and label 0 has none");
    if (config.classEmbedding == ClassEmbedding::Timestep && config.timeEmbeddingType == "learned")
        config.classes = std::min(config.classes, config.numTrainTimesteps); // labels are rows of that table
    checkSkipBlocks(config, keys);
    return config;
}

} // namespace mote::convert
