#include "kernel_rig.h"

#include "gpu/command.h"
#include "read/half.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mote::test {

using convert::floatFromHalf;
using convert::halfFromDouble;

namespace {

constexpr int kPoison = 0x7e; // 0x7e7e is a NaN as fp16, 0x7e7e7e7e 8e37 as fp32

std::map<std::string, double> &errors() {
    static std::map<std::string, double> map;
    return map;
}

} // namespace

uint32_t Random::word() {
    state_ = state_ * 1664525u + 1013904223u;
    uint32_t mixed = state_ ^ (state_ >> 15);
    mixed *= 0x2c1b3c6du;
    return mixed ^ (mixed >> 13);
}

double Random::half() {
    return floatFromHalf(halfFromDouble(static_cast<double>(word()) / 2147483648.0 - 1));
}

Map Random::map(uint32_t n, uint32_t c, uint32_t h, uint32_t w) {
    Map map(n, c, h, w);
    map.values = halfs(map.values.size());
    return map;
}

std::vector<double> Random::halfs(size_t count) {
    std::vector<double> values(count);
    for (double &value : values)
        value = half();
    return values;
}

void ErrorLog::note(const std::string &kernel, double fraction) {
    double &largest = errors()[kernel];
    largest = std::max(largest, fraction);
}

void ErrorLog::print() {
    for (const auto &[kernel, fraction] : errors())
        std::printf("[ error    ] %-28s %.3f of its tolerance\n", kernel.c_str(), fraction);
    errors().clear();
}

std::unique_ptr<gpu::Device> Kernels::device_;

void Kernels::SetUpTestSuite() {
    const gpu::LimitsClamp clamp = gpu::floorClamp();
    openDevice(&clamp);
}

void Kernels::openDevice(const gpu::LimitsClamp *clamp) {
    gpu::DeviceOptions options;
    options.clamp = clamp;
    Result<std::unique_ptr<gpu::Device>> made = gpu::Device::create(options);
    ASSERT_TRUE(made.ok()) << made.status().message;
    device_ = std::move(made.value());
}

void Kernels::TearDownTestSuite() {
    device_.reset();
    ErrorLog::print();
}

BufferRange Kernels::buffer(uint64_t bytes) {
    const uint64_t padded = (bytes + 3) / 4 * 4;
    Result<gpu::Allocation> made =
        gpu::Allocation::create(*device_, padded + 2 * kGuardBytes, gpu::MemoryKind::Readback, "test");
    EXPECT_TRUE(made.ok()) << made.status().message;
    std::memset(made->mapped(), kPoison, made->size());
    buffers_.push_back({std::move(made.value()), bytes});
    return {static_cast<uint32_t>(buffers_.size() - 1), kGuardBytes, kGuardBytes + bytes};
}

BufferRange Kernels::bufferOf(const void *data, uint64_t bytes) {
    const BufferRange range = buffer(bytes);
    std::memcpy(bytesOf(range), data, bytes);
    return range;
}

std::byte *Kernels::bytesOf(const BufferRange &range) {
    return buffers_[range.buffer].allocation.mapped() + range.begin;
}

BufferRange Kernels::activation(const Map &map) {
    const uint32_t blocks = (map.channels + 7) / 8;
    std::vector<uint16_t> halfs(size_t{map.batch} * blocks * map.planeSize() * 8, 0);
    for (uint32_t n = 0; n < map.batch; ++n)
        for (uint32_t c = 0; c < map.channels; ++c)
            for (size_t i = 0; i < map.planeSize(); ++i)
                halfs[((size_t{n} * blocks + c / 8) * map.planeSize() + i) * 8 + c % 8] =
                    halfFromDouble(map.plane(n, c)[i]);
    return bufferOf(halfs.data(), halfs.size() * 2);
}

BufferRange Kernels::floats(const std::vector<float> &values) {
    return bufferOf(values.data(), values.size() * 4);
}

BufferRange Kernels::session(const SessionWords &words) {
    return bufferOf(&words, sizeof words);
}

std::vector<float> Kernels::floatsOf(const BufferRange &range) {
    std::vector<float> values((range.end - range.begin) / 4);
    std::memcpy(values.data(), bytesOf(range), values.size() * 4);
    return values;
}

SessionWords Kernels::sessionOf(const BufferRange &range) {
    SessionWords words;
    std::memcpy(&words, bytesOf(range), sizeof words);
    return words;
}

