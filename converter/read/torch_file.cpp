#include "read/torch_file.h"

#include "read/elements.h"
#include "read/error.h"
#include "read/json.h"
#include "read/text.h"

#include <algorithm>
#include <map>

namespace mote::convert {

namespace {

constexpr uint64_t kMaxPickleBytes = 16u << 20; // 160 bytes a tensor
// A storage that many tensors share is read once for each; more than this is no checkpoint.
constexpr uint64_t kMaxSharing = 8;

std::string shown(const std::string &name) {
    return shownJson(nlohmann::json(name));
}

// "archive/data.pkl" -> "archive/".
std::string folderOf(const ZipFile &zip) {
    std::string folder;
    for (const ZipEntry &entry : zip.entries()) {
        const size_t slash = entry.name.find('/');
        if (slash == std::string::npos ||
            (!folder.empty() && entry.name.compare(0, folder.size(), folder) != 0))
            throw ReadError(text(zip.file().path(), ": entry ", shown(entry.name),
                                 " is not in one folder with the others; this is no file of torch.save"));
        folder = entry.name.substr(0, slash + 1);
    }
    if (zip.find(folder + "constants.pkl") != nullptr)
        throw ReadError(text(zip.file().path(), ": is a TorchScript program, expected a state dict, as "
                                                "torch.save(model.state_dict(), FILE) writes it"));
    if (zip.find(folder + "data.pkl") == nullptr)
        throw ReadError(
            text(zip.file().path(), ": has no entry \"data.pkl\"; this is no file of torch.save"));
    return folder;
}

std::string readText(const ZipFile &zip, const ZipEntry &entry, uint64_t most) {
    if (entry.bytes > most)
        throw ReadError(text(zip.file().path(), ": entry ", shown(entry.name), " has ", entry.bytes,
                             " bytes, at most ", most, " are read"));
    std::string content(entry.bytes, '\0');
    zip.read(entry, 0, content.data(), content.size());
    return content;
}

void refuseOldFormats(const std::string &path) {
    const InputFile file(path);
    uint8_t start[2] = {}, tar[5] = {};
    if (file.bytes() >= 2)
        file.read(0, start, sizeof start, "beginning");
    if (file.bytes() >= 512)
        file.read(257, tar, sizeof tar, "beginning");
    if ((start[0] == 0x80 && start[1] <= 5) || std::equal(tar, tar + 5, "ustar"))
        throw ReadError(text(path,
                             ": is in PyTorch's format from before version 1.6, expected the zip format. "
                             "Re-save it: torch.save(torch.load(FILE, map_location='cpu'), NEW_FILE)"));
}

} // namespace

bool looksLikeTorchFile(const InputFile &file) {
    uint8_t start[4] = {}, tar[5] = {};
    if (file.bytes() >= sizeof start)
        file.read(0, start, sizeof start, "beginning");
    if (file.bytes() >= 512)
        file.read(257, tar, sizeof tar, "beginning");
    const bool zip = start[0] == 'P' && start[1] == 'K';
    // A safetensors file begins with the length of its header, below 2^24, so its fourth byte is 0.
    const bool pickle = start[0] == 0x80 && start[1] <= 5 && start[3] != 0;
    return zip || pickle || std::equal(tar, tar + 5, "ustar");
}

TorchFile::TorchFile(const std::string &path)
    : zip_((refuseOldFormats(path), path)), folder_(folderOf(zip_)) {
    const std::string &where = zip_.file().path();
    if (const ZipEntry *order = zip_.find(folder_ + "byteorder"))
        if (const std::string found = readText(zip_, *order, 16); found != "little")
            throw ReadError(
                text(where, ": entry \"byteorder\" is ", shown(found), ", supported: \"little\""));
    tensors_ = unpickleStateDict(readText(zip_, *zip_.find(folder_ + "data.pkl"), kMaxPickleBytes),
                                 text(where, ": data.pkl"));
    std::map<std::string, const PickledTensor *> storages; // by key, with the first tensor that uses it
    uint64_t ofTensors = 0, ofStorages = 0;
    for (const PickledTensor &tensor : tensors_) {
        const std::string tensorWhere = text(where, ": tensor ", shown(tensor.name));
        const ZipEntry *entry = zip_.find(folder_ + "data/" + tensor.storage);
        if (entry == nullptr)
            throw ReadError(text(tensorWhere, ": its storage ", shown(tensor.storage), " is missing"));
        const uint64_t size = elementBytes(tensor.type);
        if (entry->bytes / size != tensor.storageElements || entry->bytes % size != 0)
            throw ReadError(text(tensorWhere, ": its storage ", shown(tensor.storage), " has ", entry->bytes,
                                 " bytes, ", tensor.storageElements, " elements of ", tensor.type, " need ",
                                 size, " each"));
        const auto [first, isNew] = storages.emplace(tensor.storage, &tensor);
        if (first->second->type != tensor.type)
            throw ReadError(text(tensorWhere, ": its storage ", shown(tensor.storage), " holds ", tensor.type,
                                 ", for tensor ", shown(first->second->name), " it holds ",
                                 first->second->type));
        ofStorages += isNew ? entry->bytes : 0;
        uint64_t elements = 1; // at most the storage's
        for (uint64_t extent : tensor.shape)
            elements *= extent;
        ofTensors += elements * size;
    }
    if (ofTensors / kMaxSharing > ofStorages)
        throw ReadError(text(where, ": its tensors have ", ofTensors, " bytes in storages of ", ofStorages,
                             ", at most ", kMaxSharing, " times as many are read"));
    std::sort(tensors_.begin(), tensors_.end(),
              [](const PickledTensor &a, const PickledTensor &b) { return a.name < b.name; });
}

std::vector<float> TorchFile::readFloats(const PickledTensor &tensor) const {
    const std::string what = text("tensor \"", tensor.name, "\"");
    if (!isFloating(tensor.type))
        throw ReadError(text(path(), ": ", what, " has dtype ", tensor.type, ", expected ", kFloatingNames));
    uint64_t count = 1, last = 0, expectedStride = 1;
    bool rowMajor = true;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
        count *= tensor.shape[i];
        if (tensor.shape[i] <= 1)
            continue;
        rowMajor = rowMajor && tensor.strides[i] == expectedStride;
        expectedStride *= tensor.shape[i];
        last += (tensor.shape[i] - 1) * tensor.strides[i];
    }
    std::vector<float> values(count);
    if (count == 0)
        return values;
    const uint64_t size = elementBytes(tensor.type);
    const ZipEntry &storage = *zip_.find(folder_ + "data/" + tensor.storage);
    if (rowMajor && tensor.type == "F32") { // without a second copy
        zip_.read(storage, tensor.offset * size, values.data(), count * size);
        return values;
    }
    std::vector<uint8_t> bytes((last + 1) * size);
    zip_.read(storage, tensor.offset * size, bytes.data(), bytes.size());
    if (rowMajor) {
        floatsFrom(tensor.type, bytes.data(), count, values.data());
        return values;
    }
    std::vector<uint64_t> index(tensor.shape.size(), 0);
    uint64_t at = 0;
    for (float &value : values) { // the last index runs fastest
        floatsFrom(tensor.type, bytes.data() + at * size, 1, &value);
        for (size_t i = index.size(); i-- > 0;) {
            at += tensor.strides[i];
            if (++index[i] < tensor.shape[i])
                break;
            at -= tensor.shape[i] * tensor.strides[i];
            index[i] = 0;
        }
    }
    return values;
}

} // namespace mote::convert
