// Files in and out: limits, refusals, and nothing left behind.
#include "errors.h"
#include "files.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mote::test {
namespace {

namespace fs = std::filesystem;
using command::CommandError;
using command::ExitCode;

class Files : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "mote-files-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
    }
    void TearDown() override { fs::remove_all(directory); }

    std::string at(const std::string &name) const { return (directory / name).string(); }
    size_t entries() const {
        return static_cast<size_t>(
            std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
    }
    static std::string contents(const std::string &path) {
        std::ifstream file(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    // The message and exit code of what the call throws.
    template <typename Call> static std::string failure(ExitCode code, const Call &call) {
        try {
            call();
        } catch (const CommandError &error) {
            EXPECT_EQ(error.code, code);
            return error.what();
        }
        ADD_FAILURE() << "nothing was thrown";
        return "";
    }

    fs::path directory;
    const std::vector<uint8_t> bytes = {'n', 'e', 'w'};
};

TEST_F(Files, CommittedOutputReplacesTheOldAndLeavesNothingElse) {
    std::ofstream(at("out")) << "old";
    command::writeFile(at("out"), bytes);
    EXPECT_EQ(contents(at("out")), "new");
    EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, UncommittedOutputLeavesTheOldAndNothingElse) {
    std::ofstream(at("out")) << "old";
    {
        command::OutputFile file(at("out"));
        file.write(bytes);
        EXPECT_EQ(entries(), 2u);
    }
    EXPECT_EQ(contents(at("out")), "old");
    EXPECT_EQ(entries(), 1u);
}

TEST_F(Files, TemporaryFilesAreRemovedOnTheWayOut) {
    command::OutputFile file(at("out"));
    file.write(bytes);
    command::removeTemporaryFiles();
    EXPECT_EQ(entries(), 0u);
}

TEST_F(Files, NewFilesHaveTheRightsThatTheMaskAllows) {
    const mode_t before = umask(027);
    command::writeFile(at("out"), bytes);
    umask(before);
    struct stat status = {};
    ASSERT_EQ(stat(at("out").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(Files, OutputThroughALinkReplacesWhatItPointsAt) {
    std::ofstream(at("real")) << "old";
    fs::create_symlink("real", at("link"));
    command::writeFile(at("link"), bytes);
    EXPECT_TRUE(fs::is_symlink(at("link")));
    EXPECT_EQ(contents(at("real")), "new");
}

TEST_F(Files, UnwritableOutputsAreRefusedBeforeWork) {
    fs::create_directory(at("folder"));
    ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
    std::ofstream(at("file")) << "x";
    fs::create_symlink("nowhere", at("dangling"));
    const std::pair<std::string, std::string> cases[] = {{"folder", "found a directory of this name"},
                                                         {"pipe", "found a special file of this name"},
                                                         {"missing/out", "No such file or directory"},
                                                         {"file/out", "cannot write"},
                                                         {"dangling", "a link to nowhere"}};
    for (const auto &[name, expected] : cases) {
        const std::string path = at(name);
        const std::string message = failure(ExitCode::Output, [&] { command::checkWritable(path); });
        EXPECT_NE(message.find(path), std::string::npos) << message;
        EXPECT_NE(message.find(expected), std::string::npos) << message;
    }
    EXPECT_NO_THROW(command::checkWritable(at("file")));
    EXPECT_NO_THROW(command::checkWritable(at("new")));
}

TEST_F(Files, InputsAreRegularFilesWithinTheLimit) {
    std::ofstream(at("five")) << "12345";
    EXPECT_EQ(command::readFile(at("five"), 5).size(), 5u);
    EXPECT_EQ(command::fileBytes(at("five")), 5u);
    const std::string large = failure(ExitCode::BadInput, [&] { command::readFile(at("five"), 4); });
    EXPECT_NE(large.find("found 5 bytes, expected at most 4"), std::string::npos) << large;
    const std::string missing = failure(ExitCode::BadInput, [&] { command::readFile(at("none"), 4); });
    EXPECT_NE(missing.find("No such file or directory"), std::string::npos) << missing;
    const std::string folder = failure(ExitCode::BadInput, [&] { command::readFile(directory.string(), 4); });
    EXPECT_NE(folder.find("found a directory, expected a regular file"), std::string::npos) << folder;
    ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
    const std::string pipe = failure(ExitCode::BadInput, [&] { command::readFile(at("pipe"), 4); });
    EXPECT_NE(pipe.find("found a special file"), std::string::npos) << pipe;
}

} // namespace
} // namespace mote::test
