#include "read/safetensors.h"

#include "read/elements.h"
#include "read/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <unistd.h>

namespace mote::convert {

namespace {

using nlohmann::json;

// The reference implementation allows 100 MB; the largest public UNet's header is below 1 MB.
constexpr uint64_t kMaxHeaderBytes = uint64_t(16) << 20;
constexpr size_t kMaxRank = 8;

uint64_t littleEndian64(const uint8_t *bytes) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; --i)
        value = (value << 8) | bytes[i];
    return value;
}

uint64_t unsignedNumber(const json &value, const std::string &where, const char *field) {
    if (!value.is_number_unsigned())
        throw ReadError(
            text(where, ": ", field, " holds ", shownJson(value), ", expected a whole number from 0"));
    return value.get<uint64_t>();
}

// One "name": {"dtype": ..., "shape": [...], "data_offsets": [begin, end]}. dataStart and dataBytes: where
// the tensors' bytes are in the file.
SafetensorsEntry parseEntry(const std::string &name, const json &fields, const std::string &path,
                            uint64_t dataStart, uint64_t dataBytes) {
    const std::string where = text(path, ": tensor ", shownJson(json(name)));
    if (!fields.is_object())
        throw ReadError(text(where, ": found ", shownJson(fields), ", expected an object"));
    for (const char *needed : {"dtype", "shape", "data_offsets"})
        if (!fields.contains(needed))
            throw ReadError(text(where, ": field \"", needed, "\" is missing"));
    if (fields.size() != 3)
        throw ReadError(
            text(where, ": has ", fields.size(), " fields, expected dtype, shape and data_offsets"));
    SafetensorsEntry entry;
    entry.name = name;
    if (!fields["dtype"].is_string())
        throw ReadError(text(where, ": dtype is ", shownJson(fields["dtype"]), ", expected a string"));
    entry.type = fields["dtype"].get<std::string>();

    uint64_t bytes = elementBytes(entry.type);
    if (bytes == 0)
        throw ReadError(text(where, ": dtype \"", entry.type,
                             "\" is not known; F64, F32, F16, BF16, I64, I32, I16, I8, U64, "
                             "U32, U16, U8 and BOOL are"));
    const json &shape = fields["shape"];
    if (!shape.is_array() || shape.size() > kMaxRank)
        throw ReadError(text(where, ": shape is ", shownJson(shape), ", expected a list of at most ",
                             kMaxRank, " sizes"));
    for (const json &extent : shape) {
        const uint64_t size = unsignedNumber(extent, where, "shape");
        entry.shape.push_back(size);
        if (size != 0 && bytes > std::numeric_limits<uint64_t>::max() / size)
            throw ReadError(text(where, ": shape ", shownJson(shape), " overflows 64 bits"));
        bytes *= size;
    }
    const json &offsets = fields["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2)
        throw ReadError(text(where, ": data_offsets is ", shownJson(offsets), ", expected [begin, end]"));
    const uint64_t begin = unsignedNumber(offsets[0], where, "data_offsets");
    const uint64_t end = unsignedNumber(offsets[1], where, "data_offsets");
    if (begin > end || end > dataBytes)
        throw ReadError(text(where, ": data_offsets [", begin, ", ", end, "] are not within the ", dataBytes,
                             " bytes of data that the file has"));
    if (end - begin != bytes)
        throw ReadError(text(where, ": data_offsets span ", end - begin, " bytes, shape ", shownJson(shape),
                             " of ", entry.type, " needs ", bytes));
    entry.begin = dataStart + begin;
    entry.end = dataStart + end;
    return entry;
}

// Every byte of data belongs to exactly one tensor.
void checkCoverage(const std::vector<SafetensorsEntry> &entries, const std::string &path, uint64_t dataStart,
                   uint64_t dataEnd) {
    std::vector<const SafetensorsEntry *> inOrder;
    for (const SafetensorsEntry &entry : entries)
        inOrder.push_back(&entry);
    std::sort(inOrder.begin(), inOrder.end(), [](const SafetensorsEntry *a, const SafetensorsEntry *b) {
        return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
    });
    uint64_t covered = dataStart;
    const SafetensorsEntry *previous = nullptr;
    for (const SafetensorsEntry *entry : inOrder) {
        if (entry->begin < covered)
            throw ReadError(text(path, ": tensors ", shownJson(json(previous->name)), " and ",
                                 shownJson(json(entry->name)), " overlap at data byte ",
                                 entry->begin - dataStart));
        if (entry->begin > covered)
            throw ReadError(text(path, ": data bytes ", covered - dataStart, " to ", entry->begin - dataStart,
                                 " belong to no tensor"));
        covered = entry->end;
        previous = entry;
    }
    if (covered != dataEnd)
        throw ReadError(text(path, ": data bytes ", covered - dataStart, " to ", dataEnd - dataStart,
                             " belong to no tensor"));
}

std::string errorText() {
    return std::strerror(errno);
}

} // namespace

uint64_t SafetensorsEntry::elements() const {
    uint64_t count = 1;
    for (uint64_t extent : shape)
        count *= extent;
    return count;
}

