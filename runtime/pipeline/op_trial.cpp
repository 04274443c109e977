#include "pipeline/op_trial.h"

#include "gpu/queue.h"
#include "gpu/transfer.h"
#include "kernels/session.h"
#include "pipeline/io.h"
#include "pipeline/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace mote::pipeline {
namespace {

// Of a dispatch that takes longer a part runs.
constexpr double kSampleMilliseconds = 4;
constexpr uint64_t kPatternBytes = 1u << 20;
// Of an output that is larger, as many pieces spread over it are held against each other.
constexpr uint64_t kPieceBytes = 1u << 20, kMostPieces = 8;
// Variants differ by rounding, Winograd's by some 3e-3 of the norm; one that is wrong by about all of it.
constexpr double kRelativeError = 1e-2, kWorstValue = 0.25;

// k / 1024 for k from -1024 to 1023, exactly.
uint16_t halfOfThousandths(int k) {
    if (k == 0)
        return 0;
    const uint32_t magnitude = static_cast<uint32_t>(std::abs(k));
    uint32_t top = 0;
    while (magnitude >> (top + 1) != 0)
        ++top;
    return static_cast<uint16_t>((k < 0 ? 0x8000u : 0u) | (top + 5) << 10 |
                                 (magnitude << (10 - top) & 0x3ff));
}

// Uniform in [-1, 1) and always the same.
std::vector<uint8_t> pattern(bool halves) {
    std::vector<uint8_t> bytes(kPatternBytes);
    const size_t size = halves ? sizeof(uint16_t) : sizeof(float);
    uint32_t state = 1;
    for (size_t at = 0; at < bytes.size(); at += size) {
        state = state * 1664525u + 1013904223u; // Numerical Recipes, section 7.1
        const int value = static_cast<int>(state >> 21) - 1024;
        const uint16_t half = halfOfThousandths(value);
        const float single = static_cast<float>(value) / 1024;
        std::memcpy(&bytes[at], halves ? static_cast<const void *>(&half) : &single, size);
    }
    return bytes;
}

double normOf(const std::vector<float> &values) {
    double sum = 0;
    for (float value : values)
        sum += double{value} * value;
    return std::sqrt(sum);
}

uint64_t roundUp(uint64_t value, uint64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

} // namespace

double TrialVariant::least() const {
    double sum = 0;
    for (size_t index : distinct.indices)
        sum += milliseconds[index];
    return sum;
}

bool agree(const TrialResult &a, const TrialResult &b) {
    if (a.values.size() != b.values.size() || a.statistics.size() != b.statistics.size())
        return false;
    const double norm = normOf(a.values);
    const double rms = norm / std::sqrt(static_cast<double>(std::max<size_t>(a.values.size(), 1)));
    double sum = 0;
    for (size_t i = 0; i < a.values.size(); ++i) {
        const double difference = std::fabs(double{a.values[i]} - b.values[i]);
        if (!(difference <= kWorstValue * rms)) // also where one is not a number
            return false;
        sum += difference * difference;
    }
    if (!(std::sqrt(sum) <= kRelativeError * norm))
        return false;
    for (size_t i = 0; i < a.statistics.size(); ++i) {
        const double scale = i % 3 == 0 ? a.statistics[i] : rms; // a count; a mean or a deviation
        if (!(std::fabs(double{a.statistics[i]} - b.statistics[i]) <= 2 * kRelativeError * scale))
            return false;
    }
    return true;
}

Result<std::unique_ptr<OpTrial>> OpTrial::create(const LoadedModel &model, double budgetMilliseconds,
                                                 const std::atomic<bool> *cancel) {
    std::unique_ptr<OpTrial> trial(new OpTrial(model, budgetMilliseconds, cancel));
    MOTE_TRY_ASSIGN(trial->pipelines_, gpu::PipelineCache::create(*model.device()));
    for (const gpu::Allocation &chunk : model.weightChunks())
        trial->table_.add(chunk);
    return trial;
}

Status OpTrial::fillPattern(Use use, const gpu::Allocation &allocation) {
    const std::vector<uint8_t> bytes = pattern(use != Use::Floats);
    MOTE_TRY_ASSIGN(gpu::Uploader uploader,
                    gpu::Uploader::create(device(), uploadChunkBytes(device().caps())));
    for (uint64_t at = 0; at < allocation.size(); at += bytes.size())
        MOTE_TRY(uploader.upload(allocation, at, bytes.data(),
                                 std::min<uint64_t>(bytes.size(), allocation.size() - at)));
    return uploader.finish();
}

// The next of its use, made or made larger where needed.
Result<uint32_t> OpTrial::buffer(Use use, uint64_t bytes) {
    bytes = roundUp(std::max<uint64_t>(bytes, 1), kPageBytes);
    const auto [found, fresh] =
        numbers_.try_emplace({use, taken_[use]++}, static_cast<uint32_t>(table_.entries.size()));
    if (fresh) {
        allocations_.emplace_back();
        table_.add(allocations_.back());
    }
    gpu::Allocation &allocation = allocations_[found->second - model_.weightChunks().size()];
    if (allocation.size() < bytes) {
        allocation = {}; // the smaller one goes first
        MOTE_TRY_ASSIGN(allocation, gpu::Allocation::create(device(), bytes, gpu::MemoryKind::DeviceLocal,
                                                            "inputs and outputs of timed kernels"));
        MOTE_TRY(fillPattern(use, allocation));
    }
    return found->second;
}

Result<TrialVariant> OpTrial::setUp(uint32_t op, const GraphShapes &shapes, GraphKernels kernels) {
    const Graph &graph = model_.graph();
    std::vector<uint32_t> ops;
    for (uint32_t i = 0; i < op; ++i)
        if (graph.ops[i].kind == OpKind::GroupNorm &&
            std::find(graph.ops[op].inputs.begin(), graph.ops[op].inputs.end(), graph.ops[i].output) !=
                graph.ops[op].inputs.end())
            ops.push_back(i);
    ops.push_back(op);

    TrialVariant variant;
    variant.name = kernels.ops[op].name;
    variant.op = op;
    ForwardPlan &plan = variant.plan;
    plan.images = 1;
    plan.shapes = shapes;
    plan.kernels = std::move(kernels);
    plan.tensorBytes.assign(graph.tensors.size(), 0);
    plan.tensors.assign(graph.tensors.size(), kNone);
    plan.statistics.assign(graph.tensors.size(), kNone);
    plan.scratch.assign(graph.ops.size(), kNone);
    variant.buffers.weights = &model_.weightPlan();
    variant.buffers.inputImages = 1;
    variant.buffers.madeRows = {0};
    variant.buffers.madeTables.resize(graph.ops.size());

    taken_.clear();
    const auto place = [&](Use use, uint64_t bytes, uint32_t &placement) -> Status {
        if (placement != kNone || bytes == 0)
            return {};
        MOTE_TRY_ASSIGN(const uint32_t number, buffer(use, bytes));
        placement = static_cast<uint32_t>(plan.memory.placements.size());
        plan.memory.placements.push_back({number, 0});
        return {};
    };
    const auto placeTensor = [&](uint32_t tensor, bool made) -> Status {
        const TensorKind kind = graph.tensors[tensor].kind;
        plan.tensorBytes[tensor] = tensorBytes(kind, shapes.tensors[tensor]);
        return place(made                       ? Use::Made
                     : kind == TensorKind::Port ? Use::Floats
                                                : Use::Halves,
                     plan.tensorBytes[tensor], plan.tensors[tensor]);
    };
    for (uint32_t i : ops) // what is made first, so that it is not taken for an input
        MOTE_TRY(placeTensor(graph.ops[i].output, true));
    for (uint32_t i : ops) {
        const Op &one = graph.ops[i];
        const OpKernel &kernel = plan.kernels.ops[i];
        for (uint32_t input : one.inputs) {
            MOTE_TRY(placeTensor(input, false));
            if (one.kind == OpKind::GroupNorm)
                MOTE_TRY(
                    place(Use::Statistics, plan.kernels.statistics[input].bytes, plan.statistics[input]));
        }
        if (one.residual != kNone)
            MOTE_TRY(placeTensor(one.residual, false));
        MOTE_TRY(place(Use::Made, plan.kernels.statistics[one.output].bytes, plan.statistics[one.output]));
        MOTE_TRY(place(Use::Made, kernel.scratchBytes, plan.scratch[i]));
        if (one.projection != kNone) {
            const uint64_t bytes = one.kind == OpKind::Conv2d ? kernel.biasBytes : kernel.affineBytes;
            MOTE_TRY_ASSIGN(const uint32_t number, buffer(Use::Floats, bytes));
            variant.buffers.madeTables[i] = {number, 0, bytes};
        }
    }
    MOTE_TRY_ASSIGN(const uint32_t session, buffer(Use::Made, sizeof(SessionWords)));
    variant.buffers.session = {session, 0, sizeof(SessionWords)};

    for (uint32_t i : ops) {
        MOTE_TRY_ASSIGN(std::vector<Dispatch> dispatches, buildOp(model_.model(), graph, plan, shapes,
                                                                  variant.buffers, i, 0, 0, model_.traits()));
        for (Dispatch &dispatch : dispatches)
            variant.commands.push_back(dispatchCommand(std::move(dispatch), i));
    }
    estimateTimes(variant.commands, assumedRate(model_.traits()));
    for (const Command &command : variant.commands)
        variant.distinct.add(command);
    return variant;
}

// Of inputs: what the pattern's values have, mean 0 and variance 1/3. [C/8][tiles][8 channels] vec4.
Status OpTrial::writeStatistics(const TrialVariant &variant) {
    const ForwardPlan &plan = variant.plan;
    MOTE_TRY_ASSIGN(gpu::Uploader uploader,
                    gpu::Uploader::create(device(), uploadChunkBytes(device().caps())));
    const uint32_t output = model_.graph().ops[variant.op].output;
    for (uint32_t t = 0; t < plan.statistics.size(); ++t) {
        if (plan.statistics[t] == kNone || t == output)
            continue;
        const TensorStatistics &entry = plan.kernels.statistics[t];
        const float count = static_cast<float>(plan.shapes.tensors[t].h) *
                            static_cast<float>(plan.shapes.tensors[t].w) / static_cast<float>(entry.tiles);
        std::vector<float> values(entry.bytes / sizeof(float), 0.0f);
        for (size_t i = 0; i + 4 <= values.size(); i += 4) {
            values[i] = count;
            values[i + 2] = count / 3;
        }
        const gpu::BufferRange to = table_.bound(statisticsRange(plan, variant.buffers, t));
        MOTE_TRY(uploader.upload(*to.allocation, to.offset, values.data(), to.size));
    }
    return uploader.finish();
}

Status OpTrial::submit(const std::vector<Command> &commands) {
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed))
        return makeStatus(StatusCode::Cancelled, "tuning was cancelled");
    MOTE_TRY_ASSIGN(gpu::CommandBuffer recording, gpu::CommandBuffer::create(device()));
    MOTE_TRY_ASSIGN(gpu::Fence fence, gpu::Fence::create(device()));
    MOTE_TRY(recordAll(*pipelines_, table_, withBarriers(commands), recording));
    MOTE_TRY(device().queue().submit(recording, fence));
    return fence.wait();
}

