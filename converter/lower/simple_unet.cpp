#include "lower/simple_unet.h"

#include "read/fields.h"
#include "read/text.h"

namespace mote::convert {

namespace {

constexpr uint32_t kMaxChannels = 1 << 14;

// A key that says how something is done, where only one way is known.
void expectText(Fields &fields, const char *key, const char *known) {
    if (fields.text(key, known) != known)
        fields.refuse(key, shownJson(known));
}

struct Blocks {
    Builder &builder;
    const SimpleUNetConfig &config;
    uint32_t timeVector;

    uint32_t residual(const std::string &module, uint32_t input, uint32_t outputs) {
        uint32_t h = builder.groupNorm(module + ".norm1", input, config.normGroups, config.normEps);
        h = builder.activation(module + ".act1", h, ActivationFunction::Silu);
        h = builder.conv2d(module + ".conv1", h, outputs, 3);
        h = builder.add(module + ".time_add", h, builder.linear(module + ".time_emb", timeVector, outputs));
        h = builder.groupNorm(module + ".norm2", h, config.normGroups, config.normEps);
        h = builder.activation(module + ".act2", h, ActivationFunction::Silu);
        h = builder.conv2d(module + ".conv2", h, outputs, 3);
        const uint32_t shortcut = builder.channels(input) == outputs
                                      ? input
                                      : builder.conv2d(module + ".shortcut", input, outputs, 1);
        return builder.add(module, shortcut, h);
    }
};

} // namespace

SimpleUNetConfig parseSimpleUNetConfig(const nlohmann::json &object, const std::string &where) {
    Fields fields(object, where);
    SimpleUNetConfig config;
    expectText(fields, "architecture", "SimpleUNet");
    config.inChannels = fields.count("in_channels", {}, 1, kMaxChannels);
    config.outChannels = fields.count("out_channels", {}, 1, config.inChannels);
    config.channels = fields.count("channels", {}, 1, kMaxChannels);
    config.timeChannels = fields.count("time_emb_dim", {}, 4, kMaxChannels);
    config.normGroups = fields.count("norm_groups", {}, 1, kMaxChannels);
    for (const uint32_t channels : {config.channels, 2 * config.channels, 4 * config.channels})
        if (channels % config.normGroups != 0)
            fields.refuse("norm_groups", text("a divisor of ", config.channels, " (\"channels\")"));
    config.normEps = fields.number("norm_eps", 1e-5, 1e-12, 1);
    expectText(fields, "time_embedding", "sin|cos, frequencies exp(-ln(10000) * i / (half-1))");
    expectText(fields, "downsample", "avg_pool2d(2) before down2");
    expectText(fields, "upsample", "nearest x2 after up2");
    config.weights = fields.text("weights", "simpleunet.safetensors");
    if (config.weights.empty() || config.weights.find_first_of("/\\") != std::string::npos)
        fields.refuse("weights", text("the name of a file beside ", where));
    config.scheduler = nlohmann::json{
        {"_class_name", "DDPMScheduler"},
        {"num_train_timesteps", fields.count("timesteps", {}, 1, 1000000)},
        {"beta_start", fields.number("beta_start", {}, 0, 1)},
        {"beta_end", fields.number("beta_end", {}, 0, 1)},
        {"beta_schedule", fields.text("beta_schedule", {})},
        {"prediction_type", fields.text("prediction_type", {})},
        {"clip_sample",
         false}}.dump();
    fields.expectNoMore();
    return config;
}

Network lowerSimpleUNet(const SimpleUNetConfig &config, const TensorSource &tensors) {
    const uint32_t channels = config.channels, timeChannels = config.timeChannels;
    Builder builder(tensors);
    std::vector<uint32_t> inputs = {
        builder.inputPort("x", config.outChannels, PortSource::State, "the sampler's state")};
    if (config.inChannels > config.outChannels)
        inputs.push_back(builder.inputPort("condition", config.inChannels - config.outChannels,
                                           PortSource::App, "what the model was conditioned on"));
    TimestepFeatures features; // [sin, cos], frequencies exp(-ln(10000) i / (half - 1))
    features.channels = timeChannels;
    features.flipSinToCos = false;
    features.frequencyShift = 1;
    uint32_t time = builder.timestepEmbedding("time_mlp.0", features);
    time = builder.linear("time_mlp.1", time, 4 * timeChannels);
    time = builder.activation("time_mlp.2", time, ActivationFunction::Silu);
    time = builder.linear("time_mlp.3", time, timeChannels);
    Blocks blocks{builder, config, time};

    uint32_t h = builder.conv2d("conv_in", builder.concat("input", inputs), channels, 3);
    const uint32_t fine = blocks.residual("down1", h, 2 * channels);
    const uint32_t coarse =
        blocks.residual("down2", builder.resample("down1.pool", fine, Resample::AverageDown2), 4 * channels);
    h = blocks.residual("mid", coarse, 4 * channels);
    h = blocks.residual("up2", builder.concat("up2.concat", {h, coarse}), 2 * channels);
    h = builder.resample("up2.upsample", h, Resample::NearestUp2);
    h = blocks.residual("up1", builder.concat("up1.concat", {h, fine}), channels);
    h = builder.groupNorm("conv_out.0", h, config.normGroups, config.normEps);
    h = builder.activation("conv_out.1", h, ActivationFunction::Silu);
    h = builder.conv2d("conv_out.2", h, config.outChannels, 3);
    builder.outputPort("model_output", h, PortSource::ModelOutput,
                       "the network's output, which the sampler turns into the next state");
    return builder.finish("unet", 2);
}

} // namespace mote::convert