Map Kernels::readActivation(const BufferRange &range, const TensorShape &shape) {
    Map map(shape.n, shape.c, shape.h, shape.w);
    const uint32_t blocks = (shape.c + 7) / 8;
    const auto *halfs = reinterpret_cast<const uint16_t *>(bytesOf(range));
    size_t dirty = 0;
    for (uint32_t n = 0; n < shape.n; ++n)
        for (uint32_t c = 0; c < blocks * 8; ++c)
            for (size_t i = 0; i < map.planeSize(); ++i) {
                const uint16_t half = halfs[((size_t{n} * blocks + c / 8) * map.planeSize() + i) * 8 + c % 8];
                if (c < shape.c)
                    map.plane(n, c)[i] = static_cast<double>(floatFromHalf(half));
                else
                    dirty += (half & 0x7fff) != 0 ? 1 : 0;
            }
    EXPECT_EQ(dirty, 0u) << "padding channels that are not zero";
    return map;
}

Map Kernels::readPort(const BufferRange &range, const TensorShape &shape) {
    Map map(shape.n, shape.c, shape.h, shape.w);
    const std::vector<float> values = floatsOf(range);
    for (size_t i = 0; i < map.values.size(); ++i)
        map.values[i] = static_cast<double>(values[i]);
    return map;
}

void Kernels::run(const Result<Dispatch> &dispatch) {
    ASSERT_TRUE(dispatch.ok()) << dispatch.status().message;
    run(std::vector<Dispatch>{dispatch.value()});
}

void Kernels::run(const Result<std::vector<Dispatch>> &dispatches) {
    ASSERT_TRUE(dispatches.ok()) << dispatches.status().message;
    run(dispatches.value());
}

void Kernels::run(const std::vector<Dispatch> &dispatches) {
    std::vector<RecordEntry> entries;
    for (const Dispatch &dispatch : dispatches)
        entries.push_back(recordEntry(dispatch));
    const std::vector<bool> barriers = placeBarriers(entries);

    Result<gpu::CommandBuffer> commands = gpu::CommandBuffer::create(*device_);
    ASSERT_TRUE(commands.ok()) << commands.status().message;
    Result<gpu::Fence> fence = gpu::Fence::create(*device_);
    ASSERT_TRUE(fence.ok()) << fence.status().message;
    Status status = commands->begin();
    ASSERT_TRUE(status.ok()) << status.message;
    std::vector<RecordEntry> recorded;
    for (size_t i = 0; i < dispatches.size(); ++i) {
        const Dispatch &dispatch = dispatches[i];
        if (barriers[i]) {
            commands->barrier();
            recorded.push_back({RecordKind::Barrier, "barrier", {}, {}, false});
        }
        recorded.push_back(entries[i]);
        Result<const gpu::Pipeline *> pipeline = device_->pipelines().get(dispatch.pipeline);
        ASSERT_TRUE(pipeline.ok()) << pipeline.status().message;
        std::vector<gpu::BufferRange> ranges;
        for (const Binding &binding : dispatch.bindings) {
            // The guard behind is bound too: a device that checks bounds would hide a write past the end.
            const Held &held = buffers_[binding.range.buffer];
            const bool last = binding.range.end == kGuardBytes + held.bytes;
            const uint64_t bytes = (binding.range.end - binding.range.begin + 3) / 4 * 4;
            ranges.push_back(
                {&held.allocation, binding.range.begin,
                 std::min(bytes + (last ? kGuardBytes : 0), device_->caps().maxStorageBufferRange)});
        }
        status = commands->dispatch(*pipeline.value(), ranges.data(), ranges.size(), dispatch.push.data(),
                                    dispatch.push.size() * 4, dispatch.groups[0], dispatch.groups[1],
                                    dispatch.groups[2]);
        ASSERT_TRUE(status.ok()) << dispatch.name << ": " << status.message;
    }
    const Status proof = checkHazards(recorded);
    ASSERT_TRUE(proof.ok()) << proof.message;
    commands->barrierToHost();
    status = commands->end();
    ASSERT_TRUE(status.ok()) << status.message;
    for (const Held &held : buffers_)
        ASSERT_TRUE(held.allocation.flush(0, held.allocation.size()).ok());
    status = device_->queue().submit(commands.value(), fence.value());
    ASSERT_TRUE(status.ok()) << status.message;
    status = fence->wait();
    ASSERT_TRUE(status.ok()) << status.message;
    for (const Held &held : buffers_) {
        ASSERT_TRUE(held.allocation.invalidate(0, held.allocation.size()).ok());
        const std::byte *bytes = held.allocation.mapped();
        size_t touched = 0;
        for (uint64_t i = 0; i < kGuardBytes; ++i)
            touched += (bytes[i] != std::byte{kPoison} ? 1 : 0) +
                       (bytes[held.allocation.size() - 1 - i] != std::byte{kPoison} ? 1 : 0);
        EXPECT_EQ(touched, 0u) << "guard bytes that were written";
    }
}

