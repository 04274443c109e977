#include "fold/editor.h"
#include "fold/fold.h"
#include "fold/known.h"

#include "read/text.h"

#include <algorithm>
#include <stdexcept>

namespace mote::convert {

namespace {

// [rows][E]: the values of a tensor, one row after the other.
Constant tabulated(const char *name, const KnownValues &values, size_t rows, uint32_t tensor,
                   uint32_t length) {
    Constant table{name, {static_cast<uint32_t>(rows), length}, {}};
    for (size_t row = 0; row < rows; ++row)
        table.values.insert(table.values.end(), values.at(row, tensor).begin(), values.at(row, tensor).end());
    return table;
}

// bias + b beside W.
void projectBias(Editor &editor, Op &conv, const Op &linear) {
    Constant table = editor.constant(conv.bias);
    table.name = conv.name + ".bias";
    const std::vector<double> &added = editor.constant(linear.bias).values;
    for (size_t o = 0; o < added.size(); ++o)
        table.values[o] += added[o];
    Constant matrix = editor.constant(linear.weight);
    matrix.name = conv.name + ".projection";
    matrix.shape = {matrix.shape[0], matrix.shape[3]};
    conv.bias = editor.addConstant(std::move(table));
    conv.projection = editor.addConstant(std::move(matrix));
}

// Rows gamma (1 + b_scale) and beta (1 + b_scale) + b_shift beside gamma W_scale and beta W_scale + W_shift.
void projectAffine(Editor &editor, Op &norm, const Op &linear) {
    Constant table = editor.constant(norm.affine);
    table.name = norm.name + ".affine";
    Constant matrix = editor.constant(linear.weight); // [scale, shift][1][1][E]
    matrix.name = norm.name + ".projection";
    matrix.shape = {matrix.shape[0], matrix.shape[3]};
    const size_t channels = table.shape[2], length = matrix.shape[1];
    const std::vector<double> added = editor.constant(linear.bias).values;
    for (size_t c = 0; c < channels; ++c) {
        const double gamma = table.values[c], beta = table.values[channels + c];
        table.values[c] = gamma * (1 + added[c]);
        table.values[channels + c] = beta * (1 + added[c]) + added[channels + c];
        for (size_t e = 0; e < length; ++e) {
            double &scale = matrix.values[c * length + e],
                   &shift = matrix.values[(channels + c) * length + e];
            shift += beta * scale;
            scale *= gamma;
        }
    }
    norm.affine = editor.addConstant(std::move(table));
    norm.projection = editor.addConstant(std::move(matrix));
}

} // namespace

size_t foldConditioning(Network &network, const std::vector<double> &timesteps, uint32_t nullClass) {
    if (network.classInput == ClassInput::None)
        return 0;
    std::vector<reference::Step> steps(timesteps.size()), labels(std::max(network.classes, 1u));
    for (size_t row = 0; row < steps.size(); ++row) {
        steps[row].timestep = timesteps[row];
        steps[row].features = network.timestepFeatures;
    }
    const uint32_t vectorLength = [&] {
        for (const Op &op : network.graph.ops)
            if (op.kind == OpKind::ClassEmbedding)
                return network.graph.tensors[op.output].channels;
        throw std::logic_error("a network with classes has no class embedding");
    }();
    for (uint32_t label = 0; label < labels.size(); ++label) {
        labels[label].labels = {label};
        labels[label].classInput = network.classInput;
        labels[label].features = network.timestepFeatures;
        labels[label].vectors.emplace_back(vectorLength); // values not looked at: only what follows from it
    }
    const KnownValues time(network, OpKind::TimestepEmbedding, steps);
    const KnownValues classes(network, OpKind::ClassEmbedding, labels);
    Editor editor(network);

    // The sum of both, and its SiLU, which the projections read.
    uint32_t sum = kNone;
    for (uint32_t i = 0; i < editor.opCount(); ++i) {
        const Op &op = editor.op(i);
        if (op.kind == OpKind::Add && classes.known(op.inputs[0]) && time.known(op.inputs[1]))
            sum = i;
    }
    if (sum == kNone || !editor.readOnce(editor.op(sum).output))
        throw std::logic_error("the class embedding is not added to the time embedding");
    const Op add = editor.op(sum);
    const uint32_t length = editor.tensor(add.output).channels, activation = editor.readers(add.output)[0];
    if (editor.op(activation).kind != OpKind::Activation)
        throw std::logic_error("the sum of the class and the time embedding is not activated");

    Conditioning conditioning;
    conditioning.kind =
        network.classInput == ClassInput::Vector ? ConditioningKind::Vectors : ConditioningKind::Labels;
    conditioning.activation = editor.op(activation).activation;
    conditioning.stepEmbeddings =
        editor.addConstant(tabulated("step_embeddings", time, steps.size(), add.inputs[1], length));
    if (conditioning.kind == ConditioningKind::Labels) {
        conditioning.classes =
            editor.addConstant(tabulated("class_embeddings", classes, labels.size(), add.inputs[0], length));
        conditioning.nullClass = nullClass;
    }

    size_t projections = 0;
    const std::vector<uint32_t> readers = editor.readers(editor.op(activation).output);
    for (const uint32_t reader : readers) {
        const Op linear = editor.op(reader);
        const std::vector<uint32_t> users = editor.readers(linear.output);
        const Op *user = linear.kind == OpKind::Linear && users.size() == 1 ? &editor.op(users[0]) : nullptr;
        const Op *before = user != nullptr ? editor.maker(user->inputs[0]) : nullptr;
        if (before == nullptr || user->inputs.size() != 2 || user->inputs[1] != linear.output ||
            !editor.readOnce(user->inputs[0]))
            throw std::logic_error(
                text("op ", linear.name, " uses the class in a way that cannot be folded"));
        Op fused = *before;
        if (user->kind == OpKind::Add && before->kind == OpKind::Conv2d && before->residual == kNone)
            projectBias(editor, fused, linear);
        else if (user->kind == OpKind::Modulate && before->kind == OpKind::GroupNorm &&
                 before->activation == ActivationFunction::None)
            projectAffine(editor, fused, linear);
        else
            throw std::logic_error(text("op ", user->name, " uses the class in a way that cannot be folded"));
        editor.rename(user->output, fused.name);
        editor.fuse(editor.makerIndex(user->inputs[0]), users[0], std::move(fused));
        editor.remove(reader);
        ++projections;
    }
    editor.remove(activation);
    editor.remove(sum);
    for (uint32_t i = 0; i < editor.opCount(); ++i)
        if (editor.alive(i) && classes.known(editor.op(i).output))
            editor.remove(i);
    network.graph.conditioning = conditioning;
    editor.finish();
    network.classInput = ClassInput::None;
    network.classes = 0;
    return projections;
}

} // namespace mote::convert
