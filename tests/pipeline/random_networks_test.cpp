// Whatever the keys of a configuration are, the device computes what the reference interpreter does.
#include "convert/checkpoint_folder.h"
#include "convert/random_networks.h"
#include "pipeline/rig.h"
#include "reference/reference.h"

#include <cmath>

namespace mote::test {
namespace {

namespace reference = convert::reference;
using nlohmann::json;

const std::vector<double> kTimesteps = {999, 3};
constexpr uint32_t kLabel = 2;

std::vector<float> noise(size_t count, uint32_t seed) {
    return convert::randomArray<float>(1, static_cast<uint32_t>(count), 1, 1, seed).values;
}

// What a forward pass is given.
struct Inputs {
    std::vector<reference::Array<float>> ports; // in port order
    std::vector<float> vector;                  // of a class, where the app gives it
};

Inputs inputsOf(const convert::Conversion &conversion, uint32_t height, uint32_t width) {
    const convert::Network &network = conversion.network;
    Inputs inputs;
    for (const Port &port : network.graph.ports)
        if (!port.output)
            inputs.ports.push_back(convert::randomArray<float>(1, network.graph.tensors[port.tensor].channels,
                                                               height, width,
                                                               static_cast<uint32_t>(inputs.ports.size())));
    if (network.graph.conditioning.kind == ConditioningKind::Vectors)
        inputs.vector = noise(network.constants[network.graph.conditioning.stepEmbeddings].shape[1], 77);
    return inputs;
}

std::vector<float> referenceOutput(const convert::Network &network, const Inputs &inputs, uint32_t row,
                                   reference::Storage storage) {
    reference::Step step;
    step.row = row;
    step.labels = {kLabel};
    step.vectors = {{inputs.vector.begin(), inputs.vector.end()}};
    const auto tensors =
        reference::runGraph<float>(network, inputs.ports, step, storage, reference::Keep::Release);
    return reference::modelOutput(network.graph, tensors).values;
}

struct Error {
    double norm = 0, largest = 0; // of the difference's norm, and of its largest value to the expected rms
};

Error errorOf(const std::vector<float> &found, const std::vector<float> &expected) {
    double squares = 0, differences = 0, largest = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::fabs(double(found[i]) - double(expected[i]));
        squares += double(expected[i]) * double(expected[i]);
        differences += difference * difference;
        if (!(difference <= largest))
            largest = difference;
    }
    return {std::sqrt(differences / squares), largest / std::sqrt(squares / double(expected.size()))};
}

// The device may err three times as much as storing fp16 does, or as the goldens' least tolerances.
void expectReference(const json &config, const convert::Conversion &conversion, const std::string &file,
                     const std::shared_ptr<gpu::Device> &device) {
    const uint32_t size = conversion.model.graphs[0].sizeMultiple;
    pipeline::SessionOptions options;
    options.height = 3 * size;
    options.width = 5 * size;
    const auto session = makeSession(loadModel(device, file), options);
    Inputs inputs = inputsOf(conversion, options.height, options.width);
    for (size_t i = 0; i < inputs.ports.size(); ++i) {
        const pipeline::TensorView view =
            viewOf(inputs.ports[i].values, inputs.ports[i].channels, options.height, options.width);
        ASSERT_TRUE(succeeded(session->bindTensor(i == 0 ? "x_start" : "condition", &view)));
    }
    const ConditioningKind kind = conversion.model.graphs[0].conditioning.kind;
    if (kind == ConditioningKind::Labels) {
        ASSERT_TRUE(succeeded(session->setClassLabels({kLabel})));
    }
    if (kind == ConditioningKind::Vectors) {
        ASSERT_TRUE(succeeded(
            session->setClassVectors(inputs.vector.data(), 1, static_cast<uint32_t>(inputs.vector.size()))));
    }
    for (uint32_t row = 0; row < kTimesteps.size(); ++row) {
        const std::vector<float> expected =
            referenceOutput(conversion.network, inputs, row, reference::Storage::Exact);
        const Error ofStorage =
            errorOf(referenceOutput(conversion.network, inputs, row, reference::Storage::Half), expected);
        std::vector<float> found(expected.size());
        ASSERT_TRUE(succeeded(
            session->evaluate(row, viewOf(found, inputs.ports[0].channels, options.height, options.width))));
        const Error error = errorOf(found, expected);
        EXPECT_LE(error.norm, std::max(3 * ofStorage.norm, 2e-3)) << "row " << row << ": " << config.dump();
        EXPECT_LE(error.largest, std::max(3 * ofStorage.largest, 1e-2))
            << "row " << row << ": " << config.dump();
    }
}

// Every fourth also with the least that a device may have.
TEST(RandomNetworks, DeviceComputesWhatTheReferenceDoes) {
    const gpu::LimitsClamp clamp = gpu::floorClamp();
    const auto floor = makeDevice(&clamp);
    for (uint32_t seed = MOTE_FIRST_SEED; seed < MOTE_FIRST_SEED + MOTE_SEEDS; ++seed) {
        const json config = convert::randomConfig(seed);
        const convert::CheckpointFolder folder(config);
        convert::ConvertOptions options;
        options.directory = folder.path();
        options.timesteps = kTimesteps;
        const convert::Conversion conversion = convert::convertCheckpoint(options);
        const std::string file = writeToFile(conversion);
        SCOPED_TRACE(seed);
        expectReference(config, conversion, file, sharedDevice());
        if (seed % 4 == 0)
            expectReference(config, conversion, file, floor);
    }
}

} // namespace
} // namespace mote::test
