// The recorded scheduler trajectories of tests/goldens/schedulers.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "schedule/evaluate.h"
#include "schedule/sampler.h"

namespace mote::convert::schedule {

struct GoldenTensor {
    std::vector<size_t> shape;
    std::vector<double> values;

    std::span<const double> row(size_t index) const; // along the first dimension
};

// One configuration at one number of steps.
struct GoldenRun {
    int configuration = 0;
    int64_t steps = 0;
    std::string scheduler, function;
    SchedulerConfig config;
    NamedValues options;
    bool thinned = false;                              // every 50th state, two values
    std::vector<std::vector<double>> exact, published; // states
    std::vector<double> timesteps;                     // as published
    std::span<const double> start;
    std::vector<std::span<const double>> noise;

    std::string name() const;
};

class SchedulerGoldens {
public:
    static const SchedulerGoldens &get();
    const std::vector<GoldenRun> &runs() const { return runs_; }
    const std::map<std::string, GoldenTensor> &published() const { return published_; }

private:
    SchedulerGoldens();
    std::map<std::string, GoldenTensor> exact_, published_;
    std::vector<double> thinnedStart_;
    std::vector<GoldenRun> runs_;
};

// The synthetic network of a run: "affine" or "gaussian" (case.json, functions).
double syntheticOutput(const std::string &function, double x, double timestep);

Table compileGolden(const GoldenRun &golden, Rounding rounding);
// All states, thinned as the golden is.
std::vector<std::vector<double>> replay(const GoldenRun &golden, const Table &table);

// L2 norm of the difference over the L2 norm of `expected`.
double relativeError(const std::vector<double> &found, const std::vector<double> &expected);

} // namespace mote::convert::schedule
