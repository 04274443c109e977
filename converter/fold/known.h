// Evaluates what follows from one kind of input alone: the timestep, or the label of a class.
#pragma once

#include "reference/network.h"
#include "reference/reference.h"

#include <optional>
#include <vector>

namespace mote::convert {

class KnownValues {
public:
    // Per step, the value of every tensor that depends on ops of kind `source` alone.
    KnownValues(const Network &network, OpKind source, const std::vector<reference::Step> &steps) {
        // Filled for the ops that are evaluated, a small part of all.
        reference::Tables<double> tables(network.constants.size());
        for (const reference::Step &step : steps)
            values_.push_back(evaluate(network, source, tables, step));
    }

    bool known(uint32_t tensor) const { return values_[0][tensor].has_value(); }
    const std::vector<double> &at(size_t row, uint32_t tensor) const { return values_[row][tensor]->values; }

private:
    using Values = std::vector<std::optional<reference::Array<double>>>;

    static Values evaluate(const Network &network, OpKind source, reference::Tables<double> &tables,
                           const reference::Step &step) {
        const auto need = [&](uint32_t constant) {
            if (constant != kNone && tables[constant].values.empty())
                tables[constant] = {network.constants[constant].shape, network.constants[constant].values};
        };
        Values values(network.graph.tensors.size());
        for (const Op &op : network.graph.ops) {
            bool known = op.kind == source || !op.inputs.empty();
            std::vector<const reference::Array<double> *> inputs;
            for (uint32_t input : op.inputs) {
                known = known && values[input].has_value();
                if (known)
                    inputs.push_back(&*values[input]);
            }
            if (!known)
                continue;
            need(op.weight);
            need(op.bias);
            values[op.output] = reference::runOp<double>(op, inputs, nullptr, tables, step);
            for (const uint32_t constant : {op.weight, op.bias}) // never a second copy of all of them
                if (constant != kNone)
                    tables[constant] = {};
        }
        return values;
    }

    std::vector<Values> values_; // [step][tensor]
};

} // namespace mote::convert
