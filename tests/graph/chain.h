// A model of one graph, built op by op.
#pragma once

#include "graph/shapes.h"

#include <string>

namespace mote::test {

// Chains of single-input ops from an input port "x" to an output port, enough for these tests.
class Chain {
public:
    Model model;

    explicit Chain(uint32_t channels) {
        model.graphs.emplace_back();
        graph().name = "chain";
        last_ = tensor("x", channels, TensorKind::Port);
        port("x", false, last_, 1, 1);
        Op op;
        op.kind = OpKind::Concat;
        op.name = "concat";
        op.inputs = {last_};
        op.inputScale = {1};
        op.inputOffset = {0};
        last_ = op.output = tensor("start", channels, TensorKind::Activation);
        graph().ops.push_back(op);
    }

    Graph &graph() { return model.graphs[0]; }
    uint32_t last() const { return last_; }

    Op &conv(uint32_t out, uint32_t kernel, uint32_t stride, uint32_t before, uint32_t after,
             Resample input = Resample::None) {
        Weight weight;
        weight.type = DataType::F16;
        weight.shape = {out, kernel, kernel, graph().tensors[last_].channels};
        weight.bytes = uint64_t{2} * out * kernel * kernel * graph().tensors[last_].channels;
        model.weights.push_back(weight);
        Op op;
        op.kind = OpKind::Conv2d;
        op.weight = static_cast<uint32_t>(model.weights.size() - 1);
        op.stride = stride;
        op.padTop = op.padLeft = before;
        op.padBottom = op.padRight = after;
        op.inputResample = input;
        return add(op, out);
    }

    Op &norm(Resample output) {
        Op op;
        op.kind = OpKind::GroupNorm;
        op.outputResample = output;
        op.activation = ActivationFunction::Silu;
        return add(op, graph().tensors[last_].channels);
    }

    Op &resample(Resample how) {
        Op op;
        op.kind = OpKind::Resample;
        op.outputResample = how;
        return add(op, graph().tensors[last_].channels);
    }

    Op &pointwise() {
        Op op;
        op.kind = OpKind::Pointwise;
        return add(op, graph().tensors[last_].channels);
    }

    void fixSize(uint32_t height, uint32_t width) {
        for (Port &port : graph().ports) {
            port.shape[2] = {DimensionSymbol::One, height, 1};
            port.shape[3] = {DimensionSymbol::One, width, 1};
        }
    }

    Op &attention() {
        Op op;
        op.kind = OpKind::Attention;
        op.heads = 2;
        return add(op, graph().tensors[last_].channels / 3);
    }

    // The last tensor is the output port from here on; numerator / denominator of the image's size.
    void finish(uint32_t numerator = 1, uint32_t denominator = 1) {
        graph().tensors[last_].kind = TensorKind::Port;
        port("out", true, last_, numerator, denominator);
    }

    std::string shapeAt(uint32_t h, uint32_t w, uint32_t n = 1) {
        const Result<GraphShapes> shapes = inferShapes(model, graph(), n, h, w);
        if (!shapes.ok())
            return shapes.status().message;
        const TensorShape &s = shapes->tensors[last_];
        return std::to_string(s.n) + "x" + std::to_string(s.c) + "x" + std::to_string(s.h) + "x" +
               std::to_string(s.w);
    }

private:
    uint32_t tensor(const std::string &name, uint32_t channels, TensorKind kind) {
        graph().tensors.push_back({name, kind, channels});
        return static_cast<uint32_t>(graph().tensors.size() - 1);
    }
    void port(const std::string &name, bool output, uint32_t tensor, uint32_t numerator,
              uint32_t denominator) {
        Port port;
        port.name = name;
        port.output = output;
        port.tensor = tensor;
        port.shape = {{DimensionSymbol::N, 1, 1},
                      {DimensionSymbol::One, graph().tensors[tensor].channels, 1},
                      {DimensionSymbol::H, numerator, denominator},
                      {DimensionSymbol::W, numerator, denominator}};
        graph().ports.push_back(port);
    }
    Op &add(Op op, uint32_t channels) {
        op.name = "op" + std::to_string(graph().ops.size());
        op.inputs = {last_};
        last_ = op.output = tensor(op.name, channels, TensorKind::Activation);
        graph().ops.push_back(op);
        return graph().ops.back();
    }
    uint32_t last_ = 0;
};

} // namespace mote::test
