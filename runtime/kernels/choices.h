// What a tuner found to be fastest, as plain data: for an op of a shape the name of a variant. Nothing that
// stands here can make a result wrong: a name that is not a candidate of the op, or no longer, is passed
// over.
#pragma once

#include "kernels/kernels.h"

#include <map>
#include <string>
#include <vector>

namespace mote {

// The key says all that the variants' times depend on, of one image: an image of a batch has the bits of a
// single run, so no choice may depend on how many there are.
struct KernelChoices {
    std::map<std::string, std::string> variants; // OpKernel::name by choiceKey
};

std::string choiceKey(const Model &model, const Graph &graph, const GraphShapes &shapes, uint32_t op);

// As kept on disk: lines "KEY\tNAME\n" in the order of the keys.
std::vector<uint8_t> encodeChoices(const KernelChoices &choices);
// InvalidModel: says what is wrong with which line; then none of it is used.
Result<KernelChoices> decodeChoices(const std::vector<uint8_t> &bytes);

} // namespace mote
