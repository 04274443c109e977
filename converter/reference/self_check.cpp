#include "reference/self_check.h"

#include "graph/shapes.h"
#include "read/json.h"
#include "read/text.h"
#include "reference/reference.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace mote::convert {

namespace {

using reference::Array;

constexpr uint64_t kMostFloats = 256 * 1024 / sizeof(float);
constexpr uint32_t kMostSamples = 64;

// SplitMix64 (Steele, Lea and Flood 2014): the same numbers on every machine.
class Numbers {
public:
    explicit Numbers(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
    // Sum of twelve uniforms: variance 1, and only exact arithmetic.
    double normal() {
        double sum = -6;
        for (int i = 0; i < 12; ++i)
            sum += uniform();
        return sum;
    }

private:
    uint64_t state_;
};

struct Statistics {
    double rms = 0, largest = 0, difference = 0; // difference: the largest, from exact
};

Statistics compare(const Array<float> &stored, const Array<double> &exact) {
    Statistics result;
    double squares = 0;
    for (size_t i = 0; i < stored.values.size(); ++i) {
        const double value = double(stored.values[i]);
        squares += value * value;
        result.largest = std::max(result.largest, std::fabs(value));
        result.difference = std::max(result.difference, std::fabs(value - exact.values[i]));
    }
    result.rms = std::sqrt(squares / double(stored.values.size()));
    return result;
}

float toleranceOf(const Statistics &s) {
    if (s.rms == 0)
        return 1e-3f; // an output of zeros is checked to be zeros
    // The interpreter rounds to the nearest; drivers may round to fp16 towards zero (Mesa's software driver
    // does), which is twice as far and always the same way, so that errors of layer after layer add up.
    constexpr double kUnitInTheLastPlace = 0x1p-10;
    return static_cast<float>(std::max(8 * s.difference, 4 * kUnitInTheLastPlace * s.largest) / s.rms);
}

std::vector<uint32_t> samplePositions(size_t size, uint32_t count, Numbers &numbers) {
    std::set<uint32_t> positions;
    if (size <= count) {
        for (uint32_t i = 0; i < size; ++i)
            positions.insert(i);
    } else {
        while (positions.size() < count)
            positions.insert(static_cast<uint32_t>(numbers.next() % size));
    }
    return {positions.begin(), positions.end()};
}

uint32_t portChannels(const Graph &graph) {
    uint32_t channels = 0;
    for (const Port &port : graph.ports)
        channels += graph.tensors[port.tensor].channels;
    return channels;
}

} // namespace

SelfCheck makeSelfCheck(const Network &network, uint32_t timestepIndex) {
    const Graph &graph = network.graph;
    // Half of the room for inputs and output, half for samples: 2 floats each and 3 for the op.
    const auto fits = [&](uint64_t h, uint64_t w) { return h * w * portChannels(graph) <= kMostFloats / 2; };
    const uint64_t perOp = kMostFloats / 2 / std::max<uint64_t>(graph.ops.size(), 1);
    const FixedSize fixed = fixedSize(graph);
    uint32_t height = fixed ? fixed.height : 2 * graph.sizeMultiple, width = fixed ? fixed.width : height;
    if (!fixed && !fits(height, width))
        height = width = graph.sizeMultiple;
    if (!fits(height, width) || perOp < 5)
        return {};
    const auto samples = static_cast<uint32_t>(std::min<uint64_t>(kMostSamples, (perOp - 3) / 2));

    SelfCheck check;
    check.timestepIndex = timestepIndex;
    check.height = height;
    check.width = width;
    Numbers numbers(20240229);
    std::vector<Array<float>> inputs;
    std::vector<Array<double>> exactInputs;
    for (const Port &port : graph.ports) {
        if (port.output)
            continue;
        Array<float> input(1, graph.tensors[port.tensor].channels, height, width);
        for (float &value : input.values) // the state is noise, a condition is a picture
            value = static_cast<float>(port.source == PortSource::State ? numbers.normal()
                                                                        : 2 * numbers.uniform() - 1);
        Array<double> exact(1, input.channels, height, width);
        std::copy(input.values.begin(), input.values.end(), exact.values.begin());
        check.inputs.push_back(input.values);
        inputs.push_back(std::move(input));
        exactInputs.push_back(std::move(exact));
    }
    reference::Step step;
    step.row = timestepIndex;
    if (graph.conditioning.kind == ConditioningKind::Labels)
        step.labels = {check.label};
    else if (graph.conditioning.kind == ConditioningKind::Vectors)
        step.vectors.resize(1);
    for (std::vector<double> &vector : step.vectors)
        vector.resize(network.constants[graph.conditioning.stepEmbeddings].shape[1]);
    const auto stored = reference::runGraph<float>(network, inputs, step, reference::Storage::Half);
    const auto exact = reference::runGraph<double>(network, exactInputs, step);
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        const Array<float> &output = stored[op.output];
        for (float value : output.values)
            if (!std::isfinite(value))
                throw ReadError(text("op ", op.name,
                                     ": its output exceeds fp16's largest number, 65504, on noise of ",
                                     "variance 1; the model cannot be stored in fp16"));
        const Statistics statistics = compare(output, exact[op.output]);
        SelfCheckOp sampled;
        sampled.op = i;
        sampled.rms = static_cast<float>(statistics.rms);
        sampled.tolerance = toleranceOf(statistics);
        sampled.positions = samplePositions(output.values.size(), samples, numbers);
        for (uint32_t position : sampled.positions)
            sampled.values.push_back(output.values[position]);
        check.ops.push_back(std::move(sampled));
    }
    const Array<float> &output = reference::modelOutput(graph, stored);
    check.output = output.values;
    check.outputTolerance = toleranceOf(compare(output, reference::modelOutput(graph, exact)));
    return check;
}

} // namespace mote::convert
