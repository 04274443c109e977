// Normals in the order in which PyTorch's CPU generator gives them: torch.randn on a torch.Generator of a
// seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace mote::pipeline {

class TorchGenerator {
public:
    // PyTorch seeds its Mersenne twister with the low 32 bits.
    explicit TorchGenerator(uint64_t seed) : engine_(static_cast<uint32_t>(seed)) {}

    // torch.randn(count), dtype float32: the next call goes on where this one ends. Each value is rounded
    // from double; PyTorch's own vectorised logarithm and sine are within a few units in the last place of
    // it.
    void normals(float *to, size_t count);

private:
    float uniform();        // [0, 1), 24 bits
    double uniformDouble(); // [0, 1), 53 bits
    void fillSixteen(float *to);
    float scalarNormal();

    std::mt19937 engine_; // Matsumoto and Nishimura 1998
    bool hasSpare_ = false;
    double spare_ = 0; // the second normal of the last pair of scalarNormal
};

} // namespace mote::pipeline
