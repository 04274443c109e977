// The activation functions of ActivationFunction.
#pragma once

#include "reference/reference.h"

#include <algorithm>
#include <cmath>

namespace mote::convert::reference {

template <typename T> T activated(ActivationFunction function, T x) {
    switch (function) {
    case ActivationFunction::None:
        break;
    case ActivationFunction::Silu:
        return x / (T(1) + std::exp(-x));
    case ActivationFunction::Mish:
        return x * std::tanh(x > T(20) ? x : std::log1p(std::exp(x))); // ln(1 + exp(x)) is x there
    case ActivationFunction::Gelu:
        return x * std::erfc(-x * T(0.70710678118654752440)) / T(2);
    case ActivationFunction::Relu:
        return std::max(x, T(0));
    }
    return x;
}

} // namespace mote::convert::reference
