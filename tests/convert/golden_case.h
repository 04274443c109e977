// The cases of tests/goldens on the reference interpreter, in fp32 and with weights that are not rounded.
#pragma once

#include "read/safetensors.h"
#include "reference/reference.h"
#include "schedule/step_table.h"
#include "support/golden_error.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace mote::convert {

class GoldenCase {
public:
    GoldenCase(const std::string &name, const std::string &checkpointFolder, const std::string &tensorFile);
    static GoldenCase inGoldens(const std::string &name);

    const std::string &name() const { return name_; }
    const std::string &checkpointFolder() const { return checkpointFolder_; }
    const nlohmann::json &runs() const { return description_["runs"]; }
    bool has(const std::string &tensor) const { return tensors_.find(tensor) != nullptr; }
    std::vector<float> floats(const std::string &tensor) const {
        return tensors_.readFloats(tensors_.get(tensor));
    }
    std::vector<int64_t> integers(const std::string &tensor) const {
        return tensors_.readIntegers(tensors_.get(tensor));
    }
    std::vector<uint32_t> labels() const; // of the samples of fwd.x; empty: no classes
    std::string guidanceScale() const { return description_.at("guidance_scale").dump(); }
    std::vector<double> numbers(const std::string &tensor) const; // integers or floats
    std::vector<uint64_t> shape(const std::string &tensor) const { return tensors_.get(tensor).shape; }
    test::Tolerance tolerance(const std::string &tensor) const; // fp32

    // The condition for a picture of this size, batch 1; empty channels where the case has none.
    reference::Array<float> condition(uint32_t height, uint32_t width) const;
    reference::Array<float> array(const std::string &tensor, size_t leading, size_t index) const;

private:
    std::string name_, checkpointFolder_;
    SafetensorsFile tensors_;
    nlohmann::json description_;
};

using Folding = std::function<void(Network &, const std::vector<double> &timesteps)>;
using Mutation = std::function<void(Network &, schedule::Table &)>; // between folding and running

// Of `<prefix>out` (prefix "fwd." or "fwd.48x80.") over all timesteps and samples.
test::GoldenError forwardError(const GoldenCase &golden, const std::string &prefix, const Folding &folding);

// Of `<run>.x`, all states.
test::GoldenError trajectoryError(const GoldenCase &golden, const std::string &run,
                                  const schedule::Table &table, const Folding &folding,
                                  const Mutation &mutation = {});

// The step table of a run of case.json.
schedule::Table tableOfRun(const GoldenCase &golden, const std::string &run);

} // namespace mote::convert
