#include "ops.h"

#include "device_timer.h"
#include "expect.h"
#include "read/half.h"
#include "reference/reference.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <set>

namespace mote::bench {
namespace {

using convert::reference::Array;
using convert::reference::Table;
using convert::reference::Tables;

constexpr uint32_t kCheckedRows = 16; // of a convolution's output

std::string sized(const TensorShape &shape) {
    return std::to_string(shape.h) + "x" + std::to_string(shape.w);
}

bool readByNorm(const Graph &graph, uint32_t tensor) {
    return std::any_of(graph.ops.begin(), graph.ops.end(), [&](const Op &op) {
        return op.kind == OpKind::GroupNorm &&
               std::find(op.inputs.begin(), op.inputs.end(), tensor) != op.inputs.end();
    });
}

const char *resampleName(Resample how) {
    switch (how) {
    case Resample::None:
        return "";
    case Resample::NearestUp2:
        return " up2";
    case Resample::AverageDown2:
        return " down2";
    case Resample::FirUp2:
        return " fir-up2";
    case Resample::FirDown2:
        return " fir-down2";
    case Resample::ZerosUp2:
        return " zeros-up2";
    }
    return "";
}

// What two ops that take the same time have in common.
std::string nameOf(const Subject &subject, const Op &op) {
    const Graph &graph = subject.graph();
    const TensorShape &output = subject.shapes().tensors[op.output];
    std::string inputs;
    for (uint32_t input : op.inputs)
        inputs += (inputs.empty() ? "" : "+") + std::to_string(graph.tensors[input].channels);
    switch (op.kind) {
    case OpKind::Concat:
        return "input " + inputs + " at " + sized(output);
    case OpKind::Conv2d: {
        const std::vector<uint32_t> &shape = subject.model().weights[op.weight].shape;
        return "conv" + std::to_string(shape[1]) + "x" + std::to_string(shape[2]) + " " + inputs + "->" +
               std::to_string(output.c) + (op.stride == 2 ? " stride2" : "") +
               resampleName(op.inputResample) + (op.residual != kNone ? " +residual" : "") +
               resampleName(op.residualResample) + (readByNorm(graph, op.output) ? " +statistics" : "") +
               (graph.tensors[op.output].kind == TensorKind::Port ? " fp32" : "") + " at " + sized(output);
    }
    case OpKind::GroupNorm:
        return std::string("GroupNorm") + (op.activation == ActivationFunction::Silu ? "+SiLU " : " ") +
               inputs + resampleName(op.outputResample) + " at " + sized(output);
    case OpKind::Attention:
        return "attention " + std::to_string(output.c) + " wide " + std::to_string(op.heads) +
               (op.heads == 1 ? " head at " : " heads at ") + sized(output);
    case OpKind::Resample:
        return std::string("resample") + resampleName(op.outputResample) + " " + inputs + " at " +
               sized(output);
    default:
        return "pointwise " + inputs + " at " + sized(output);
    }
}

// The device's values of the tensors that are still to be read, and the tables of the ops that are checked.
class Judge {
public:
    Judge(Subject &subject, const std::vector<Unit> &units)
        : subject_(subject), units_(units), graph_(subject.graph()), errors_(units.size(), NAN) {
        for (size_t u = 0; u < units.size(); ++u)
            for (uint32_t op : units[u].ops) {
                std::vector<uint32_t> tensors = readBy(graph_.ops[op]);
                if (const Op *norm = normWithin(op))
                    tensors.insert(tensors.end(), norm->inputs.begin(), norm->inputs.end());
                for (uint32_t tensor : tensors)
                    lastUse_[tensor] = std::max(lastUse_[tensor], units[u].ops.back());
            }
        for (uint32_t tensor = 0; tensor < subject.inputs().size(); ++tensor)
            if (!subject.inputs()[tensor].empty())
                keep(tensor, subject.inputs()[tensor].data());
        loadTables();
    }

    void onTensor(uint32_t step, const char *name, const float *values) {
        if (step != 0)
            return;
        if (std::strcmp(name, "x") == 0) {
            keep(pipeline::statePort(graph_).tensor, values);
            return;
        }
        for (uint32_t i = 0; i < graph_.ops.size(); ++i)
            if (graph_.ops[i].name == name)
                onOp(i, values);
    }

