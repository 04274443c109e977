#include "read/safetensors.h"

#include "read/half.h"
#include "read/text.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <limits>
#include <unistd.h>

namespace mote::convert {

namespace {

using nlohmann::json;

// The reference implementation allows 100 MB; the largest public UNet's header is below 1 MB.
constexpr uint64_t kMaxHeaderBytes = uint64_t(16) << 20;
constexpr size_t kMaxRank = 8;

struct ElementType {
    const char *name;
    uint64_t bytes;
};
constexpr ElementType kElementTypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                         {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                                         {"U16", 2}, {"U8", 1},  {"BOOL", 1}};

uint64_t elementBytes(const std::string &type, const std::string &where) {
    for (const ElementType &known : kElementTypes)
        if (type == known.name)
            return known.bytes;
    throw ReadError(text(where, ": dtype \"", type,
                         "\" is not known; F64, F32, F16, BF16, I64, I32, I16, I8, U64, "
                         "U32, U16, U8 and BOOL are"));
}

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

    uint64_t bytes = elementBytes(entry.type, where);
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

SafetensorsFile::SafetensorsFile(const std::string &path)
    : path_(path), file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
    if (!file_)
        throw ReadError(text(path, ": cannot be opened: ", errorText()));
    if (fseeko(file_.get(), 0, SEEK_END) != 0)
        throw ReadError(text(path, ": cannot be read: ", errorText()));
    const off_t end = ftello(file_.get());
    if (end < 0 || fseeko(file_.get(), 0, SEEK_SET) != 0)
        throw ReadError(text(path, ": cannot be read: ", errorText()));
    const auto fileBytes = static_cast<uint64_t>(end);
    uint8_t length[8];
    if (fileBytes < sizeof length)
        throw ReadError(text(path, ": has ", fileBytes,
                             " bytes, a safetensors file begins with an 8-byte header length"));
    if (std::fread(length, 1, sizeof length, file_.get()) != sizeof length)
        throw ReadError(text(path, ": cannot be read: ", errorText()));
    const uint64_t headerBytes = littleEndian64(length);
    if (headerBytes > fileBytes - sizeof length)
        throw ReadError(text(path, ": header length is ", headerBytes, ", only ", fileBytes - sizeof length,
                             " bytes follow"));
    if (headerBytes > kMaxHeaderBytes)
        throw ReadError(
            text(path, ": header length is ", headerBytes, ", at most ", kMaxHeaderBytes, " are read"));
    std::string header(headerBytes, '\0');
    if (std::fread(header.data(), 1, header.size(), file_.get()) != header.size())
        throw ReadError(text(path, ": cannot be read: ", errorText()));

    const json document = parseJson(header, text(path, ": header"));
    if (!document.is_object())
        throw ReadError(text(path, ": header is ", shownJson(document), ", expected an object"));
    const uint64_t dataStart = sizeof length + headerBytes;
    for (const auto &[name, fields] : document.items())
        if (name != "__metadata__") // strings of the writer's own
            entries_.push_back(parseEntry(name, fields, path, dataStart, fileBytes - dataStart));
    checkCoverage(entries_, path, dataStart, fileBytes);
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
    throw ReadError(text(path_, ": has no tensor \"", name, "\""));
}

std::vector<uint8_t> SafetensorsFile::readBytes(const SafetensorsEntry &entry) const {
    std::vector<uint8_t> bytes(entry.end - entry.begin);
    if (fseeko(file_.get(), static_cast<off_t>(entry.begin), SEEK_SET) != 0 ||
        std::fread(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
        throw ReadError(
            text(path_, ": tensor \"", entry.name, "\": its ", bytes.size(), " bytes cannot be read: ",
                 std::ferror(file_.get()) != 0 ? errorText() : std::string("the file has become shorter")));
    return bytes;
}

std::vector<float> SafetensorsFile::readFloats(const SafetensorsEntry &entry) const {
    if (entry.type != "F32" && entry.type != "F16" && entry.type != "BF16")
        throw ReadError(text(path_, ": tensor \"", entry.name, "\" has dtype ", entry.type,
                             ", expected F32, F16 or BF16"));
    const std::vector<uint8_t> bytes = readBytes(entry);
    std::vector<float> values(entry.elements());
    for (size_t i = 0; i < values.size(); ++i) {
        if (entry.type == "F32") {
            const uint8_t *b = bytes.data() + 4 * i;
            values[i] = std::bit_cast<float>(uint32_t(b[0]) | uint32_t(b[1]) << 8 | uint32_t(b[2]) << 16 |
                                             uint32_t(b[3]) << 24);
        } else {
            const auto bits = static_cast<uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8);
            values[i] = entry.type == "F16" ? floatFromHalf(bits) : floatFromBfloat16(bits);
        }
    }
    return values;
}

std::vector<int64_t> SafetensorsFile::readIntegers(const SafetensorsEntry &entry) const {
    if (entry.type != "I64" && entry.type != "I32")
        throw ReadError(
            text(path_, ": tensor \"", entry.name, "\" has dtype ", entry.type, ", expected I64 or I32"));
    const std::vector<uint8_t> bytes = readBytes(entry);
    const size_t size = entry.type == "I64" ? 8 : 4;
    std::vector<int64_t> values(entry.elements());
    for (size_t i = 0; i < values.size(); ++i) {
        uint8_t wide[8];
        std::memset(wide, size == 4 && (bytes[4 * i + 3] & 0x80) != 0 ? 0xFF : 0,
                    sizeof wide); // sign extension
        std::memcpy(wide, bytes.data() + size * i, size);
        values[i] = static_cast<int64_t>(littleEndian64(wide));
    }
    return values;
}

void writeSafetensors(const std::string &path, const std::vector<TensorToWrite> &tensors) {
    static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");
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
    for (const TensorToWrite &tensor : tensors)
        good = good && std::fwrite(tensor.values.data(), sizeof(float), tensor.values.size(), file.get()) ==
                           tensor.values.size();
    good = std::fclose(file.release()) == 0 && good;
    good = good && std::rename(temporary.c_str(), path.c_str()) == 0;
    if (!good) {
        const std::string reason = errorText();
        std::remove(temporary.c_str());
        throw ReadError(text(path, ": cannot be written: ", reason));
    }
}

} // namespace mote::convert
