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

// Registers `name`/oneDNN ... for a unit of one convolution, where oneDNN has the algorithm.
#if defined(MOTE_BENCH_ONEDNN)
void registerOneDnn(const std::string &name, const Subject &subject, const Unit &unit);
#else // not installed
inline void registerOneDnn(const std::string &, const Subject &, const Unit &) {}
#endif

} // namespace mote::bench
