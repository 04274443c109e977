// From constants in double to what a file stores: convolution weights as fp16, biases and affines as fp32.
#pragma once

#include "reference/network.h"

#include <cstdint>
#include <vector>

namespace mote::convert {

// Every constant becomes the value that will be stored, rounded once. Throws ReadError, naming tensor and
// element, where a weight is beyond fp16's largest number.
void roundToStored(Network &network);

struct StoredConstants {
    std::vector<Weight> weights;            // name, type, shape and bytes; in the order of Network::constants
    std::vector<std::vector<uint8_t>> data; // little-endian, one per weight
    uint64_t bytes() const;
};

// The network must have been rounded.
StoredConstants storeConstants(const Network &network);
// The same where the network's constants are needed no more: each is freed once it is stored.
StoredConstants storeConstants(Network &&network);

} // namespace mote::convert
