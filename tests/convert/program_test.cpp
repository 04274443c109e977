// The mote-convert program from outside: exit status, messages, files left behind, and the same bytes
// everywhere.
#include "checkpoint_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <sys/wait.h>

namespace mote::convert {
namespace {

struct Outcome {
    int status = -1;
    std::string text; // both streams
};

Outcome run(const std::string &arguments, const std::string &before = "") {
    const std::string command = before + " '" MOTE_CONVERT_PROGRAM "' " + arguments + " 2>&1";
    Outcome outcome;
    FILE *pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer;
    while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
        outcome.text.append(buffer.data(), count);
    const int status = pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

TEST(Program, ConvertsAndSaysWhatItFolded) {
    const CheckpointFolder checkpoint;
    const test::ScratchFolder out;
    const Outcome outcome = run(checkpoint.path() + " -o " + out.at("m.mote") + " --steps 1,2");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    for (const char *part :
         {"UNet2DModel", "parameters", "bytes", "tables of 2 rows", "timesteps 999, 499", "self-check"})
        EXPECT_NE(outcome.text.find(part), std::string::npos) << part << " in:\n" << outcome.text;
    EXPECT_EQ(out.names().size(), 1u);
}

TEST(Program, SameInputGivesTheSameBytesInAnyFolderLocaleAndTime) {
    const CheckpointFolder one;
    const test::ScratchFolder folder;
    const std::string two = folder.at("a folder with spaces");
    std::filesystem::copy(one.path(), two, std::filesystem::copy_options::recursive);
    const auto bytes = [&](const std::string &checkpoint, const std::string &environment, const char *name) {
        const std::string file = folder.at(name);
        const Outcome outcome =
            run("'" + checkpoint + "' -o '" + file + "' --steps 1,4 --eta 0.5", environment);
        EXPECT_EQ(outcome.status, 0) << outcome.text;
        return fileContent(file);
    };
    const std::string first = bytes(one.path(), "LC_ALL=C TZ=UTC", "1.mote");
    EXPECT_FALSE(first.empty());
    EXPECT_EQ(first, bytes(two, "LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8 TZ=Pacific/Kiritimati", "2.mote"));
    EXPECT_EQ(first, bytes(two, "cd / && LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=0", "3.mote"));
    // Another number must make another file, or the comparison says nothing.
    const Outcome other = run(one.path() + " -o " + folder.at("4.mote") + " --steps 1,4 --eta 0.25");
    EXPECT_EQ(other.status, 0) << other.text;
    EXPECT_NE(first, fileContent(folder.at("4.mote")));
}

TEST(Program, RefusalLeavesTheOldFileAndNoOther) {
    const CheckpointFolder checkpoint;
    checkpoint.edit(CheckpointFolder::kConfig, [](nlohmann::json &config) { config["act_fn"] = "elu"; });
    const test::ScratchFolder out;
    writeFile(out.at("m.mote"), "as it was");
    const Outcome outcome = run(checkpoint.path() + " -o " + out.at("m.mote"));
    EXPECT_EQ(outcome.status, 3);
    EXPECT_NE(outcome.text.find("act_fn"), std::string::npos) << outcome.text;
    EXPECT_EQ(fileContent(out.at("m.mote")), "as it was");
    EXPECT_EQ(out.names().size(), 1u);
}

TEST(Program, ExitStatusTellsWhoseMistakeItWas) {
    const CheckpointFolder checkpoint;
    const test::ScratchFolder out;
    const std::string file = out.at("m.mote"), convert = checkpoint.path() + " -o " + file;
    const std::vector<std::pair<std::string, int>> kCalls = {
        {"--help", 0},
        {"", 2},
        {checkpoint.path(), 2},
        {"-o " + file, 2},
        {convert + " --quality high", 2},
        {convert + " --steps two", 2},
        {convert + " --steps 2 --timesteps 999", 2},
        {convert + " --steps 0", 3},
        {convert + " --steps -4", 3},
        {convert + " --steps 1,2,1", 3},
        {convert + " --steps 999999999999", 3},
        {convert + " --timesteps 5000", 3},
        {convert + " --sampler dreams", 3},
        {convert + " --eta lots", 3},
        {convert + " --scheduler " + out.at("none.json"), 3},
        {out.at("none") + " -o " + file, 3},
        {checkpoint.path() + " -o " + out.at("none/m.mote"), 4},
        {checkpoint.path() + " -o /dev/full/m.mote", 4},
    };
    for (const auto &[arguments, status] : kCalls) {
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.status, status) << arguments << "\n" << outcome.text;
        EXPECT_FALSE(outcome.text.empty()) << arguments;
    }
    EXPECT_EQ(out.names().size(), 0u);
}

TEST(Program, StepTablePrintsJson) {
    const CheckpointFolder checkpoint;
    const Outcome outcome = run("step-table " + checkpoint.file(CheckpointFolder::kScheduler) + " --steps 4");
    ASSERT_EQ(outcome.status, 0) << outcome.text;
    const nlohmann::json table = nlohmann::json::parse(outcome.text);
    EXPECT_EQ(table["rows"].size(), 4u);
    EXPECT_EQ(table["rows"][0]["t"], 999);
}

// The tables of converter/README.md stand between two marks.
TEST(Program, SupportIsWhatTheReadmeSays) {
    const std::string readme = fileContent(MOTE_SOURCE_DIR "/converter/README.md");
    const std::string begin = "<!-- mote-convert support -->\n\n",
                      end = "\n<!-- end of mote-convert support -->";
    const size_t first = readme.find(begin), last = readme.find(end);
    ASSERT_NE(first, std::string::npos);
    ASSERT_NE(last, std::string::npos);
    const Outcome outcome = run("support");
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(readme.substr(first + begin.size(), last - first - begin.size()), outcome.text)
        << "put the output of 'mote-convert support' between the marks of converter/README.md";
}

} // namespace
} // namespace mote::convert
