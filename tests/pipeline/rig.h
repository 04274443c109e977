// What the tests of the executor and of the C API share: a device, models converted from the checkpoints of
// tests/goldens, golden tensors and their tolerances.
#pragma once

#include "convert.h"
#include "gpu/device.h"
#include "pipeline/loaded_model.h"
#include "pipeline/session.h"
#include "read/safetensors.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <vector>

namespace mote::test {

inline testing::AssertionResult succeeded(const Status &status) {
    return status.ok()
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << static_cast<int>(status.code) << ": " << status.message;
}
template <typename T> testing::AssertionResult succeeded(const Result<T> &result) {
    return succeeded(result.status());
}
// Of this code, and saying this.
testing::AssertionResult failedWith(const Status &status, StatusCode code, const std::string &part);

// A new device; throws where there is none.
std::shared_ptr<gpu::Device> makeDevice(const gpu::LimitsClamp *clamp = nullptr);
// The one that tests share unless they break it.
std::shared_ptr<gpu::Device> sharedDevice();

// Folder of a case of tests/goldens, or of a shipped model.
std::string checkpointOf(const std::string &caseName);

// A .mote file, removed when the program ends. The same options give the same file again.
std::string convertToFile(const convert::ConvertOptions &options);
// A conversion that a test has changed.
std::string writeToFile(const convert::Conversion &conversion);
// The case's checkpoint with its own scheduler and these steps.
std::string convertCase(const std::string &caseName, const std::vector<int64_t> &steps);

// preferredKernel: as LoadedModel::open.
std::shared_ptr<pipeline::LoadedModel> loadModel(const std::shared_ptr<gpu::Device> &device,
                                                 const std::string &path,
                                                 const std::string &preferredKernel = {});
// Throws, with the message, where it cannot be made.
std::unique_ptr<pipeline::Session> makeSession(const std::shared_ptr<pipeline::LoadedModel> &model,
                                               const pipeline::SessionOptions &options);

struct GoldenTensor {
    std::vector<uint64_t> shape;
    std::vector<float> values;

    uint64_t dimension(size_t i) const { return shape.at(i); }
    // Of a tensor [A][B][...]: the block at [a][b].
    std::vector<float> block(uint64_t a, uint64_t b) const;
};

class GoldenCase {
public:
    explicit GoldenCase(const std::string &name);

    const std::string &name() const { return name_; }
    const nlohmann::json &description() const { return description_; }
    bool has(const std::string &tensor) const;
    GoldenTensor tensor(const std::string &name) const;
    std::vector<int64_t> integers(const std::string &name) const;

private:
    std::string name_;
    nlohmann::json description_ = nlohmann::json::object();
    std::unique_ptr<convert::SafetensorsFile> file_;
};

// By the case's fp16 tolerances; recorded as the device's.
double fractionOfTolerance(const GoldenCase &of, const std::string &tensor, const std::vector<float> &found,
                           const std::vector<float> &expected);

// A tensor view of [1][c][h][w] values.
pipeline::TensorView viewOf(std::vector<float> &values, uint32_t c, uint32_t h, uint32_t w);

} // namespace mote::test
