// Files whose checksums are right and whose content is not: each must be refused with a message that names
// the file, the field, what was found and what was expected, before any work that the content asks for is
// done.
#include "model/hostile_cases.h"
#include "model/reader.h"
#include "model/validate.h"
#include "model/writer.h"

#include <cstring>
#include <gtest/gtest.h>

#include "mote_generated.h"

namespace mote::test {
namespace {

const std::vector<Hostile> &table() {
    static const std::vector<Hostile> kTable = [] {
        std::vector<Hostile> all = hostileLayouts();
        for (const auto &more : {hostileGraphs(), hostileRecipes()})
            all.insert(all.end(), more.begin(), more.end());
        return all;
    }();
    return kTable;
}

Status readStatus(const std::vector<uint8_t> &file) {
    const Source source = std::move(Source::fromMemory(file.data(), file.size(), "hostile.mote").value());
    return readModel(source).status();
}

TEST(HostileModel, TheSampleItselfIsRead) {
    const Status status = readStatus(assemble(rawFile(sampleModel())));
    EXPECT_TRUE(status.ok()) << status.message;
}

TEST(HostileModel, EachIsRefusedByFileAndField) {
    const RawFile good = rawFile(sampleModel());
    for (const Hostile &hostile : table()) {
        RawFile raw = good;
        hostile.spoil(raw);
        const Status status = readStatus(assemble(raw));
        EXPECT_EQ(status.code, hostile.code) << hostile.name << ": " << status.message;
        EXPECT_EQ(status.message.rfind("hostile.mote: ", 0), 0u) << hostile.name << ": " << status.message;
        EXPECT_NE(status.message.find(hostile.field), std::string::npos)
            << hostile.name << ": expected '" << hostile.field << "' in: " << status.message;
        EXPECT_NE(status.message.find("found "), std::string::npos) << hostile.name << ": " << status.message;
        EXPECT_NE(status.message.find("expected "), std::string::npos)
            << hostile.name << ": " << status.message;
    }
    EXPECT_GE(table().size(), 40u);
}

// What is wrong in the model's structs must not leave the writer either.
TEST(HostileModel, TheWriterRefusesWhatTheReaderWould) {
    const Sample sample = sampleModel();
    const std::string path = freshDirectory("hostile_write") + "/model.mote";
    for (const Hostile &hostile : table()) {
        RawFile raw = rawFile(sample);
        hostile.spoil(raw);
        const std::string field = hostile.field;
        const bool layout = field.rfind("header", 0) == 0 || field.find("segment") != std::string::npos ||
                            field.find("offset") != std::string::npos || field.find("padding") == 0 ||
                            field.find("gap") != std::string::npos || field.find("required_features") == 0 ||
                            (field.find("weights[0]") == 0 && field.find(".bytes") != std::string::npos);
        if (layout)
            continue; // the writer's own choice
        const Status status = writeModel(
            raw.model,
            [](uint32_t, uint64_t, void *to, size_t bytes) {
                std::memset(to, 0, bytes);
                return Status{};
            },
            path);
        EXPECT_FALSE(status.ok()) << hostile.name;
    }
    EXPECT_TRUE(listDirectory(path.substr(0, path.rfind('/'))).empty());
}

TEST(HostileModel, AnUnknownOptionalSegmentIsSkipped) {
    RawFile raw = rawFile(sampleModel());
    raw.model.segments.push_back({});
    raw.model.segments[1].offset =
        (raw.model.segments[0].offset + raw.model.segments[0].bytes + 63) / 64 * 64;
    raw.model.segments[1].bytes = 100;
    raw.labels.push_back({"preview", 12345, false});
    const Status status = readStatus(assemble(raw));
    EXPECT_TRUE(status.ok()) << status.message;
    // But no weight may lie in it.
    raw.model.weights.back().segment = 1;
    raw.model.weights.back().offset = 0;
    const Status refused = readStatus(assemble(raw));
    EXPECT_NE(refused.message.find("segment: found 1, of a kind not known"), std::string::npos)
        << refused.message;
}

// FlatBuffers may share: 8192 tensors of one name of 250 bytes, or 16 graphs that are one. Such a root
// describes far more than it holds; an honest one does not, and pays for each part once.
TEST(HostileModel, PartsUsedOverAndOverAreRefused) {
    for (const bool wholeTensors : {false, true}) {
        flatbuffers::FlatBufferBuilder b;
        const auto longName = b.CreateString(std::string(250, 'n'));
        std::vector<flatbuffers::Offset<format::Tensor>> all;
        for (uint32_t i = 0; i < kMaxTensors; ++i)
            all.push_back(wholeTensors && i > 0 ? all[0] : format::CreateTensor(b, longName, 0, 8));
        const auto tensors = b.CreateVector(all);
        const auto graph = format::CreateGraph(b, b.CreateString("unet"), 2, 0, 1, tensors);
        const std::vector<flatbuffers::Offset<format::Graph>> graphs(wholeTensors ? kMaxGraphs : 1, graph);
        const auto graphVector = b.CreateVector(graphs);
        const auto name = b.CreateString("shared");
        format::RootBuilder root(b);
        root.add_name(name);
        root.add_graphs(graphVector);
        b.Finish(root.Finish());
        EXPECT_LT(b.GetSize(), 200000u);
        std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
        file.resize(kHeaderBytes);
        file.insert(file.end(), b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
        storeLittle(file.data() + kHeaderRootOffset, kHeaderBytes, 8);
        storeLittle(file.data() + kHeaderRootBytes, b.GetSize(), 8);
        storeLittle(file.data() + kHeaderFileBytes, file.size(), 8);
        seal(file);
        const Status status = readStatus(file);
        EXPECT_EQ(status.code, StatusCode::InvalidModel);
        EXPECT_NE(
            status.message.find(wholeTensors ? "root: found a damaged FlatBuffer" : "used more than once"),
            std::string::npos)
            << status.message;
    }
}

} // namespace
} // namespace mote::test
