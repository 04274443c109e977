#include "model/encode.h"

#include "mote_generated.h"

namespace mote {

namespace {

using flatbuffers::Offset;
using Builder = flatbuffers::FlatBufferBuilder;

// FlatBuffers are built leaves first; the order of creation below is the order in the file, reversed.
template <typename T, typename Make> auto each(Builder &builder, const std::vector<T> &from, Make make) {
    std::vector<decltype(make(from[0]))> offsets;
    offsets.reserve(from.size());
    for (const T &item : from)
        offsets.push_back(make(item));
    return builder.CreateVector(offsets);
}

Offset<format::Op> encodeOp(Builder &b, const Op &op) {
    const auto name = b.CreateString(op.name);
    const auto inputs = b.CreateVector(op.inputs);
    const auto inputScale = b.CreateVector(op.inputScale), inputOffset = b.CreateVector(op.inputOffset);
    const auto outputScales = b.CreateVector(op.outputScales);
    return format::CreateOp(b, static_cast<uint8_t>(op.kind), name, inputs, op.output, inputScale,
                            inputOffset, op.weight, op.bias, op.stride, op.padTop, op.padLeft, op.padBottom,
                            op.padRight, static_cast<uint8_t>(op.inputResample), op.residual,
                            static_cast<uint8_t>(op.residualResample), op.outputScale, op.affine, op.groups,
                            op.epsilon, static_cast<uint8_t>(op.activation),
                            static_cast<uint8_t>(op.outputResample), op.heads, op.projection, outputScales);
}

Offset<format::Port> encodePort(Builder &b, const Port &port) {
    std::vector<format::Dimension> shape;
    for (const Dimension &dimension : port.shape)
        shape.emplace_back(dimension.numerator, dimension.denominator,
                           static_cast<uint32_t>(dimension.symbol));
    const auto name = b.CreateString(port.name), description = b.CreateString(port.description);
    const auto dimensions = b.CreateVectorOfStructs(shape);
    return format::CreatePort(b, name, port.output, static_cast<uint8_t>(port.kind),
                              static_cast<uint8_t>(port.source), port.tensor, dimensions, port.valueLow,
                              port.valueHigh, port.sourceGraph, port.sourcePort, port.sourceWeight,
                              description);
}

Offset<format::Graph> encodeGraph(Builder &b, const Graph &graph) {
    const auto name = b.CreateString(graph.name);
    const auto tensors = each(b, graph.tensors, [&b](const Tensor &tensor) {
        return format::CreateTensor(b, b.CreateString(tensor.name), static_cast<uint8_t>(tensor.kind),
                                    tensor.channels);
    });
    const auto ops = each(b, graph.ops, [&b](const Op &op) { return encodeOp(b, op); });
    const auto ports = each(b, graph.ports, [&b](const Port &port) { return encodePort(b, port); });
    Offset<format::Conditioning> conditioning;
    if (const Conditioning &from = graph.conditioning; from.kind != ConditioningKind::None)
        conditioning =
            format::CreateConditioning(b, static_cast<uint8_t>(from.kind), from.stepEmbeddings, from.classes,
                                       from.nullClass, static_cast<uint8_t>(from.activation));
    return format::CreateGraph(b, name, static_cast<uint8_t>(graph.phase), graph.order, graph.sizeMultiple,
                               tensors, ops, ports, conditioning);
}

Offset<format::Recipe> encodeRecipe(Builder &b, const Recipe &recipe) {
    const auto rows = each(b, recipe.rows, [&b](const StepRow &row) {
        return format::CreateStepRow(
            b, row.timestep, row.timestepIndex, row.p, row.q, static_cast<uint8_t>(row.clip), row.clipLow,
            row.clipHigh, row.quantile, row.thresholdMax, row.a, row.b, row.g, row.e, row.c, row.h[0],
            row.h[1], row.h[2], row.h[3], row.store, row.u, row.v, row.w, row.draws, row.scale, row.guided,
            row.guidance, row.guidanceRescale, row.langevin, static_cast<uint8_t>(row.variance),
            row.varianceExponent, row.known, row.knownImage, row.knownNoise);
    });
    const auto name = b.CreateString(recipe.name), sampler = b.CreateString(recipe.sampler);
    return format::CreateRecipe(b, name, sampler, recipe.steps, recipe.initNoise, recipe.initCondition,
                                recipe.initScale, rows);
}

Offset<format::SelfCheck> encodeSelfCheck(Builder &b, const SelfCheck &check) {
    const auto inputs = each(b, check.inputs, [&b](const std::vector<float> &values) {
        return format::CreateSelfCheckInput(b, b.CreateVector(values));
    });
    const auto ops = each(b, check.ops, [&b](const SelfCheckOp &op) {
        const auto positions = b.CreateVector(op.positions);
        return format::CreateSelfCheckOp(b, op.op, op.rms, op.tolerance, positions,
                                         b.CreateVector(op.values));
    });
    const auto output = b.CreateVector(check.output);
    return format::CreateSelfCheck(b, check.graph, check.timestepIndex, check.height, check.width, inputs,
                                   output, check.outputTolerance, ops, check.label);
}

} // namespace

std::vector<uint8_t> encodeRoot(const Model &model, const std::vector<SegmentLabel> &labels,
                                const std::vector<std::string> &requiredFeatures) {
    Builder b;
    std::vector<Offset<format::Segment>> segments;
    for (size_t i = 0; i < model.segments.size(); ++i) {
        const Segment &segment = model.segments[i];
        const auto label = b.CreateString(labels[i].name);
        const auto checksums = b.CreateVector(segment.checksums);
        segments.push_back(format::CreateSegment(b, label, labels[i].kind, labels[i].required, segment.offset,
                                                 segment.bytes, checksums));
    }
    const auto weights = each(b, model.weights, [&b](const Weight &weight) {
        const auto weightName = b.CreateString(weight.name);
        const auto shape = b.CreateVector(weight.shape);
        return format::CreateWeight(b, weightName, static_cast<uint8_t>(weight.type), shape, weight.segment,
                                    weight.offset, weight.bytes);
    });
    const auto graphs = each(b, model.graphs, [&b](const Graph &graph) { return encodeGraph(b, graph); });
    const auto recipes =
        each(b, model.recipes, [&b](const Recipe &recipe) { return encodeRecipe(b, recipe); });
    const auto features =
        each(b, requiredFeatures, [&b](const std::string &feature) { return b.CreateString(feature); });
    Offset<format::SelfCheck> selfCheck;
    if (!model.selfCheck.ops.empty() || !model.selfCheck.output.empty())
        selfCheck = encodeSelfCheck(b, model.selfCheck);
    // One after the other: the order of evaluation of function arguments is the compiler's choice.
    const auto name = b.CreateString(model.name), version = b.CreateString(model.version),
               licence = b.CreateString(model.licence), task = b.CreateString(model.task),
               description = b.CreateString(model.description),
               sourceClass = b.CreateString(model.sourceClass);
    const auto segmentTable = b.CreateVector(segments);
    const auto timesteps = b.CreateVector(model.timesteps);
    b.Finish(format::CreateRoot(b, name, version, licence, task, description, sourceClass, features,
                                segmentTable, weights, graphs, timesteps, recipes, model.statisticsWindow,
                                model.receptiveField, selfCheck));
    return std::vector<uint8_t>(b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
}

} // namespace mote
