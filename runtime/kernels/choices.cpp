#include "kernels/choices.h"

#include <algorithm>

namespace mote {
namespace {

// More than any key or name has; a file with longer ones is not ours.
constexpr size_t kMostKeyBytes = 256, kMostNameBytes = 64;

std::string mapOf(const Graph &graph, const GraphShapes &shapes, uint32_t tensor) {
    const TensorShape &shape = shapes.tensors[tensor];
    std::string text =
        std::to_string(shape.c) + "x" + std::to_string(shape.h) + "x" + std::to_string(shape.w);
    if (graph.tensors[tensor].kind == TensorKind::Port)
        text += "p";
    return text;
}

bool isText(const std::string &text, size_t most) {
    return !text.empty() && text.size() <= most &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

} // namespace

std::string choiceKey(const Model &model, const Graph &graph, const GraphShapes &shapes, uint32_t index) {
    const Op &op = graph.ops[index];
    const auto number = [](uint32_t value) { return std::to_string(value); };
    std::string key = "op" + number(static_cast<uint32_t>(op.kind));
    for (uint32_t input : op.inputs) {
        key += " " + mapOf(graph, shapes, input);
        // Some kernels do the norm before them on the way.
        for (const Op &norm : graph.ops)
            if (norm.kind == OpKind::GroupNorm && norm.output == input)
                key += "n" + number(static_cast<uint32_t>(norm.activation)) + "r" +
                       number(static_cast<uint32_t>(norm.outputResample));
    }
    key += " > " + mapOf(graph, shapes, op.output);
    if (std::any_of(graph.ops.begin(), graph.ops.end(), [&](const Op &reader) {
            return reader.kind == OpKind::GroupNorm &&
                   std::find(reader.inputs.begin(), reader.inputs.end(), op.output) != reader.inputs.end();
        }))
        key += "s"; // its statistics are wanted
    if (op.kind == OpKind::Conv2d && op.weight != kNone) {
        key += " w";
        for (uint32_t extent : model.weights[op.weight].shape)
            key += "," + number(extent);
        key += " s" + number(op.stride) + " p" + number(op.padTop) + "," + number(op.padLeft) + "," +
               number(op.padBottom) + "," + number(op.padRight) + " r" +
               number(static_cast<uint32_t>(op.inputResample));
        if (op.residual != kNone)
            key += " + " + mapOf(graph, shapes, op.residual) + "r" +
                   number(static_cast<uint32_t>(op.residualResample));
    }
    if (op.kind == OpKind::GroupNorm)
        key += " g" + number(op.groups) + " a" + number(static_cast<uint32_t>(op.activation)) + " r" +
               number(static_cast<uint32_t>(op.outputResample));
    if (op.kind == OpKind::Attention)
        key += " h" + number(op.heads);
    return key;
}

std::vector<uint8_t> encodeChoices(const KernelChoices &choices) {
    std::vector<uint8_t> bytes;
    for (const auto &[key, name] : choices.variants) {
        bytes.insert(bytes.end(), key.begin(), key.end());
        bytes.push_back('\t');
        bytes.insert(bytes.end(), name.begin(), name.end());
        bytes.push_back('\n');
    }
    return bytes;
}

Result<KernelChoices> decodeChoices(const std::vector<uint8_t> &bytes) {
    KernelChoices choices;
    size_t line = 1;
    for (auto from = bytes.begin(); from != bytes.end(); ++line) {
        const auto end = std::find(from, bytes.end(), '\n'), tab = std::find(from, end, '\t');
        if (end == bytes.end() || tab == end)
            return makeStatus(StatusCode::InvalidModel, "line %zu: found no %s, expected KEY, tab, NAME",
                              line, end == bytes.end() ? "end" : "tab");
        std::string key(from, tab), name(tab + 1, end);
        if (!isText(key, kMostKeyBytes) || !isText(name, kMostNameBytes))
            return makeStatus(StatusCode::InvalidModel,
                              "line %zu: found a key of %zu and a name of %zu bytes, expected 1 to %zu and 1 "
                              "to %zu of plain text",
                              line, key.size(), name.size(), kMostKeyBytes, kMostNameBytes);
        if (!choices.variants.emplace(std::move(key), std::move(name)).second)
            return makeStatus(StatusCode::InvalidModel, "line %zu: its key was there before", line);
        from = end + 1;
    }
    return choices;
}

} // namespace mote
