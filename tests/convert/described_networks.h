// The two trained networks of tests/goldens/ddpm28 and the description that goes with them.
#pragma once

#include "read/safetensors.h"

#include <string>
#include <utility>
#include <vector>

namespace mote::convert {

struct DescribedNetwork {
    std::string name, weights, description;
    SafetensorsFile reference;
};

inline DescribedNetwork describedNetwork(const std::string &name) {
    const std::string folder = std::string(MOTE_TESTS_DIR) + "/goldens/ddpm28/";
    return {name, folder + (name == "mnist" ? "ddpm_mnist.pt" : "ddpm_fashion.safetensors"),
            std::string(MOTE_SOURCE_DIR) + "/converter/graphs/ddpm28.json",
            SafetensorsFile(folder + "ddpm_" + name + ".reference.safetensors")};
}

// At which `eps_t<timestep>` were recorded, and the 20 of `ddim20_x_0`: 999 to 0 in equal steps, rounded.
inline const std::vector<double> kEpsilonTimesteps = {999, 500, 100, 10, 0};
inline const std::vector<double> kDdimTimesteps = {999, 946, 894, 841, 789, 736, 684, 631, 578, 526,
                                                   473, 421, 368, 315, 263, 210, 158, 105, 53,  0};

} // namespace mote::convert
