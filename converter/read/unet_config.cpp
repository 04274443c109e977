#include "read/checkpoint.h"

#include "read/text.h"
#include "read/unet_keys.h"

#include <cmath>

namespace mote::convert {

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
    config.flipSinToCos = keys.boolean("flip_sin_to_cos");
    config.freqShift = keys.number("freq_shift");
    const uint32_t half = config.blockOutChannels[0] / 2; // the integer quotient, as diffusers has it
    if (std::fabs(half - config.freqShift) < 1e-9)
        keys.refuse("freq_shift",
                    "supported: a number other than half of the first entry of block_out_channels");
    config.midBlockScaleFactor = keys.number("mid_block_scale_factor");
    config.addAttention = keys.boolean("add_attention");
    config.attentionHeadDim = keys.optionalCount("attention_head_dim");
    config.attnNormNumGroups = keys.optionalCount("attn_norm_num_groups");
    config.downsamplePadding = keys.count("downsample_padding");
    config.downsampleWithResnet = keys.choice("downsample_type") == "resnet";
    config.upsampleWithResnet = keys.choice("upsample_type") == "resnet";
    config.normNumGroups = keys.count("norm_num_groups");
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
    return config;
}

} // namespace mote::convert
