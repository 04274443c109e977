// The mote-convert program from outside: exit status, messages, files left behind, and the same bytes
// everywhere.
#include "checkpoint_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <sys/wait.h>

namespace mote::convert {
namespace {

namespace fs = std::filesystem;

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

size_t filesIn(const fs::path &folder) {
    return size_t(std::distance(fs::directory_iterator(folder), {}));
}

TEST(Program, ConvertsAndSaysWhatItFolded) {
    const CheckpointFolder checkpoint;
    const fs::path out = freshFolder();
    const Outcome outcome = run(checkpoint.path() + " -o " + (out / "m.mote").string() + " --steps 1,2");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    for (const char *part :
         {"UNet2DModel", "parameters", "bytes", "tables of 2 rows", "timesteps 999, 499", "self-check"})
        EXPECT_NE(outcome.text.find(part), std::string::npos) << part << " in:\n" << outcome.text;
    EXPECT_EQ(filesIn(out), 1u);
    fs::remove_all(out);
}

TEST(Program, SameInputGivesTheSameBytesInAnyFolderLocaleAndTime) {
    const CheckpointFolder one;
    const fs::path folder = freshFolder(), two = folder / "a folder with spaces";
    fs::copy(one.path(), two, fs::copy_options::recursive);
    const auto bytes = [&](const fs::path &checkpoint, const std::string &environment, const char *name) {
        const fs::path file = folder / name;
        const Outcome outcome = run(
            "'" + checkpoint.string() + "' -o '" + file.string() + "' --steps 1,4 --eta 0.5", environment);
        EXPECT_EQ(outcome.status, 0) << outcome.text;
        return fileContent(file.string());
    };
    const std::string first = bytes(one.path(), "LC_ALL=C TZ=UTC", "1.mote");
    EXPECT_FALSE(first.empty());
    EXPECT_EQ(first, bytes(two, "LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8 TZ=Pacific/Kiritimati", "2.mote"));
    EXPECT_EQ(first, bytes(two, "cd / && LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH=0", "3.mote"));
    // Another number must make another file, or the comparison says nothing.
    const Outcome other = run(one.path() + " -o " + (folder / "4.mote").string() + " --steps 1,4 --eta 0.25");
    EXPECT_EQ(other.status, 0) << other.text;
    EXPECT_NE(first, fileContent((folder / "4.mote").string()));
    fs::remove_all(folder);
}

TEST(Program, RefusalLeavesTheOldFileAndNoOther) {
    const CheckpointFolder checkpoint;
    checkpoint.edit(CheckpointFolder::kConfig, [](nlohmann::json &config) { config["act_fn"] = "elu"; });
    const fs::path out = freshFolder();
    writeFile((out / "m.mote").string(), "as it was");
    const Outcome outcome = run(checkpoint.path() + " -o " + (out / "m.mote").string());
    EXPECT_EQ(outcome.status, 3);
    EXPECT_NE(outcome.text.find("act_fn"), std::string::npos) << outcome.text;
    EXPECT_EQ(fileContent((out / "m.mote").string()), "as it was");
    EXPECT_EQ(filesIn(out), 1u);
    fs::remove_all(out);
}

TEST(Program, ExitStatusTellsWhoseMistakeItWas) {
    const CheckpointFolder checkpoint;
    const fs::path out = freshFolder();
    const std::string file = (out / "m.mote").string(), convert = checkpoint.path() + " -o " + file;
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
        {convert + " --scheduler " + (out / "none.json").string(), 3},
        {(out / "none").string() + " -o " + file, 3},
        {checkpoint.path() + " -o " + (out / "none" / "m.mote").string(), 4},
        {checkpoint.path() + " -o /dev/full/m.mote", 4},
    };
    for (const auto &[arguments, status] : kCalls) {
        const Outcome outcome = run(arguments);
        EXPECT_EQ(outcome.status, status) << arguments << "\n" << outcome.text;
        EXPECT_FALSE(outcome.text.empty()) << arguments;
    }
    EXPECT_EQ(filesIn(out), 0u);
    fs::remove_all(out);
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
