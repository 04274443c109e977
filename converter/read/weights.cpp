#include "read/weights.h"

#include "read/elements.h"
#include "read/text.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace mote::convert {

namespace {

using nlohmann::json;

constexpr size_t kMaxIndexBytes = size_t(16) << 20;
constexpr size_t kMaxShards = 1024;

std::string shown(const std::string &name) {
    return shownJson(json(name));
}

bool isIndex(const std::string &path) {
    return path.ends_with(".index.json");
}

// A shard lies beside its index: its name is a name, not a path.
void checkShardName(const std::string &name, const std::string &where) {
    const bool plain = !name.empty() && name.size() <= 255 && name[0] != '.' &&
                       name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    if (!plain || isIndex(name))
        throw ReadError(text(where, " is in file ", shown(name),
                             ", expected the name of a file of tensors beside the index"));
}

} // namespace

uint64_t StoredTensor::elements() const {
    uint64_t count = 1;
    for (uint64_t extent : shape)
        count *= extent;
    return count;
}

std::string shapeText(const std::vector<uint64_t> &shape) {
    std::string all = "[";
    for (size_t i = 0; i < shape.size(); ++i)
        all += i == 0 ? text(shape[i]) : text(", ", shape[i]);
    return all + "]";
}

Weights::Weights(const std::string &path) : path_(path) {
    if (isIndex(path))
        openShards();
    else
        open(path);
    std::sort(tensors_.begin(), tensors_.end(),
              [](const StoredTensor &a, const StoredTensor &b) { return a.name < b.name; });
}

void Weights::open(const std::string &path) {
    const auto number = static_cast<uint32_t>(files_.size());
    uint32_t entry = 0;
    if (looksLikeTorchFile(InputFile(path))) {
        files_.emplace_back(std::in_place_type<TorchFile>, path);
        for (const PickledTensor &tensor : std::get<TorchFile>(files_.back()).tensors())
            tensors_.push_back({tensor.name, tensor.type, tensor.shape, number, entry++});
    } else {
        files_.emplace_back(std::in_place_type<SafetensorsFile>, path);
        for (const SafetensorsEntry &tensor : std::get<SafetensorsFile>(files_.back()).entries())
            tensors_.push_back({tensor.name, tensor.type, tensor.shape, number, entry++});
    }
}

// {"metadata": {...}, "weight_map": {"name": "file", ...}}: every tensor in the shard that the map names, and
// nowhere else.
void Weights::openShards() {
    const json index = parseJson(readTextFile(path_, kMaxIndexBytes), path_);
    if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
        throw ReadError(
            text(path_, ": found ", shownJson(index), ", expected an object with \"weight_map\""));
    std::map<std::string, std::string> shardOf;
    std::set<std::string> shards;
    for (const auto &[name, shard] : index["weight_map"].items()) {
        const std::string where = text(path_, ": tensor ", shown(name));
        if (!shard.is_string())
            throw ReadError(text(where, " is in ", shownJson(shard), ", expected the name of a file"));
        checkShardName(shard.get<std::string>(), where);
        shardOf[name] = shard.get<std::string>();
        shards.insert(shard.get<std::string>());
    }
    if (shards.empty() || shards.size() > kMaxShards)
        throw ReadError(text(path_, ": names ", shards.size(), " files, expected 1 to ", kMaxShards));
    const std::string folder = path_.substr(0, path_.rfind('/') + 1);
    for (const std::string &shard : shards) {
        const size_t first = tensors_.size();
        open(folder + shard);
        for (size_t i = first; i < tensors_.size(); ++i) {
            const auto found = shardOf.find(tensors_[i].name);
            if (found == shardOf.end())
                throw ReadError(
                    text(folder, shard, ": tensor ", shown(tensors_[i].name), " is not in ", path_));
            if (found->second != shard)
                throw ReadError(text(folder, shard, ": tensor ", shown(tensors_[i].name), " should be in ",
                                     shown(found->second), ", as ", path_, " says"));
        }
    }
    // Every tensor was in the shard that the map gives it, so names differ, and one that is missing shows in
    // the number.
    std::set<std::string> present;
    for (const StoredTensor &tensor : tensors_)
        present.insert(tensor.name);
    for (const auto &[name, shard] : shardOf)
        if (!present.contains(name))
            throw ReadError(text(folder, shard, ": tensor ", shown(name), " is missing; ", path_,
                                 " says that it is there"));
}

const StoredTensor *Weights::find(const std::string &name) const {
    const auto found =
        std::lower_bound(tensors_.begin(), tensors_.end(), name,
                         [](const StoredTensor &tensor, const std::string &n) { return tensor.name < n; });
    return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

uint64_t Weights::bytes() const {
    uint64_t total = 0;
    for (const StoredTensor &tensor : tensors_)
        total += tensor.elements() * elementBytes(tensor.type);
    return total;
}

std::vector<float> Weights::readFloats(const StoredTensor &tensor) const {
    const File &file = files_[tensor.file];
    if (const auto *torch = std::get_if<TorchFile>(&file))
        return torch->readFloats(torch->tensors()[tensor.entry]);
    const auto &safetensors = std::get<SafetensorsFile>(file);
    return safetensors.readFloats(safetensors.entries()[tensor.entry]);
}

const std::string &Weights::fileOf(const StoredTensor &tensor) const {
    return std::visit([](const auto &file) -> const std::string & { return file.path(); },
                      files_[tensor.file]);
}

std::vector<float> WeightTaker::take(const std::string &name, const std::vector<uint64_t> &shape) {
    const StoredTensor *tensor = weights_.find(name);
    if (tensor == nullptr)
        throw ReadError(text(weights_.path(), ": tensor \"", name, "\" of shape ", shapeText(shape),
                             " is missing; ", askedBy_, " asks for it"));
    const std::string where = text(weights_.fileOf(*tensor), ": tensor \"", name, "\"");
    if (tensor->shape != shape)
        throw ReadError(text(where, " has shape ", shapeText(tensor->shape), ", ", askedBy_, " asks for ",
                             shapeText(shape)));
    std::vector<float> values = weights_.readFloats(*tensor);
    for (size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]))
            throw ReadError(text(where, " element ", i, " is ", std::isnan(values[i]) ? "NaN" : "infinite",
                                 ", expected a finite number"));
    taken_.insert(name);
    return values;
}

void WeightTaker::expectAllTaken() const {
    for (const StoredTensor &tensor : weights_.tensors())
        if (!taken_.contains(tensor.name))
            throw ReadError(text(weights_.fileOf(tensor), ": tensor \"", tensor.name, "\" of shape ",
                                 shapeText(tensor.shape), " is not used by the model that ", askedBy_,
                                 " describes"));
}

} // namespace mote::convert
