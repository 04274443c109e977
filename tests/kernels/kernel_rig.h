// A device at the floor of what Mote promises to run on, buffers with poison and guards, and one op run as
// the runtime would run it: chosen, packed, dispatched, with barriers placed and proven.
#pragma once

#include "gpu/device.h"
#include "gpu/memory.h"
#include "gpu/queue.h"
#include "kernels/image_kernels.h"
#include "kernels/kernels.h"
#include "reference/reference.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace mote::test {

using Map = convert::reference::Array<double>; // dense [N][C][H][W]

// Reproducible values: uniform in [-1, 1), rounded to fp16.
class Random {
public:
    explicit Random(uint32_t seed) : state_(seed * 2654435761u + 12345) {}
    uint32_t word();
    double half(); // [-1, 1) as fp16 has it
    Map map(uint32_t n, uint32_t c, uint32_t h, uint32_t w);
    std::vector<double> halfs(size_t count);

private:
    uint32_t state_;
};

// The largest error of a kernel as a fraction of its tolerance, kept and printed per kernel at the end.
class ErrorLog {
public:
    static void note(const std::string &kernel, double fraction);
    static void print();
};

class Kernels : public testing::Test {
protected:
    static void SetUpTestSuite(); // at the floor
    static void TearDownTestSuite();
    static void openDevice(const gpu::LimitsClamp *clamp);
    void TearDown() override { buffers_.clear(); }

    static gpu::Device &device() { return *device_; }
    Traits traits() const { return traitsOf(*device_); }

    // A buffer of `bytes` with guards before and after, filled with NaN patterns; its range is what is
    // returned.
    BufferRange buffer(uint64_t bytes);
    BufferRange bufferOf(const void *data, uint64_t bytes);
    BufferRange activation(const Map &map); // packed in blocks of eight, padding zero
    BufferRange floats(const std::vector<float> &values);
    BufferRange session(const SessionWords &words = {});
    std::byte *bytesOf(const BufferRange &range);
    std::vector<float> floatsOf(const BufferRange &range);
    SessionWords sessionOf(const BufferRange &range);

    // Reads an activation back; padding channels must be zero.
    Map readActivation(const BufferRange &range, const TensorShape &shape);
    Map readPort(const BufferRange &range, const TensorShape &shape);

    // Records with barriers where placeBarriers wants them (proven by checkHazards), runs, waits, checks
    // guards.
    void run(const std::vector<Dispatch> &dispatches);
    void run(const Result<Dispatch> &dispatch);
    void run(const Result<std::vector<Dispatch>> &dispatches);

    // Entries of a statistics buffer, combined in double, against the statistics of the values as stored.
    void expectStatistics(const Map &stored, const std::vector<float> &entries, uint32_t tiles);

    struct Held {
        gpu::Allocation allocation;
        uint64_t bytes = 0;
    };
    std::vector<Held> buffers_;

private:
    static std::unique_ptr<gpu::Device> device_;
};

constexpr uint32_t kGuardBytes = 256;

// One op of a made-up graph: tensors, tables and sizes, ready for chooseKernels and for the reference.
struct OpCase {
    Model model;
    Graph graph;
    GraphShapes shapes;
    std::vector<Map> inputs;
    Map residual;
    convert::reference::Tables<double> tables;

    OpCase();
    Op &op() { return graph.ops.front(); } // the one under test
    // Tensor of the next index; its values are an input of the op.
    void input(Map map, TensorKind kind = TensorKind::Activation);
    void setResidual(Map map);
    void output(const TensorShape &shape, TensorKind kind = TensorKind::Activation);
    uint32_t table(std::vector<uint32_t> shape, std::vector<double> values, DataType type = DataType::F32);
    // Adds an op that reads the output as a GroupNorm, so that statistics are wanted.
    void wantStatistics();

    Map reference(bool magnitudes = false) const; // magnitudes: with every input and table made positive
};

} // namespace mote::test
