// PyTorch's own files: what torch 1.13 wrote is read to the bit; everything else is refused by name and never
// run.
#include "checkpoint_folder.h"
#include "torch_archive.h"

#include "convert.h"
#include "read/weights.h"

#include <gtest/gtest.h>

#include <random>

namespace mote::convert {
namespace {

class TorchFiles : public testing::Test {
protected:
    std::string file(const std::string &name) const { return folder_.at(name); }
    std::string written(const std::string &content, const std::string &name = "weights.pth") const {
        writeFile(file(name), content);
        return file(name);
    }
    static std::string message(const std::string &path) {
        try {
            const Weights weights(path);
            for (const StoredTensor &tensor : weights.tensors())
                weights.readFloats(tensor);
        } catch (const ReadError &error) {
            return error.what();
        }
        return "";
    }
    test::ScratchFolder folder_;
};

std::string golden(const char *name) {
    return std::string(MOTE_TESTS_DIR) + "/goldens/torch/" + name;
}

// One tensor of 2x3 over the storage 0..5.
std::string pickleOfOne() {
    return pickleStateDict({{"a", pickleTensor(pickleStorage("FloatStorage", "0", 6), 0, {2, 3}, {3, 1})}});
}
const std::vector<float> kSix = {0, 1, 2, 3, 4, 5};

TEST_F(TorchFiles, WhatTorchWroteIsRead) {
    const Weights weights(golden("state_dict.pth"));
    const auto values = [&](const char *name) { return weights.readFloats(*weights.find(name)); };
    EXPECT_EQ(values("plain"), (std::vector<float>{0, 0.25, 0.5, 0.75, 1, 1.25}));
    EXPECT_EQ(weights.find("transposed")->shape, (std::vector<uint64_t>{6, 4}));
    for (size_t i = 0; i < 24; ++i) // arange(24).reshape(4, 6).t()
        EXPECT_EQ(values("transposed")[i], float(i % 4 * 6 + i / 4));
    EXPECT_EQ(values("part"), (std::vector<float>{5, 6, 7, 8, 9, 10})); // of the same storage
    for (size_t i = 0; i < 24; ++i)                                     // stored with the channels last
        EXPECT_EQ(values("channels_last")[i], float(i));
    EXPECT_EQ(values("half"), (std::vector<float>{1.5, -2, 65504}));
    EXPECT_EQ(values("bfloat"), (std::vector<float>{1, -3.140625}));
    EXPECT_EQ(values("double"), (std::vector<float>{0.1f, 1e-30f}));
    EXPECT_EQ(values("parameter"), (std::vector<float>{1, 2}));
    EXPECT_EQ(values("scalar"), std::vector<float>{2.5});
    EXPECT_TRUE(weights.find("scalar")->shape.empty());
    EXPECT_EQ(values("empty"), std::vector<float>());
    EXPECT_EQ(weights.find("count")->type, "I64");
    EXPECT_THROW(values("count"), ReadError);
    EXPECT_EQ(weights.tensors().size(), 11u);
}

TEST_F(TorchFiles, ArchivesMadeHereAreReadInEveryForm) {
    const Archive plain = archiveOf(pickleOfOne(), kSix);
    EXPECT_EQ(message(written(plain.bytes())), "");
    Archive large = plain;
    large.zip64End = true;
    for (ArchiveEntry &entry : large.entries)
        entry.zip64 = true;
    EXPECT_EQ(message(written(large.bytes())), "");
    Archive streamed = plain;
    for (ArchiveEntry &entry : streamed.entries)
        entry.dataDescriptor = true;
    EXPECT_EQ(message(written(streamed.bytes())), "");
    const Weights weights(file("weights.pth"));
    EXPECT_EQ(weights.readFloats(*weights.find("a")), kSix);
    Archive little = plain;
    little.entries.push_back({"archive/byteorder", "little"});
    EXPECT_EQ(message(written(little.bytes())), "");
}

TEST_F(TorchFiles, CheckpointConvertsToTheSameModelFromBin) {
    const CheckpointFolder folder;
    ConvertOptions options;
    options.directory = folder.path();
    const Conversion expected = convertCheckpoint(options);
    const SafetensorsFile weights(folder.file(CheckpointFolder::kWeights));
    std::vector<std::pair<std::string, std::string>> items;
    Archive archive;
    for (const SafetensorsEntry &entry : weights.entries()) {
        std::vector<int64_t> shape(entry.shape.begin(), entry.shape.end()), stride(shape.size(), 1);
        for (size_t i = shape.size(); i-- > 1;)
            stride[i - 1] = stride[i] * shape[i];
        const std::string key = std::to_string(items.size());
        items.emplace_back(
            entry.name,
            pickleTensor(pickleStorage("FloatStorage", key, int64_t(entry.elements())), 0, shape, stride));
        const std::vector<float> values = weights.readFloats(entry);
        archive.entries.push_back(
            {"model/data/" + key,
             std::string(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(float))});
    }
    archive.entries.push_back({"model/data.pkl", pickleStateDict(items)});
    std::filesystem::remove(folder.file(CheckpointFolder::kWeights));
    folder.write("unet/diffusion_pytorch_model.bin", archive.bytes());
    EXPECT_EQ(convertCheckpoint(options).constants.data, expected.constants.data);
}

TEST_F(TorchFiles, OldFormatIsRefusedAndSaysHowToSaveAnew) {
    const std::string found = message(golden("legacy.pth"));
    for (const char *part : {"legacy.pth", "before version 1.6", "torch.save(torch.load("})
        EXPECT_NE(found.find(part), std::string::npos) << found;
}

struct Hostile {
    const char *title;
    std::string pickle;
    std::vector<const char *> named;
};

std::vector<Hostile> hostilePickles() {
    const auto tensor = [](int64_t elements, int64_t offset, std::vector<int64_t> size,
                           std::vector<int64_t> stride, const char *type = "FloatStorage",
                           const char *key = "0") {
        return pickleStateDict(
            {{"a", pickleTensor(pickleStorage(type, key, elements), offset, size, stride)}});
    };
    const std::string good = pickleOfOne(), command = pickleText("exit 1");
    const auto value = [](const std::string &pickled) { return pickleStateDict({{"a", pickled}}); };
    const std::string storage = pickleStorage("FloatStorage", "0", 6), dict = "}";
    std::string nested = good.substr(0, good.size() - 1), deep = "\x80\x02";
    for (int i = 0; i < 2'000'000; ++i)
        deep += "]";
    return {
        {"posix.system",
         value(pickleGlobal("posix", "system") + pickleTuple({command}) + "R"),
         {"posix.system", "nothing of it was called"}},
        {"builtins.eval",
         value(pickleGlobal("__builtin__", "eval") + pickleTuple({pickleText("1")}) + "R"),
         {"__builtin__.eval", "nothing of it was called"}},
        {"a module that hides its name",
         value(pickleGlobal("torch._utils._rebuild_tensor_v2.__globals__", "os") + ")R"),
         {"__globals__.os"}},
        {"a class of the owner's",
         value(pickleGlobal("__main__", "Net") + ")\x81"),
         {"__main__.Net", "state_dict"}},
        {"NEWOBJ", value(pickleGlobal("collections", "OrderedDict") + ")\x81"), {"NEWOBJ", "is not read"}},
        {"STACK_GLOBAL", value(pickleText("posix") + pickleText("system") + "\x93"), {"STACK_GLOBAL"}},
        {"INST", "\x80\x02(" + command + "iposix\nsystem\n.", {"INST"}},
        {"an extension", "\x80\x02\x82\x01.", {"EXT1"}},
        {"a text persistent id", "\x80\x02P0\n.", {"PERSID"}},
        {"an unknown opcode", "\x80\x02\xff.", {"opcode 255"}},
        {"a list that is called", value("]" + pickleTuple({}) + "R"), {"REDUCE calls", "a global", "a list"}},
        {"a storage that is called",
         value(pickleGlobal("torch", "FloatStorage") + pickleTuple({pickleNumber(9)}) + "R"),
         {"torch.FloatStorage", "was not called"}},
        {"OrderedDict with arguments",
         value(pickleGlobal("collections", "OrderedDict") + pickleTuple({"]"}) + "R"),
         {"collections.OrderedDict", "1 arguments"}},
        {"BUILD on a tensor",
         value(good.substr(2, 0) + pickleTensor(storage, 0, {6}, {1}) + "}b"),
         {"expected a dictionary", "a tensor"}},
        {"an empty pickle", "", {"ends where 1 more"}},
        {"no STOP", good.substr(0, good.size() - 1), {"ends where 1 more"}},
        {"truncated text", "\x80\x02X" + little(1u << 30, 4) + "abc", {"1073741824 more bytes"}},
        {"bytes after STOP", good + "N.", {"2 bytes follow STOP"}},
        {"an empty stack", "\x80\x02.", {"empty stack"}},
        {"a mark that is missing", "\x80\x02}u.", {"mark"}},
        {"a value below a mark", "\x80\x02](a.", {"empty stack"}},
        {"an odd dictionary", "\x80\x02}(Nu.", {"no value"}},
        {"a memo that is not set", "\x80\x02h\x07.", {"memo 7"}},
        {"protocol 9", "\x80\x09.", {"protocol 9"}},
        {"two million lists", deep, {"more than 1048576 values"}},
        {"a list that holds itself",
         "\x80\x02]q\x01h\x01" + std::string("a."),
         {"holds a list", "state dict"}},
        {"a dictionary that holds itself",
         "\x80\x02}q\x01" + pickleText("self") + "h\x01s.",
         {"\"self\": a dictionary", "torch.load(FILE)[KEY]"}},
        {"a number of 300 bytes", "\x80\x02\x8a\x64" + std::string(100, '\1') + ".", {"100 bytes"}},
        {"a number for a dictionary", "\x80\x02K\x05.", {"holds a whole number"}},
        {"a nested state dict", value("}"), {"\"a\": a dictionary of 0", "torch.save(torch.load(FILE)[KEY]"}},
        {"a tensor twice",
         pickleStateDict(
             {{"a", pickleTensor(storage, 0, {6}, {1})}, {"a", pickleTensor(storage, 0, {6}, {1})}}),
         {"\"a\" occurs twice"}},
        {"a negative stride", tensor(6, 5, {6}, {-1}), {"stride -1"}},
        {"a negative size", tensor(6, 0, {-6}, {1}), {"size -6"}},
        {"a negative offset", tensor(6, -1, {6}, {1}), {"offset -1"}},
        {"a tensor beyond its storage", tensor(6, 1, {6}, {1}), {"reaches element 6 of a storage of 6"}},
        {"a stride beyond its storage", tensor(6, 0, {2, 3}, {100, 1}), {"reaches element 102"}},
        {"a stride that overflows", tensor(6, 6, {3, 2}, {INT64_MAX, 1}), {"stride", "9223372036854775807"}},
        {"elements that overlap",
         tensor(6, 0, {1000000, 1000000}, {0, 0}),
         {"more elements than its storage"}},
        {"sizes that overflow", tensor(6, 0, {INT64_MAX, INT64_MAX}, {0, 0}), {"more elements"}},
        {"nine dimensions",
         tensor(6, 0, std::vector<int64_t>(9, 1), std::vector<int64_t>(9, 1)),
         {"9 dimensions"}},
        {"fewer strides", tensor(6, 0, {2, 3}, {1}), {"2 sizes and 1 strides"}},
        {"a storage that is too small", tensor(7, 0, {7}, {1}), {"24 bytes", "7 elements of F32"}},
        {"a storage of a negative size", tensor(-1, 0, {0}, {1}), {"storage of -1"}},
        {"another element type", tensor(6, 0, {6}, {1}, "DoubleStorage"), {"24 bytes", "F64"}},
        {"a storage that is missing",
         tensor(6, 0, {6}, {1}, "FloatStorage", "9"),
         {"storage \"9\" is missing"}},
        {"a storage outside the folder",
         tensor(6, 0, {6}, {1}, "FloatStorage", "../../etc/passwd"),
         {"../../etc/passwd", "missing"}},
        {"a storage of two types",
         pickleStateDict({{"a", pickleTensor(storage, 0, {6}, {1})},
                          {"b", pickleTensor(pickleStorage("HalfStorage", "0", 12), 0, {12}, {1})}}),
         {"\"b\"", "F16", "\"a\"", "F32"}},
        {"a persistent id of two",
         value(pickleTuple({pickleText("storage"), pickleText("0")}) + "Q"),
         {"2 parts"}},
        {"a persistent module",
         value(pickleTuple({pickleText("module"), "N", "N", "N", "N"}) + "Q"),
         {"expected ('storage'"}},
        {"a persistent id of numbers", value("K\1Q"), {"persistent id", "a whole number"}},
        {"a storage of no class",
         value(pickleTuple({pickleText("storage"), pickleGlobal("collections", "OrderedDict"),
                            pickleText("0"), pickleText("cpu"), pickleNumber(6)}) +
               "Q"),
         {"storage class \"collections.OrderedDict\""}},
        {"a tensor without storage",
         value(pickleGlobal("torch._utils", "_rebuild_tensor_v2") +
               pickleTuple({"N", "N", ")", ")", "\x89", "N"}) + "R"),
         {"a tensor's storage", "None"}},
    };
}

TEST_F(TorchFiles, EveryHostilePickleIsRefusedByName) {
    EXPECT_GE(hostilePickles().size(), 40u);
    for (const Hostile &hostile : hostilePickles()) {
        const std::string found = message(written(archiveOf(hostile.pickle, kSix).bytes()));
        EXPECT_NE(found, "") << hostile.title << " was accepted";
        for (const char *part : hostile.named)
            EXPECT_NE(found.find(part), std::string::npos)
                << hostile.title << ": no '" << part << "' in: " << found;
        EXPECT_LE(found.size(), 1000u) << hostile.title;
    }
}

TEST_F(TorchFiles, TensorsThatMultiplyAStorageAreRefused) {
    std::vector<std::pair<std::string, std::string>> items;
    for (int i = 0; i < 100; ++i)
        items.emplace_back(std::to_string(i),
                           pickleTensor(pickleStorage("FloatStorage", "0", 6), 0, {6}, {1}));
    const std::string found = message(written(archiveOf(pickleStateDict(items), kSix).bytes()));
    EXPECT_NE(found.find("2400 bytes in storages of 24"), std::string::npos) << found;
}

TEST_F(TorchFiles, EveryHostileArchiveIsRefusedByName) {
    const Archive good = archiveOf(pickleOfOne(), kSix);
    const auto changed = [&](const std::function<void(Archive &)> &change) {
        Archive archive = good;
        change(archive);
        return archive.bytes();
    };
    const auto entry = [&](const std::function<void(ArchiveEntry &)> &change) {
        return changed([&](Archive &archive) { change(archive.entries[1]); });
    };
    const std::string bytes = good.bytes();
    const struct {
        const char *title;
        std::string file;
        std::vector<const char *> named;
    } all[] = {
        {"compressed", entry([](ArchiveEntry &e) { e.method = 8; }), {"data/0", "compressed (method 8)"}},
        {"encrypted", entry([](ArchiveEntry &e) { e.flags = 1; }), {"data/0", "encrypted"}},
        {"a size of 4 GB",
         entry([](ArchiveEntry &e) { e.sizeGiven = 0xFFFFFF00; }),
         {"data/0", "4294967040"}},
        {"a damaged storage", entry([](ArchiveEntry &e) { e.damagedChecksum = true; }), {"data/0", "CRC-32"}},
        {"a damaged pickle",
         changed([](Archive &a) { a.entries[0].damagedChecksum = true; }),
         {"data.pkl", "CRC-32"}},
        {"an entry twice",
         changed([](Archive &a) { a.entries.push_back(a.entries[1]); }),
         {"data/0", "twice"}},
        {"entries that share bytes",
         changed([](Archive &a) {
             a.entries.push_back(
                 {"archive/data/0", a.entries[1].data, 0, 0, 0xFFFFFFFF, false, false, false, 1});
         }),
         {"share bytes"}},
        {"another name at its place",
         changed([](Archive &a) {
             a.entries.push_back(
                 {"archive/data/1", a.entries[1].data, 0, 0, 0xFFFFFFFF, false, false, false, 1});
         }),
         {"data/1", "is called", "data/0"}},
        {"no pickle",
         changed([](Archive &a) { a.entries.erase(a.entries.begin()); }),
         {"no entry \"data.pkl\""}},
        {"two folders",
         changed([](Archive &a) {
             a.entries.push_back({"other/data.pkl", ""});
         }),
         {"other/data.pkl"}},
        {"no folder",
         changed([](Archive &a) {
             a.entries.push_back({"data.pkl", ""});
         }),
         {"\"data.pkl\""}},
        {"TorchScript",
         changed([](Archive &a) {
             a.entries.push_back({"archive/constants.pkl", ""});
         }),
         {"TorchScript", "state_dict"}},
        {"big-endian",
         changed([](Archive &a) {
             a.entries.push_back({"archive/byteorder", "big"});
         }),
         {"byteorder", "\"big\"", "little"}},
        {"no end record", bytes.substr(0, bytes.size() - 22), {"end record"}},
        {"half of it", bytes.substr(0, bytes.size() / 2), {"end record"}},
        {"four bytes", "PK\3\4", {"end record"}},
        {"an end record alone", bytes.substr(bytes.size() - 22), {"directory"}},
        {"a pickle of 17 MiB",
         changed([](Archive &a) { a.entries[0].data.resize(17u << 20, 'N'); }),
         {"data.pkl", "17825792", "16777216"}},
    };
    for (const auto &hostile : all) {
        const std::string found = message(written(hostile.file));
        EXPECT_NE(found, "") << hostile.title << " was accepted";
        for (const char *part : hostile.named)
            EXPECT_NE(found.find(part), std::string::npos)
                << hostile.title << ": no '" << part << "' in: " << found;
    }
}

// Whatever happens to a byte, the file is refused or read, and never out of bounds: the sanitizers watch.
TEST_F(TorchFiles, FlippedBitsAndTruncationsNeverCrash) {
    const std::string original = fileContent(golden("state_dict.pth"));
    std::mt19937 generator(7);
    size_t refused = 0;
    for (int i = 0; i < 600; ++i) {
        std::string damaged = original;
        if (i % 4 == 0)
            damaged.resize(generator() % damaged.size());
        else
            for (int flips = 0; flips <= i % 3; ++flips)
                damaged[generator() % damaged.size()] ^= static_cast<char>(1 << (generator() % 8));
        refused += message(written(damaged)).empty() ? 0 : 1;
    }
    EXPECT_GT(refused, 200u); // many bits are padding or dates
}

// ------------------------------------------------------------------------------------------------ shards
class Shards : public TorchFiles {
protected:
    Shards() {
        writeSafetensors(file("model-1.safetensors"), {{"a", {2}, {1, 2}}, {"b", {1}, {3}}});
        writeSafetensors(file("model-2.safetensors"), {{"c", {1}, {4}}});
    }
    std::string index(const nlohmann::json &map) const {
        return written(nlohmann::json({{"metadata", {{"total_size", 16}}}, {"weight_map", map}}).dump(),
                       "model.safetensors.index.json");
    }
    static nlohmann::json goodMap() {
        return {{"a", "model-1.safetensors"}, {"b", "model-1.safetensors"}, {"c", "model-2.safetensors"}};
    }
};

TEST_F(Shards, AreOneSetOfTensors) {
    const Weights weights(index(goodMap()));
    ASSERT_EQ(weights.tensors().size(), 3u);
    EXPECT_EQ(weights.readFloats(*weights.find("a")), (std::vector<float>{1, 2}));
    EXPECT_EQ(weights.readFloats(*weights.find("c")), std::vector<float>{4});
    EXPECT_EQ(weights.bytes(), 16u);
}

TEST_F(Shards, EveryWrongIndexIsRefusedByName) {
    const auto with = [](const char *name, const nlohmann::json &shard) {
        nlohmann::json map = goodMap();
        map[name] = shard;
        return map;
    };
    nlohmann::json without = goodMap();
    without.erase("b");
    const struct {
        nlohmann::json map;
        std::vector<const char *> named;
    } all[] = {
        {with("c", "model-3.safetensors"), {"model-3.safetensors", "cannot be opened"}},
        {with("b", "model-2.safetensors"), {"model-1.safetensors", "\"b\"", "should be in \"model-2"}},
        {with("d", "model-2.safetensors"), {"model-2.safetensors", "\"d\" is missing"}},
        {without, {"model-1.safetensors", "\"b\" is not in"}},
        {with("c", "../model-2.safetensors"), {"\"c\"", "../model-2", "beside the index"}},
        {with("c", "/etc/passwd"), {"\"c\"", "/etc/passwd", "beside the index"}},
        {with("c", ".."), {"\"c\"", "\"..\""}},
        {with("c", ""), {"\"c\"", "\"\""}},
        {with("c", std::string("model-2.safetensors\0x", 21)), {"\"c\"", "u0000"}},
        {with("c", "model.safetensors.index.json"), {"\"c\"", "index.json"}},
        {with("c", 2), {"\"c\"", "is in 2"}},
        {nlohmann::json::object(), {"names 0 files"}},
        {nlohmann::json::array({1}), {"weight_map"}},
    };
    for (const auto &wrong : all) {
        const std::string found = message(index(wrong.map));
        EXPECT_NE(found, "") << wrong.map << " was accepted";
        for (const char *part : wrong.named)
            EXPECT_NE(found.find(part), std::string::npos)
                << wrong.map << ": no '" << part << "' in: " << found;
    }
    writeSafetensors(file("model-2.safetensors"), {{"c", {1}, {4}}, {"a", {2}, {1, 2}}});
    const std::string found = message(index(goodMap()));
    EXPECT_NE(found.find("model-2.safetensors: tensor \"a\" should be in"), std::string::npos) << found;
}

TEST_F(Shards, OfACheckpointConvertToTheSameModel) {
    const CheckpointFolder folder;
    ConvertOptions options;
    options.directory = folder.path();
    const Conversion expected = convertCheckpoint(options);
    const SafetensorsFile weights(folder.file(CheckpointFolder::kWeights));
    std::vector<TensorToWrite> shards[2];
    nlohmann::json map;
    for (const SafetensorsEntry &entry : weights.entries()) {
        const size_t shard = map.size() % 2;
        shards[shard].push_back({entry.name, entry.shape, weights.readFloats(entry)});
        map[entry.name] = std::to_string(shard) + ".safetensors";
    }
    for (size_t i = 0; i < 2; ++i)
        writeSafetensors(folder.file(("unet/" + std::to_string(i) + ".safetensors").c_str()), shards[i]);
    folder.write("unet/diffusion_pytorch_model.safetensors.index.json",
                 nlohmann::json({{"weight_map", map}}).dump());
    std::filesystem::remove(folder.file(CheckpointFolder::kWeights));
    EXPECT_EQ(convertCheckpoint(options).constants.data, expected.constants.data);
}

} // namespace
} // namespace mote::convert