    const std::vector<double> &errors() const { return errors_; }

private:
    // The group norm that an op's kernel makes while it reads, which is not traced.
    const Op *normWithin(uint32_t op) const {
        const uint32_t norm = subject_.session().plan().forward.kernels.ops[op].norm;
        return norm == kNone ? nullptr : &graph_.ops[norm];
    }

    static std::vector<uint32_t> readBy(const Op &op) {
        std::vector<uint32_t> tensors = op.inputs;
        if (op.residual != kNone)
            tensors.push_back(op.residual);
        return tensors;
    }

    void loadTables() {
        tables_.resize(subject_.model().weights.size());
        const Source source = expect(Source::fromPath(subject_.path()));
        WeightReader reader(source, subject_.model());
        std::set<uint32_t> wanted;
        for (const Unit &unit : units_)
            for (uint32_t op : unit.ops) {
                const Op *norm = normWithin(op);
                for (uint32_t weight : {graph_.ops[op].weight, graph_.ops[op].bias, graph_.ops[op].affine,
                                        norm != nullptr ? norm->affine : kNone})
                    if (weight != kNone)
                        wanted.insert(weight);
            }
        for (uint32_t index : wanted) {
            const Weight &weight = subject_.model().weights[index];
            std::vector<uint8_t> raw(weight.bytes);
            expect(reader.read(index, 0, weight.bytes, raw.data()));
            Table<double> &table = tables_[index];
            table.shape = weight.shape;
            if (weight.type == DataType::F16) {
                for (size_t i = 0; i + 1 < raw.size(); i += 2)
                    table.values.push_back(static_cast<double>(
                        convert::floatFromHalf(static_cast<uint16_t>(raw[i] | raw[i + 1] << 8))));
            } else {
                std::vector<float> floats(raw.size() / sizeof(float));
                std::memcpy(floats.data(), raw.data(), raw.size());
                table.values.assign(floats.begin(), floats.end());
            }
        }
    }

    void keep(uint32_t tensor, const float *values) {
        if (lastUse_.count(tensor) == 0)
            return;
        const TensorShape &shape = subject_.shapes().tensors[tensor];
        Array<double> &array = seen_[tensor];
        array = Array<double>(1, shape.c, shape.h, shape.w);
        std::copy(values, values + array.values.size(), array.values.begin());
    }

    void onOp(uint32_t index, const float *values) {
        const Op &op = graph_.ops[index];
        if (const Op *norm = normWithin(index); norm != nullptr && lastUse_.count(norm->output) != 0) {
            std::vector<const Array<double> *> inputs;
            for (uint32_t input : norm->inputs)
                inputs.push_back(&seen_.at(input));
            seen_[norm->output] = convert::reference::runOp<double>(*norm, inputs, nullptr, tables_);
        }
        for (size_t u = 0; u < units_.size(); ++u) {
            const std::vector<uint32_t> &ops = units_[u].ops;
            if (ops.back() == index)
                errors_[u] = ops.size() == 1 ? errorOfOne(op, values) : errorOfSeveral(ops, values);
        }
        keep(op.output, values);
        for (auto it = seen_.begin(); it != seen_.end();)
            it = lastUse_[it->first] <= index ? seen_.erase(it) : std::next(it);
    }

    double errorOfSeveral(const std::vector<uint32_t> &ops, const float *values) {
        std::map<uint32_t, Array<double>> exact;
        const auto find = [&](uint32_t tensor) -> const Array<double> * {
            const auto made = exact.find(tensor);
            return made != exact.end() ? &made->second : &seen_.at(tensor);
        };
        for (uint32_t index : ops) {
            const Op &op = graph_.ops[index];
            std::vector<const Array<double> *> inputs;
            for (uint32_t input : op.inputs)
                inputs.push_back(find(input));
            const Array<double> *residual = op.residual != kNone ? find(op.residual) : nullptr;
            exact[op.output] = convert::reference::runOp<double>(op, inputs, residual, tables_);
        }
        const Array<double> &output = exact.at(graph_.ops[ops.back()].output);
        return relative(output, output.height, values, output.height);
    }

