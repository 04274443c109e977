// Small networks evaluated in double, where nothing is rounded: what a pass of the folding kept, or not.
#pragma once

#include "random_unet.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mote::convert {

inline const std::vector<double> kTimesteps = {999, 499, 3};

inline Network lowered(const nlohmann::json &config) {
    RandomTensors tensors;
    return lowerUNet(parseUNetConfig(nlohmann::json::parse(config.dump()), "config"),
                     tensors.source()); // as a file has it
}

inline std::vector<reference::Array<double>> inputsOf(const Network &network, uint32_t height,
                                                      uint32_t width) {
    std::vector<reference::Array<double>> inputs;
    for (const Port &port : network.graph.ports)
        if (!port.output)
            inputs.push_back(randomArray<double>(2, network.graph.tensors[port.tensor].channels, height,
                                                 width, uint32_t(7 + inputs.size())));
    return inputs;
}

// Of two images at kTimesteps[row].
inline reference::Array<double> outputOf(const Network &network, size_t row, uint32_t height = 8,
                                         uint32_t width = 12) {
    reference::Step step;
    uint32_t length = 1; // of a vector that the app gives
    step.row = uint32_t(row);
    step.timestep = kTimesteps[row];
    step.features = network.timestepFeatures;
    step.classInput = network.classInput;
    step.labels = {3, 1}; // of the two images; not looked at where there are no classes
    for (const Op &op : network.graph.ops)
        if (op.kind == OpKind::ClassEmbedding)
            length = network.graph.tensors[op.output].channels;
    if (network.graph.conditioning.kind != ConditioningKind::None)
        length = network.constants[network.graph.conditioning.stepEmbeddings].shape[1];
    for (uint32_t image = 0; image < 2; ++image)
        step.vectors.push_back(randomArray<double>(1, length, 1, 1, 40 + image).values);
    const auto tensors = reference::runGraph<double>(network.graph, reference::tablesOf<double>(network),
                                                     inputsOf(network, height, width), step);
    return reference::modelOutput(network.graph, tensors);
}

// The largest difference, relative to the root of the mean square.
inline double relativeError(const reference::Array<double> &found, const reference::Array<double> &expected) {
    if (found.values.size() != expected.values.size())
        return std::numeric_limits<double>::infinity();
    double worst = 0, squares = 0;
    for (size_t i = 0; i < expected.values.size(); ++i) {
        const double error = std::fabs(found.values[i] - expected.values[i]);
        if (!(error <= worst)) // so that NaN is the worst of all
            worst = error;
        squares += expected.values[i] * expected.values[i];
    }
    return worst / std::sqrt(squares / double(expected.values.size()));
}

} // namespace mote::convert
