// The rules for one graph: tensors, ports and conditioning (validate_graph.cpp), and each op with the fields
// that its kind uses (validate_op.cpp).
#pragma once

#include "model/model.h"
#include "model/validate_rules.h"

#include <string>
#include <vector>

namespace mote {

class GraphRules {
public:
    GraphRules(const Model &model, uint32_t index, const std::string &file)
        : model_(model), graph_(model.graphs[index]), file_(file), index_(index) {}

    Status check();

private:
    // Where in the graph the rules are: messages begin with the file and this, and go on with the field.
    void place(const std::string &where) { where_ = "graphs[" + std::to_string(index_) + "]." + where; }
    void place(const char *list, size_t index) {
        place(std::string(list) + "[" + std::to_string(index) + "].");
    }
    void place(const char *list, size_t index, const std::string &name) {
        place(std::string(list) + "[" + std::to_string(index) + "] " + quoted(name) + ".");
    }
    std::string field(const char *name) const { return where_ + name; }
    std::string nameOf(uint32_t tensor) const { return quoted(graph_.tensors[tensor].name); }

#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    Status
    bad(const char *format, ...) const;

    // "'conv.weight' of F16 [8][3][3][6]"
    static std::string shapeText(const Weight &weight);
    // Names must differ; sorted, equal ones are neighbours.
    template <typename T> Status differing(const std::vector<T> &list, const char *what) const;

    Status tensors();
    Status ports();
    Status portShape(const Port &port) const;
    Status portSource(const Port &port) const;
    Status conditioning();

    Status op(const Op &op, size_t index);
    // A field that the kind does not use and that is set means that writer and reader disagree about the
    // kind.
    Status unusedFields(const Op &op) const;
    // Every input was made before, by a port or an earlier op.
    Status readable(uint32_t tensor, TensorKind kind, const char *name);
    Status inputs(const Op &op, uint32_t &channels);
    Status concat(const Op &op) const;
    // What makes the rows of an op's table for each image: [outputs][E], beside a table of one row.
    Status projection(const Op &op, uint32_t table, uint64_t outputs) const;
    // A table with one row for all timesteps or one for each.
    Status table(uint32_t index, bool affine, uint32_t channels) const;
    Status conv2d(const Op &op, uint32_t &channels);
    Status groupNorm(const Op &op, uint32_t channels) const;
    Status pointwise(const Op &op, uint32_t channels);
    Status attention(const Op &op, uint32_t &channels) const;
    Status output(const Op &op, uint32_t channels);

    const Model &model_;
    const Graph &graph_;
    const std::string &file_;
    const uint32_t index_;
    std::string where_; // "graphs[0].ops[3] 'conv'."
    std::vector<bool> made_, used_;
    uint32_t embedding_ = 0; // E of the conditioning, 0: there is none
};

} // namespace mote
