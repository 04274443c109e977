// Preconditioning of Karras et al. 2022 (EDM), table 1: the network sees c_in x and log(sigma) / 4, and
//   x0 = c_skip x + c_out m,  c_in = 1 / sqrt(sigma^2 + d^2), c_skip = d^2 / (sigma^2 + d^2),
//   c_out = sigma d / sqrt(sigma^2 + d^2),  d = sigma_data
#pragma once

#include "schedule/families.h"

namespace mote::convert::schedule {

struct EdmSchedule {
    std::vector<double> sigmas; // one more than steps; the last is 0
    double sigmaData = 0.5;
    bool velocity = false; // c_out with the other sign

    Form prediction(double sigma) const;
    // A step at this noise level, its prediction set.
    Step step(double sigma) const;
};

std::vector<SettingInfo> edmSettings();
EdmSchedule makeEdmSchedule(const Job &job);

} // namespace mote::convert::schedule
