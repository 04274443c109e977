#include "schedule/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace mote::convert::schedule {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kFlooredAlphaCumprod = 1.0 / (1 << 24);

// torch.linspace: from both ends towards the middle.
template <typename Real> std::vector<Real> torchLinspace(double first, double last, int64_t count) {
    const Real low = static_cast<Real>(first), high = static_cast<Real>(last);
    const Real step = count > 1 ? (high - low) / static_cast<Real>(count - 1) : Real(0);
    std::vector<Real> values(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i)
        values[static_cast<size_t>(i)] = i < count / 2 || count == 1
                                             ? low + step * static_cast<Real>(i)
                                             : high - step * static_cast<Real>(count - 1 - i);
    return values;
}

// torch.cumprod of 1 - beta accumulates in double and rounds each entry.
template <typename Real> std::vector<Real> cumulativeProduct(const std::vector<Real> &betas) {
    std::vector<Real> products(betas.size());
    double product = 1;
    for (size_t i = 0; i < betas.size(); ++i) {
        product *= static_cast<double>(Real(1) - betas[i]);
        products[i] = static_cast<Real>(product);
    }
    return products;
}

// alpha_bar of the cosine schedule (Nichol and Dhariwal 2021, equation 17), s = 0.008.
double cosineAlphaBar(double fraction) {
    const double angle = std::cos((fraction + 0.008) / 1.008 * std::numbers::pi / 2);
    return angle * angle;
}

template <typename Real> std::vector<Real> makeBetas(const Settings &settings) {
    if (const auto trained = settings.numbers("trained_betas"))
        return std::vector<Real>(trained->begin(), trained->end());
    const int64_t count = settings.integer("num_train_timesteps");
    const double first = settings.number("beta_start"), last = settings.number("beta_end");
    const std::string kind = settings.choice("beta_schedule");
    if (kind == "linear") // Ho et al. 2020
        return torchLinspace<Real>(first, last, count);
    if (kind == "scaled_linear") { // linear in sqrt(beta): Rombach et al. 2022
        std::vector<Real> betas = torchLinspace<Real>(std::sqrt(first), std::sqrt(last), count);
        for (Real &beta : betas)
            beta *= beta;
        return betas;
    }
    if (kind == "sigmoid") { // Xu et al. 2022 (GeoDiff)
        std::vector<Real> betas = torchLinspace<Real>(-6, 6, count);
        for (Real &beta : betas)
            beta = Real(1) / (Real(1) + std::exp(-beta)) * static_cast<Real>(last - first) +
                   static_cast<Real>(first);
        return betas;
    }
    std::vector<Real> betas(static_cast<size_t>(count)); // squaredcos_cap_v2
    for (int64_t i = 0; i < count; ++i) {
        const double total = static_cast<double>(count);
        const double ratio = cosineAlphaBar(static_cast<double>(i + 1) / total) /
                             cosineAlphaBar(static_cast<double>(i) / total);
        betas[static_cast<size_t>(i)] = static_cast<Real>(std::min(1 - ratio, 0.999));
    }
    return betas;
}

// Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", algorithm 1:
// sqrt(alphasCumprod) is shifted so that its last entry is 0 and scaled so that its first is kept.
template <typename Real> std::vector<Real> rescaledToZeroSnr(const std::vector<Real> &betas) {
    std::vector<Real> root = cumulativeProduct(betas);
    for (Real &value : root)
        value = std::sqrt(value);
    const Real first = root.front(), last = root.back();
    for (Real &value : root)
        value = (value - last) * (first / (first - last));
    std::vector<Real> rescaled(betas.size());
    for (size_t i = 0; i < betas.size(); ++i) {
        const Real here = root[i] * root[i];
        rescaled[i] = Real(1) - (i == 0 ? here : here / (root[i - 1] * root[i - 1]));
    }
    return rescaled;
}

template <typename Real> NoiseSchedule build(const Settings &settings, Rounding rounding, bool finiteSigmas) {
    std::vector<Real> betas = makeBetas<Real>(settings);
    const bool zeroSnr = settings.boolean("rescale_betas_zero_snr");
    if (zeroSnr)
        betas = rescaledToZeroSnr(betas);
    std::vector<Real> alphasCumprod = cumulativeProduct(betas);
    if (zeroSnr && finiteSigmas)
        alphasCumprod.back() = static_cast<Real>(kFlooredAlphaCumprod);

    NoiseSchedule noise;
    noise.rounding = rounding;
    for (size_t i = 0; i < betas.size(); ++i) {
        const Real product = alphasCumprod[i];
        noise.betas.push_back(static_cast<double>(betas[i]));
        noise.alphasCumprod.push_back(static_cast<double>(product));
        const Real sigma =
            product == 0 ? static_cast<Real>(kInfinity) : std::sqrt((Real(1) - product) / product);
        noise.sigmas.push_back(static_cast<double>(sigma));
        noise.logSigmas.push_back(static_cast<double>(std::log(sigma)));
    }
    return noise;
}

} // namespace

