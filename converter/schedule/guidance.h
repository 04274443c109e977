// Classifier-free guidance (Ho and Salimans 2021, eq. 6, as diffusers writes it): two passes, with the class
// and with none, become
//     m = m_none + scale (m_class - m_none)
// in the rows whose timestep lies within an interval (Kynkaanniemi et al. 2024, "Applying Guidance in a
// Limited Interval Improves Sample and Distribution Quality in Diffusion Models"); other rows have the pass
// with the class alone. Then (Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are
// Flawed", eq. 15 and 16)
//     m = (rescale std(m_class) / std(m) + 1 - rescale) m        standard deviations of each image
#pragma once

#include "schedule/settings.h"
#include "schedule/step_table.h"

#include <optional>
#include <span>
#include <vector>

namespace mote::convert::schedule {

struct Guidance {
    double scale = 1, rescale = 0;
    std::optional<double> low, high; // timesteps, both included
};

// The options that every sampler has beside its own settings.
std::span<const SettingInfo> guidanceSettings();

// Takes the options of guidance out of a list; none if there are none.
std::optional<Guidance> takeGuidance(NamedValues &options);

void applyGuidance(Table &table, const Guidance &guidance);

// m of a row out of both passes, each [batch][elements].
std::vector<float> guidedOutput(const Row &row, size_t batch, std::span<const float> withClass,
                                std::span<const float> without);

} // namespace mote::convert::schedule
