// What must hold for a model before anybody uses it: one list of rules for reader, writer and tests.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <string>

namespace mote {

// Bounds on what a file can ask for. Public models stay below a tenth of each.
constexpr uint32_t kMaxNameBytes = 255;
constexpr uint32_t kMaxTextBytes = 65536; // licence, description
constexpr uint32_t kMaxWeights = 65536;
constexpr uint32_t kMaxGraphs = 16;
constexpr uint32_t kMaxTensors = 8192; // per graph
constexpr uint32_t kMaxOps = 4096;     // per graph
constexpr uint32_t kMaxInputs = 8;     // per op
constexpr uint32_t kMaxPorts = 256;    // per graph
constexpr uint32_t kMaxTimesteps = 4096;
constexpr uint32_t kMaxRecipes = 64;
constexpr uint32_t kMaxRows = 4096;        // per recipe
constexpr float kMaxVarianceExponent = 40; // of a row; the clamped variance of a last step has 18
constexpr uint32_t kMaxSegments = 64;
constexpr uint32_t kMaxChannels = 65536;
constexpr uint32_t kMaxKernel = 31;
constexpr uint32_t kMaxSizeMultiple = 1024;
constexpr uint32_t kMaxWindow = 1u << 24; // pixels
constexpr uint32_t kMaxSelfCheckSamples = 64;
constexpr uint64_t kMaxSelfCheckFloats = 65536; // 256 kB in all

// Indices, enumerators, shapes of weights against op attributes, order of ops, names, ports, finite
// coefficients and the bounds above. `file` begins each message: "<file>: <field>: found ..., expected ...".
Status validateModel(const Model &model, const std::string &file);

} // namespace mote
