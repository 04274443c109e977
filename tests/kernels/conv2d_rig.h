// What tests of convolutions share: cases, and the op at hand run by a kernel of one name and held to the
// reference.
#pragma once

#include "kernel_rig.h"

namespace mote::test {

struct ConvCase {
    const char *name;
    std::vector<uint32_t> channels; // of the one or two sources
    uint32_t outputs, n, h, w;
    uint32_t kernelHeight = 3, kernelWidth = 3, stride = 1;
    uint32_t padTop = 1, padLeft = 1, padBottom = 1, padRight = 1;
    bool upsample = false;
    int residual = -1; // -1: none, else a Resample
    TensorKind target = TensorKind::Activation;
    float scale = 1;
    uint32_t biasRows = 1;
};

constexpr TensorKind kPort = TensorKind::Port, kActivation = TensorKind::Activation;

// Every shape class that a kernel for any convolution must take.
const std::vector<ConvCase> &convCases();

OpCase makeCase(const ConvCase &c);

// The case as it is at one row: tables of one row and one factor.
OpCase atRow(OpCase c, uint32_t row);

class Conv2d : public Kernels {
protected:
    // Everything of the op in buffers.
    OpBuffers upload(OpCase &c, const GraphKernels &kernels, uint32_t row);

    // The kernel of one name, whatever the device prefers.
    Result<GraphKernels> choose(const OpCase &c, const std::string &name);

    // The kernel that the rules take on GPUs of such registers.
    std::string chosenBy(RegisterTiles tiles, const ConvCase &wanted);

    bool software_ = false;     // kernels that only those have
    bool noAddresses_ = false;  // kernels of devices without buffer addresses
    bool otherStaging_ = false; // as on devices that do not stage as this one does

    void expectMatchesReference(const ConvCase &wanted, const std::vector<std::string> &names,
                                int expectedVariants);
    void expectManyWalksGiveOneSetOfStatistics(const std::string &kernel);
    void expectSlicesAndFoldsEqualTheWhole(const std::string &kernel);

    // Weights in steps of 1/64: sums of four of them are exact in fp16.
    bool exactSums_ = false;
    // What a weight may be off by, as a share of its size.
    double weightRounding_ = 0;

    // |error| <= (K + 4) 2^-24 sum|terms| for a sum of K products in fp32, the rounding of weights times that
    // sum, and half a unit in the last place of the value stored.
    void expectClose(const Map &found, OpCase &c, uint32_t row, const std::string &kernel);
};

} // namespace mote::test
