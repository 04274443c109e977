// The ops of a described network: what each takes from its entry and from the checkpoint, and the sizes of
// the maps, so that what does not go together is refused where it stands.
#pragma once

#include "lower/builder.h"
#include "read/fields.h"
#include "read/weights.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace mote::convert {

class DescribedOps {
public:
    // `fields`: the description, where messages begin.
    DescribedOps(const Weights &weights, const std::string &where);

    struct Size {
        uint32_t height = 1, width = 1;
        bool operator==(const Size &) const = default;
    };
    struct Entry {
        Fields &fields;
        std::string name;   // of the op
        std::string module; // prefix of its tensors
        std::vector<uint32_t> inputs;
    };

    static bool knows(const std::string &op);
    static std::string known(); // all of them, for messages
    // Why an op that people know has no place here, or empty.
    static std::string refusal(const std::string &op);

    // Of a network that runs at one size only; before its ports.
    void fixSize(uint32_t height, uint32_t width);
    // Tensors that the checkpoint has and the network does not need. False: it has none of this name.
    bool ignore(const std::string &tensor);
    uint32_t inputPort(const std::string &name, uint32_t channels, PortSource source,
                       const std::string &description);
    // What the op makes. `named`: the entry says what its inputs are.
    uint32_t run(const std::string &op, Entry &entry, bool named);
    // `output`: what the graph ends in, which must go with the port x of so many channels.
    Network finish(uint32_t output, uint32_t stateChannels);

private:
    using Handler = uint32_t (DescribedOps::*)(Entry &);
    struct Kind {
        size_t least, most; // inputs
        bool vectors, maps; // that it may be given
        Handler handler;
    };
    static const std::map<std::string, Kind> &kinds();

    // Ports are fp32 planes; ops read activations.
    uint32_t activationOf(uint32_t tensor);
    uint32_t map(uint32_t tensor, Size size);
    // What an op makes of one input without changing its size.
    uint32_t like(uint32_t tensor, uint32_t input);
    // The shape that the checkpoint has, of which the op takes its numbers of channels and its kernel.
    std::vector<uint64_t> shapeOf(const Entry &entry, const char *tensor, size_t rank) const;
    // Along one axis.
    static uint32_t convolved(const Entry &entry, uint32_t in, uint32_t before, uint32_t behind,
                              uint32_t kernel, uint32_t stride);
    static uint32_t kernelOf(const Entry &entry, uint64_t extent);
    uint32_t conv2d(Entry &e);
    uint32_t unshuffledConv2d(Entry &e, const std::vector<uint64_t> &shape);
    void foldWeights(Entry &e, uint32_t made);
    uint32_t transposedConv2d(Entry &e);
    uint32_t linear(Entry &e);
    uint32_t groupNorm(Entry &e);
    uint32_t layerNorm(Entry &e);
    uint32_t batchNorm(Entry &e);
    static double epsilon(Entry &e);
    uint32_t activation(Entry &e, ActivationFunction function);
    uint32_t silu(Entry &e);
    uint32_t mish(Entry &e);
    uint32_t gelu(Entry &e);
    uint32_t relu(Entry &e);
    void expectFit(const Entry &e, uint32_t a, uint32_t b, uint32_t channelsOfB) const;
    std::string sizeText(uint32_t tensor) const;
    uint32_t add(Entry &e);
    uint32_t modulate(Entry &e);
    uint32_t concat(Entry &e);
    uint32_t scale(Entry &e);
    uint32_t upsample(Entry &e);
    uint32_t averagePool(Entry &e);
    uint32_t attention(Entry &e);
    uint32_t timeVector(const Entry &e, const TimestepFeatures &features, const std::vector<uint32_t> &shape);
    uint32_t timestepFeatures(Entry &e);
    uint32_t timestepTable(Entry &e);

    const Weights &weights_;
    const std::string where_;
    WeightTaker taker_;
    const TensorSource take_;
    Builder builder_;
    bool fixed_ = false;
    Size nominal_;
    std::set<uint32_t> ports_, convolutions_, vectors_; // tensors; vectors depend on the timestep alone
    std::map<uint32_t, uint32_t> activations_;          // of ports
    std::map<uint32_t, Size> sizes_;                    // of maps
};

} // namespace mote::convert
