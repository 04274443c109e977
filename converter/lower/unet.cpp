#include "lower/unet.h"

#include "lower/builder.h"
#include "read/text.h"

#include <optional>

namespace mote::convert {

namespace {

enum class Change { None, Down, Up }; // of size, inside a residual block

// What every block of the model shares.
struct Blocks {
    Builder &builder;
    const UNetConfig &config;
    uint32_t
        timeVector; // silu(time and class embedding): every residual block begins its projection with this

    // ResnetBlock2D. (residual + branch) / outputScaleFactor
    uint32_t resnet(const std::string &module, uint32_t input, uint32_t outputs, Change change = Change::None,
                    double outputScaleFactor = 1) {
        uint32_t h = builder.groupNorm(module + ".norm1", input, config.normNumGroups, config.normEps);
        h = builder.silu(module + ".nonlinearity1", h);
        uint32_t residual = input;
        if (change == Change::Down) {
            h = builder.averagePool(module + ".downsample_branch", h);
            residual = builder.averagePool(module + ".downsample_residual", residual);
        } else if (change == Change::Up) {
            h = builder.upsample(module + ".upsample_branch", h);
            residual = builder.upsample(module + ".upsample_residual", residual);
        }
        h = builder.conv2d(module + ".conv1", h, outputs, 3);
        const uint32_t projected =
            builder.linear(module + ".time_emb_proj", timeVector, config.scaleShift ? 2 * outputs : outputs);
        if (!config.scaleShift)
            h = builder.add(module + ".time_add", h, projected);
        h = builder.groupNorm(module + ".norm2", h, config.normNumGroups, config.normEps);
        if (config.scaleShift)
            h = builder.modulate(module + ".time_scale_shift", h, projected);
        h = builder.silu(module + ".nonlinearity2", h);
        if (builder.channels(input) != outputs)
            residual = builder.conv2d(module + ".conv_shortcut", residual, outputs, 1);
        h = builder.conv2d(module + ".conv2", h, outputs, 3);
        h = builder.add(module, residual, h);
        return outputScaleFactor == 1 ? h : builder.scale(module + ".rescale", h, 1 / outputScaleFactor, 0);
    }

