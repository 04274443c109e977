// The step table in double: every sampler as rows of one algebra (README.md). Samplers write each step
// symbolically, as linear forms; finishing a table folds the forms into coefficients, in double, and only
// then may they be rounded.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"

namespace mote::convert::schedule {

constexpr int kRegisters = 4;

// A linear combination of what a row can see. A term that was never added is told apart from one with
// coefficient zero by the coefficient alone: zero terms are skipped, never multiplied.
struct Form {
    double x = 0, m = 0, x0 = 0, y = 0, z = 0;
    std::array<double, kRegisters> r{};

    Form &operator+=(const Form &other);
    Form &operator*=(double factor);
    // This form with `replacement` wherever `x0` (or `x`) stands.
    Form withX0(const Form &replacement) const;
    Form withX(const Form &replacement) const;
};

inline Form operator+(Form a, const Form &b) {
    return a += b;
}
inline Form operator*(double factor, Form form) {
    return form *= factor;
}
inline Form operator*(Form form, double factor) {
    return form *= factor;
}
inline Form operator-(Form form) {
    return form *= -1.0;
}
inline Form operator-(Form a, const Form &b) {
    return a += -b;
}
inline Form operator/(Form form, double divisor) {
    return form *= 1.0 / divisor;
}

// The terms by name, to write formulas with.
inline const Form kX{.x = 1};
inline const Form kM{.m = 1};
inline const Form kX0{.x0 = 1};
inline const Form kY{.y = 1};
inline const Form kZ{.z = 1};
Form registerTerm(int index);

struct Clip {
    ClipKind kind = ClipKind::None;
    double low = -1, high = 1; // Clamp: x0 to [low, high]
    double quantile = 0.995,
           maximum = 1; // Threshold: s = clamp(quantile of |x0|, 1, maximum); clamp(x0, -s, s) / s
};

// The network also gives the variance v of the step's noise, which replaces next.z = c:
//   Interpolated: c exp((low + f (high - low)) / 2), f = (v + 1) / 2
//   Direct:       c sqrt(v)
struct LearnedVariance {
    VarianceKind kind = VarianceKind::Fixed;
    double low = 0, high = 0; // logarithms of the least and the largest variance
};

// One step as a sampler writes it, over the sampler's own state x.
struct Step {
    double timestep = 0;   // what the model is told
    double inputScale = 1; // the model's input is inputScale x
    Form prediction;       // x0 before N, over x and m
    Clip clip;
    Form next;                 // x', over everything
    int store = -1;            // the register that gets `keep`, after `next` was formed
    Form keep;                 // over x, m, x0
    int draws = -1;            // normals taken from the generator; -1: 1 if `next` uses z, else 0
    bool langevin = false;     // next.m and next.z are multiplied by rho^2 and rho, rho = |z| / |m| per image
    std::optional<Form> known; // inside the mask x' is this, over y and z
    LearnedVariance learned;
};

// A finished row; names as in README.md. Zero coefficients are exact zeros.
struct Row {
    double timestep = 0;
    double p = 0, q = 0;
    Clip clip;
    double a = 0, b = 0, g = 0, e = 0, c = 0;
    std::array<double, kRegisters> h{};
    int store = -1;
    double u = 0, v = 0, w = 0;
    int draws = 0;
    double scale = 1; // the sampler's own state after this row is x' / scale
    bool langevin = false;
    std::optional<std::array<double, 2>> known; // e, c inside the mask
    LearnedVariance learned;
    bool guided = false; // m comes from two passes: see guidance.h
    double guidance = 1, guidanceRescale = 0;
};

struct Table {
    std::string sampler;
    int64_t steps = 0;                       // what was asked for; rows.size() may differ
    double initNoise = 1, initCondition = 0; // x = initNoise z + initCondition y, in the table's scale
    double initScale = 1;                    // the sampler's own first state is x / initScale
    std::vector<Row> rows;
};

// The sampler's own start: x = noise z + condition y.
struct Start {
    double noise = 1, condition = 0;
};

// Folds x0 away where nothing non-linear stands between, makes the state the model's input, and checks that
// every coefficient is finite.
Table finishTable(std::string sampler, int64_t steps, const Start &start, const std::vector<Step> &rows);

// The form that a file holds: fp32 coefficients. Timesteps are looked up in `timesteps`, the model's list of
// distinct timesteps, and added where they are missing.
Recipe toRecipe(const Table &table, std::string name, std::vector<float> &timesteps);

// Registers for the last `depth` stored quantities: ages become addresses here, so that nothing shifts at run
// time.
class History {
public:
    explicit History(int depth) : depth_(depth) {}
    int size() const { return static_cast<int>(slots_.size()); }
    Form operator[](int age) const {
        return registerTerm(slots_.at(static_cast<size_t>(age)));
    }           // 0: the newest
    int push(); // the register to store the newest in, or -1 with depth 0

private:
    int depth_;
    std::vector<int> slots_; // newest first
};

} // namespace mote::convert::schedule
