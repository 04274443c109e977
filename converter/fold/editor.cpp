#include "fold/editor.h"

#include <algorithm>

namespace mote::convert {

Editor::Editor(Network &network)
    : network_(network), makers_(network.graph.tensors.size(), kNone), readers_(network.graph.tensors.size()),
      removed_(network.graph.ops.size(), false) {
    for (uint32_t i = 0; i < opCount(); ++i)
        addUses(i);
}

void Editor::addUses(uint32_t index) {
    const Op &op = network_.graph.ops[index];
    for (uint32_t input : op.inputs)
        readers_[input].push_back(index);
    if (op.residual != kNone)
        readers_[op.residual].push_back(index);
    makers_[op.output] = index;
}

void Editor::dropUses(uint32_t index) {
    const Op &op = network_.graph.ops[index];
    const auto drop = [&](uint32_t tensor) {
        const auto found = std::find(readers_[tensor].begin(), readers_[tensor].end(), index);
        readers_[tensor].erase(found);
    };
    for (uint32_t input : op.inputs)
        drop(input);
    if (op.residual != kNone)
        drop(op.residual);
    if (makers_[op.output] == index)
        makers_[op.output] = kNone;
}

const Op *Editor::maker(uint32_t tensor) const {
    return makers_[tensor] == kNone ? nullptr : &network_.graph.ops[makers_[tensor]];
}

bool Editor::readOnce(uint32_t tensor) const {
    return network_.graph.tensors[tensor].kind == TensorKind::Activation && readers_[tensor].size() == 1;
}

void Editor::update(uint32_t index, Op changed) {
    dropUses(index);
    network_.graph.ops[index] = std::move(changed);
    addUses(index);
}

void Editor::remove(uint32_t index) {
    dropUses(index);
    removed_[index] = true;
}

void Editor::fuse(uint32_t first, uint32_t second, Op fused) {
    fused.output = network_.graph.ops[second].output;
    remove(first);
    update(second, std::move(fused));
}

uint32_t Editor::addTensor(const std::string &name, uint32_t channels) {
    network_.graph.tensors.push_back({name, TensorKind::Activation, channels});
    makers_.push_back(kNone);
    readers_.emplace_back();
    return static_cast<uint32_t>(network_.graph.tensors.size() - 1);
}

uint32_t Editor::addConstant(Constant constant) {
    network_.constants.push_back(std::move(constant));
    return static_cast<uint32_t>(network_.constants.size() - 1);
}

void Editor::finish() {
    std::vector<Op> kept;
    for (uint32_t i = 0; i < opCount(); ++i)
        if (!removed_[i])
            kept.push_back(std::move(network_.graph.ops[i]));
    network_.graph.ops = std::move(kept);
    dropUnusedTensors();
    dropUnusedConstants();
}

void Editor::dropUnusedTensors() {
    Graph &graph = network_.graph;
    std::vector<uint32_t> number(graph.tensors.size(), kNone);
    std::vector<Tensor> kept;
    for (uint32_t i = 0; i < graph.tensors.size(); ++i) {
        const bool port = graph.tensors[i].kind == TensorKind::Port;
        const bool made = makers_[i] != kNone && !removed_[makers_[i]];
        if (!port && !made)
            continue;
        number[i] = static_cast<uint32_t>(kept.size());
        kept.push_back(std::move(graph.tensors[i]));
    }
    graph.tensors = std::move(kept);
    for (Op &op : graph.ops) {
        for (uint32_t &input : op.inputs)
            input = number[input];
        op.output = number[op.output];
        if (op.residual != kNone)
            op.residual = number[op.residual];
    }
    for (Port &port : graph.ports)
        port.tensor = number[port.tensor];
}

void Editor::dropUnusedConstants() {
    std::vector<uint32_t> number(network_.constants.size(), kNone);
    std::vector<Constant> kept;
    const auto keep = [&](uint32_t &index) {
        if (index == kNone)
            return;
        if (number[index] == kNone) {
            number[index] = static_cast<uint32_t>(kept.size());
            kept.push_back(std::move(network_.constants[index]));
        }
        index = number[index];
    };
    for (Op &op : network_.graph.ops) {
        keep(op.weight);
        keep(op.bias);
        keep(op.affine);
        keep(op.projection);
    }
    keep(network_.graph.conditioning.stepEmbeddings);
    keep(network_.graph.conditioning.classes);
    network_.constants = std::move(kept);
}

} // namespace mote::convert
