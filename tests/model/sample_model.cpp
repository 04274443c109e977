#include "model/sample_model.h"

#include "model/checked.h"
#include "model/format.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

namespace mote::test {

namespace {

// Adds tensors, weights and ops one after the other, as a converter would.
class Builder {
public:
    Sample sample;

    Builder() { sample.model.graphs.emplace_back(); }
    Graph &graph() { return sample.model.graphs[0]; }

    uint32_t tensor(const std::string &name, uint32_t channels, TensorKind kind = TensorKind::Activation) {
        graph().tensors.push_back({name, kind, channels});
        return static_cast<uint32_t>(graph().tensors.size() - 1);
    }

    uint32_t weight(const std::string &name, DataType type, std::vector<uint32_t> shape) {
        Weight weight;
        weight.name = name;
        weight.type = type;
        weight.bytes = elementBytes(type);
        for (const uint32_t dimension : shape)
            weight.bytes *= dimension;
        weight.shape = std::move(shape);
        std::vector<uint8_t> payload(static_cast<size_t>(weight.bytes));
        for (uint8_t &byte : payload)
            byte = static_cast<uint8_t>((state_ = state_ * 1664525u + 1013904223u) >> 24);
        sample.payloads.push_back(std::move(payload));
        sample.model.weights.push_back(std::move(weight));
        return static_cast<uint32_t>(sample.model.weights.size() - 1);
    }

    Op &conv(const std::string &name, std::vector<uint32_t> inputs, uint32_t output, uint32_t kernel,
             uint32_t biasRows = 1) {
        uint32_t in = 0;
        for (const uint32_t input : inputs)
            in += graph().tensors[input].channels;
        const uint32_t out = graph().tensors[output].channels;
        Op op;
        op.kind = OpKind::Conv2d;
        op.name = name;
        op.inputs = std::move(inputs);
        op.output = output;
        op.weight = weight(name + ".weight", DataType::F16, {out, kernel, kernel, in});
        op.bias = weight(name + ".bias", DataType::F32, {biasRows, out});
        op.padTop = op.padLeft = op.padBottom = op.padRight = kernel / 2;
        graph().ops.push_back(op);
        return graph().ops.back();
    }

    Op &norm(const std::string &name, std::vector<uint32_t> inputs, uint32_t output, uint32_t groups) {
        Op op;
        op.kind = OpKind::GroupNorm;
        op.name = name;
        op.inputs = std::move(inputs);
        op.output = output;
        op.affine = weight(name + ".affine", DataType::F32, {1, 2, graph().tensors[output].channels});
        op.groups = groups;
        op.epsilon = 1e-6f;
        op.activation = ActivationFunction::Silu;
        graph().ops.push_back(op);
        return graph().ops.back();
    }

    void resample(const std::string &name, uint32_t input, uint32_t output, Resample how) {
        Op op;
        op.kind = OpKind::Resample;
        op.name = name;
        op.inputs = {input};
        op.output = output;
        op.outputResample = how;
        graph().ops.push_back(op);
    }

