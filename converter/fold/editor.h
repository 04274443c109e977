// Rewrites a graph op by op while keeping track of who makes and who reads each tensor.
#pragma once

#include "reference/network.h"

#include <string>
#include <vector>

namespace mote::convert {

class Editor {
public:
    explicit Editor(Network &network);

    size_t opCount() const { return network_.graph.ops.size(); }
    bool alive(uint32_t op) const { return !removed_[op]; }
    const Op &op(uint32_t index) const { return network_.graph.ops[index]; }
    const Tensor &tensor(uint32_t index) const { return network_.graph.tensors[index]; }
    Constant &constant(uint32_t index) { return network_.constants[index]; }
    const Constant &constant(uint32_t index) const { return network_.constants[index]; }

    // The op that makes a tensor; nullptr for an input port.
    const Op *maker(uint32_t tensor) const;
    uint32_t makerIndex(uint32_t tensor) const { return makers_[tensor]; } // or kNone
    const std::vector<uint32_t> &readers(uint32_t tensor) const {
        return readers_[tensor];
    }                                     // an op once per use
    bool readOnce(uint32_t tensor) const; // by one op, and it is no port

    void update(uint32_t index, Op changed);
    void remove(uint32_t index);
    // `first`, whose output only `second` reads, and `second` become `fused`, which makes second's output in
    // its place.
    void fuse(uint32_t first, uint32_t second, Op fused);

    void rename(uint32_t tensor, const std::string &name) { network_.graph.tensors[tensor].name = name; }
    uint32_t addTensor(const std::string &name, uint32_t channels);
    uint32_t addConstant(Constant constant);

    // Drops removed ops and what nothing refers to any more, and renumbers.
    void finish();

private:
    void addUses(uint32_t index);
    void dropUses(uint32_t index);
    void dropUnusedTensors();
    void dropUnusedConstants();

    Network &network_;
    std::vector<uint32_t> makers_;
    std::vector<std::vector<uint32_t>> readers_;
    std::vector<bool> removed_;
};

} // namespace mote::convert