SafetensorsFile::SafetensorsFile(const std::string &path) : file_(path) {
    uint8_t length[8];
    if (file_.bytes() < sizeof length)
        throw ReadError(text(path, ": has ", file_.bytes(),
                             " bytes, a safetensors file begins with an 8-byte header length"));
    file_.read(0, length, sizeof length, "header length");
    const uint64_t headerBytes = littleEndian64(length), follow = file_.bytes() - sizeof length;
    if (headerBytes > follow)
        throw ReadError(text(path, ": header length is ", headerBytes, ", only ", follow, " bytes follow"));
    if (headerBytes > kMaxHeaderBytes)
        throw ReadError(
            text(path, ": header length is ", headerBytes, ", at most ", kMaxHeaderBytes, " are read"));
    std::string header(headerBytes, '\0');
    file_.read(sizeof length, header.data(), header.size(), "header");

    const json document = parseJson(header, text(path, ": header"));
    if (!document.is_object())
        throw ReadError(text(path, ": header is ", shownJson(document), ", expected an object"));
    const uint64_t dataStart = sizeof length + headerBytes;
    for (const auto &[name, fields] : document.items())
        if (name != "__metadata__") // strings of the writer's own
            entries_.push_back(parseEntry(name, fields, path, dataStart, file_.bytes() - dataStart));
    checkCoverage(entries_, path, dataStart, file_.bytes());
    std::sort(entries_.begin(), entries_.end(),
              [](const SafetensorsEntry &a, const SafetensorsEntry &b) { return a.name < b.name; });
}

const SafetensorsEntry *SafetensorsFile::find(const std::string &name) const {
    const auto found =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const SafetensorsEntry &entry, const std::string &n) { return entry.name < n; });
    return found != entries_.end() && found->name == name ? &*found : nullptr;
}

const SafetensorsEntry &SafetensorsFile::get(const std::string &name) const {
    if (const SafetensorsEntry *entry = find(name))
        return *entry;
    throw ReadError(text(path(), ": has no tensor \"", name, "\""));
}

std::vector<float> SafetensorsFile::readFloats(const SafetensorsEntry &entry) const {
    const std::string what = text("tensor \"", entry.name, "\"");
    if (!isFloating(entry.type))
        throw ReadError(text(path(), ": ", what, " has dtype ", entry.type, ", expected ", kFloatingNames));
    std::vector<float> values(entry.elements());
    if (entry.type == "F32") { // without a second copy
        file_.read(entry.begin, values.data(), values.size() * sizeof(float), what);
    } else {
        std::vector<uint8_t> bytes(entry.end - entry.begin);
        file_.read(entry.begin, bytes.data(), bytes.size(), what);
        floatsFrom(entry.type, bytes.data(), values.size(), values.data());
    }
    return values;
}

std::vector<int64_t> SafetensorsFile::readIntegers(const SafetensorsEntry &entry) const {
    const std::string what = text("tensor \"", entry.name, "\"");
    if (entry.type != "I64" && entry.type != "I32")
        throw ReadError(text(path(), ": ", what, " has dtype ", entry.type, ", expected I64 or I32"));
    std::vector<int64_t> values(entry.elements());
    if (entry.type == "I64") {
        file_.read(entry.begin, values.data(), values.size() * sizeof(int64_t), what);
    } else {
        std::vector<int32_t> narrow(values.size());
        file_.read(entry.begin, narrow.data(), narrow.size() * sizeof(int32_t), what);
        std::copy(narrow.begin(), narrow.end(), values.begin());
    }
    return values;
}

void writeSafetensors(const std::string &path, const std::vector<TensorToWrite> &tensors) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    uint64_t offset = 0;
    for (const TensorToWrite &tensor : tensors) {
        uint64_t elements = 1;
        for (uint64_t extent : tensor.shape)
            elements *= extent;
        if (elements != tensor.values.size())
            throw ReadError(text(path, ": tensor \"", tensor.name, "\" has ", tensor.values.size(),
                                 " values, its shape ", elements));
        if (header.contains(tensor.name))
            throw ReadError(text(path, ": tensor \"", tensor.name, "\" is given twice"));
        const uint64_t bytes = elements * sizeof(float);
        header[tensor.name] = {
            {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
        offset += bytes;
    }
    std::string json = header.dump();
    json.resize((json.size() + 7) / 8 * 8, ' '); // so that the data are aligned
    const uint64_t headerBytes = json.size();

    const std::string temporary = text(path, ".", getpid(), ".tmp");
    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(temporary.c_str(), "wbx"), &std::fclose);
    if (!file)
        throw ReadError(text(temporary, ": cannot be created: ", errorText()));
    bool good = std::fwrite(&headerBytes, 1, sizeof headerBytes, file.get()) == sizeof headerBytes &&
                std::fwrite(json.data(), 1, json.size(), file.get()) == json.size();
    for (const TensorToWrite &tensor : tensors) {
        const size_t count = tensor.values.size(); // without values there is no address to write from
        good = good &&
               (count == 0 || std::fwrite(tensor.values.data(), sizeof(float), count, file.get()) == count);
    }
    good = std::fclose(file.release()) == 0 && good;
    good = good && std::rename(temporary.c_str(), path.c_str()) == 0;
    if (!good) {
        const std::string reason = errorText();
        std::remove(temporary.c_str());
        throw ReadError(text(path, ": cannot be written: ", reason));
    }
}

} // namespace mote::convert
