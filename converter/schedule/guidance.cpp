#include "schedule/guidance.h"

#include <algorithm>
#include <cmath>

namespace mote::convert::schedule {

namespace {

constexpr SettingInfo kSettings[] = {
    {"guidance", SettingType::Number, "1", -1000, 1000, "",
     "scale of classifier-free guidance; 1: one pass a step"},
    {"guidance_rescale", SettingType::Number, "0", 0, 1, "",
     "share in which a guided output gets back the standard deviation of the one with the class"},
    {"guidance_low", SettingType::Number, "null", -1e6, 1e6, "", "lowest timestep that is guided"},
    {"guidance_high", SettingType::Number, "null", -1e6, 1e6, "", "highest timestep that is guided"},
};

double deviation(std::span<const float> values) {
    double mean = 0, squares = 0;
    for (const float value : values)
        mean += value;
    mean /= static_cast<double>(values.size());
    for (const float value : values)
        squares += (value - mean) * (value - mean);
    return std::sqrt(squares / static_cast<double>(values.size()));
}

} // namespace

std::span<const SettingInfo> guidanceSettings() {
    return kSettings;
}

std::optional<Guidance> takeGuidance(NamedValues &options) {
    NamedValues taken;
    const auto ours = [](const std::pair<std::string, std::string> &option) {
        return std::any_of(std::begin(kSettings), std::end(kSettings),
                           [&](const SettingInfo &setting) { return option.first == setting.name; });
    };
    std::copy_if(options.begin(), options.end(), std::back_inserter(taken), ours);
    if (taken.empty())
        return std::nullopt;
    std::erase_if(options, ours);
    const Settings settings({"options", {}}, "guidance", {std::begin(kSettings), std::end(kSettings)}, {},
                            taken);
    Guidance guidance;
    guidance.scale = settings.number("guidance");
    guidance.rescale = settings.number("guidance_rescale");
    guidance.low = settings.optionalNumber("guidance_low");
    guidance.high = settings.optionalNumber("guidance_high");
    return guidance;
}

void applyGuidance(Table &table, const Guidance &guidance) {
    for (Row &row : table.rows) {
        row.guided = (!guidance.low || row.timestep >= *guidance.low) &&
                     (!guidance.high || row.timestep <= *guidance.high);
        row.guidance = row.guided ? guidance.scale : 1;
        row.guidanceRescale = row.guided ? guidance.rescale : 0;
    }
}

std::vector<float> guidedOutput(const Row &row, size_t batch, std::span<const float> withClass,
                                std::span<const float> without) {
    std::vector<float> m(withClass.size());
    for (size_t i = 0; i < m.size(); ++i)
        m[i] = without[i] + static_cast<float>(row.guidance) * (withClass[i] - without[i]);
    const size_t elements = m.size() / batch;
    for (size_t n = 0; row.guidanceRescale != 0 && n < batch; ++n) {
        const std::span<float> image(m.data() + n * elements, elements);
        const double ratio = deviation(withClass.subspan(n * elements, elements)) / deviation(image);
        for (float &value : image)
            value *= static_cast<float>(row.guidanceRescale * ratio + 1 - row.guidanceRescale);
    }
    return m;
}

} // namespace mote::convert::schedule
