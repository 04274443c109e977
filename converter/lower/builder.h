// Appends ops to a network, one per layer of the original, taking their weights from a source.
#pragma once

#include "read/checkpoint.h"
#include "reference/network.h"

#include <array>
#include <string>
#include <vector>

namespace mote::convert {

// Of a convolution that is not square and padded alike.
struct ConvolutionForm {
    uint32_t kernelHeight = 1, kernelWidth = 1, stride = 1;
    uint32_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;
    bool bias = true; // `module`.bias is there
};

class Builder {
public:
    explicit Builder(const TensorSource &tensors) : take_(tensors) {}

    uint32_t channels(uint32_t tensor) const { return network_.graph.tensors[tensor].channels; }
    const std::string &name(uint32_t tensor) const { return network_.graph.tensors[tensor].name; }

    // Each returns the tensor that it makes, called as the op.
    uint32_t inputPort(const std::string &name, uint32_t channels, PortSource source,
                       const std::string &description);
    // Fourier and learned features have weights: `weight`.weight, of this shape.
    uint32_t timestepEmbedding(const std::string &name, const TimestepFeatures &features,
                               const std::vector<uint32_t> &weightShape = {});
    uint32_t divideByTimestep(const std::string &name, uint32_t input);
    // Row: `name`.weight [classes][channels]. Features: as `timeFeatures`, what timestepEmbedding() made.
    uint32_t classEmbedding(const std::string &name, ClassInput input, uint32_t classes, uint32_t channels,
                            uint32_t timeFeatures = kNone);
    uint32_t concat(const std::string &name, const std::vector<uint32_t> &inputs);
    uint32_t scale(const std::string &name, uint32_t input, double factor, double offset);
    // `module`.weight [out][in][k][k] and .bias
    uint32_t conv2d(const std::string &module, uint32_t input, uint32_t outputs, uint32_t kernel,
                    uint32_t stride = 1, bool padTopLeft = true);
    // `module` in two ops: the first half of its outputs, and, as `second`, the other, unless that is empty.
    std::array<uint32_t, 2> conv2dHalves(const std::string &module, const std::string &second, uint32_t input,
                                         uint32_t outputs, uint32_t kernel);
    uint32_t conv2d(const std::string &module, uint32_t input, uint32_t outputs, const ConvolutionForm &form);
    // Of `input` with 2x2 pixels put behind each other as channels (PyTorch's pixel_unshuffle), a 1x1
    // convolution: a 2x2 one of stride 2.
    uint32_t unshuffledConv2d(const std::string &module, uint32_t input, uint32_t outputs, bool bias);
    // PyTorch's ConvTranspose2d, weight [in][out][k][k], as zeros between the pixels (where the stride is 2)
    // and a convolution with the kernel turned round. `padding` on all sides; less than the kernel.
    uint32_t transposedConv2d(const std::string &module, uint32_t input, uint32_t outputs, uint32_t kernel,
                              uint32_t stride, uint32_t padding, bool bias = true);
    uint32_t linear(const std::string &module, uint32_t input, uint32_t outputs,
                    bool bias = true); // .weight [out][in]
    // Of the convolution or linear layer made last. Weight standardisation (Qiao et al. 2019, "Micro-batch
    // training with batch-channel normalization and weight standardization"): the weights of each output are
    // given mean 0 and variance 1, epsilon added to the variance.
    void standardise(double epsilon);
    // Likewise: outputs that stand head by head, q, k and v of each, are put in the order q, k, v.
    void sortHeads(uint32_t heads);
    uint32_t groupNorm(const std::string &module, uint32_t input, uint32_t groups, double epsilon);
    // Over all channels and pixels of a map of this size, as PyTorch's LayerNorm([C, H, W]): a norm of one
    // group, and `module`.weight and .bias [C][H][W], which go with this size only.
    uint32_t layerNorm(const std::string &module, uint32_t input, uint32_t height, uint32_t width,
                       double epsilon);
    // What PyTorch's BatchNorm2d does once it is trained: a factor and an offset for each channel, in double.
    uint32_t batchNorm(const std::string &module, uint32_t input, double epsilon);
    uint32_t activation(const std::string &name, uint32_t input, ActivationFunction function);
    uint32_t add(const std::string &name, uint32_t a,
                 uint32_t b); // b: a map, or a vector added to every pixel
    uint32_t modulate(const std::string &name, uint32_t input, uint32_t scaleShift);
    uint32_t resample(const std::string &name, uint32_t input, Resample how);
    // q, k and v, or one tensor that has their channels in this order.
    uint32_t attention(const std::string &name, const std::vector<uint32_t> &inputs, uint32_t heads);

    // An op's output becomes a port.
    void outputPort(const std::string &name, uint32_t tensor, PortSource source,
                    const std::string &description);

    Network finish(const std::string &graphName, uint32_t sizeMultiple);
    // Of a graph that runs at one size only.
    Network finish(const std::string &graphName, uint32_t height, uint32_t width);

private:
    uint32_t append(Op op, uint32_t channels);
    uint32_t constant(const std::string &name, std::vector<uint32_t> shape, std::vector<double> values);
    uint32_t bias(const std::string &module, uint32_t outputs, bool present = true);
    std::vector<double> canonicalWeight(const std::string &module, uint32_t outputs, uint32_t inputs,
                                        uint32_t kernelHeight, uint32_t kernelWidth);
    uint32_t convolution(const std::string &module, uint32_t input, uint32_t outputs,
                         std::vector<double> weight, const ConvolutionForm &form);
    void addPort(const std::string &name, uint32_t tensor, bool output, PortSource source,
                 const std::string &description);

    const TensorSource &take_;
    Network network_;
};

} // namespace mote::convert