    // Attention of the UNet2DModel blocks; `groups` none: no norm.
    uint32_t attention(const std::string &module, uint32_t input, std::optional<uint32_t> groups,
                       double rescaleFactor = 1) {
        const uint32_t channels = builder.channels(input);
        const uint32_t head = config.attentionHeadDim.value_or(channels);
        if (channels % head != 0)
            throw ReadError(text("unet/config.json: key \"attention_head_dim\" is ", head,
                                 ", which does not divide the ", channels, " channels of ", module));
        const uint32_t h =
            groups ? builder.groupNorm(module + ".group_norm", input, *groups, config.normEps) : input;
        const uint32_t q = builder.linear(module + ".to_q", h, channels);
        const uint32_t k = builder.linear(module + ".to_k", h, channels);
        const uint32_t v = builder.linear(module + ".to_v", h, channels);
        const uint32_t mixed = builder.attention(module + ".attention", q, k, v, channels / head);
        const uint32_t out = builder.linear(module + ".to_out.0", mixed, channels);
        const uint32_t sum = builder.add(module, input, out);
        return rescaleFactor == 1 ? sum : builder.scale(module + ".rescale", sum, 1 / rescaleFactor, 0);
    }
};

// One level on the way down: layers, then, unless it is the last, a downsampler. Appends to `skips`.
uint32_t downBlock(Blocks &blocks, const std::string &module, const std::string &type, uint32_t h,
                   uint32_t channels, bool downsample, std::vector<uint32_t> &skips) {
    const UNetConfig &config = blocks.config;
    for (uint32_t i = 0; i < config.layersPerBlock; ++i) {
        h = blocks.resnet(text(module, ".resnets.", i), h, channels);
        if (type == "AttnDownBlock2D")
            h = blocks.attention(text(module, ".attentions.", i), h, config.normNumGroups);
        skips.push_back(h);
    }
    if (!downsample)
        return h;
    const bool withResnet =
        type == "ResnetDownsampleBlock2D" || (type == "AttnDownBlock2D" && config.downsampleWithResnet);
    if (withResnet)
        h = blocks.resnet(module + ".downsamplers.0", h, channels, Change::Down);
    else
        h = blocks.builder.conv2d(module + ".downsamplers.0.conv", h, channels, 3, 2,
                                  config.downsamplePadding == 1);
    skips.push_back(h);
    return h;
}

// One level on the way up: each residual block takes the newest skip as its last channels.
uint32_t upBlock(Blocks &blocks, const std::string &module, const std::string &type, uint32_t h,
                 uint32_t channels, bool upsample, std::vector<uint32_t> &skips) {
    const UNetConfig &config = blocks.config;
    for (uint32_t i = 0; i < config.layersPerBlock + 1; ++i) {
        const std::string resnet = text(module, ".resnets.", i);
        const uint32_t joined = blocks.builder.concat(resnet + ".concat", {h, skips.back()});
        skips.pop_back();
        h = blocks.resnet(resnet, joined, channels);
        if (type == "AttnUpBlock2D")
            h = blocks.attention(text(module, ".attentions.", i), h, config.normNumGroups);
    }
    if (!upsample)
        return h;
    if (type == "ResnetUpsampleBlock2D" || (type == "AttnUpBlock2D" && config.upsampleWithResnet))
        return blocks.resnet(module + ".upsamplers.0", h, channels, Change::Up);
    h = blocks.builder.upsample(module + ".upsamplers.0.upsample", h);
    return blocks.builder.conv2d(module + ".upsamplers.0.conv", h, channels, 3);
}

uint32_t midBlock(Blocks &blocks, uint32_t h) {
    const UNetConfig &config = blocks.config;
    const uint32_t channels = config.blockOutChannels.back();
    const double factor = config.midBlockScaleFactor;
    // Without a group count of its own the attention takes the residual blocks', or, with scale_shift, no
    // norm at all.
    std::optional<uint32_t> groups = config.attnNormNumGroups;
    if (!groups && !config.scaleShift)
        groups = config.normNumGroups;
    h = blocks.resnet("mid_block.resnets.0", h, channels, Change::None, factor);
    if (config.addAttention)
        h = blocks.attention("mid_block.attentions.0", h, groups, factor);
    return blocks.resnet("mid_block.resnets.1", h, channels, Change::None, factor);
}

// The vector of a class, of as many channels as the time embedding, or kNone.
uint32_t classVector(Builder &builder, const UNetConfig &config, uint32_t timeFeatures, uint32_t channels) {
    switch (config.classEmbedding) {
    case ClassEmbedding::None:
        break;
    case ClassEmbedding::Table:
        return builder.classEmbedding("class_embedding", ClassInput::Row, config.classes, channels);
    case ClassEmbedding::Vector:
        return builder.classEmbedding("class_embedding", ClassInput::Vector, 0, channels);
    case ClassEmbedding::Timestep: {
        uint32_t h = builder.classEmbedding("class_proj", ClassInput::Features, config.classes, timeFeatures);
        h = builder.linear("class_embedding.linear_1", h, channels);
        h = builder.silu("class_embedding.act", h);
        return builder.linear("class_embedding.linear_2", h, channels);
    }
    }
    return kNone;
}

} // namespace

Network lowerUNet(const UNetConfig &config, const TensorSource &tensors) {
    const std::vector<uint32_t> &channels = config.blockOutChannels;
    const size_t levels = channels.size();
    Builder builder(tensors);

    std::vector<uint32_t> inputs = {
        builder.inputPort("x", config.stateChannels(), PortSource::State, "the sampler's state")};
    if (config.conditionChannels() > 0)
        inputs.push_back(
            builder.inputPort("condition", config.conditionChannels(), PortSource::App,
                              "the picture to restore, or what else the model was conditioned on"));

    uint32_t time =
        builder.timestepEmbedding("time_proj", {channels[0], config.flipSinToCos, config.freqShift});
    time = builder.linear("time_embedding.linear_1", time, 4 * channels[0]);
    time = builder.silu("time_embedding.act", time);
    time = builder.linear("time_embedding.linear_2", time, 4 * channels[0]);
    const uint32_t classes = classVector(builder, config, channels[0], builder.channels(time));
    if (classes != kNone)
        time = builder.add("class_add", classes, time);
    Blocks blocks{builder, config, builder.silu("time_activation", time)};

    uint32_t h = builder.concat("input", inputs);
    if (config.centerInputSample)
        h = builder.scale("input.center", h, 2, -1);
    h = builder.conv2d("conv_in", h, channels[0], 3);
    std::vector<uint32_t> skips = {h};
    for (size_t level = 0; level < levels; ++level)
        h = downBlock(blocks, text("down_blocks.", level), config.downBlockTypes[level], h, channels[level],
                      level + 1 < levels, skips);
    h = midBlock(blocks, h);
    for (size_t i = 0; i < levels; ++i) // the up list runs from the deepest level
        h = upBlock(blocks, text("up_blocks.", i), config.upBlockTypes[i], h, channels[levels - 1 - i],
                    i + 1 < levels, skips);
    h = builder.groupNorm("conv_norm_out", h, config.normNumGroups, config.normEps);
    h = builder.silu("conv_act", h);
    uint32_t variance = kNone;
    if (config.variance == UNetConfig::Variance::None) {
        h = builder.conv2d("conv_out", h, config.outChannels, 3);
    } else {
        const char *second = config.variance == UNetConfig::Variance::Used ? "conv_out_variance" : "";
        const auto halves = builder.conv2dHalves("conv_out", second, h, config.outChannels, 3);
        h = halves[0];
        variance = halves[1];
    }
    builder.outputPort("model_output", h, PortSource::ModelOutput,
                       "the network's output, which the sampler turns into the next state");
    if (variance != kNone)
        builder.outputPort("model_variance", variance, PortSource::ModelVariance,
                           "what the network says of the variance of the step's noise");
    return builder.finish("unet", uint32_t(1) << (levels - 1));
}

Network lowerUNet(Checkpoint &checkpoint) {
    const TensorSource take = [&](const std::string &name, const std::vector<uint64_t> &shape) {
        return checkpoint.take(name, shape);
    };
    Network network = lowerUNet(checkpoint.unet(), take);
    checkpoint.expectAllTaken();
    return network;
}

} // namespace mote::convert