    static Array<double> firstRows(const Array<double> &from, uint32_t rows) {
        if (rows >= from.height)
            return from;
        Array<double> part(from.batch, from.channels, rows, from.width);
        for (uint32_t c = 0; c < from.channels; ++c)
            std::copy_n(from.plane(0, c), part.planeSize(), part.plane(0, c));
        return part;
    }

    double errorOfOne(const Op &op, const float *values) {
        const TensorShape &output = subject_.shapes().tensors[op.output];
        uint32_t rows = output.h;           // that are compared
        uint32_t inputRows = UINT32_MAX;    // that they need
        uint32_t residualRows = UINT32_MAX; // of the rows that those inputs make
        if (op.kind == OpKind::Conv2d && op.residualResample == Resample::None && output.h > kCheckedRows) {
            const uint32_t kernel = subject_.model().weights[op.weight].shape[1];
            const uint32_t factor = op.inputResample == Resample::None ? 1 : 2;
            rows = kCheckedRows;
            inputRows = ((rows - 1) * op.stride + kernel) / factor + 1;
            const uint32_t height = subject_.shapes().tensors[op.inputs[0]].h;
            inputRows = std::min(inputRows, height);
            residualRows = (inputRows * factor + op.padTop + op.padBottom - kernel) / op.stride + 1;
        }
        std::vector<Array<double>> inputs;
        for (uint32_t input : op.inputs)
            inputs.push_back(firstRows(seen_.at(input), inputRows));
        std::vector<const Array<double> *> pointers;
        for (const Array<double> &input : inputs)
            pointers.push_back(&input);
        std::optional<Array<double>> residual;
        if (op.residual != kNone)
            residual = firstRows(seen_.at(op.residual), residualRows);
        const Array<double> expected =
            convert::reference::runOp<double>(op, pointers, residual ? &*residual : nullptr, tables_);
        return relative(expected, output.h, values, rows);
    }

    // Of the first `rows` rows; `values` is [C][height][W].
    static double relative(const Array<double> &expected, uint32_t height, const float *values,
                           uint32_t rows) {
        double squares = 0, difference = 0;
        for (uint32_t c = 0; c < expected.channels; ++c)
            for (size_t i = 0; i < size_t{rows} * expected.width; ++i) {
                const double exact = expected.plane(0, c)[i];
                const double found = static_cast<double>(values[size_t{c} * height * expected.width + i]);
                squares += exact * exact;
                difference += (found - exact) * (found - exact);
            }
        return std::sqrt(difference / squares);
    }

