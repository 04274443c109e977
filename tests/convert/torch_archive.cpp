#include "torch_archive.h"

#include "read/zip.h"

#include <cstring>

namespace mote::convert {

std::string little(uint64_t value, int bytes) {
    std::string all;
    for (int i = 0; i < bytes; ++i)
        all += static_cast<char>(value >> (8 * i));
    return all;
}

std::string Archive::bytes() const {
    std::string file, directory;
    std::vector<uint64_t> places;
    for (const ArchiveEntry &entry : entries) {
        const uint64_t size = entry.sizeGiven == 0xFFFFFFFF ? entry.data.size() : entry.sizeGiven;
        const uint32_t checksum =
            crc32(reinterpret_cast<const uint8_t *>(entry.data.data()), entry.data.size()) ^
            (entry.damagedChecksum ? 1u : 0u);
        const uint16_t flags = static_cast<uint16_t>(entry.flags | (entry.dataDescriptor ? 8 : 0));
        places.push_back(entry.sameDataAs < 0 ? file.size() : places[static_cast<size_t>(entry.sameDataAs)]);
        const std::string sizes = entry.zip64 ? little(~0ull, 8) : little(size, 4) + little(size, 4);
        const std::string extra = entry.zip64 ? little(1, 2) + little(24, 2) + little(size, 8) +
                                                    little(size, 8) + little(places.back(), 8)
                                              : "";
        file += little(0x04034b50, 4) + little(20, 2) + little(flags, 2) + little(entry.method, 2) +
                little(0, 4) + little(entry.dataDescriptor ? 0 : checksum, 4) +
                (entry.dataDescriptor ? little(0, 8) : sizes) + little(entry.name.size(), 2) +
                little(extra.size(), 2) + entry.name + extra + entry.data;
        if (entry.dataDescriptor)
            file += little(0x08074b50, 4) + little(checksum, 4) + little(size, 4) + little(size, 4);
        directory += little(0x02014b50, 4) + little(20, 2) + little(20, 2) + little(flags, 2) +
                     little(entry.method, 2) + little(0, 4) + little(checksum, 4) + sizes +
                     little(entry.name.size(), 2) + little(extra.size(), 2) + little(0, 2) + little(0, 2) +
                     little(0, 2) + little(0, 4) +
                     (entry.zip64 ? little(~0ull, 4) : little(places.back(), 4)) + entry.name + extra;
    }
    const uint64_t begin = file.size();
    file += directory;
    if (zip64End) {
        const uint64_t record = file.size();
        file += little(0x06064b50, 4) + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 4) +
                little(0, 4) + little(entries.size(), 8) + little(entries.size(), 8) +
                little(directory.size(), 8) + little(begin, 8);
        file += little(0x07064b50, 4) + little(0, 4) + little(record, 8) + little(1, 4);
        return file + little(0x06054b50, 4) + little(0, 4) + little(~0ull, 4) + little(~0ull, 8) +
               little(0, 2);
    }
    return file + little(0x06054b50, 4) + little(0, 4) + little(entries.size(), 2) +
           little(entries.size(), 2) + little(directory.size(), 4) + little(begin, 4) + little(0, 2);
}

std::string pickleText(const std::string &text) {
    return "X" + little(text.size(), 4) + text;
}

std::string pickleNumber(int64_t number) {
    return "\x8a\x08" + little(static_cast<uint64_t>(number), 8);
}

std::string pickleTuple(const std::vector<std::string> &items) {
    std::string all = "(";
    for (const std::string &item : items)
        all += item;
    return all + "t";
}

std::string pickleGlobal(const std::string &module, const std::string &name) {
    return "c" + module + "\n" + name + "\n";
}

std::string pickleStorage(const std::string &storageClass, const std::string &key, int64_t elements) {
    return pickleTuple({pickleText("storage"), pickleGlobal("torch", storageClass), pickleText(key),
                        pickleText("cpu"), pickleNumber(elements)}) +
           "Q";
}

std::string pickleTensor(const std::string &storage, int64_t offset, const std::vector<int64_t> &size,
                         const std::vector<int64_t> &stride) {
    std::vector<std::string> sizes, strides;
    for (int64_t each : size)
        sizes.push_back(pickleNumber(each));
    for (int64_t each : stride)
        strides.push_back(pickleNumber(each));
    return pickleGlobal("torch._utils", "_rebuild_tensor_v2") +
           pickleTuple({storage, pickleNumber(offset), pickleTuple(sizes), pickleTuple(strides), "\x89",
                        pickleGlobal("collections", "OrderedDict") + ")R"}) +
           "R";
}

std::string pickleStateDict(const std::vector<std::pair<std::string, std::string>> &items) {
    std::string all = "\x80\x02" + pickleGlobal("collections", "OrderedDict") + ")R(";
    for (const auto &[name, value] : items)
        all += pickleText(name) + value;
    return all + "u.";
}

Archive archiveOf(const std::string &pickle, const std::vector<float> &storage) {
    std::string data(storage.size() * sizeof(float), '\0');
    std::memcpy(data.data(), storage.data(), data.size());
    return {{{"archive/data.pkl", pickle}, {"archive/data/0", data}, {"archive/version", "3\n"}}};
}

} // namespace mote::convert
