// Weights for a configuration that has none, so that a network of its shape can be timed and measured. They
// depend on the seed, a tensor's name and its shape alone, so that the same command makes the same file
// everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

class RandomWeights {
public:
    explicit RandomWeights(uint64_t seed) : seed_(seed) {}

    // Factors of norms are 1 within 0.1, offsets and biases 0 within 0.1, all others uniform with variance 1
    // / inputs, so that activations keep their size from layer to layer.
    std::vector<float> take(const std::string &name, const std::vector<uint64_t> &shape);

    uint64_t bytes() const { return bytes_; } // of what was taken, as fp32

private:
    uint64_t seed_, bytes_ = 0;
};

} // namespace mote::convert
