#include "lower/unet.h"

#include "lower/builder.h"
#include "read/text.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace mote::convert {

namespace {

// NCSN++ (Song et al. 2021, "Score-based generative modeling through SDEs", appendix H): sums are divided by
// this.
const double kSkipScale = std::sqrt(2.0);

bool isSkip(const std::string &type) {
    return type.find("Skip") != std::string::npos;
}

bool hasAttention(const std::string &type) {
    return type.starts_with("Attn");
}

ActivationFunction activationOf(const std::string &name) {
    return name == "mish"   ? ActivationFunction::Mish
           : name == "gelu" ? ActivationFunction::Gelu
           : name == "relu" ? ActivationFunction::Relu
                            : ActivationFunction::Silu;
}

// Of a norm whose group count the configuration leaves open, and of those of Skip blocks.
uint32_t quarterOf(uint32_t channels) {
    return std::min(channels / 4, 32u);
}

// How a residual block differs from the plain one.
struct ResnetKind {
    uint32_t groupsIn, groupsOut;       // of its two norms
    Resample resample = Resample::None; // of branch and residual
    double outputScaleFactor = 1;       // (residual + branch) / factor
    bool alwaysShortcut = false;        // a 1x1 convolution even where the channels stay
};

// What every block of the model shares.
struct Blocks {
    Builder &builder;
    const UNetConfig &config;
    uint32_t timeVector; // time and class embedding, activated: every residual block begins its projection
                         // with this

    ActivationFunction activation() const { return activationOf(config.actFn); }

    // Of a block of this type and width, on the way up or down, without its resampling.
    ResnetKind kindOf(uint32_t channels) const {
        const uint32_t groups = config.normNumGroups.value_or(quarterOf(channels));
        return {groups, groups};
    }
    static ResnetKind skipKind(uint32_t inputs, uint32_t outputs) {
        return {quarterOf(inputs), quarterOf(outputs), Resample::None, kSkipScale};
    }
    static ResnetKind skipKind(uint32_t channels, Resample resample) {
        return {quarterOf(channels), quarterOf(channels), resample, kSkipScale, true};
    }

    // ResnetBlock2D
    uint32_t resnet(const std::string &module, uint32_t input, uint32_t outputs, const ResnetKind &kind) {
        uint32_t h = builder.groupNorm(module + ".norm1", input, kind.groupsIn, config.normEps);
        h = builder.activation(module + ".nonlinearity1", h, activation());
        uint32_t residual = input;
        if (kind.resample != Resample::None) {
            h = builder.resample(module + ".resample_branch", h, kind.resample);
            residual = builder.resample(module + ".resample_residual", residual, kind.resample);
        }
        h = builder.conv2d(module + ".conv1", h, outputs, 3);
        const uint32_t projected =
            builder.linear(module + ".time_emb_proj", timeVector, config.scaleShift ? 2 * outputs : outputs);
        if (!config.scaleShift)
            h = builder.add(module + ".time_add", h, projected);
        h = builder.groupNorm(module + ".norm2", h, kind.groupsOut, config.normEps);
        if (config.scaleShift)
            h = builder.modulate(module + ".time_scale_shift", h, projected);
        h = builder.activation(module + ".nonlinearity2", h, activation());
        if (kind.alwaysShortcut || builder.channels(input) != outputs)
            residual = builder.conv2d(module + ".conv_shortcut", residual, outputs, 1);
        h = builder.conv2d(module + ".conv2", h, outputs, 3);
        h = builder.add(module, residual, h);
        return rescaled(module, h, kind.outputScaleFactor);
    }