std::vector<SettingInfo> noiseSettings() {
    return {
        {"num_train_timesteps", SettingType::Integer, "1000", 1, 100000, "",
         "timesteps of the training schedule"},
        {"beta_start", SettingType::Number, "0.0001", 0, 1, "", "first beta"},
        {"beta_end", SettingType::Number, "0.02", 0, 1, "", "last beta"},
        {"beta_schedule", SettingType::Choice, "\"linear\"", -kInfinity, kInfinity,
         "linear|scaled_linear|squaredcos_cap_v2|sigmoid", "shape of the betas"},
        {"trained_betas", SettingType::Numbers, "null", 0, 1, "", "the betas themselves, instead of a shape"},
        {"rescale_betas_zero_snr", SettingType::Boolean, "false", -kInfinity, kInfinity, "",
         "betas rescaled to zero terminal SNR (Lin et al. 2023)"},
    };
}

NoiseSchedule makeNoiseSchedule(const Settings &settings, Rounding rounding, bool finiteSigmas) {
    if (const auto trained = settings.numbers("trained_betas");
        trained && static_cast<int64_t>(trained->size()) != settings.integer("num_train_timesteps"))
        throw ScheduleError(settings.file() + ": key \"trained_betas\": found " +
                            std::to_string(trained->size()) + " betas, expected num_train_timesteps = " +
                            std::to_string(settings.integer("num_train_timesteps")));
    NoiseSchedule noise = rounding == Rounding::Library ? build<float>(settings, rounding, finiteSigmas)
                                                        : build<double>(settings, rounding, finiteSigmas);
    for (size_t i = 0; i < noise.alphasCumprod.size(); ++i) {
        const double previous = i > 0 ? noise.alphasCumprod[i - 1] : 1.0;
        // Strictly falling, positive but for a last zero: everything later divides by differences of these.
        const bool last = i + 1 == noise.alphasCumprod.size();
        if (last && finiteSigmas && settings.boolean("rescale_betas_zero_snr"))
            continue; // the floor
        const double here = noise.alphasCumprod[i];
        if (!(here < previous) || !(here > 0 || (last && here == 0)))
            throw ScheduleError(settings.file() +
                                ": beta_start, beta_end, beta_schedule, trained_betas: found beta " +
                                std::to_string(noise.betas[i]) + " at timestep " + std::to_string(i) +
                                ", expected betas whose product of (1 - beta) falls and stays above 0");
    }
    return noise;
}

double NoiseSchedule::round(double value) const {
    return rounding == Rounding::Library ? static_cast<double>(static_cast<float>(value)) : value;
}

double NoiseSchedule::sigmaAt(double timestep) const {
    if (timestep <= 0)
        return sigmas.front();
    const double last = static_cast<double>(sigmas.size() - 1);
    if (timestep >= last)
        return sigmas.back();
    const size_t below = static_cast<size_t>(timestep);
    const double slope = sigmas[below + 1] - sigmas[below];
    return slope * (timestep - static_cast<double>(below)) + sigmas[below];
}

double NoiseSchedule::timestepOfSigma(double sigma) const {
    if (logSigmas.size() == 1)
        return 0;
    const double value = std::log(std::max(sigma, 1e-10));
    // The last entry not above it: a floored zero-SNR schedule need not rise in its last step.
    const auto notAbove =
        std::find_if(logSigmas.rbegin(), logSigmas.rend(), [&](double entry) { return entry <= value; });
    const size_t last =
        notAbove == logSigmas.rend() ? 0 : static_cast<size_t>(logSigmas.rend() - notAbove) - 1;
    const size_t low = std::min(last, logSigmas.size() - 2);
    const double weight =
        std::clamp((logSigmas[low] - value) / (logSigmas[low] - logSigmas[low + 1]), 0.0, 1.0);
    return (1 - weight) * static_cast<double>(low) + weight * static_cast<double>(low + 1);
}

SettingInfo predictionSetting() {
    return {"prediction_type",
            SettingType::Choice,
            "\"epsilon\"",
            -kInfinity,
            kInfinity,
            "epsilon|sample|v_prediction",
            "what the network's output is"};
}

