#include "lower/builder.h"

#include "read/text.h"

#include <cmath>
#include <numeric>

namespace mote::convert {

uint32_t Builder::append(Op op, uint32_t channelCount) {
    const auto tensor = static_cast<uint32_t>(network_.graph.tensors.size());
    network_.graph.tensors.push_back({op.name, TensorKind::Activation, channelCount});
    op.output = tensor;
    network_.graph.ops.push_back(std::move(op));
    return tensor;
}

uint32_t Builder::constant(const std::string &constantName, std::vector<uint32_t> shape,
                           std::vector<double> values) {
    network_.constants.push_back({constantName, std::move(shape), std::move(values)});
    return static_cast<uint32_t>(network_.constants.size() - 1);
}

uint32_t Builder::bias(const std::string &module, uint32_t outputs, bool present) {
    std::vector<double> values(outputs, 0.0);
    if (present) {
        const std::vector<float> given = take_(module + ".bias", {outputs});
        values.assign(given.begin(), given.end());
    }
    return constant(module + ".bias", {1, outputs}, std::move(values));
}

void Builder::addPort(const std::string &portName, uint32_t tensor, bool output, PortSource source,
                      const std::string &description) {
    Port port;
    port.name = portName;
    port.output = output;
    port.kind = PortKind::Image;
    port.source = source;
    port.tensor = tensor;
    port.shape = {{DimensionSymbol::N, 1, 1},
                  {DimensionSymbol::One, channels(tensor), 1},
                  {DimensionSymbol::H, 1, 1},
                  {DimensionSymbol::W, 1, 1}};
    port.description = description;
    network_.graph.ports.push_back(std::move(port));
}

uint32_t Builder::inputPort(const std::string &portName, uint32_t channelCount, PortSource source,
                            const std::string &description) {
    const auto tensor = static_cast<uint32_t>(network_.graph.tensors.size());
    network_.graph.tensors.push_back({portName, TensorKind::Port, channelCount});
    addPort(portName, tensor, false, source, description);
    return tensor;
}

uint32_t Builder::timestepEmbedding(const std::string &opName, const TimestepFeatures &features,
                                    const std::vector<uint32_t> &weightShape) {
    network_.timestepFeatures = features;
    Op op;
    op.kind = OpKind::TimestepEmbedding;
    op.name = opName;
    if (!weightShape.empty()) {
        const std::vector<float> values = take_(opName + ".weight", {weightShape.begin(), weightShape.end()});
        op.weight = constant(opName + ".weight", weightShape, {values.begin(), values.end()});
    }
    return append(op, features.channels);
}

uint32_t Builder::classEmbedding(const std::string &opName, ClassInput input, uint32_t classes,
                                 uint32_t channelCount, uint32_t timeFeatures) {
    network_.classInput = input;
    network_.classes = classes;
    Op op;
    op.kind = OpKind::ClassEmbedding;
    op.name = opName;
    if (input == ClassInput::Row) {
        const std::vector<float> values = take_(opName + ".weight", {classes, channelCount});
        op.weight = constant(opName + ".weight", {classes, channelCount}, {values.begin(), values.end()});
    }
    for (const Op &maker : network_.graph.ops)
        if (input == ClassInput::Features && maker.output == timeFeatures)
            op.weight = maker.weight;
    return append(op, channelCount);
}

uint32_t Builder::divideByTimestep(const std::string &opName, uint32_t input) {
    Op op;
    op.kind = OpKind::DivideByTimestep;
    op.name = opName;
    op.inputs = {input};
    return append(op, channels(input));
}

uint32_t Builder::concat(const std::string &opName, const std::vector<uint32_t> &inputs) {
    Op op;
    op.kind = OpKind::Concat;
    op.name = opName;
    op.inputs = inputs;
    op.inputScale.assign(inputs.size(), 1.0f);
    op.inputOffset.assign(inputs.size(), 0.0f);
    uint32_t total = 0;
    for (uint32_t input : inputs)
        total += channels(input);
    return append(op, total);
}

uint32_t Builder::scale(const std::string &opName, uint32_t input, double factor, double offset) {
    Op op;
    op.kind = OpKind::Scale;
    op.name = opName;
    op.inputs = {input};
    op.inputScale = {static_cast<float>(factor)};
    op.inputOffset = {static_cast<float>(offset)};
    return append(op, channels(input));
}

std::vector<double> Builder::canonicalWeight(const std::string &module, uint32_t outputs, uint32_t inputs,
                                             uint32_t kernelHeight, uint32_t kernelWidth) {
    const uint32_t taps = kernelHeight * kernelWidth;
    const std::vector<float> values = take_(module + ".weight", {outputs, inputs, kernelHeight, kernelWidth});
    std::vector<double> canonical(values.size()); // [out][in][taps] -> [out][taps][in]
    for (size_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < inputs; ++i)
            for (size_t t = 0; t < taps; ++t)
                canonical[(o * taps + t) * inputs + i] = values[(o * inputs + i) * taps + t];
    return canonical;
}

uint32_t Builder::conv2d(const std::string &module, uint32_t input, uint32_t outputs, uint32_t kernel,
                         uint32_t stride, bool padTopLeft) {
    const uint32_t half = kernel / 2, before = padTopLeft ? half : 0;
    return conv2d(module, input, outputs, {kernel, kernel, stride, before, before, half, half, true});
}

uint32_t Builder::conv2d(const std::string &module, uint32_t input, uint32_t outputs,
                         const ConvolutionForm &form) {
    return convolution(module, input, outputs,
                       canonicalWeight(module, outputs, channels(input), form.kernelHeight, form.kernelWidth),
                       form);
}

uint32_t Builder::convolution(const std::string &module, uint32_t input, uint32_t outputs,
                              std::vector<double> weight, const ConvolutionForm &form) {
    Op op;
    op.kind = OpKind::Conv2d;
    op.name = module;
    op.inputs = {input};
    op.weight = constant(module + ".weight", {outputs, form.kernelHeight, form.kernelWidth, channels(input)},
                         std::move(weight));
    op.bias = bias(module, outputs, form.bias);
    op.stride = form.stride;
    op.padTop = form.padTop;
    op.padLeft = form.padLeft;
    op.padBottom = form.padBottom;
    op.padRight = form.padRight;
    return append(op, outputs);
}

std::array<uint32_t, 2> Builder::conv2dHalves(const std::string &module, const std::string &second,
                                              uint32_t input, uint32_t outputs, uint32_t kernel) {
    const uint32_t inputs = channels(input), half = outputs / 2;
    const std::vector<double> weights = canonicalWeight(module, outputs, inputs, kernel, kernel);
    const std::vector<float> biases = take_(module + ".bias", {outputs});
    const auto halfOf = [](const auto &values, size_t which) {
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        return which == 0 ? std::vector<double>(values.begin(), middle)
                          : std::vector<double>(middle, values.end());
    };
    std::array<uint32_t, 2> tensors{kNone, kNone};
    for (size_t which = 0; which < (second.empty() ? 1 : 2); ++which) {
        Op op;
        op.kind = OpKind::Conv2d;
        op.name = which == 0 ? module : second;
        op.inputs = {input};
        op.weight = constant(op.name + ".weight", {half, kernel, kernel, inputs}, halfOf(weights, which));
        op.bias = constant(op.name + ".bias", {1, half}, halfOf(biases, which));
        op.padTop = op.padLeft = op.padBottom = op.padRight = kernel / 2;
        tensors[which] = append(op, half);
    }
    return tensors;
}

uint32_t Builder::unshuffledConv2d(const std::string &module, uint32_t input, uint32_t outputs,
                                   bool withBias) {
    const uint32_t inputs = channels(input);
    const std::vector<float> values = take_(module + ".weight", {outputs, 4 * inputs, 1, 1});
    std::vector<double> canonical(values.size()); // [out][in][2x2] -> [out][2x2][in]
    for (size_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < inputs; ++i)
            for (size_t t = 0; t < 4; ++t)
                canonical[(o * 4 + t) * inputs + i] = values[(o * inputs + i) * 4 + t];
    return convolution(module, input, outputs, std::move(canonical), {2, 2, 2, 0, 0, 0, 0, withBias});
}

void Builder::standardise(double epsilon) {
    Constant &weight = network_.constants[network_.graph.ops.back().weight];
    const size_t length = weight.values.size() / weight.shape[0];
    for (auto row = weight.values.begin(); row != weight.values.end(); row += std::ptrdiff_t(length)) {
        const auto end = row + std::ptrdiff_t(length);
        const double mean = std::accumulate(row, end, 0.0) / double(length);
        double variance = 0;
        for (auto value = row; value != end; ++value)
            variance += (*value - mean) * (*value - mean) / double(length);
        for (auto value = row; value != end; ++value)
            *value = (*value - mean) / std::sqrt(variance + epsilon);
    }
}

void Builder::sortHeads(uint32_t heads) {
    const Op &op = network_.graph.ops.back();
    for (const uint32_t index : {op.weight, op.bias}) {
        std::vector<double> &values = network_.constants[index].values;
        const size_t part = values.size() / (size_t(3) * heads); // q, k or v of one head
        std::vector<double> sorted;
        for (size_t which = 0; which < 3; ++which)
            for (size_t head = 0; head < heads; ++head) {
                const auto from = values.begin() + std::ptrdiff_t((3 * head + which) * part);
                sorted.insert(sorted.end(), from, from + std::ptrdiff_t(part));
            }
        values = std::move(sorted);
    }
}

// out(y) = sum_k in(i) w(k) over stride i + k = y + padding. With zeros between the pixels, z(stride i) =
// in(i), that is sum_j z(y + padding - (kernel - 1) + j) w(kernel - 1 - j): padding of kernel - 1 - padding,
// one less behind, where z ends with a zero already.
uint32_t Builder::transposedConv2d(const std::string &module, uint32_t input, uint32_t outputs,
                                   uint32_t kernel, uint32_t stride, uint32_t padding, bool withBias) {
    const uint32_t inputs = channels(input), taps = kernel * kernel;
    const std::vector<float> values = take_(module + ".weight", {inputs, outputs, kernel, kernel});
    std::vector<double> canonical(values.size()); // [in][out][taps] -> [out][taps, from the end][in]
    for (size_t i = 0; i < inputs; ++i)
        for (size_t o = 0; o < outputs; ++o)
            for (size_t t = 0; t < taps; ++t)
                canonical[(o * taps + taps - 1 - t) * inputs + i] = values[(i * outputs + o) * taps + t];
    const uint32_t source = stride == 1 ? input : resample(module + ".zeros", input, Resample::ZerosUp2);
    const uint32_t before = kernel - 1 - padding, behind = before - (stride - 1);
    return convolution(module, source, outputs, std::move(canonical),
                       {kernel, kernel, 1, before, before, behind, behind, withBias});
}

uint32_t Builder::linear(const std::string &module, uint32_t input, uint32_t outputs, bool withBias) {
    const std::vector<float> values = take_(module + ".weight", {outputs, channels(input)});
    Op op;
    op.kind = OpKind::Linear;
    op.name = module;
    op.inputs = {input};
    op.weight = constant(module + ".weight", {outputs, 1, 1, channels(input)},
                         std::vector<double>(values.begin(), values.end()));
    op.bias = bias(module, outputs, withBias);
    return append(op, outputs);
}

uint32_t Builder::groupNorm(const std::string &module, uint32_t input, uint32_t groups, double epsilon) {
    const uint32_t count = channels(input);
    if (groups == 0 || count % groups != 0)
        throw ReadError(text(
            "unet/config.json: ", groups, " groups do not divide the ", count, " channels of ", module,
            "; norm_num_groups, attn_norm_num_groups and those that Skip blocks choose must divide them"));
    const std::vector<float> gamma = take_(module + ".weight", {count});
    const std::vector<float> beta = take_(module + ".bias", {count});
    std::vector<double> affine(gamma.begin(), gamma.end());
    affine.insert(affine.end(), beta.begin(), beta.end());
    Op op;
    op.kind = OpKind::GroupNorm;
    op.name = module;
    op.inputs = {input};
    op.affine = constant(module + ".affine", {1, 2, count}, std::move(affine));
    op.groups = groups;
    op.epsilon = static_cast<float>(epsilon);
    return append(op, count);
}

uint32_t Builder::layerNorm(const std::string &module, uint32_t input, uint32_t height, uint32_t width,
                            double epsilon) {
    const uint32_t count = channels(input);
    const std::vector<float> weight = take_(module + ".weight", {count, height, width});
    const std::vector<float> offset = take_(module + ".bias", {count, height, width});
    std::vector<double> plain(count, 1.0);
    plain.resize(2 * size_t(count), 0.0);
    Op norm;
    norm.kind = OpKind::GroupNorm;
    norm.name = module + ".norm";
    norm.inputs = {input};
    norm.affine = constant(norm.name + ".affine", {1, 2, count}, std::move(plain));
    norm.epsilon = static_cast<float>(epsilon);
    std::vector<double> map(weight.begin(), weight.end());
    map.insert(map.end(), offset.begin(), offset.end());
    Op op;
    op.kind = OpKind::Pointwise;
    op.name = module;
    op.inputs = {append(norm, count)};
    op.affine = constant(module + ".affine", {2, count, height, width}, std::move(map));
    return append(op, count);
}

uint32_t Builder::batchNorm(const std::string &module, uint32_t input, double epsilon) {
    const uint32_t count = channels(input);
    const std::vector<float> weight = take_(module + ".weight", {count}),
                             offset = take_(module + ".bias", {count}),
                             mean = take_(module + ".running_mean", {count}),
                             variance = take_(module + ".running_var", {count});
    std::vector<double> affine(2 * size_t(count));
    for (size_t c = 0; c < count; ++c) {
        affine[c] = double(weight[c]) / std::sqrt(double(variance[c]) + epsilon);
        affine[count + c] = double(offset[c]) - double(mean[c]) * affine[c];
    }
    Op op;
    op.kind = OpKind::Pointwise;
    op.name = module;
    op.inputs = {input};
    op.affine = constant(module + ".affine", {1, 2, count}, std::move(affine));
    return append(op, count);
}

uint32_t Builder::activation(const std::string &opName, uint32_t input, ActivationFunction function) {
    Op op;
    op.kind = OpKind::Activation;
    op.name = opName;
    op.inputs = {input};
    op.activation = function;
    return append(op, channels(input));
}

uint32_t Builder::add(const std::string &opName, uint32_t a, uint32_t b) {
    Op op;
    op.kind = OpKind::Add;
    op.name = opName;
    op.inputs = {a, b};
    return append(op, channels(a));
}

uint32_t Builder::modulate(const std::string &opName, uint32_t input, uint32_t scaleShift) {
    Op op;
    op.kind = OpKind::Modulate;
    op.name = opName;
    op.inputs = {input, scaleShift};
    return append(op, channels(input));
}

uint32_t Builder::resample(const std::string &opName, uint32_t input, Resample how) {
    Op op;
    op.kind = OpKind::Resample;
    op.name = opName;
    op.inputs = {input};
    op.outputResample = how;
    return append(op, channels(input));
}

uint32_t Builder::attention(const std::string &opName, const std::vector<uint32_t> &inputs, uint32_t heads) {
    Op op;
    op.kind = OpKind::Attention;
    op.name = opName;
    op.inputs = inputs;
    op.heads = heads;
    return append(op, inputs.size() == 1 ? channels(inputs[0]) / 3 : channels(inputs[0]));
}

void Builder::outputPort(const std::string &portName, uint32_t tensor, PortSource source,
                         const std::string &description) {
    network_.graph.tensors[tensor].kind = TensorKind::Port;
    network_.graph.tensors[tensor].name = portName;
    addPort(portName, tensor, true, source, description);
}

Network Builder::finish(const std::string &graphName, uint32_t height, uint32_t width) {
    for (Port &port : network_.graph.ports) {
        port.shape[2] = {DimensionSymbol::One, height, 1};
        port.shape[3] = {DimensionSymbol::One, width, 1};
    }
    return finish(graphName, 1);
}

Network Builder::finish(const std::string &graphName, uint32_t sizeMultiple) {
    network_.graph.name = graphName;
    network_.graph.sizeMultiple = sizeMultiple;
    return std::move(network_);
}

} // namespace mote::convert
