// PNDM and PLMS: Liu et al. 2022, "Pseudo numerical methods for diffusion models on manifolds".
//   transfer, equation 9, from alphasCumprod A to B:
//     move(x, m) = sqrt(B / A) x - (B - A) / (A sqrt(1 - B) + sqrt(A (1 - A) B)) m
//   pseudo linear multistep: m = (55 m_0 - 59 m_1 + 37 m_2 - 9 m_3) / 24, lower orders at the start
//   pseudo Runge-Kutta: four evaluations a step, their mean weighted 1 2 2 1
// The history is of the model's output (of v for a v network). No state is saved: the state before a
// Runge-Kutta step is a combination of the present state and of the registers, so four registers hold
// everything.
#include <cmath>

#include "schedule/families.h"

namespace mote::convert::schedule {
namespace {

constexpr int kScratch = 3; // the register of the Runge-Kutta start; 0, 1, 2 keep the outputs of whole steps

// Coefficients of move().
struct Move {
    double state = 0, output = 0;
    Form operator()(const Form &x, const Form &m) const { return state * x + output * m; }
};

class Mover {
public:
    Mover(const NoiseSchedule &noise, double finalAlphaCumprod, bool velocity)
        : noise_(noise), final_(finalAlphaCumprod), velocity_(velocity) {}

    double alphaCumprod(int64_t t) const {
        return t >= 0 ? noise_.alphasCumprod.at(static_cast<size_t>(t)) : final_;
    }

    Move move(int64_t from, int64_t to) const {
        const double A = alphaCumprod(from), B = alphaCumprod(to);
        const double f = -(B - A) / (A * std::sqrt(1 - B) + std::sqrt(A * (1 - A) * B));
        if (!velocity_)
            return {std::sqrt(B / A), f};
        return {std::sqrt(B / A) + f * std::sqrt(1 - A),
                f * std::sqrt(A)}; // epsilon = sqrt(A) v + sqrt(1 - A) x
    }

private:
    const NoiseSchedule &noise_;
    double final_;
    bool velocity_;
};

} // namespace

std::vector<SettingInfo> pndmSettings() {
    return joinSettings({
        noiseSettings(),
        {spacingSetting("\"leading\""), stepsOffsetSetting()},
        {{"prediction_type", SettingType::Choice, "\"epsilon\"", 0, 0, "epsilon|v_prediction",
          "what the network's output is"},
         {"skip_prk_steps", SettingType::Boolean, "false", 0, 0, "", "PLMS: no Runge-Kutta start"},
         {"set_alpha_to_one", SettingType::Boolean, "false", 0, 0, "",
          "the last step goes to alphasCumprod 1; false: to alphasCumprod of timestep 0"}},
    });
}

Table compilePndm(const Job &job) {
    const Settings &settings = job.settings;
    const NoiseSchedule noise = makeNoiseSchedule(settings, job.rounding, false);
    const Prediction prediction = readPrediction(settings);
    const bool skip = settings.boolean("skip_prk_steps");
    const int64_t count = job.count(), ratio = noise.trainTimesteps() / count;
    if (!skip && count < 4)
        throw ScheduleError("sampler \"pndm\": steps: found " + std::to_string(count) +
                            ", expected at least 4 for the Runge-Kutta start, or skip_prk_steps=true");
    const Mover mover(noise, settings.boolean("set_alpha_to_one") ? 1.0 : noise.alphasCumprod.front(),
                      prediction == Prediction::V);
    const std::vector<int64_t> timesteps = jobWholeTimesteps(job, noise, SpacingRule::Whole); // decreasing

    std::vector<Step> steps;
    auto add = [&](int64_t t, const Form &next, int store, const Form &keep) {
        if (t >= noise.trainTimesteps())
            throw ScheduleError("sampler \"pndm\": steps: found " + std::to_string(count) +
                                ", whose timestep " + std::to_string(t) +
                                " is past the last of the schedule");
        const double A = mover.alphaCumprod(t);
        Step step;
        step.timestep = static_cast<double>(t);
        step.prediction = estimateAt(prediction, std::sqrt(A), std::sqrt(1 - A), step.timestep).x0;
        step.next = next;
        step.store = store;
        step.keep = keep;
        steps.push_back(step);
    };

    History outputs(3);
    std::vector<int64_t> sequence = timesteps;
    if (skip) { // the second timestep is evaluated twice
        if (count > 1)
            sequence.insert(sequence.begin() + 1, sequence[1]);
    } else {
        // Steps through the first four timesteps with stages half a stride apart: a, a - half, a - half, b =
        // a - ratio, ...
        const int64_t half = ratio / 2;
        for (int stage = 0; stage < 3; ++stage) {
            const int64_t t = timesteps[static_cast<size_t>(stage)],
                          below = timesteps[static_cast<size_t>(stage) + 1];
            const int64_t at[4] = {t, below + half, below + half, below};
            Move f[4];
            for (int j = 0; j < 4; ++j)
                f[j] = mover.move(t, j % 2 == 0 ? at[j] - half : at[j]);
            const Form tmp = registerTerm(kScratch);
            // With `cur` the state before the step, stage j ends in f_j.state cur + f_j.output m_j. Stage 3
            // keeps al x + be m, so that stage 4 finds cur, m_1 and m_2 in it and in x, and m_0 in the
            // history.
            const double al = f[3].output / (3 * f[1].output);
            const double ga = (f[3].state - al * f[1].state) / f[2].state;
            const double be = f[3].output / 3 - ga * f[2].output;
            const int slot = outputs.push();
            const Form m0 = registerTerm(slot);
            add(at[0], f[0](kX, kM), slot, kM);
            add(at[1], f[1].state / f[0].state * (kX - f[0].output * m0) + f[1].output * kM, kScratch, kM);
            add(at[2], f[2].state / f[1].state * (kX - f[1].output * tmp) + f[2].output * kM, kScratch,
                al * kX + be * kM);
            add(at[3], ga * kX + tmp + f[3].output / 6 * (m0 + kM), -1, {});
        }
        sequence.erase(sequence.begin(), sequence.begin() + 3);
    }
    for (size_t i = 0; i < sequence.size(); ++i) {
        const int64_t t = sequence[i];
        if (skip && i == 1) { // from the state before step 0 again, with the mean of both outputs
            add(t, kX + mover.move(t + ratio, t).output / 2 * (kM - outputs[0]), -1, {});
            continue;
        }
        Form m = kM;
        if (outputs.size() == 1)
            m = (3 * kM - outputs[0]) / 2;
        else if (outputs.size() == 2)
            m = (23 * kM - 16 * outputs[0] + 5 * outputs[1]) / 12;
        else if (outputs.size() == 3)
            m = (55 * kM - 59 * outputs[0] + 37 * outputs[1] - 9 * outputs[2]) / 24;
        const Form next = mover.move(t, t - ratio)(kX, m);
        add(t, next, outputs.push(), kM);
    }
    return finishTable("pndm", count, {}, steps);
}

} // namespace mote::convert::schedule