    void port(const std::string &name, bool output, PortSource source, uint32_t tensor) {
        Port port;
        port.name = name;
        port.output = output;
        port.kind = PortKind::Image;
        port.source = source;
        port.tensor = tensor;
        port.shape = {{DimensionSymbol::N, 1, 1},
                      {DimensionSymbol::One, graph().tensors[tensor].channels, 1},
                      {DimensionSymbol::H, 1, 1},
                      {DimensionSymbol::W, 1, 1}};
        port.valueLow = -0.5f;
        port.valueHigh = 2;
        port.description = "what " + name + " is";
        graph().ports.push_back(port);
    }

private:
    uint32_t state_ = 7;
};

} // namespace

Sample sampleModel(uint32_t wide) {
    Builder b;
    Model &model = b.sample.model;
    model.name = "sample";
    model.version = "1.2";
    model.licence = "CC0-1.0";
    model.task = "restore";
    model.description = "two lines,\nand an umlaut: \xc3\xa4";
    model.sourceClass = "UNet2DModel";
    model.timesteps = {999, 499.5f};
    model.statisticsWindow = 64;
    model.receptiveField = 17;
    Graph &graph = b.graph();
    graph.name = "unet";
    graph.phase = Phase::PerStep;
    graph.order = 3;
    graph.sizeMultiple = 2;

    const uint32_t c = 8 * wide;
    const uint32_t x = b.tensor("x", 3, TensorKind::Port),
                   condition = b.tensor("condition", 3, TensorKind::Port);
    const uint32_t joined = b.tensor("joined", 6), high = b.tensor("high", c);
    const uint32_t highNorm = b.tensor("high_norm", c), low = b.tensor("low", 2 * c);
    const uint32_t lowNorm = b.tensor("low_norm", 2 * c), qkv = b.tensor("qkv", 6 * c);
    const uint32_t attended = b.tensor("attended", 2 * c), mixed = b.tensor("mixed", 2 * c);
    const uint32_t up = b.tensor("up", c), skipNorm = b.tensor("skip_norm", 2 * c);
    const uint32_t out = b.tensor("model_output", 3, TensorKind::Port);
    b.port("x", false, PortSource::State, x);
    b.port("condition", false, PortSource::App, condition);
    b.port("model_output", true, PortSource::ModelOutput, out);

    Op concat;
    concat.kind = OpKind::Concat;
    concat.name = "concat";
    concat.inputs = {x, condition};
    concat.output = joined;
    concat.inputScale = {1, 2};
    concat.inputOffset = {0, -1};
    graph.ops.push_back(concat);
    b.conv("conv_in", {joined}, high, 3, 2);
    b.norm("norm1", {high}, highNorm, 4);
    Op &down = b.conv("down", {highNorm}, low, 3);
    down.stride = 2;
    down.padTop = down.padLeft = 0;
    b.norm("norm2", {low}, lowNorm, 8).activation = ActivationFunction::None;
    b.conv("qkv", {lowNorm}, qkv, 1);
    Op attention;
    attention.kind = OpKind::Attention;
    attention.name = "attention";
    attention.inputs = {qkv};
    attention.output = attended;
    attention.heads = 2;
    graph.ops.push_back(attention);
    Op &project = b.conv("project", {attended}, mixed, 1);
    project.residual = low;
    project.outputScale = 0.5f;
    Op &upsample = b.conv("upsample", {mixed}, up, 3);
    upsample.inputResample = Resample::NearestUp2;
    const uint32_t filtered = b.tensor("filtered", c), widened = b.tensor("widened", c);
    b.resample("fir_down", high, filtered, Resample::FirDown2);
    b.resample("fir_up", filtered, widened, Resample::FirUp2);
    const uint32_t pointed = b.tensor("pointed", c);
    Op point;
    point.kind = OpKind::Pointwise;
    point.name = "point";
    point.inputs = {widened};
    point.output = pointed;
    point.affine = b.weight("point.affine", DataType::F32, {2, 2, c});
    point.residual = high;
    point.activation = ActivationFunction::Relu;
    graph.ops.push_back(point);
    b.norm("norm3", {up, pointed}, skipNorm, 2).activation = ActivationFunction::Gelu;
    b.conv("conv_out", {skipNorm}, out, 3).outputScales = {0.5f, 2};
    for (Op &op : graph.ops)
        if (op.name == "down" || op.name == "norm2")
            op.projection =
                b.weight(op.name + ".projection", DataType::F16, {op.name == "down" ? 2 * c : 4 * c, 6});
    graph.conditioning.kind = ConditioningKind::Labels;
    graph.conditioning.stepEmbeddings = b.weight("step_embeddings", DataType::F32, {2, 6});
    graph.conditioning.classes = b.weight("classes", DataType::F32, {5, 6});
    graph.conditioning.nullClass = 4;
    graph.conditioning.activation = ActivationFunction::Gelu;

    for (const uint32_t steps : {1u, 2u}) {
        Recipe recipe;
        recipe.name = std::to_string(steps);
        recipe.sampler = "ddim";
        recipe.steps = steps;
        recipe.initNoise = 0.25f;
        recipe.initCondition = 0.75f;
        recipe.initScale = 0.5f;
        for (uint32_t i = 0; i < steps; ++i) {
            StepRow row;
            row.timestepIndex = i;
            row.timestep = model.timesteps[i];
            row.p = 1.5f;
            row.q = -0.5f;
            row.clip = i == 0 ? ClipKind::Clamp : ClipKind::Threshold;
            row.clipLow = -0.75f;
            row.clipHigh = 0.875f;
            row.quantile = 0.9f;
            row.thresholdMax = 3;
            row.a = 0.1f;
            row.b = 0.2f;
            row.g = 0.3f;
            row.e = i == 0 ? 0.4f : 0; // a known region stands in the condition's place
            row.c = 0.6f;
            row.h = {0, i == 0 ? 0 : 0.7f, 0, 0};
            row.store = i == 0 ? 1 : kNone;
            row.u = 0.8f;
            row.v = 0.9f;
            row.w = 1.1f;
            row.draws = 1;
            row.scale = 0.5f;
            row.guided = i == 0;
            row.guidance = i == 0 ? 2.5f : 1;
            row.guidanceRescale = i == 0 ? 0.25f : 0;
            row.langevin = row.known = i == 1;
            row.knownImage = i == 1 ? 1.2f : 0;
            row.knownNoise = i == 1 ? 1.3f : 0;
            recipe.rows.push_back(row);
        }
        model.recipes.push_back(recipe);
    }

    SelfCheck &check = model.selfCheck;
    check.height = check.width = 4;
    check.timestepIndex = 1;
    check.label = 3;
    check.inputs = {std::vector<float>(48, 0.25f), std::vector<float>(48, -0.5f)};
    check.output.assign(48, 0.125f);
    check.outputTolerance = 0.01f;
    for (uint32_t i = 0; i < graph.ops.size(); ++i)
        check.ops.push_back({i, 1.5f, 0.02f, {0, 3, 11}, {0.5f, -0.25f, 2}});
    return std::move(b.sample);
}

RawFile rawFile(Sample sample) {
    RawFile raw;
    raw.model = std::move(sample.model);
    raw.payloads = std::move(sample.payloads);
    uint64_t end = 0;
    for (Weight &weight : raw.model.weights) {
        end = alignUp(end, kAlignment).value;
        weight.segment = 0;
        weight.offset = end;
        end += weight.bytes;
    }
    raw.model.segments = {{}};
    raw.model.segments[0].offset = kHeaderBytes;
    raw.model.segments[0].bytes = end;
    raw.labels = {{"weights", 0, true}};
    return raw;
}

std::vector<uint8_t> assemble(const RawFile &raw) {
    Model model = raw.model;
    std::vector<uint8_t> file(kHeaderBytes);
    constexpr uint64_t kMost = 16u << 20;
    const auto fits = [](uint64_t offset, uint64_t bytes) { return offset <= kMost && bytes <= kMost; };
    for (size_t s = 0; s < model.segments.size(); ++s) {
        const Segment &segment = model.segments[s];
        if (s >= raw.segmentsWritten || !fits(segment.offset, segment.bytes))
            continue;
        if (file.size() < segment.offset) // padding before it
            file.resize(static_cast<size_t>(segment.offset), raw.padding);
        file.resize(std::max(file.size(), static_cast<size_t>(segment.offset + segment.bytes)));
        for (size_t w = 0; w < model.weights.size(); ++w) {
            const Weight &weight = model.weights[w];
            const std::vector<uint8_t> &payload = raw.payloads[w];
            if (weight.segment == s && fits(weight.offset, payload.size()) &&
                weight.offset + payload.size() <= segment.bytes)
                std::copy(payload.begin(), payload.end(),
                          file.begin() + static_cast<ptrdiff_t>(segment.offset + weight.offset));
        }
    }
    for (size_t s = 0; s < std::min(raw.segmentsWritten, model.segments.size()); ++s) {
        Segment &segment = model.segments[s];
        if (raw.keepChecksums || !fits(segment.offset, segment.bytes))
            continue;
        segment.checksums.clear();
        for (uint64_t at = 0; at < segment.bytes; at += kChunkBytes)
            segment.checksums.push_back(XXH64(file.data() + segment.offset + at,
                                              static_cast<size_t>(std::min(kChunkBytes, segment.bytes - at)),
                                              0));
    }
    const std::vector<uint8_t> root = encodeRoot(model, raw.labels, raw.features);
    file.resize(static_cast<size_t>(alignUp(file.size(), kAlignment).value + raw.gap), raw.padding);
    const uint64_t rootOffset = file.size();
    file.insert(file.end(), root.begin(), root.end());
    file.insert(file.end(), raw.behind.begin(), raw.behind.end());
    std::memcpy(file.data(), kMagic, sizeof kMagic);
    storeLittle(file.data() + kHeaderVersion, raw.formatVersion.value_or(kFormatVersion), 4);
    storeLittle(file.data() + kHeaderMinimumRuntime, raw.minimumRuntime.value_or(kMinimumRuntimeVersion), 4);
    storeLittle(file.data() + kHeaderRootOffset, raw.rootOffset.value_or(rootOffset), 8);
    storeLittle(file.data() + kHeaderRootBytes, raw.rootBytes.value_or(root.size()), 8);
    storeLittle(file.data() + kHeaderRootChecksum, XXH64(root.data(), root.size(), 0), 8);
    storeLittle(file.data() + kHeaderFileBytes, raw.fileBytes.value_or(file.size()), 8);
    storeLittle(file.data() + kHeaderReserved, raw.reserved.value_or(0), 8);
    storeLittle(file.data() + kHeaderChecksum, XXH64(file.data(), kHeaderChecksum, 0), 8);
    return file;
}

void seal(std::vector<uint8_t> &file) {
    const uint64_t offset = loadLittle(file.data() + kHeaderRootOffset, 8);
    const uint64_t bytes = loadLittle(file.data() + kHeaderRootBytes, 8);
    storeLittle(file.data() + kHeaderRootChecksum, XXH64(file.data() + offset, static_cast<size_t>(bytes), 0),
                8);
    storeLittle(file.data() + kHeaderChecksum, XXH64(file.data(), kHeaderChecksum, 0), 8);
}

void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes) {
    FILE *file = std::fopen(path.c_str(), "wb");
    ASSERT_NE(file, nullptr) << path;
    EXPECT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    EXPECT_EQ(std::fclose(file), 0);
}

std::vector<uint8_t> readBytes(const std::string &path) {
    std::vector<uint8_t> bytes;
    FILE *file = std::fopen(path.c_str(), "rb");
    EXPECT_NE(file, nullptr) << path;
    if (file == nullptr)
        return bytes;
    uint8_t piece[4096];
    for (size_t got; (got = std::fread(piece, 1, sizeof piece, file)) > 0;)
        bytes.insert(bytes.end(), piece, piece + got);
    std::fclose(file);
    return bytes;
}

std::vector<std::string> listDirectory(const std::string &path) {
    std::vector<std::string> names;
    DIR *directory = opendir(path.c_str());
    EXPECT_NE(directory, nullptr) << path;
    if (directory == nullptr)
        return names;
    while (const dirent *entry = readdir(directory))
        if (entry->d_name[0] != '.')
            names.push_back(entry->d_name);
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
}

std::string freshDirectory(const std::string &name) {
    const std::string path = std::string(MOTE_BINARY_DIR) + "/tests/" + name;
    mkdir(path.c_str(), 0777);
    for (const std::string &entry : listDirectory(path))
        unlink((path + "/" + entry).c_str());
    return path;
}

} // namespace mote::test
