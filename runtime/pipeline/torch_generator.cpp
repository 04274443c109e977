#include "pipeline/torch_generator.h"

#include <cmath>

namespace mote::pipeline {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr size_t kBlock = 16; // of uniforms that PyTorch turns into normals together

} // namespace

float TorchGenerator::uniform() {
    return static_cast<float>(engine_() & 0xffffffu) * 0x1p-24f;
}

double TorchGenerator::uniformDouble() {
    const uint64_t high = engine_();
    return static_cast<double>((high << 32 | engine_()) & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
}

// Box-Muller on sixteen uniforms in place: the first eight give radii, the last eight angles.
void TorchGenerator::fillSixteen(float *to) {
    for (size_t i = 0; i < kBlock / 2; ++i) {
        const double radius = std::sqrt(-2 * std::log(1 - static_cast<double>(to[i])));
        const double angle = 2 * kPi * static_cast<double>(to[i + kBlock / 2]);
        to[i] = static_cast<float>(radius * std::cos(angle));
        to[i + kBlock / 2] = static_cast<float>(radius * std::sin(angle));
    }
}

// Small tensors: pairs in double, the second kept for the next call.
float TorchGenerator::scalarNormal() {
    if (hasSpare_) {
        hasSpare_ = false;
        return static_cast<float>(spare_);
    }
    const double angle = 2 * kPi * uniformDouble();
    const double radius = std::sqrt(-2 * std::log1p(-uniformDouble()));
    spare_ = radius * std::sin(angle);
    hasSpare_ = true;
    return static_cast<float>(radius * std::cos(angle));
}

void TorchGenerator::normals(float *to, size_t count) {
    if (count < kBlock) {
        for (size_t i = 0; i < count; ++i)
            to[i] = scalarNormal();
        return;
    }
    // All uniforms are drawn first; the last block is drawn again where they are no multiple of sixteen.
    for (size_t i = 0; i < count; ++i)
        to[i] = uniform();
    for (size_t i = 0; i + kBlock <= count; i += kBlock)
        fillSixteen(to + i);
    if (count % kBlock != 0) {
        float *last = to + count - kBlock;
        for (size_t i = 0; i < kBlock; ++i)
            last[i] = uniform();
        fillSixteen(last);
    }
}

} // namespace mote::pipeline