Status OpTrial::warmUp(TrialVariant &variant) {
    MOTE_TRY(writeStatistics(variant));
    for (Command command : variant.distinct.commands) {
        command.dispatch = slice(command.dispatch, 0, 1, model_.traits());
        MOTE_TRY(submit({command}));
    }
    return {};
}

Result<double> OpTrial::time(TrialVariant &variant) {
    std::vector<Command> &commands = variant.distinct.commands;
    MOTE_TRY_ASSIGN(const std::vector<double> measured,
                    timeDispatches(device(), *pipelines_, table_, commands, model_.traits(),
                                   kSampleMilliseconds, budgetMilliseconds_, cancel_, {}));
    const bool first = variant.milliseconds.empty();
    if (first)
        variant.milliseconds.assign(commands.size(), std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < commands.size(); ++i) {
        commands[i].milliseconds = measured[i];
        if (!first)
            variant.milliseconds[i] = std::min(variant.milliseconds[i], measured[i]);
    }
    double total = 0;
    for (size_t index : variant.distinct.indices)
        total += measured[index];
    return total;
}

Result<TrialResult> OpTrial::run(TrialVariant &variant) {
    const ForwardPlan &plan = variant.plan;
    const uint32_t output = model_.graph().ops[variant.op].output;
    MOTE_TRY(writeStatistics(variant));
    // Whatever is not written stays not a number.
    MOTE_TRY_ASSIGN(gpu::CommandBuffer clear, gpu::CommandBuffer::create(device()));
    MOTE_TRY_ASSIGN(gpu::Fence fence, gpu::Fence::create(device()));
    MOTE_TRY(clear.begin());
    clear.barrier();
    uint32_t filled = kNone;
    for (const Command &command : variant.commands) {
        if (command.op == filled) // a kernel of several dispatches
            continue;
        filled = command.op;
        const BufferRange made = tensorRange(plan, variant.buffers, model_.graph().ops[filled].output);
        MOTE_TRY(clear.fill(table_.bound(made), 0xffffffffu));
    }
    const BufferRange statistics = statisticsRange(plan, variant.buffers, output);
    if (statistics.end != 0)
        MOTE_TRY(clear.fill(table_.bound(statistics), 0xffffffffu));
    MOTE_TRY(clear.end());
    MOTE_TRY(device().queue().submit(clear, fence));
    MOTE_TRY(fence.wait());

    for (size_t i = 0; i < variant.commands.size(); ++i)
        variant.commands[i].milliseconds =
            variant.distinct.commands[variant.distinct.indices[i]].milliseconds;
    for (const std::vector<Command> &list :
         cutCommands(variant.commands, budgetMilliseconds_, model_.traits()))
        MOTE_TRY(submit(list));

    TrialResult result;
    const gpu::BufferRange from = table_.bound(tensorRange(plan, variant.buffers, output));
    const uint64_t pieces = std::min(kMostPieces, (from.size + kPieceBytes - 1) / kPieceBytes);
    std::vector<uint8_t> bytes;
    for (uint64_t piece = 0; piece < pieces; ++piece) {
        const uint64_t size = std::min(kPieceBytes, from.size);
        const uint64_t begin = pieces > 1 ? (from.size - size) / (pieces - 1) * piece / 16 * 16 : uint64_t{0};
        bytes.resize(size);
        MOTE_TRY(gpu::readBack(device(), *from.allocation, from.offset + begin, bytes.data(), size));
        if (model_.graph().tensors[output].kind == TensorKind::Port) {
            const size_t before = result.values.size();
            result.values.resize(before + size / sizeof(float));
            std::memcpy(&result.values[before], bytes.data(), size / sizeof(float) * sizeof(float));
        } else {
            for (size_t at = 0; at + 2 <= size; at += 2)
                result.values.push_back(halfToFloat(static_cast<uint16_t>(bytes[at] | bytes[at + 1] << 8)));
        }
    }
    if (statistics.end == 0)
        return result;
    const gpu::BufferRange entries = table_.bound(statistics);
    std::vector<float> values(entries.size / sizeof(float));
    MOTE_TRY(gpu::readBack(device(), *entries.allocation, entries.offset, values.data(), entries.size));
    const size_t tiles = plan.kernels.statistics[output].tiles;
    for (size_t channel = 0; channel < plan.shapes.tensors[output].c; ++channel) {
        double count = 0, mean = 0, squares = 0; // Chan et al. 1979, as the shaders combine them
        for (size_t tile = 0; tile < tiles; ++tile) {
            const float *entry = &values[((channel / 8 * tiles + tile) * 8 + channel % 8) * 4];
            const double all = count + entry[0], difference = entry[1] - mean;
            if (entry[0] == 0)
                continue;
            mean += difference * entry[0] / all;
            squares += entry[2] + difference * difference * count * entry[0] / all;
            count = all;
        }
        result.statistics.insert(result.statistics.end(),
                                 {static_cast<float>(count), static_cast<float>(mean),
                                  static_cast<float>(std::sqrt(squares / std::max(count, 1.0)))});
    }
    return result;
}

} // namespace mote::pipeline
