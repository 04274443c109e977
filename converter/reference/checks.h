// What the interpreter asks of an op before it evaluates it. Each throws std::invalid_argument and names the
// op.
#pragma once

#include "read/text.h"
#include "reference/reference.h"

#include <stdexcept>
#include <string>

namespace mote::convert::reference {

[[noreturn]] inline void fail(const Op &op, const std::string &what) {
    throw std::invalid_argument(text("op ", op.name, ": ", what));
}

template <typename T> std::string shapeText(const Array<T> &a) {
    return text("[", a.batch, ", ", a.channels, ", ", a.height, ", ", a.width, "]");
}

inline void expect(const Op &op, bool condition, const char *what) {
    if (!condition)
        fail(op, what);
}

template <typename T>
void expectInputs(const Op &op, const std::vector<const Array<T> *> &inputs, size_t least, size_t most) {
    if (inputs.size() < least || inputs.size() > most)
        fail(op, text(inputs.size(), " inputs, expected ", least, " to ", most));
}

// Inputs that are concatenated over channels share batch and size.
template <typename T>
uint32_t concatenatedChannels(const Op &op, const std::vector<const Array<T> *> &inputs) {
    uint32_t channels = 0;
    for (const Array<T> *input : inputs) {
        if (input->batch != inputs[0]->batch || input->height != inputs[0]->height ||
            input->width != inputs[0]->width)
            fail(op, text("inputs ", shapeText(*inputs[0]), " and ", shapeText(*input),
                          " cannot be concatenated"));
        channels += input->channels;
    }
    return channels;
}

template <typename T>
const Table<T> &tableOf(const Op &op, const Tables<T> &tables, uint32_t index, const char *what) {
    if (index >= tables.size())
        fail(op, text(what, " is table ", index, " of ", tables.size()));
    const Table<T> &table = tables[index];
    size_t count = 1;
    for (uint32_t extent : table.shape)
        count *= extent;
    if (count != table.values.size())
        fail(op, text(what, " has ", table.values.size(), " values, its shape says ", count));
    return table;
}

// The row of a [R][...] table for this step; a table of one row serves all.
template <typename T>
const T *tableRow(const Op &op, const Tables<T> &tables, uint32_t index, const char *what, size_t rowSize,
                  uint32_t row) {
    const Table<T> &table = tableOf(op, tables, index, what);
    const uint32_t rows = table.shape.empty() ? 0 : table.shape[0];
    if (rows == 0 || table.values.size() != rows * rowSize)
        fail(op, text(what, " has ", table.values.size(), " values, expected rows of ", rowSize));
    if (rows > 1 && row >= rows)
        fail(op, text(what, " has ", rows, " rows, row ", row, " asked for"));
    return table.values.data() + (rows > 1 ? row : 0) * rowSize;
}

} // namespace mote::convert::reference
