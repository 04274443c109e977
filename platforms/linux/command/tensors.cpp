// mote run and mote eval: tensors in by name, tensors out by name. For comparing with other implementations.
#include "commands.h"
#include "description.h"
#include "files.h"
#include "progress.h"

#include "read/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace mote::command {
namespace {

using convert::ReadError;
using convert::SafetensorsEntry;
using convert::SafetensorsFile;
using convert::TensorToWrite;

constexpr const char *kStart = "x_start", *kNoise = "step_noise";
constexpr const char *kLabels = "class_labels", *kGuidance = "guidance";

struct NamedTensor {
    std::string name;
    std::vector<float> values;
    mote_tensor tensor = MOTE_TENSOR_INIT;
};

struct TensorInputs {
    std::vector<NamedTensor> tensors;
    uint32_t batch = 0, width = 0, height = 0;
    std::vector<int64_t> labels; // of models that have classes
    std::vector<float> vectors;  // of models that take vectors instead, [batch][vector length]
    std::optional<float> guidance;
};

std::string shapeText(const std::vector<uint64_t> &shape) {
    std::string text = "[";
    for (const uint64_t extent : shape)
        text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

// The tensor names that this model and recipe know, with [N, C] of each, N the batch; of step_noise [S, N,
// C].
struct KnownTensor {
    std::string name;
    uint64_t steps, channels; // steps 0: no such axis
};

std::vector<KnownTensor> knownTensors(const ModelDescription &model, const RecipeDescription &recipe) {
    std::vector<KnownTensor> known = {{kStart, 0, model.stateChannels()}};
    for (const PortDescription &port : model.inputsOf(recipe))
        if (port.kind == "image" || port.kind == "tensor")
            known.push_back({port.name, 0, port.channels});
    known.push_back({kNoise, recipe.timesteps.size(), model.stateChannels()});
    return known;
}

const KnownTensor &lookUp(const std::vector<KnownTensor> &known, const std::string &name,
                          const std::string &path) {
    std::string names;
    for (const KnownTensor &tensor : known) {
        if (tensor.name == name)
            return tensor;
        names += (names.empty() ? "" : ", ") + tensor.name;
    }
    throw CommandError(ExitCode::BadInput, path + ": tensor: found '" + name + "', expected only: " + names);
}

// What a model with classes is asked for, and the scale of guidance.
void readConditioning(const SafetensorsFile &file, const std::string &path, const ModelDescription &model,
                      const RecipeDescription &recipe, TensorInputs &inputs) {
    const auto refuse = [&](const SafetensorsEntry &entry, const std::string &expected) {
        throw CommandError(ExitCode::BadInput, path + ": " + entry.name + ": found shape " +
                                                   shapeText(entry.shape) + ", expected " + expected);
    };
    if (const SafetensorsEntry *entry = file.find(kLabels); entry && model.hasClasses()) {
        const bool vectors = model.vectorLength != 0;
        const size_t dimensions = vectors ? 2 : 1;
        const uint64_t batch = inputs.batch != 0 || entry->shape.empty() ? inputs.batch : entry->shape[0];
        if (entry->shape.size() != dimensions || entry->shape[0] != batch || batch == 0 ||
            batch > UINT32_MAX || (vectors && entry->shape[1] != model.vectorLength))
            refuse(*entry, "[" + (inputs.batch != 0 ? std::to_string(inputs.batch) : "N") +
                               (vectors ? ", " + std::to_string(model.vectorLength) : "") + "]");
        inputs.batch = static_cast<uint32_t>(batch);
        if (vectors)
            inputs.vectors = file.readFloats(*entry);
        else
            inputs.labels = file.readIntegers(*entry);
    }
    if (const SafetensorsEntry *entry = file.find(kGuidance); entry && recipe.guided) {
        if (entry->elements() != 1)
            refuse(*entry, "[1]");
        inputs.guidance = file.readFloats(*entry)[0];
    }
}

// What class_labels has to be.
std::string labelsText(const ModelDescription &model) {
    if (model.vectorLength != 0)
        return "vectors [N, " + std::to_string(model.vectorLength) + "]";
    return "labels [N] from 0 to " + std::to_string(model.labels - 1) +
           (model.nullClass ? " (" + std::to_string(*model.nullClass) + ": none)" : "");
}

TensorInputs readInputs(const std::string &path, const ModelDescription &model,
                        const RecipeDescription &recipe, bool needsStart) {
    const std::vector<KnownTensor> known = knownTensors(model, recipe);
    const SafetensorsFile file(path);
    TensorInputs inputs;
    // x_start or, without it, the first of the others says what N, H and W are; all must agree.
    std::string sizedBy;
    for (const KnownTensor &tensor : known) {
        const SafetensorsEntry *entry = file.find(tensor.name);
        if (!entry)
            continue;
        std::vector<uint64_t> shape = entry->shape; // [N, C, H, W]
        std::string expected;
        if (tensor.steps != 0) { // [S, N, C, H, W], of one image also [S, C, H, W]
            expected = std::to_string(tensor.steps) + ", ";
            if (shape.size() == 4)
                shape.insert(shape.begin() + 1, 1);
            if (shape.size() == 5 && shape[0] == tensor.steps)
                shape.erase(shape.begin());
            else
                shape.clear();
        }
        expected = "[" + expected + (inputs.batch != 0 ? std::to_string(inputs.batch) : "N") + ", " +
                   std::to_string(tensor.channels);
        const std::string found =
            path + ": " + tensor.name + ": found shape " + shapeText(entry->shape) + ", expected ";
        if (shape.size() != 4 || shape[0] == 0 || shape[0] > UINT32_MAX || shape[1] != tensor.channels ||
            (inputs.batch != 0 && shape[0] != inputs.batch))
            throw CommandError(ExitCode::BadInput, found + expected + ", H, W]");
        const uint64_t height = shape[2], width = shape[3];
        if (height == 0 || width == 0 || height > UINT32_MAX || width > UINT32_MAX)
            throw CommandError(ExitCode::BadInput, found + "H and W from 1 to 4294967295");
        if (sizedBy.empty()) {
            sizedBy = tensor.name;
            inputs.batch = static_cast<uint32_t>(shape[0]);
            inputs.height = static_cast<uint32_t>(height);
            inputs.width = static_cast<uint32_t>(width);
        } else if (height != inputs.height || width != inputs.width) {
            throw CommandError(ExitCode::BadInput, found + expected + ", " + std::to_string(inputs.height) +
                                                       ", " + std::to_string(inputs.width) + "] as " +
                                                       sizedBy + " has");
        }
    }
    readConditioning(file, path, model, recipe, inputs);
    for (const SafetensorsEntry &entry : file.entries()) {
        if ((entry.name == kLabels && model.hasClasses()) || (entry.name == kGuidance && recipe.guided))
            continue;
        const KnownTensor &tensor = lookUp(known, entry.name, path);
        NamedTensor &input = inputs.tensors.emplace_back();
        input.name = entry.name;
        input.values = file.readFloats(entry);
        input.tensor.shape[0] = static_cast<uint32_t>(inputs.batch * std::max<uint64_t>(tensor.steps, 1));
        input.tensor.shape[1] = static_cast<uint32_t>(tensor.channels);
        input.tensor.shape[2] = inputs.height;
        input.tensor.shape[3] = inputs.width;
    }
    if (inputs.tensors.empty())
        throw CommandError(ExitCode::BadInput, path + ": tensors: found none, expected " + kStart +
                                                   " or another input, which says the size");
    std::vector<std::string> needed;
    if (needsStart)
        needed.push_back(kStart);
    for (const PortDescription &port : model.inputsOf(recipe))
        needed.push_back(port.name);
    if (model.hasClasses())
        needed.push_back(kLabels);
    for (const std::string &name : needed)
        if (!file.find(name))
            throw CommandError(ExitCode::BadInput, path + ": tensors: found no '" + name + "', expected " +
                                                       (name == kLabels ? labelsText(model) : "it") +
                                                       " with this model");
    for (NamedTensor &input : inputs.tensors)
        input.tensor.data = input.values.data();
    return inputs;
}

// [rows][batch][channels][height][width], filled from values of the padded size.
struct Recording {
    Recording(std::string tensorName, uint64_t rowCount, uint32_t channelCount, const TensorInputs &size)
        : name(std::move(tensorName)), rows(rowCount), batch(size.batch), channels(channelCount),
          height(size.height), width(size.width), values(rows * batch * channels * height * width) {}

    size_t rowSize() const { return static_cast<size_t>(batch) * channels * height * width; }
    bool record(uint64_t row, const uint32_t shape[4], const float *data) {
        if (row >= rows || shape[0] != batch || shape[1] != channels || shape[2] < height || shape[3] < width)
            return false;
        float *target = values.data() + row * rowSize();
        for (size_t c = 0; c < static_cast<size_t>(batch) * channels; ++c)
            for (size_t y = 0; y < height; ++y, target += width)
                std::memcpy(target, data + (c * shape[2] + y) * shape[3], width * sizeof(float));
        ++recorded;
        return true;
    }
    TensorToWrite take() { return {name, {rows, batch, channels, height, width}, std::move(values)}; }

    std::string name;
    uint64_t rows;
    uint32_t batch, channels, height, width;
    std::vector<float> values;
    uint64_t recorded = 0;
};

struct Trace {
    Recording states, outputs;
    bool failed = false;
};

// Called by the library: must not throw.
void onTrace(void *user, uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
    auto *trace = static_cast<Trace *>(user);
    if (std::strcmp(tensor, "x") == 0)
        trace->failed |= !trace->states.record(step, shape, data);
    else if (std::strcmp(tensor, "model_output") == 0)
        trace->failed |= !trace->outputs.record(step, shape, data);
}

// What both subcommands begin with.
struct Opened {
    DeviceHandle device;
    ModelHandle handle;
    ModelDescription model;
    const RecipeDescription *recipe = nullptr;
    TensorInputs inputs;
    SessionHandle session;
};

// `needsStart`: x_start is not drawn when it is absent, but missed.
void open(const TensorOptions &options, bool needsStart, Opened &opened) {
    checkWritable(options.output);
    opened.device = openDevice(options.device);
    opened.handle = openModel(opened.device.get(), options.model);
    opened.model = describe(opened.handle.get());
    opened.recipe = &chooseRecipe(opened.model, options.recipe, options.model);
    try {
        opened.inputs = readInputs(options.input, opened.model, *opened.recipe, needsStart);
    } catch (const ReadError &error) {
        throw CommandError(ExitCode::BadInput, error.what());
    }
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = opened.inputs.width;
    desc.height = opened.inputs.height;
    desc.recipe = opened.recipe->name.c_str();
    desc.batch = opened.inputs.batch;
    opened.session = createSession(opened.handle.get(), desc);
    const TensorInputs &inputs = opened.inputs;
    if (!inputs.labels.empty())
        check(mote_session_set_class_labels(opened.session.get(), inputs.labels.data(), inputs.batch));
    if (!inputs.vectors.empty())
        check(mote_session_set_class_vectors(opened.session.get(), inputs.vectors.data(), inputs.batch,
                                             opened.model.vectorLength));
    if (inputs.guidance)
        check(mote_session_set_guidance(opened.session.get(), &*inputs.guidance));
    for (const NamedTensor &input : opened.inputs.tensors)
        check(mote_session_bind_tensor(opened.session.get(), input.name.c_str(), &input.tensor));
}

void write(const std::string &path, const std::vector<TensorToWrite> &tensors) {
    try {
        convert::writeSafetensors(path, tensors);
    } catch (const ReadError &error) {
        throw CommandError(ExitCode::Output, error.what());
    }
}

} // namespace

void runTensors(const TensorOptions &options, Interrupts &interrupts) {
    Opened opened;
    open(options, false, opened);
    const TensorInputs &inputs = opened.inputs;
    const uint32_t channels = opened.model.stateChannels();
    const size_t rows = opened.recipe->timesteps.size();

    TensorToWrite sample = {"sample", {inputs.batch, channels, inputs.height, inputs.width}, {}};
    sample.values.resize(static_cast<size_t>(inputs.batch) * channels * inputs.height * inputs.width);
    mote_tensor output = MOTE_TENSOR_INIT;
    const uint32_t shape[4] = {inputs.batch, channels, inputs.height, inputs.width};
    std::copy(shape, shape + 4, output.shape);
    output.data = sample.values.data();
    check(mote_session_bind_output_tensor(opened.session.get(), &output));

    const uint64_t traced = options.trace ? rows : 0;
    Trace trace = {Recording("x", options.trace ? rows + 1 : 0, channels, inputs),
                   Recording("model_output", traced, opened.model.outputChannels(), inputs)};
    mote_trace desc = MOTE_TRACE_INIT;
    desc.callback = onTrace;
    desc.user = &trace;
    {
        Progress progress("run");
        runSession(opened.session.get(), options.noise, progress, interrupts,
                   options.trace ? &desc : nullptr);
    }
    std::vector<TensorToWrite> tensors;
    tensors.push_back(std::move(sample));
    if (options.trace) {
        if (trace.failed || trace.states.recorded != rows + 1 || trace.outputs.recorded != rows)
            throw CommandError(ExitCode::RunFailed,
                               "trace: found " + std::to_string(trace.states.recorded) + " states and " +
                                   std::to_string(trace.outputs.recorded) + " model outputs" +
                                   (trace.failed ? ", some of another shape" : "") + ", expected " +
                                   std::to_string(rows + 1) + " and " + std::to_string(rows));
        tensors.push_back(trace.states.take());
        tensors.push_back(trace.outputs.take());
    }
    write(options.output, tensors);
}

void evaluateTensors(const TensorOptions &options) {
    Opened opened;
    open(options, true, opened);
    const TensorInputs &inputs = opened.inputs;
    const uint32_t channels = opened.model.outputChannels();
    const uint64_t rows = opened.recipe->timesteps.size();
    TensorToWrite result = {"model_output", {rows, inputs.batch, channels, inputs.height, inputs.width}, {}};
    const size_t rowSize = static_cast<size_t>(inputs.batch) * channels * inputs.height * inputs.width;
    result.values.resize(rows * rowSize);
    for (uint32_t row = 0; row < rows; ++row) {
        mote_tensor output = MOTE_TENSOR_INIT;
        const uint32_t shape[4] = {inputs.batch, channels, inputs.height, inputs.width};
        std::copy(shape, shape + 4, output.shape);
        output.data = result.values.data() + row * rowSize;
        check(mote_session_evaluate(opened.session.get(), row, &output));
    }
    write(options.output, {std::move(result)});
}

} // namespace mote::command