Prediction readPrediction(const Settings &settings) {
    const std::string name = settings.choice("prediction_type");
    return name == "epsilon" ? Prediction::Epsilon : name == "sample" ? Prediction::Sample : Prediction::V;
}

SettingInfo spacingSetting(const char *fallback) {
    return {"timestep_spacing",
            SettingType::Choice,
            fallback,
            -kInfinity,
            kInfinity,
            "leading|trailing|linspace",
            "how the steps are spread over the training timesteps (Lin et al. 2023, table 2)"};
}

SettingInfo stepsOffsetSetting() {
    return {"steps_offset",
            SettingType::Integer,
            "0",
            0,
            100000,
            "",
            "added to the timesteps of leading spacing"};
}

Spacing readSpacing(const Settings &settings) {
    const std::string name = settings.choice("timestep_spacing");
    return name == "leading" ? Spacing::Leading : name == "trailing" ? Spacing::Trailing : Spacing::Linspace;
}

std::vector<double> linspace(double first, double last, int64_t count) {
    std::vector<double> values(static_cast<size_t>(count));
    const double step = count > 1 ? (last - first) / static_cast<double>(count - 1) : 0;
    for (int64_t i = 0; i < count; ++i)
        values[static_cast<size_t>(i)] = static_cast<double>(i) * step + first;
    if (count > 1)
        values.back() = last;
    return values;
}

std::vector<double> spacedTimesteps(const NoiseSchedule &noise, Spacing spacing, SpacingRule rule,
                                    int64_t steps, int64_t stepsOffset, std::optional<int64_t> end) {
    const int64_t total = end.value_or(noise.trainTimesteps());
    const int64_t points = rule == SpacingRule::OneMore && spacing != Spacing::Trailing ? steps + 1 : steps;
    std::vector<double> timesteps;
    switch (spacing) {
    case Spacing::Linspace:
        timesteps = linspace(0, static_cast<double>(total - 1), points);
        for (double &timestep : timesteps)
            timestep = rule == SpacingRule::Fractional ? noise.round(timestep) : std::nearbyint(timestep);
        std::reverse(timesteps.begin(), timesteps.end());
        break;
    case Spacing::Leading:
        for (int64_t i = points - 1; i >= 0; --i)
            timesteps.push_back(static_cast<double>(i * (total / points) + stepsOffset));
        break;
    case Spacing::Trailing: {
        // numpy.arange(end, 0, -T / n): its increment is the rounded difference of the first two values
        const double first = static_cast<double>(total);
        const double stride = static_cast<double>(noise.trainTimesteps()) / static_cast<double>(steps);
        const double increment = (first - stride) - first;
        const int64_t count = end ? static_cast<int64_t>(std::ceil(first / stride)) : steps;
        for (int64_t i = 0; i < count; ++i)
            timesteps.push_back(std::nearbyint(first + static_cast<double>(i) * increment) - 1);
        return timesteps;
    }
    }
    timesteps.resize(static_cast<size_t>(steps));
    return timesteps;
}

std::vector<double> karrasSigmas(double sigmaMin, double sigmaMax, int64_t count, double rho) {
    std::vector<double> sigmas;
    const double low = std::pow(sigmaMin, 1 / rho), high = std::pow(sigmaMax, 1 / rho);
    for (const double ramp : linspace(0, 1, count))
        sigmas.push_back(std::pow(high + ramp * (low - high), rho));
    return sigmas;
}

Estimate estimateAt(Prediction prediction, double alpha, double sigma, double timestep) {
    switch (prediction) {
    case Prediction::Epsilon: // x0 = (x - sigma epsilon) / alpha
        if (alpha == 0)
            throw ScheduleError(
                "prediction_type: found \"epsilon\" at timestep " + std::to_string(timestep) +
                " where alpha is 0 (zero terminal SNR): the state is noise alone and x0 is not "
                "defined; supported there: sample, v_prediction");
        return {(kX - sigma * kM) / alpha, kM};
    case Prediction::Sample: // epsilon = (x - alpha x0) / sigma
        if (sigma == 0)
            throw ScheduleError(
                "prediction_type: found \"sample\" at timestep " + std::to_string(timestep) +
                " where sigma is 0: the state holds no noise and epsilon is not defined; supported "
                "there: epsilon, v_prediction");
        return {kM, (kX - alpha * kM) / sigma};
    case Prediction::V: // v = alpha epsilon - sigma x0 (Salimans and Ho 2022, appendix D)
        break;
    }
    return {alpha * kX - sigma * kM, alpha * kM + sigma * kX};
}

} // namespace mote::convert::schedule
