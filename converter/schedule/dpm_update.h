// The updates of DPM-Solver (Lu et al. 2022, "DPM-Solver", algorithms 1 and 2, noise prediction), of
// DPM-Solver++ (Lu et al. 2022, "DPM-Solver++", algorithms 1 and 2, data prediction), and of their SDE
// variants.
#pragma once

#include <functional>

#include "schedule/exponential.h"

namespace mote::convert::schedule {

// dpmsolver, dpmsolver++, sde-dpmsolver, sde-dpmsolver++
enum class DpmAlgorithm { Noise, Data, NoiseSde, DataSde };
inline bool predictsData(DpmAlgorithm a) {
    return a == DpmAlgorithm::Data || a == DpmAlgorithm::DataSde;
}

struct DpmSolver {
    DpmAlgorithm algorithm = DpmAlgorithm::Data;
    bool heun = false; // solver_type: how the second difference is weighted; else midpoint

    // The state's coefficient for a step from entry `base` of the run to entry i + 1.
    double stateFactor(const LambdaRun &run, size_t i, size_t base) const;
    // What is added to the state. `d`: the quantities at entries i, i - 1, ..., as many as `order`.
    // Multistep: base = i; singlestep: base = i - order + 1, where the d's were evaluated on the way.
    Form increment(const LambdaRun &run, int order, size_t i, size_t base, const std::vector<Form> &d) const;
    // The coefficient of the step's noise; 0 for the ODE solvers.
    double noiseFactor(const LambdaRun &run, size_t i) const;
};

// algorithm_type (those named in `algorithms`), solver_type, lower_order_final.
std::vector<SettingInfo> dpmSettings(const char *algorithms, const char *lowerOrderFinal);
// Refuses noise prediction that ends at sigma 0, where its formula has no limit.
DpmSolver readDpmSolver(const Settings &settings, FinalSigma end);

// The multistep loop over a run, shared by the VP and EDM schedulers; `begin` makes entry i's step with its
// prediction and `quantity` gives d there.
Table multistepTable(const Job &job, const char *name, const LambdaRun &run, const DpmSolver &solver,
                     FinalSigma end, const std::function<Step(size_t)> &begin,
                     const std::function<Form(size_t)> &quantity);

} // namespace mote::convert::schedule