    // Attention of the UNet2DModel blocks; `groups` none: no norm. Heads that do not divide the channels
    // leave the rest out.
    uint32_t attention(const std::string &module, uint32_t input, std::optional<uint32_t> groups,
                       double rescaleFactor) {
        const uint32_t channels = builder.channels(input);
        const uint32_t head = config.attentionHeadDim.value_or(channels), heads = channels / head;
        if (heads == 0)
            throw ReadError(text("unet/config.json: key \"attention_head_dim\" is ", head, ", more than the ",
                                 channels, " channels of ", module));
        const uint32_t h =
            groups ? builder.groupNorm(module + ".group_norm", input, *groups, config.normEps) : input;
        const uint32_t q = builder.linear(module + ".to_q", h, heads * head);
        const uint32_t k = builder.linear(module + ".to_k", h, heads * head);
        const uint32_t v = builder.linear(module + ".to_v", h, heads * head);
        const uint32_t mixed = builder.attention(module + ".attention", {q, k, v}, heads);
        const uint32_t out = builder.linear(module + ".to_out.0", mixed, channels);
        return rescaled(module, builder.add(module, input, out), rescaleFactor);
    }

private:
    uint32_t rescaled(const std::string &module, uint32_t sum, double factor) {
        return factor == 1 ? sum : builder.scale(module + ".rescale", sum, 1 / factor, 0);
    }
};

// The attention norm of Skip blocks, whatever the configuration says.
constexpr uint32_t kSkipAttentionGroups = 32;

// One level on the way down: layers, then, unless it is the last, a downsampler. Appends to `skips`; Skip
// blocks halve `image` and add it.
uint32_t downBlock(Blocks &blocks, const std::string &module, const std::string &type, uint32_t h,
                   uint32_t channels, bool downsample, std::vector<uint32_t> &skips, uint32_t &image) {
    const UNetConfig &config = blocks.config;
    Builder &builder = blocks.builder;
    const bool skip = isSkip(type);
    ResnetKind kind = blocks.kindOf(channels);
    for (uint32_t i = 0; i < config.layersPerBlock; ++i) {
        const ResnetKind layer = skip ? Blocks::skipKind(builder.channels(h), channels) : kind;
        h = blocks.resnet(text(module, ".resnets.", i), h, channels, layer);
        if (hasAttention(type))
            h = blocks.attention(text(module, ".attentions.", i), h,
                                 skip ? kSkipAttentionGroups : kind.groupsIn, layer.outputScaleFactor);
        skips.push_back(h);
    }
    if (!downsample)
        return h;
    if (skip) {
        h = blocks.resnet(module + ".resnet_down", h, channels,
                          Blocks::skipKind(channels, Resample::FirDown2));
        image = builder.resample(module + ".downsamplers.0", image, Resample::FirDown2);
        h = builder.add(module + ".skip", builder.conv2d(module + ".skip_conv", image, channels, 1), h);
    } else if (type == "ResnetDownsampleBlock2D" ||
               (type == "AttnDownBlock2D" && config.downsampleWithResnet)) {
        kind.resample = Resample::AverageDown2;
        h = blocks.resnet(module + ".downsamplers.0", h, channels, kind);
    } else {
        h = builder.conv2d(module + ".downsamplers.0.conv", h, channels, 3, 2, config.downsamplePadding == 1);
    }
    skips.push_back(h);
    return h;
}

// One level on the way up: each residual block takes the newest skip as its last channels. Skip blocks double
// `image`, which is kNone before the first of them, and add to it.
uint32_t upBlock(Blocks &blocks, const std::string &module, const std::string &type, uint32_t h,
                 uint32_t channels, bool upsample, std::vector<uint32_t> &skips, uint32_t &image) {
    const UNetConfig &config = blocks.config;
    Builder &builder = blocks.builder;
    const bool skip = isSkip(type);
    ResnetKind kind = blocks.kindOf(channels);
    for (uint32_t i = 0; i < config.layersPerBlock + 1; ++i) {
        const std::string resnet = text(module, ".resnets.", i);
        const uint32_t joined = builder.concat(resnet + ".concat", {h, skips.back()});
        ResnetKind layer = skip ? Blocks::skipKind(builder.channels(joined), channels) : kind;
        if (type ==
            "AttnSkipUpBlock2D") // its own rule: all of the map's channels and a quarter of the skip's
            layer.groupsIn = std::min(builder.channels(h) + builder.channels(skips.back()) / 4, 32u);
        skips.pop_back();
        h = blocks.resnet(resnet, joined, channels, layer);
        if (type == "AttnUpBlock2D")
            h = blocks.attention(text(module, ".attentions.", i), h, kind.groupsIn, 1);
    }
    if (type == "AttnSkipUpBlock2D")
        h = blocks.attention(module + ".attentions.0", h, kSkipAttentionGroups, kSkipScale);
    if (skip && image != kNone)
        image = builder.resample(module + ".upsampler", image, Resample::FirUp2);
    if (!upsample)
        return h;
    if (skip) {
        uint32_t part = builder.groupNorm(module + ".skip_norm", h, quarterOf(channels), config.normEps);
        part = builder.activation(module + ".act", part, ActivationFunction::Silu);
        part = builder.conv2d(module + ".skip_conv", part, 3, 3);
        image = image == kNone ? part : builder.add(module + ".skip", image, part);
        return blocks.resnet(module + ".resnet_up", h, channels,
                             Blocks::skipKind(channels, Resample::FirUp2));
    }
    if (type == "ResnetUpsampleBlock2D" || (type == "AttnUpBlock2D" && config.upsampleWithResnet)) {
        kind.resample = Resample::NearestUp2;
        return blocks.resnet(module + ".upsamplers.0", h, channels, kind);
    }
    h = builder.resample(module + ".upsamplers.0.upsample", h, Resample::NearestUp2);
    return builder.conv2d(module + ".upsamplers.0.conv", h, channels, 3);
}

uint32_t midBlock(Blocks &blocks, uint32_t h) {
    const UNetConfig &config = blocks.config;
    const uint32_t channels = config.blockOutChannels.back();
    ResnetKind kind = blocks.kindOf(channels);
    kind.outputScaleFactor = config.midBlockScaleFactor;
    // Without a group count of its own the attention takes the residual blocks', or, with scale_shift, no
    // norm at all.
    std::optional<uint32_t> groups = config.attnNormNumGroups;
    if (!groups && !config.scaleShift)
        groups = kind.groupsIn;
    h = blocks.resnet("mid_block.resnets.0", h, channels, kind);
    if (config.addAttention)
        h = blocks.attention("mid_block.attentions.0", h, groups, config.midBlockScaleFactor);
    return blocks.resnet("mid_block.resnets.1", h, channels, kind);
}

uint32_t timeFeatures(Builder &builder, const UNetConfig &config) {
    using Kind = TimestepFeatures::Kind;
    const uint32_t channels = config.blockOutChannels[0];
    if (config.timeEmbeddingType == "fourier")
        return builder.timestepEmbedding("time_proj", {Kind::Fourier, 2 * channels, false, 0}, {channels});
    if (config.timeEmbeddingType == "learned")
        return builder.timestepEmbedding("time_proj", {Kind::Learned, channels, false, 0},
                                         {config.numTrainTimesteps, channels});
    return builder.timestepEmbedding("time_proj",
                                     {Kind::Positional, channels, config.flipSinToCos, config.freqShift});
}

// The vector of a class, of as many channels as the time embedding, or kNone.
uint32_t classVector(Builder &builder, const UNetConfig &config, uint32_t features, uint32_t channels) {
    switch (config.classEmbedding) {
    case ClassEmbedding::None:
        break;
    case ClassEmbedding::Table:
        return builder.classEmbedding("class_embedding", ClassInput::Row, config.classes, channels);
    case ClassEmbedding::Vector:
        return builder.classEmbedding("class_embedding", ClassInput::Vector, 0, channels);
    case ClassEmbedding::Timestep: {
        uint32_t h = builder.classEmbedding("class_proj", ClassInput::Features, config.classes,
                                            builder.channels(features), features);
        h = builder.linear("class_embedding.linear_1", h, channels);
        h = builder.activation("class_embedding.act", h, ActivationFunction::Silu);
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

    const uint32_t features = timeFeatures(builder, config);
    uint32_t time = builder.linear("time_embedding.linear_1", features, 4 * channels[0]);
    time = builder.activation("time_embedding.act", time, ActivationFunction::Silu);
    time = builder.linear("time_embedding.linear_2", time, 4 * channels[0]);
    const uint32_t classes = classVector(builder, config, features, builder.channels(time));
    if (classes != kNone)
        time = builder.add("class_add", classes, time);
    Blocks blocks{builder, config, builder.activation("time_activation", time, activationOf(config.actFn))};

    uint32_t h = builder.concat("input", inputs);
    if (config.centerInputSample)
        h = builder.scale("input.center", h, 2, -1);
    uint32_t image = h; // beside the maps of Skip blocks
    h = builder.conv2d("conv_in", h, channels[0], 3);
    std::vector<uint32_t> skips = {h};
    uint32_t sizeMultiple = 1;
    for (size_t level = 0; level < levels; ++level) {
        const bool halves = level + 1 < levels;
        h = downBlock(blocks, text("down_blocks.", level), config.downBlockTypes[level], h, channels[level],
                      halves, skips, image);
        sizeMultiple *= halves ? 2 : 1;
    }
    h = midBlock(blocks, h);
    image = kNone;
    for (size_t i = 0; i < levels; ++i) // the up list runs from the deepest level
        h = upBlock(blocks, text("up_blocks.", i), config.upBlockTypes[i], h, channels[levels - 1 - i],
                    i + 1 < levels, skips, image);
    h = builder.groupNorm("conv_norm_out", h, config.normNumGroups.value_or(quarterOf(channels[0])),
                          config.normEps);
    h = builder.activation("conv_act", h, ActivationFunction::Silu);
    uint32_t variance = kNone;
    if (config.variance == UNetConfig::Variance::None) {
        h = builder.conv2d("conv_out", h, config.outChannels, 3);
    } else {
        const char *second = config.variance == UNetConfig::Variance::Used ? "conv_out_variance" : "";
        const auto halves = builder.conv2dHalves("conv_out", second, h, config.outChannels, 3);
        h = halves[0];
        variance = halves[1];
    }
    if (image != kNone)
        h = builder.add("conv_out.skip", image, h);
    if (config.timeEmbeddingType == "fourier") {
        h = builder.divideByTimestep("conv_out.rescale", h);
        if (variance != kNone)
            variance = builder.divideByTimestep("conv_out_variance.rescale", variance);
    }
    builder.outputPort("model_output", h, PortSource::ModelOutput,
                       "the network's output, which the sampler turns into the next state");
    if (variance != kNone)
        builder.outputPort("model_variance", variance, PortSource::ModelVariance,
                           "what the network says of the variance of the step's noise");
    return builder.finish("unet", sizeMultiple);
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
