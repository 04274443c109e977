// What the command refuses: exit codes as README.md has them, messages that name what was found and expected,
// and no output.
#include "command/hostile_files.h"
#include "command/process.h"

#include "read/safetensors.h"

#include <gtest/gtest.h>

namespace mote::test {
namespace {

using convert::TensorToWrite;

TensorToWrite tensor(const std::string &name, const std::vector<uint64_t> &shape, float value = 0.25f) {
    uint64_t elements = 1;
    for (const uint64_t extent : shape)
        elements *= extent;
    return {name, shape, std::vector<float>(elements, value)};
}

class Refusals : public testing::Test {
protected:
    void writePhoto(const PngKind &kind = {}) { writeBytes(scratch.at("in.png"), makePng(kind)); }
    std::string in() const { return scratch.at("in.png"); }
    std::string out() const { return scratch.at("out.png"); }

    Scratch scratch;
};

TEST_F(Refusals, WrongOptionsAreUsageErrors) {
    const std::vector<std::string> cases[] = {
        {},
        {"paint"},
        {"info"},
        {"info", "a.mote", "--frobnicate"},
        {"restore", "in.png"},
        {"restore", "in.png", "-o", "out.png", "--steps", "0"},
        {"restore", "in.png", "-o", "out.png", "--steps", "many"},
        {"restore", "in.png", "-o", "out.png", "--seed", "-1"},
        {"restore", "in.png", "-o", "out.png", "--memory-budget", "0"},
        {"generate", "-o", "out.png"},
        {"check", "a.mote", "--repeat", "1"},
        {"bench", "a.mote"},
        {"run", "a.mote", "-o", "out.safetensors"},
    };
    for (const std::vector<std::string> &arguments : cases) {
        const ProcessResult result = runMote(arguments);
        EXPECT_EQ(result.exitCode, 2) << testing::PrintToString(arguments) << "\n" << result.err;
        EXPECT_NE(result.err, "") << testing::PrintToString(arguments);
    }
}

TEST_F(Refusals, HelpAndVersionGoToStandardOutput) {
    const ProcessResult help = runMote({"--help"});
    EXPECT_EQ(help.exitCode, 0);
    EXPECT_EQ(help.err, "");
    expectParts(help.out, {"devices", "info", "check", "restore", "generate", "run", "eval", "bench",
                           "Exit codes", "130", "XDG_CACHE_HOME"});
    const ProcessResult version = runMote({"--version"});
    EXPECT_EQ(version.exitCode, 0);
    expectParts(version.out, {"mote 0."});
}

TEST_F(Refusals, SizesAreWidthTimesHeight) {
    for (const char *size :
         {"640", "640x", "x480", "0x480", "640x480x3", "640X480", "-1x4", "99999999999x1", ""})
        expectRefused(runMote({"info", shippedModel(), "--size", size}), 2, {"--size", "WIDTHxHEIGHT"});
    writePhoto();
    expectRefused(runMote({"restore", in(), "-o", out(), "--tile", "64"}), 2, {"--tile", "found '64'"});
}

TEST_F(Refusals, ModelsThatAreNoneAreNamed) {
    expectRefused(runMote({"info", scratch.at("none.mote")}), 3, {"none.mote", "No such file"});
    writeBytes(scratch.at("text.mote"), {'h', 'e', 'l', 'l', 'o'});
    expectRefused(runMote({"info", scratch.at("text.mote")}), 3, {"text.mote"});
    writeBytes(scratch.at("empty.mote"), {});
    expectRefused(runMote({"info", scratch.at("empty.mote")}), 3, {"empty.mote"});
    const std::string whole = readText(shippedModel());
    ASSERT_GT(whole.size(), 100000u);
    writeBytes(scratch.at("cut.mote"), {whole.begin(), whole.begin() + 100000});
    expectRefused(runMote({"info", scratch.at("cut.mote")}), 3, {"cut.mote"});
    std::vector<uint8_t> flipped(whole.begin(), whole.end());
    flipped[flipped.size() - 1000] ^= 4;
    writeBytes(scratch.at("flipped.mote"), flipped);
    expectRefused(runMote({"info", scratch.at("flipped.mote")}), 3, {"flipped.mote", "checksum"});
}

TEST_F(Refusals, HostilePicturesLeaveNoOutput) {
    for (const HostileFile &file : hostileFiles()) {
        SCOPED_TRACE(file.what);
        writeBytes(in(), file.bytes);
        std::vector<std::string> parts = file.message;
        parts.push_back(in());
        expectRefused(runMote({"restore", in(), "-o", out()}), 3, parts);
        EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
    }
}

TEST_F(Refusals, InputsThatAreNoFilesAreNamed) {
    expectRefused(runMote({"restore", scratch.at("none.png"), "-o", out()}), 3, {"none.png", "No such file"});
    expectRefused(runMote({"restore", scratch.at(""), "-o", out()}), 3, {"found a directory"});
}

TEST_F(Refusals, ControlCharactersInNamesDoNotReachTheTerminal) {
    const ProcessResult result = runMote({"info", scratch.at("\x1b[31mred\x7f.mote")});
    expectRefused(result, 3, {"?[31mred?.mote"});
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
}

TEST_F(Refusals, OutputsThatCannotBeWrittenAreRefusedBeforeTheRun) {
    writePhoto();
    expectRefused(runMote({"restore", in(), "-o", scratch.at("out.gif")}), 2,
                  {"'.gif'", ".png, .jpg or .jpeg"});
    expectRefused(runMote({"restore", in(), "-o", scratch.at("missing/out.png")}), 7,
                  {"missing", "No such file"});
    expectRefused(runMote({"generate", "--seed", "1", "-o", scratch.at("missing/out.png")}), 7, {"missing"});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
}

TEST_F(Refusals, TransparentPixelsAreNotLostInAJpeg) {
    PngKind kind;
    kind.colour = 6;
    writePhoto(kind);
    expectRefused(runMote({"restore", in(), "-o", scratch.at("out.jpg")}), 2,
                  {"alpha", "expected none for a JPEG"});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
}

TEST_F(Refusals, AMissingDefaultModelSaysWhichFilesWereTried) {
    writePhoto();
    std::filesystem::create_directories(scratch.at("prefix/bin"));
    std::filesystem::copy_file(motePath(), scratch.at("prefix/bin/mote"));
    const ProcessResult result = runProgram(scratch.at("prefix/bin/mote"), {"restore", in(), "-o", out()});
    expectRefused(result, 3,
                  {scratch.at("prefix/share/mote/models/restore.mote"),
                   scratch.at("prefix/models/restore.mote"), "--model"});
}

TEST_F(Refusals, StepsThatTheFileLacksAreAnsweredWithThoseItHas) {
    writePhoto();
    expectRefused(
        runMote({"restore", in(), "-o", out(), "--steps", "3"}), 2,
        {"recipe: found none of 3 steps", "expected one of: '1' of 1 step, '2' of 2 steps, '4' of 4 steps"});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
}

TEST_F(Refusals, DevicesThatAreNotThereAreDeviceErrors) {
    writePhoto();
    expectRefused(runMote({"restore", in(), "-o", out(), "--device", "99"}), 4, {"99"});
    expectRefused(runMote({"restore", in(), "-o", out(), "--device", "Voodoo"}), 4, {"Voodoo"});
    ProcessOptions noDriver;
    noDriver.environment = {{"VK_ICD_FILENAMES", "/nonexistent.json"},
                            {"VK_DRIVER_FILES", "/nonexistent.json"}};
    expectRefused(runMote({"devices"}, noDriver), 4, {"mote: "});
    expectRefused(runMote({"restore", in(), "-o", out()}, noDriver), 4, {"mote: "});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
}

TEST_F(Refusals, ATooSmallBudgetSaysWhatIsNeeded) {
    writePhoto();
    expectRefused(runMote({"restore", in(), "-o", out(), "--memory-budget", "1"}), 5, {"bytes"});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
}

TEST_F(Refusals, AFullDiskForStandardOutputIsReported) {
    ProcessOptions full;
    full.outputFile = "/dev/full";
    const ProcessResult result = runMote({"info", shippedModel()}, full);
    EXPECT_EQ(result.exitCode, 7);
    expectParts(result.err, {"standard output"});
}

TEST_F(Refusals, AModelThatNeedsAPhotoDoesNotGenerate) {
    expectRefused(runMote({"generate", "-o", out(), "--seed", "1"}), 2,
                  {"found image 'condition'", "expected none", "mote restore"});
    EXPECT_EQ(scratch.names(), std::vector<std::string>{});
}

TEST_F(Refusals, TensorsOfOtherNamesAndShapesAreNamed) {
    struct Case {
        std::vector<TensorToWrite> tensors;
        std::vector<std::string> message;
    };
    const TensorToWrite start = tensor("x_start", {1, 3, 16, 16}),
                        condition = tensor("condition", {1, 3, 16, 16});
    const Case cases[] = {
        {{start, condition, tensor("mask", {1})}, {"found 'mask'", "x_start, condition, step_noise"}},
        {{tensor("x_start", {1, 4, 16, 16}), condition},
         {"x_start", "found shape [1, 4, 16, 16]", "[N, 3, H, W]"}},
        {{tensor("x_start", {3, 16, 16}), condition}, {"x_start", "found shape [3, 16, 16]"}},
        {{tensor("x_start", {2, 3, 16, 16}), condition},
         {"condition", "found shape [1, 3, 16, 16]", "[2, 3, H, W]"}},
        {{tensor("x_start", {1, 3, 0, 16}), condition}, {"x_start", "found shape [1, 3, 0, 16]"}},
        {{start, tensor("condition", {1, 3, 16, 24})},
         {"condition", "found shape [1, 3, 16, 24]", "[1, 3, 16, 16] as x_start has"}},
        {{start, condition, tensor("step_noise", {2, 3, 16, 16})},
         {"step_noise", "found shape [2, 3, 16, 16]", "[1, 1, 3, H, W]"}},
        {{start, condition, tensor("class_labels", {1})},
         {"found 'class_labels'", "x_start, condition, step_noise"}},
        {{start, condition, tensor("guidance", {1})}, {"found 'guidance'", "x_start, condition, step_noise"}},
        {{start}, {"found no 'condition'"}},
        {{}, {"found none", "x_start"}},
    };
    for (const Case &refused : cases) {
        convert::writeSafetensors(scratch.at("in.safetensors"), refused.tensors);
        for (const char *command : {"run", "eval"})
            expectRefused(runMote({command, shippedModel(), "--tensors", scratch.at("in.safetensors"), "-o",
                                   scratch.at("out.safetensors")}),
                          3, refused.message);
        EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.safetensors"});
    }
    convert::writeSafetensors(scratch.at("in.safetensors"), {condition});
    expectRefused(runMote({"eval", shippedModel(), "--tensors", scratch.at("in.safetensors"), "-o",
                           scratch.at("out.safetensors")}),
                  3, {"found no 'x_start'"});
}

TEST_F(Refusals, TensorFilesThatAreNoneAreNamed) {
    const std::string header = R"({"x_start":{"dtype":"U8","shape":[1,3,1,1],"data_offsets":[0,3]}})";
    std::vector<uint8_t> bytes(8, 0);
    bytes[0] = static_cast<uint8_t>(header.size());
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.insert(bytes.end(), {1, 2, 3});
    struct Case {
        std::vector<uint8_t> bytes;
        std::vector<std::string> message;
    };
    const Case cases[] = {{{}, {"in.safetensors"}},
                          {{1, 2, 3}, {"in.safetensors"}},
                          {std::vector<uint8_t>(16, 0xff), {"in.safetensors"}},
                          {std::vector<uint8_t>(bytes.begin(), bytes.end() - 1), {"in.safetensors"}},
                          {bytes, {"x_start", "U8"}}};
    for (const Case &refused : cases) {
        writeBytes(scratch.at("in.safetensors"), refused.bytes);
        expectRefused(runMote({"run", shippedModel(), "--tensors", scratch.at("in.safetensors"), "-o",
                               scratch.at("out.safetensors")}),
                      3, refused.message);
        EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.safetensors"});
    }
}

} // namespace
} // namespace mote::test
