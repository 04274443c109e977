// Ways to spoil the sample model in a file whose checksums are right, and what the refusal of each must say.
#pragma once

#include "model/format.h"
#include "model/sample_model.h"
#include "model/status.h"

#include <functional>
#include <limits>
#include <vector>

namespace mote::test {

inline const float kNaN = std::numeric_limits<float>::quiet_NaN();
inline const float kInfinity = std::numeric_limits<float>::infinity();

struct Hostile {
    const char *name;
    const char *field; // what the message must hold
    std::function<void(RawFile &)> spoil;
    StatusCode code = StatusCode::InvalidModel;
};

inline Graph &unet(RawFile &raw) {
    return raw.model.graphs[0];
}
// The ops of the sample by their place.
enum : size_t {
    kConcat,
    kConvIn,
    kNorm1,
    kDown,
    kNorm2,
    kQkv,
    kAttention,
    kProject,
    kUpsample,
    kFirDown,
    kFirUp,
    kPoint,
    kNorm3,
    kConvOut
};
inline Op &op(RawFile &raw, size_t index) {
    return unet(raw).ops[index];
}
inline StepRow &row(RawFile &raw, size_t index) {
    return raw.model.recipes[1].rows[index];
}
inline Weight &weight(RawFile &raw, uint32_t index) {
    return raw.model.weights[index];
}

// Where a segment behind the first could begin.
inline uint64_t alignedEnd(const RawFile &raw) {
    return (raw.model.segments[0].offset + raw.model.segments[0].bytes + kAlignment - 1) / kAlignment *
           kAlignment;
}

// A second graph that runs per step before the first and gives it nothing.
inline Graph &addGraph(RawFile &raw) {
    Graph graph = unet(raw);
    graph.name = "second";
    graph.order = 1;
    graph.ports[2].source = PortSource::App;
    raw.model.graphs.push_back(graph);
    return raw.model.graphs.back();
}

// A further weight behind the others.
inline uint32_t addWeight(RawFile &raw, DataType type, std::vector<uint32_t> shape) {
    Weight added;
    added.name = "added";
    added.type = type;
    added.bytes = elementBytes(type);
    for (const uint32_t dimension : shape)
        added.bytes *= dimension;
    added.shape = std::move(shape);
    Segment &segment = raw.model.segments[0];
    added.offset = (segment.bytes + kAlignment - 1) / kAlignment * kAlignment;
    segment.bytes = added.offset + added.bytes;
    raw.payloads.emplace_back(static_cast<size_t>(added.bytes));
    raw.model.weights.push_back(added);
    return static_cast<uint32_t>(raw.model.weights.size() - 1);
}

std::vector<Hostile> hostileLayouts(); // header, segments, weights
std::vector<Hostile> hostileGraphs();  // tensors, ops, conditioning, ports
std::vector<Hostile> hostileRecipes(); // recipes, self-check, texts

} // namespace mote::test