    Subject &subject_;
    const std::vector<Unit> &units_;
    const Graph &graph_;
    std::vector<double> errors_;
    Tables<double> tables_;
    std::map<uint32_t, uint32_t> lastUse_; // of the tensors that are needed: an op
    std::map<uint32_t, Array<double>> seen_;
};

// What all benchmarks of one subject share.
struct Units {
    std::shared_ptr<Subject> subject;
    std::vector<Unit> units;
    std::shared_ptr<Ceilings> ceilings; // the best so far
    std::vector<double> errors;         // empty: not yet known
    std::vector<std::unique_ptr<DeviceTimer>> timers;
};

void timeUnit(benchmark::State &state, const std::shared_ptr<Units> &all, size_t index) {
    Subject &subject = *all->subject;
    const Unit &unit = all->units[index];
    pipeline::Session &session = subject.session();
    if (all->errors.empty())
        all->errors = errorsOf(subject, all->units);
    const std::vector<pipeline::Command> commands = commandsOf(session, unit);
    if (commands.empty()) {
        state.SkipWithError("fused into another op");
        return;
    }
    std::unique_ptr<DeviceTimer> &timer = all->timers[index];
    if (!timer)
        timer = std::make_unique<DeviceTimer>(*subject.device(), session.buffers(), commands);
    timer->run(); // caches warm, as in a loop, whatever benchmark ran before
    Time total;
    for (auto _ : state) {
        const Time time = timer->run();
        state.SetIterationTime(time.gpu);
        total.gpu += time.gpu;
        total.wall += time.wall;
    }
    double operations = 0, bytes = 0;
    std::string kernels;
    std::vector<uint32_t> norms;
    for (uint32_t op : unit.ops) {
        if (const uint32_t norm = session.plan().forward.kernels.ops[op].norm; norm != kNone)
            norms.push_back(norm);
        operations += static_cast<double>(subject.shapes().costs[op].operations);
        bytes += static_cast<double>(subject.shapes().costs[op].bytes);
        const std::string &kernel = session.plan().forward.kernels.ops[op].name;
        kernels += (kernels.empty() ? "" : ", ") + kernel;
    }
    const double runs = static_cast<double>(state.iterations());
    state.SetLabel(kernels);
    state.counters["wall_ms"] = 1e3 * total.wall / runs;
    state.counters["GFLOP/s"] = 1e-9 * operations * runs / total.gpu;
    state.counters["GB/s"] = 1e-9 * bytes * runs / total.gpu;
    state.counters["%arithmetic"] = 100 * operations * runs / total.gpu / all->ceilings->operationsPerSecond;
    state.counters["%copy"] = 100 * bytes * runs / total.gpu / all->ceilings->bytesPerSecond;
    addFloor(state,
             floorOf(subject.model(), subject.graph(), subject.shapes(), unit.ops, norms, *all->ceilings));
    state.counters["error"] = all->errors[index];
    state.counters["count"] = unit.count;
    state.counters["dispatches"] = static_cast<double>(commands.size());
}

} // namespace

std::vector<pipeline::Command> commandsOf(pipeline::Session &session, const Unit &unit) {
    std::vector<pipeline::Command> commands;
    for (std::vector<pipeline::Command> &list : expect(session.recordedStep(0)))
        for (pipeline::Command &command : list)
            if (command.kind != pipeline::CommandKind::Barrier &&
                std::find(unit.ops.begin(), unit.ops.end(), command.op) != unit.ops.end())
                commands.push_back(std::move(command));
    return commands;
}

void addFloor(benchmark::State &state, const Floor &floor) {
    state.counters["floor_ms"] = 1e3 * floor.seconds;
    state.counters["tile_floor_ms"] = 1e3 * floor.tileSeconds;
    state.counters["floor_arithmetic_ms"] = 1e3 * floor.arithmeticSeconds;
    state.counters["floor_memory_ms"] = 1e3 * floor.memorySeconds;
}

std::vector<Unit> distinctOps(const Subject &subject) {
    std::vector<Unit> units;
    for (uint32_t i = 0; i < subject.graph().ops.size(); ++i) {
        const std::string name = nameOf(subject, subject.graph().ops[i]);
        const auto same =
            std::find_if(units.begin(), units.end(), [&](const Unit &unit) { return unit.name == name; });
        if (same != units.end())
            ++same->count;
        else
            units.push_back({name, {i}, 1});
    }
    return units;
}

std::vector<double> errorsOf(Subject &subject, const std::vector<Unit> &units) {
    Judge judge(subject, units);
    pipeline::RunOptions options;
    options.traceOps = true;
    options.trace = [&](uint32_t step, const char *name, const uint32_t *, const float *values) {
        judge.onTensor(step, name, values);
    };
    expect(subject.session().run(options, nullptr));
    return judge.errors();
}

void registerUnits(const std::string &prefix, const std::shared_ptr<Subject> &subject,
                   const std::vector<Unit> &units, const std::shared_ptr<Ceilings> &ceilings) {
    const auto all = std::make_shared<Units>(Units{subject, units, ceilings, {}, {}});
    all->timers.resize(units.size());
    for (size_t i = 0; i < units.size(); ++i) {
        const std::string name = prefix + "/" + units[i].name;
        benchmark::RegisterBenchmark(name.c_str(),
                                     [all, i](benchmark::State &state) { timeUnit(state, all, i); })
            ->Unit(benchmark::kMillisecond)
            ->UseManualTime();
    }
}

} // namespace mote::bench
