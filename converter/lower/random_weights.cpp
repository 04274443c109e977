#include "lower/random_weights.h"

#include <cmath>
#include <string_view>

namespace mote::convert {

namespace {

// SplitMix64 (Steele, Lea and Flood 2014).
uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

} // namespace

std::vector<float> RandomWeights::take(const std::string &name, const std::vector<uint64_t> &shape) {
    uint64_t count = 1, inputs = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
        count *= shape[i];
        inputs *= i > 0 ? shape[i] : 1;
    }
    const bool factor = shape.size() == 1 && name.ends_with(".weight");
    // Uniform in [-a, a] has variance a^2 / 3.
    const float centre = factor ? 1.0f : 0.0f;
    const float reach = shape.size() <= 1 ? 0.1f : std::sqrt(3.0f / static_cast<float>(inputs));
    uint64_t state = seed_ ^ 0xCBF29CE484222325u;
    for (const char c : name) // FNV-1a
        state = (state ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
    std::vector<float> values(count);
    for (float &value : values) {
        state += 0x9E3779B97F4A7C15u;
        value = centre + reach * (static_cast<float>(mixed(state) >> 40) * 0x1p-23f - 1.0f);
    }
    bytes_ += count * sizeof(float);
    return values;
}

} // namespace mote::convert
