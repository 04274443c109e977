#include "pipeline/self_check.h"

#include "kernels/session.h"
#include "model/describe.h"
#include "pipeline/conditioning.h"
#include "pipeline/forward.h"
#include "pipeline/io.h"
#include "pipeline/staging.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace mote::pipeline {
namespace {

// Buffers for the check, out of borrowed memory while that lasts.
class Pool {
public:
    Pool(gpu::Device &device, const BorrowedMemory &borrowed) : device_(device) {
        for (const gpu::Allocation *allocation : borrowed.local)
            free_.push_back({allocation, 0});
    }

    // The number of a new buffer.
    Result<uint32_t> add(uint64_t bytes) {
        const uint64_t rounded = (bytes + kBindingAlignment - 1) / kBindingAlignment * kBindingAlignment;
        for (BufferTable::Entry &entry : free_)
            if (entry.allocation->size() - entry.base >= rounded) {
                table.entries.push_back(entry);
                entry.base += rounded;
                return static_cast<uint32_t>(table.entries.size() - 1);
            }
        MOTE_TRY_ASSIGN(
            gpu::Allocation allocation,
            gpu::Allocation::create(device_, rounded, gpu::MemoryKind::DeviceLocal, "self-check"));
        own_.push_back(std::make_unique<gpu::Allocation>(std::move(allocation)));
        table.add(*own_.back());
        return static_cast<uint32_t>(table.entries.size() - 1);
    }

    BufferTable table;

private:
    gpu::Device &device_;
    std::vector<BufferTable::Entry> free_;
    std::vector<std::unique_ptr<gpu::Allocation>> own_;
};

struct Worst {
    float fraction = 0;
    size_t sample = 0;
};

// Of found[i] against expected[i]; the tolerance is absolute.
Worst worstOf(const std::vector<float> &found, const std::vector<float> &expected, double tolerance) {
    Worst worst;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double error = std::fabs(double(found[i]) - expected[i]);
        float fraction = 0;
        if (!std::isfinite(found[i]))
            fraction = std::numeric_limits<float>::infinity();
        else if (error > 0)
            fraction = static_cast<float>(error / tolerance); // infinite where the tolerance is 0
        if (fraction > worst.fraction)
            worst = {fraction, i};
    }
    return worst;
}

double rmsOf(const std::vector<float> &values) {
    double sum = 0;
    for (float value : values)
        sum += double(value) * value;
    return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

} // namespace

