#include "read/half.h"
#include "reference/activation.h"
#include "reference/checks.h"

namespace mote::convert::reference {

template <typename T> void roundToHalf(Array<T> &array) {
    for (T &value : array.values)
        value = roundedToHalf(value);
}

template <typename T>
Array<T> conditioningVector(const Graph &graph, const Tables<T> &tables, const Step &step) {
    const Conditioning &conditioning = graph.conditioning;
    const Table<T> &steps = tables.at(conditioning.stepEmbeddings);
    const uint32_t length = steps.shape.at(1);
    const bool labels = conditioning.kind == ConditioningKind::Labels;
    const size_t images = labels ? step.labels.size() : step.vectors.size();
    if (images == 0)
        throw std::invalid_argument(
            text("graph ", graph.name, ": no ", labels ? "label" : "vector", " given"));
    Array<T> out(uint32_t(images), length, 1, 1);
    for (uint32_t n = 0; n < out.batch; ++n)
        for (uint32_t e = 0; e < length; ++e) {
            const double c =
                labels
                    ? double(tables.at(conditioning.classes).values.at(size_t(step.labels[n]) * length + e))
                    : step.vectors[n].at(e);
            out.at(n, e, 0, 0) = T(activated(conditioning.activation,
                                             double(steps.values.at(size_t(step.row) * length + e)) + c));
        }
    return out;
}

namespace {

// `need` is called with what is about to read tables, `done` afterwards.
template <typename T, typename Need, typename Done>
std::vector<Array<T>> evaluateGraph(const Graph &graph, const Tables<T> &tables,
                                    const std::vector<Array<T>> &inputs, const Step &step, Storage storage,
                                    Keep keep, Need need, Done done) {
    std::vector<Array<T>> arrays(graph.tensors.size());
    size_t given = 0;
    for (const Port &port : graph.ports) {
        if (port.output)
            continue;
        if (given >= inputs.size())
            throw std::invalid_argument(text("graph ", graph.name, ": no array given for port ", port.name));
        if (inputs[given].channels != graph.tensors.at(port.tensor).channels)
            throw std::invalid_argument(text("graph ", graph.name, ": port ", port.name, " has ",
                                             graph.tensors[port.tensor].channels, " channels, ",
                                             inputs[given].channels, " given"));
        arrays[port.tensor] = inputs[given++];
    }
    if (given != inputs.size())
        throw std::invalid_argument(
            text("graph ", graph.name, ": ", inputs.size(), " arrays given, it has ", given, " input ports"));

    Array<T> conditioning;
    if (graph.conditioning.kind != ConditioningKind::None) {
        need({graph.conditioning.stepEmbeddings, graph.conditioning.classes});
        conditioning = conditioningVector(graph, tables, step);
    }
    std::vector<size_t> lastUse(graph.tensors.size(), 0);
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        for (uint32_t tensor : graph.ops[i].inputs)
            lastUse.at(tensor) = i;
        if (graph.ops[i].residual != kNone)
            lastUse.at(graph.ops[i].residual) = i;
    }
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        std::vector<const Array<T> *> sources;
        for (uint32_t tensor : op.inputs) {
            sources.push_back(&arrays.at(tensor));
            if (sources.back()->values.empty())
                fail(op, text("input ", graph.tensors[tensor].name, " has not been computed"));
        }
        const Array<T> *residual = op.residual == kNone ? nullptr : &arrays.at(op.residual);
        need({op.weight, op.bias, op.affine, op.projection});
        Array<T> output = runOp(op, sources, residual, tables, step, &conditioning);
        done({op.weight, op.bias, op.affine, op.projection});
        const Tensor &tensor = graph.tensors.at(op.output);
        if (output.channels != tensor.channels)
            fail(op, text("output ", tensor.name, " has ", output.channels, " channels, declared ",
                          tensor.channels));
        if (storage == Storage::Half && tensor.kind == TensorKind::Activation)
            roundToHalf(output);
        arrays[op.output] = std::move(output);
        if (keep == Keep::Release)
            for (size_t t = 0; t < arrays.size(); ++t)
                if (lastUse[t] == i && t != op.output && graph.tensors[t].kind == TensorKind::Activation)
                    arrays[t] = {};
    }
    return arrays;
}

using Indices = std::initializer_list<uint32_t>;

} // namespace

template <typename T>
std::vector<Array<T>> runGraph(const Graph &graph, const Tables<T> &tables,
                               const std::vector<Array<T>> &inputs, const Step &step, Storage storage,
                               Keep keep) {
    const auto nothing = [](Indices) {};
    return evaluateGraph(graph, tables, inputs, step, storage, keep, nothing, nothing);
}

template <typename T>
std::vector<Array<T>> runGraph(const Network &network, const std::vector<Array<T>> &inputs, const Step &step,
                               Storage storage, Keep keep) {
    Tables<T> tables(network.constants.size());
    const auto need = [&](Indices constants) {
        for (const uint32_t index : constants)
            if (index < tables.size())
                tables[index] = {
                    network.constants[index].shape,
                    {network.constants[index].values.begin(), network.constants[index].values.end()}};
    };
    const auto done = [&](Indices constants) {
        for (const uint32_t index : constants)
            if (index < tables.size())
                tables[index] = {};
    };
    return evaluateGraph(network.graph, tables, inputs, step, storage, keep, need, done);
}

template <typename T> const Array<T> &modelOutput(const Graph &graph, const std::vector<Array<T>> &tensors) {
    for (const Port &port : graph.ports)
        if (port.output && port.source == PortSource::ModelOutput)
            return tensors.at(port.tensor);
    throw std::invalid_argument(text("graph ", graph.name, " has no model output port"));
}

template <typename T> Tables<T> tablesOf(const Network &network) {
    Tables<T> tables;
    for (const Constant &constant : network.constants)
        tables.push_back({constant.shape, std::vector<T>(constant.values.begin(), constant.values.end())});
    return tables;
}

template Array<float> conditioningVector<float>(const Graph &, const Tables<float> &, const Step &);
template Array<double> conditioningVector<double>(const Graph &, const Tables<double> &, const Step &);
template void roundToHalf<float>(Array<float> &);
template void roundToHalf<double>(Array<double> &);
template std::vector<Array<float>> runGraph<float>(const Graph &, const Tables<float> &,
                                                   const std::vector<Array<float>> &, const Step &, Storage,
                                                   Keep);
template std::vector<Array<double>> runGraph<double>(const Graph &, const Tables<double> &,
                                                     const std::vector<Array<double>> &, const Step &,
                                                     Storage, Keep);
template std::vector<Array<float>> runGraph<float>(const Network &, const std::vector<Array<float>> &,
                                                   const Step &, Storage, Keep);
template std::vector<Array<double>> runGraph<double>(const Network &, const std::vector<Array<double>> &,
                                                     const Step &, Storage, Keep);
template const Array<float> &modelOutput<float>(const Graph &, const std::vector<Array<float>> &);
template const Array<double> &modelOutput<double>(const Graph &, const std::vector<Array<double>> &);
template Tables<float> tablesOf<float>(const Network &);
template Tables<double> tablesOf<double>(const Network &);

} // namespace mote::convert::reference