// A tile's sums are in fp32 over at most a few thousand values in a tree a few levels deep: each level adds a
// rounding of 2^-24 to the mean, relative to the largest value, and to the deviations.
void Kernels::expectStatistics(const Map &stored, const std::vector<float> &entries, uint32_t tiles) {
    const uint32_t blocks = (stored.channels + 7) / 8;
    ASSERT_EQ(entries.size(), size_t{stored.batch} * blocks * tiles * 32);
    for (uint32_t n = 0; n < stored.batch; ++n) {
        for (uint32_t c = 0; c < stored.channels; ++c) {
            double count = 0, mean = 0, deviations = 0;
            for (uint32_t tile = 0; tile < tiles; ++tile) {
                const float *entry =
                    &entries[(((size_t{n} * blocks + c / 8) * tiles + tile) * 8 + c % 8) * 4];
                const double k = static_cast<double>(entry[0]), delta = static_cast<double>(entry[1]) - mean;
                ASSERT_GT(k, 0) << "an entry without values";
                deviations += static_cast<double>(entry[2]) + delta * delta * count * k / (count + k);
                count += k;
                mean += delta * k / count;
            }
            const double *plane = stored.plane(n, c);
            const auto size = static_cast<double>(stored.planeSize());
            double expectedMean = 0, expectedDeviations = 0, largest = 0;
            for (size_t i = 0; i < stored.planeSize(); ++i) {
                expectedMean += plane[i] / size;
                largest = std::max(largest, std::fabs(plane[i]));
            }
            for (size_t i = 0; i < stored.planeSize(); ++i)
                expectedDeviations += (plane[i] - expectedMean) * (plane[i] - expectedMean);
            ASSERT_EQ(count, size);
            const double meanFraction = std::fabs(mean - expectedMean) / (32 * 0x1p-24 * largest + 1e-30);
            const double tolerance = 64 * 0x1p-24 * (expectedDeviations + largest * largest) + 1e-30;
            const double deviationFraction = std::fabs(deviations - expectedDeviations) / tolerance;
            ASSERT_LE(meanFraction, 1)
                << "channel " << c << ": mean " << mean << ", expected " << expectedMean;
            ASSERT_LE(deviationFraction, 1)
                << "channel " << c << ": " << deviations << ", expected " << expectedDeviations;
            ErrorLog::note("statistics", std::max(meanFraction, deviationFraction));
        }
    }
}

OpCase::OpCase() {
    graph.ops.emplace_back();
}

void OpCase::input(Map map, TensorKind kind) {
    op().inputs.push_back(static_cast<uint32_t>(graph.tensors.size()));
    graph.tensors.push_back({"input", kind, map.channels});
    shapes.tensors.push_back({map.batch, map.channels, map.height, map.width});
    inputs.push_back(std::move(map));
}

void OpCase::setResidual(Map map) {
    op().residual = static_cast<uint32_t>(graph.tensors.size());
    graph.tensors.push_back({"residual", TensorKind::Activation, map.channels});
    shapes.tensors.push_back({map.batch, map.channels, map.height, map.width});
    residual = std::move(map);
}

void OpCase::output(const TensorShape &shape, TensorKind kind) {
    op().output = static_cast<uint32_t>(graph.tensors.size());
    graph.tensors.push_back({"output", kind, shape.c});
    shapes.tensors.push_back(shape);
    shapes.costs.push_back({1000, 1000});
}

uint32_t OpCase::table(std::vector<uint32_t> shape, std::vector<double> values, DataType type) {
    Weight weight;
    weight.name = "table";
    weight.type = type;
    weight.shape = shape;
    model.weights.push_back(weight);
    tables.push_back({std::move(shape), std::move(values)});
    return static_cast<uint32_t>(tables.size() - 1);
}

void OpCase::wantStatistics() {
    const uint32_t tensor = op().output, channels = graph.tensors[tensor].channels;
    Op norm;
    norm.kind = OpKind::GroupNorm;
    norm.name = "norm";
    norm.inputs = {tensor};
    norm.output = static_cast<uint32_t>(graph.tensors.size());
    norm.affine = table({1, 2, channels}, std::vector<double>(2 * channels, 1));
    graph.tensors.push_back({"normalised", TensorKind::Activation, channels});
    shapes.tensors.push_back(shapes.tensors[tensor]);
    shapes.costs.push_back({1000, 1000});
    graph.ops.push_back(norm);
}

Map OpCase::reference(bool magnitudes) const {
    const auto positive = [magnitudes](std::vector<double> &values) {
        if (magnitudes)
            for (double &value : values)
                value = std::fabs(value);
    };
    std::vector<Map> ins = inputs;
    Map added = residual;
    convert::reference::Tables<double> constants = tables;
    for (Map &in : ins)
        positive(in.values);
    positive(added.values);
    for (auto &constant : constants)
        positive(constant.values);
    std::vector<const Map *> pointers;
    for (const Map &in : ins)
        pointers.push_back(&in);
    const Op &first = graph.ops.front();
    return convert::reference::runOp<double>(first, pointers, first.residual == kNone ? nullptr : &added,
                                             constants);
}

} // namespace mote::test
