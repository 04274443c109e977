// The projections around an attention.
#include "fold/editor.h"
#include "fold/fold.h"
#include "read/text.h"

#include <algorithm>
#include <cmath>

namespace mote::convert {

namespace {

// A linear layer over the pixels, perhaps written as a convolution.
bool isPlainProjection(const Editor &editor, const Op *op) {
    if (op == nullptr || op->inputs.size() != 1)
        return false;
    return op->kind == OpKind::Linear ||
           (op->kind == OpKind::Conv2d && op->residual == kNone && op->stride == 1 && op->outputScale == 1 &&
            op->inputResample == Resample::None && editor.constant(op->weight).shape[1] == 1 &&
            editor.constant(op->weight).shape[2] == 1 &&
            op->padTop + op->padLeft + op->padBottom + op->padRight == 0 &&
            editor.constant(op->bias).shape[0] == 1 && op->projection == kNone);
}

// "down_blocks.0.attentions.0.to_q" -> "down_blocks.0.attentions.0.to_qkv"
std::string qkvName(std::string name) {
    return name.ends_with(".to_q") ? name + "kv" : name + ".qkv";
}

// Rows of one table after those of the others: [a][...], [b][...] -> [a + b][...].
Constant stacked(const std::string &name, const std::vector<const Constant *> &parts, size_t extent) {
    Constant all{name, parts[0]->shape, {}};
    all.shape[extent] = 0;
    for (const Constant *part : parts) {
        all.shape[extent] += part->shape[extent];
        all.values.insert(all.values.end(), part->values.begin(), part->values.end());
    }
    return all;
}

// A product over channels whose other inputs, if any, are those of another map.
bool isProjection(const Op *op) {
    return op != nullptr && (op->kind == OpKind::Linear || op->kind == OpKind::Conv2d) &&
           op->inputs.size() == 1;
}

// Rows of `length` values each, of which every `head` (of `heads`) gets zeros behind it up to `padded`.
std::vector<double> paddedHeads(const std::vector<double> &values, size_t head, size_t padded,
                                size_t length) {
    const size_t heads = values.size() / (head * length);
    std::vector<double> out(heads * padded * length);
    for (size_t h = 0; h < heads; ++h)
        std::copy_n(values.begin() + std::ptrdiff_t(h * head * length), head * length,
                    out.begin() + std::ptrdiff_t(h * padded * length));
    return out;
}

// q, k and v that come from elsewhere are put behind each other.
void joinRemaining(Graph &graph) {
    std::vector<Op> ops;
    for (Op &op : graph.ops) {
        while (op.kind == OpKind::Attention && op.inputs.size() > 1) {
            Op join;
            join.kind = OpKind::Concat;
            join.name = text(op.name, op.inputs.size() == 3 ? ".qk" : ".qkv");
            join.inputs = {op.inputs[0], op.inputs[1]};
            join.inputScale = {1, 1};
            join.inputOffset = {0, 0};
            join.output = static_cast<uint32_t>(graph.tensors.size());
            graph.tensors.push_back(
                {join.name, TensorKind::Activation,
                 graph.tensors[op.inputs[0]].channels + graph.tensors[op.inputs[1]].channels});
            op.inputs.erase(op.inputs.begin());
            op.inputs[0] = join.output;
            ops.push_back(std::move(join));
        }
        ops.push_back(std::move(op));
    }
    graph.ops = std::move(ops);
}

constexpr uint32_t kHeadMultiple = 8; // channels of a block of an activation

} // namespace

size_t foldQkv(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        Op attention = editor.op(i);
        if (!editor.alive(i) || attention.kind != OpKind::Attention || attention.inputs.size() != 3)
            continue;
        const std::vector<uint32_t> projected = attention.inputs; // q, k, v
        std::vector<uint32_t> makers;
        std::vector<const Constant *> weights, biases;
        for (uint32_t tensor : projected) {
            const Op *maker = editor.maker(tensor);
            if (!isPlainProjection(editor, maker) || !editor.readOnce(tensor) ||
                maker->inputs != editor.maker(projected[0])->inputs)
                break;
            makers.push_back(editor.makerIndex(tensor));
            weights.push_back(&editor.constant(maker->weight));
            biases.push_back(&editor.constant(maker->bias));
        }
        if (makers.size() != 3)
            continue;
        Op joint = editor.op(makers[0]);
        joint.kind = OpKind::Conv2d;
        joint.name = qkvName(joint.name);
        Constant weight = stacked(joint.name + ".weight", weights, 0);
        Constant bias = stacked(joint.name + ".bias", biases, 1);
        joint.weight = editor.addConstant(std::move(weight));
        joint.bias = editor.addConstant(std::move(bias));
        joint.output = editor.addTensor(joint.name, 3 * editor.tensor(projected[0]).channels);
        attention.inputs = {joint.output};
        editor.update(i, std::move(attention));
        const uint32_t place = *std::max_element(makers.begin(), makers.end());
        for (uint32_t maker : makers)
            if (maker != place)
                editor.remove(maker);
        editor.update(place, std::move(joint));
        ++count;
    }
    editor.finish();
    joinRemaining(network.graph);
    return count;
}

