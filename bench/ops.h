// Benchmarks of ops, alone or a few together, with the recorded commands of a session that has them.
#pragma once

#include "ceilings.h"
#include "floors.h"
#include "pipeline/commands.h"
#include "subject.h"

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

namespace mote::bench {

// Ops of a graph that are timed as one.
struct Unit {
    std::string name;
    std::vector<uint32_t> ops; // in execution order, each reading what those before made
    uint32_t count = 1;        // how often a forward pass has ops like it
};

// One unit for each kind of op and shape in the graph.
std::vector<Unit> distinctOps(const Subject &subject);

// The relative L2 error of each unit's output, held against the same ops in double on the inputs that the
// device had. Of large maps a convolution's first rows alone.
std::vector<double> errorsOf(Subject &subject, const std::vector<Unit> &units);

// What a session recorded for a unit; nothing where it is fused into another op.
std::vector<pipeline::Command> commandsOf(pipeline::Session &session, const Unit &unit);

// As counters of what is being timed.
void addFloor(benchmark::State &state, const Floor &floor);

// Registers `prefix`/NAME for each unit.
void registerUnits(const std::string &prefix, const std::shared_ptr<Subject> &subject,
                   const std::vector<Unit> &units, const std::shared_ptr<Ceilings> &ceilings);

// A convolution as a library of the host would be asked for it.
struct HostConvolution {
    uint32_t inputs = 0, outputs = 0, height = 0, width = 0; // of the input, padding excluded
    uint32_t kernelHeight = 1, kernelWidth = 1, stride = 1;
    uint32_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;

    uint64_t operations() const;
};

// Registers `prefix`/NAME/oneDNN ... where oneDNN is built in and has the algorithm.
void registerOneDnn(const std::string &name, const HostConvolution &convolution);

} // namespace mote::bench