Status playSelfCheck(LoadedModel &loaded, const BorrowedMemory &borrowed, const CheckCallback &callback) {
    const Model &model = loaded.model();
    const Graph &graph = loaded.graph();
    const SelfCheck &check = model.selfCheck;
    if (check.ops.empty())
        return makeStatus(StatusCode::Unsupported, "the file has no self-check");
    gpu::Device &device = *loaded.device();
    Traits traits = loaded.traits();
    traits.choices = loaded.choices();

    ForwardPlan plan;
    for (;;) {
        MOTE_TRY_ASSIGN(plan, planForward(model, graph, 1, check.height, check.width, true, traits,
                                          loaded.usable(), loaded.maxChunkBytes()));
        bool choiceChanged = false;
        const Status made = loaded.makePipelines(pipelinesOf(plan.kernels), choiceChanged);
        if (choiceChanged)
            continue;
        MOTE_TRY(made);
        break;
    }

    Pool pool(device, borrowed);
    ForwardBuffers buffers;
    for (const gpu::Allocation &chunk : loaded.weightChunks())
        pool.table.add(chunk);
    buffers.weights = &loaded.weightPlan();
    buffers.firstArenaChunk = static_cast<uint32_t>(pool.table.entries.size());
    for (uint64_t bytes : plan.memory.chunkBytes)
        MOTE_TRY(pool.add(bytes).status());
    MOTE_TRY_ASSIGN(const uint32_t session, pool.add(sizeof(SessionWords)));
    buffers.session = {session, 0, sizeof(SessionWords)};

    gpu::Allocation ownUpload, ownReadback;
    const gpu::Allocation *upload = borrowed.upload, *readback = borrowed.readback;
    if (upload == nullptr) {
        MOTE_TRY_ASSIGN(ownUpload, gpu::Allocation::create(device, uploadChunkBytes(device.caps()),
                                                           gpu::MemoryKind::Upload, "self-check"));
        MOTE_TRY_ASSIGN(ownReadback, gpu::Allocation::create(device, uploadChunkBytes(device.caps()),
                                                             gpu::MemoryKind::Readback, "self-check"));
        upload = &ownUpload;
        readback = &ownReadback;
    }
    MOTE_TRY_ASSIGN(Staging staging, Staging::create(device, *upload, *readback));

    size_t input = 0;
    uint32_t outputTensor = kNone;
    for (const Port &port : graph.ports) {
        if (port.output) {
            if (port.source == PortSource::ModelOutput)
                outputTensor = port.tensor;
            continue;
        }
        const std::vector<float> &values = check.inputs[input++];
        if (plan.tensors[port.tensor] == kNone)
            continue; // no op reads it
        MOTE_TRY(staging.write(pool.table.bound(tensorRange(plan, buffers, port.tensor)), values.size(),
                               [&](uint64_t first, uint64_t count, float *to) {
                                   std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count,
                                               to);
                               }));
    }
    std::vector<uint32_t> words(sizeof(SessionWords) / sizeof(uint32_t));
    const SessionWords initial;
    std::memcpy(words.data(), &initial, sizeof initial);
    MOTE_TRY(staging.runNow(pool.table, {updateCommand(buffers.session, words)}));

    MOTE_TRY_ASSIGN(const ConditioningPlan conditioning,
                    planConditioning(model, graph, loaded.weightPlan(), {check.timestepIndex}, 1,
                                     loaded.maxChunkBytes()));
    if (conditioning.length != 0) {
        const uint32_t first = static_cast<uint32_t>(pool.table.entries.size());
        for (uint64_t bytes : conditioning.chunkBytes)
            MOTE_TRY(pool.add(bytes).status());
        std::vector<Command> prepare = {updateCommand(inChunks(conditioning.chosen, first), {check.label})};
        MOTE_TRY(staging.runNow(pool.table, std::move(prepare)));
        if (conditioning.given.end != 0) // the check is played with a vector of zeros
            MOTE_TRY(
                staging.write(pool.table.bound(inChunks(conditioning.given, first)), conditioning.length,
                              [](uint64_t, uint64_t count, float *to) { std::fill_n(to, count, 0.0f); }));
        MOTE_TRY_ASSIGN(std::vector<Command> make,
                        buildConditioning(graph, conditioning, loaded.weightPlan(), first, 0, traits));
        MOTE_TRY(staging.runNow(pool.table, std::move(make)));
        buffers.madeRows = conditioning.rows;
        for (const BufferRange &table : conditioning.tables)
            buffers.madeTables.push_back(inChunks(table, first));
    }
    MOTE_TRY_ASSIGN(const std::vector<Command> commands,
                    buildForward(model, graph, plan, plan.shapes, buffers, check.timestepIndex, 0, traits));
    const auto readTensor = [&](uint32_t tensor, std::vector<float> &values) -> Status {
        const TensorShape &shape = plan.shapes.tensors[tensor];
        std::vector<uint8_t> raw(plan.tensorBytes[tensor]);
        MOTE_TRY(staging.read(pool.table.bound(tensorRange(plan, buffers, tensor)), raw.size(), raw.data()));
        values.resize(size_t{shape.c} * shape.h * shape.w);
        if (graph.tensors[tensor].kind == TensorKind::Port)
            std::memcpy(values.data(), raw.data(), values.size() * sizeof(float));
        else
            unpackActivation(reinterpret_cast<const uint16_t *>(raw.data()), shape.c, shape.h, shape.w,
                             values.data());
        return {};
    };

    Status failed;
    size_t command = 0;
    std::vector<float> values, found;
    for (uint32_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        std::vector<Command> ofOp;
        for (; command < commands.size() && commands[command].op == i; ++command)
            ofOp.push_back(commands[command]);
        MOTE_TRY(staging.runNow(pool.table, std::move(ofOp)));
        for (const SelfCheckOp &expected : check.ops) {
            if (expected.op != i || plan.kernels.ops[i].within != kNone)
                continue;
            MOTE_TRY(readTensor(op.output, values));
            found.clear();
            for (uint32_t position : expected.positions) {
                // The file's word: its rules know no shapes, so this is the first place that can check it.
                if (position >= values.size())
                    return makeStatus(StatusCode::InvalidModel,
                                      "self-check of op %u '%s': found position %u, expected less than %zu",
                                      i, op.name.c_str(), position, values.size());
                found.push_back(values[position]);
            }
            const Worst worst = worstOf(found, expected.values, double(expected.tolerance) * expected.rms);
            const char *kind = opKindName(op.kind);
            if (callback)
                callback(i, op.name.c_str(), kind, worst.fraction);
            if (!(worst.fraction <= 1) && failed.ok())
                failed = makeStatus(
                    StatusCode::CheckFailed,
                    "op %u '%s' (%s, %s): element %u: found %g, expected %g, %g times its tolerance "
                    "of %g",
                    i, op.name.c_str(), kind, plan.kernels.ops[i].name.c_str(),
                    expected.positions[worst.sample], double(found[worst.sample]),
                    double(expected.values[worst.sample]), double(worst.fraction),
                    double(expected.tolerance) * double(expected.rms));
        }
    }
    MOTE_TRY(readTensor(outputTensor, values));
    const double tolerance = check.outputTolerance * rmsOf(check.output);
    const Worst worst = worstOf(values, check.output, tolerance);
    if (callback)
        callback(kNone, "", "output", worst.fraction);
    if (!(worst.fraction <= 1) && failed.ok())
        failed = makeStatus(StatusCode::CheckFailed,
                            "output: element %zu: found %g, expected %g, %g times the tolerance of %g",
                            worst.sample, double(values[worst.sample]), double(check.output[worst.sample]),
                            double(worst.fraction), tolerance);
    return failed;
}

} // namespace mote::pipeline
