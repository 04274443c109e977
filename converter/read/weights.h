// The tensors of a checkpoint, whatever kind of file holds them: safetensors, shards of it with an index
// file, or PyTorch's zip format. What a file is is seen from its first bytes, not from its name.
#pragma once

#include "read/safetensors.h"
#include "read/torch_file.h"

#include <cstdint>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace mote::convert {

struct StoredTensor {
    std::string name;
    std::string type; // "F32", "F16", ... as safetensors calls it
    std::vector<uint64_t> shape;
    uint32_t file = 0, entry = 0; // where Weights finds it
    uint64_t elements() const;
};

class Weights {
public:
    // `path`: a file of tensors, or an index file (its name ends in ".index.json") beside its shards.
    explicit Weights(const std::string &path); // throws ReadError

    const std::string &path() const { return path_; }
    const std::vector<StoredTensor> &tensors() const { return tensors_; } // sorted by name
    const StoredTensor *find(const std::string &name) const;              // or nullptr
    uint64_t bytes() const;                                               // of all tensors

    // F32, F16 and BF16 exactly, F64 rounded. Other types are refused by name.
    std::vector<float> readFloats(const StoredTensor &tensor) const;
    const std::string &fileOf(const StoredTensor &tensor) const;

private:
    using File = std::variant<SafetensorsFile, TorchFile>;
    void open(const std::string &path);
    void openShards();

    std::string path_;
    std::vector<File> files_;
    std::vector<StoredTensor> tensors_;
};

std::string shapeText(const std::vector<uint64_t> &shape);

// Hands out tensors by name and remembers which. `askedBy`: what says that a tensor is needed, for messages.
class WeightTaker {
public:
    WeightTaker(const Weights &weights, std::string askedBy)
        : weights_(weights), askedBy_(std::move(askedBy)) {}

    // The values of a tensor, checked to have this shape and to be finite. Throws ReadError.
    std::vector<float> take(const std::string &name, const std::vector<uint64_t> &shape);

    // Says that a tensor is known and not needed.
    void ignore(const std::string &name) { taken_.insert(name); }

    // Throws, naming the first, if a tensor was never taken: the architecture would not be what was read.
    void expectAllTaken() const;

private:
    const Weights &weights_;
    std::string askedBy_;
    std::set<std::string> taken_;
};

} // namespace mote::convert
