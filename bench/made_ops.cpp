#include "made_ops.h"

#include "expect.h"
#include "fold/fold.h"
#include "fold/store.h"
#include "lower/builder.h"
#include "lower/random_weights.h"
#include "model/writer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

namespace mote::bench {
namespace {

using convert::Builder;

// What stands around an op: picture to channels, and channels to the model's output.
constexpr const char *kStem = "stem", *kHead = "head", *kInput = "input";

// One folder for the program's files.
class Files {
public:
    Files() {
        std::string name = (std::filesystem::temp_directory_path() / "mote-bench-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder");
        folder_ = name;
    }
    ~Files() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    std::string next() { return folder_ + "/" + std::to_string(count_++) + ".mote"; }

private:
    std::string folder_;
    int count_ = 0;
};

void write(convert::Network network, const std::string &path) {
    convert::fold(network, {0.0});
    convert::roundToStored(network);
    const convert::StoredConstants constants = convert::storeConstants(network);
    Model model;
    model.name = "op";
    model.task = "generate";
    model.weights = constants.weights;
    model.graphs = {network.graph};
    model.timesteps = {0};
    Recipe recipe;
    recipe.name = "1";
    recipe.sampler = "ddim";
    recipe.steps = 1;
    StepRow row; // x' = m
    row.b = 1;
    recipe.rows = {row};
    model.recipes = {recipe};
    expect(writeModel(
        model,
        [&](uint32_t weight, uint64_t offset, void *to, size_t bytes) {
            std::memcpy(to, constants.data[weight].data() + offset, bytes);
            return Status{};
        },
        path));
}

// `middle` makes a map out of a map.
std::string made(uint32_t inputs, uint32_t channels,
                 const std::function<uint32_t(Builder &, uint32_t)> &middle) {
    static Files files;
    constexpr uint32_t kState = 3;
    convert::RandomWeights random(1);
    const convert::TensorSource source = [&](const std::string &name, const std::vector<uint64_t> &shape) {
        return random.take(name, shape);
    };
    Builder builder(source);
    std::vector<uint32_t> ports = {builder.inputPort("x", kState, PortSource::State, "")};
    if (inputs > kState)
        ports.push_back(builder.inputPort("condition", inputs - kState, PortSource::App, ""));
    uint32_t h = builder.concat(kInput, ports);
    if (channels != inputs)
        h = builder.conv2d(kStem, h, channels, 1);
    h = builder.conv2d(kHead, middle(builder, h), kState, 1);
    builder.outputPort("model_output", h, PortSource::ModelOutput, "");
    const std::string path = files.next();
    write(builder.finish("op", 1), path);
    return path;
}

std::string convolution(uint32_t inputs, uint32_t outputs, uint32_t kernel) {
    return made(inputs, inputs,
                [=](Builder &builder, uint32_t h) { return builder.conv2d("op", h, outputs, kernel); });
}

std::string widerConvolution(uint32_t channels, uint32_t kernel) {
    return made(3, channels,
                [=](Builder &builder, uint32_t h) { return builder.conv2d("op", h, channels, kernel); });
}

} // namespace

std::vector<MadeOp> makeOps() {
    const std::string attention = made(3, 256, [](Builder &builder, uint32_t h) {
        const uint32_t q = builder.linear("q", h, 256), k = builder.linear("k", h, 256),
                       v = builder.linear("v", h, 256);
        return builder.linear("out", builder.attention("attention", {q, k, v}, 4), 256);
    });
    const std::string norm = made(3, 128, [](Builder &builder, uint32_t h) {
        return builder.activation("silu", builder.groupNorm("norm", h, 32, 1e-6), ActivationFunction::Silu);
    });
    return {
        {"conv3x3 128->128 at 32x32", {}, widerConvolution(128, 3), 32, 32},
        {"conv3x3 320->320 at 64x64", {}, widerConvolution(320, 3), 64, 64},
        {"conv3x3 6->64 at 256x256", {}, convolution(6, 64, 3), 256, 256},
        {"attention 1024 tokens 256 wide 4 heads", {"attention"}, attention, 32, 32},
        {"attention 1024 tokens 256 wide 4 heads with projections", {}, attention, 32, 32},
        {"GroupNorm+SiLU 128 at 128x128", {}, norm, 128, 128},
        {"conv1x1 256->256 at 32x32", {}, widerConvolution(256, 1), 32, 32},
    };
}

Unit unitOf(const MadeOp &made, const Subject &subject) {
    Unit unit;
    unit.name = made.name;
    for (uint32_t i = 0; i < subject.graph().ops.size(); ++i) {
        const std::string &name = subject.graph().ops[i].name;
        const bool around = name == kStem || name == kHead || name == kInput;
        const bool meant = std::find(made.ops.begin(), made.ops.end(), name) != made.ops.end();
        if (made.ops.empty() ? !around : meant)
            unit.ops.push_back(i);
    }
    return unit;
}

} // namespace mote::bench
