#include "fold/store.h"

#include "read/half.h"
#include "read/json.h"
#include "read/text.h"

#include <bit>
#include <cmath>

namespace mote::convert {

namespace {

// Constants that are matrices: weights of convolutions, and projections.
std::vector<bool> matrices(const Network &network) {
    std::vector<bool> half(network.constants.size(), false);
    for (const Op &op : network.graph.ops)
        for (const uint32_t matrix : {op.weight, op.projection})
            if (matrix != kNone)
                half[matrix] = true;
    return half;
}

} // namespace

void roundToStored(Network &network) {
    const std::vector<bool> half = matrices(network);
    for (size_t k = 0; k < network.constants.size(); ++k) {
        Constant &constant = network.constants[k];
        for (size_t i = 0; i < constant.values.size(); ++i) {
            double &value = constant.values[i];
            value = half[k] ? roundedToHalf(value) : static_cast<double>(static_cast<float>(value));
            if (!std::isfinite(value))
                throw ReadError(text("tensor \"", constant.name, "\": element ", i,
                                     " is beyond the largest number of ", half[k] ? "fp16, 65504" : "fp32"));
        }
    }
}

uint64_t StoredConstants::bytes() const {
    uint64_t total = 0;
    for (const std::vector<uint8_t> &each : data)
        total += each.size();
    return total;
}

namespace {

template <typename Freed> StoredConstants store(const Network &network, Freed freed) {
    const std::vector<bool> half = matrices(network);
    StoredConstants stored;
    for (size_t k = 0; k < network.constants.size(); ++k) {
        const Constant &constant = network.constants[k];
        std::vector<uint8_t> data;
        data.reserve(constant.values.size() * (half[k] ? 2 : 4));
        for (double value : constant.values) {
            const uint32_t bits =
                half[k] ? halfFromDouble(value) : std::bit_cast<uint32_t>(static_cast<float>(value));
            for (int shift = 0; shift < (half[k] ? 16 : 32); shift += 8)
                data.push_back(static_cast<uint8_t>(bits >> shift));
        }
        Weight weight;
        weight.name = constant.name;
        weight.type = half[k] ? DataType::F16 : DataType::F32;
        weight.shape = constant.shape;
        weight.bytes = data.size();
        stored.weights.push_back(std::move(weight));
        stored.data.push_back(std::move(data));
        freed(k);
    }
    return stored;
}

} // namespace

StoredConstants storeConstants(const Network &network) {
    return store(network, [](size_t) {});
}

StoredConstants storeConstants(Network &&network) {
    return store(network, [&](size_t k) { std::vector<double>().swap(network.constants[k].values); });
}

} // namespace mote::convert