size_t foldHeads(Network &network) {
    Editor editor(network);
    size_t count = 0;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        Op attention = editor.op(i);
        if (attention.kind != OpKind::Attention || attention.inputs.size() != 1)
            continue;
        const uint32_t channels = editor.tensor(attention.output).channels, head = channels / attention.heads;
        const uint32_t padded = (head + kHeadMultiple - 1) / kHeadMultiple * kHeadMultiple;
        const Op *before = editor.maker(attention.inputs[0]);
        const std::vector<uint32_t> readers = editor.readers(attention.output);
        if (padded == head || !isProjection(before) || before->residual != kNone ||
            !editor.readOnce(attention.inputs[0]) || readers.empty() ||
            !std::all_of(readers.begin(), readers.end(), [&](uint32_t reader) {
                return isProjection(&editor.op(reader)) && editor.op(reader).residual != attention.output;
            }))
            continue;
        const uint32_t place = editor.makerIndex(attention.inputs[0]), wide = attention.heads * padded;
        const std::string &name = editor.op(place).name;

        // q, k, v: further channels are 0. q is scaled for the softmax, which divides by sqrt(padded).
        Op joint = *before;
        const auto widened = [&](const Constant &from, const char *what, size_t rows, size_t length) {
            Constant to{name + what, from.shape, paddedHeads(from.values, head, padded, length)};
            const double factor = std::sqrt(double(padded) / head);
            const size_t row = size_t(3) * wide * length;
            for (size_t r = 0; r < rows; ++r)
                for (size_t k = 0; k < row / 3; ++k)
                    to.values[r * row + k] *= factor;
            return to;
        };
        const Constant &weight = editor.constant(joint.weight), &bias = editor.constant(joint.bias);
        Constant wideWeight = widened(weight, ".weight", 1, weight.values.size() / (size_t(3) * channels));
        Constant wideBias = widened(bias, ".bias", bias.shape[0], 1);
        wideWeight.shape[0] = wideBias.shape[1] = 3 * wide;
        joint.weight = editor.addConstant(std::move(wideWeight));
        joint.bias = editor.addConstant(std::move(wideBias));
        joint.output = editor.addTensor(editor.tensor(joint.output).name, 3 * wide);

        Op wider = attention;
        wider.inputs = {joint.output};
        wider.output = editor.addTensor(editor.tensor(attention.output).name, wide);
        for (const uint32_t index : readers) { // they take nothing from the further channels
            Op reader = editor.op(index);
            const Constant &from = editor.constant(reader.weight);
            Constant to{reader.name + ".weight", from.shape, paddedHeads(from.values, head, padded, 1)};
            to.shape[3] = wide;
            reader.weight = editor.addConstant(std::move(to));
            reader.inputs = {wider.output};
            editor.update(index, std::move(reader));
        }
        editor.update(place, std::move(joint));
        editor.update(i, std::move(wider));
        ++count;
    }
    editor.finish();
    return count;
}

} // namespace mote::convert
