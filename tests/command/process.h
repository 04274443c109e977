// The built programs as a user starts them: arguments in; exit code, output and messages out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace mote::test {

struct ProcessResult {
    int exitCode = -1; // 128 + signal when one ended it
    std::string out, err;
};

struct ProcessOptions {
    std::map<std::string, std::string> environment; // added to this process's; "" removes
    std::string outputFile;                         // standard output goes there instead
    bool terminal = false;                          // standard error is a terminal
    std::string interruptAfter;                     // SIGINT once standard error has this text
};

std::string motePath();        // <build>/bin/mote
std::string moteConvertPath(); // <build>/bin/mote-convert
std::string shippedModel();    // <build>/models/restore.mote
std::string goldenCase(const std::string &name);

// Compiled pipelines are kept in the build tree unless `options` sets XDG_CACHE_HOME.
ProcessResult runProgram(const std::string &program, const std::vector<std::string> &arguments,
                         const ProcessOptions &options = {});
ProcessResult runMote(const std::vector<std::string> &arguments, const ProcessOptions &options = {});

// It ended well and said nothing.
void expectQuietSuccess(const ProcessResult &result);
void expectParts(const std::string &text, const std::vector<std::string> &parts);
// It failed with this code, said these words on standard error and nothing on standard output.
void expectRefused(const ProcessResult &result, int exitCode, const std::vector<std::string> &parts);

// A directory that is removed at the end.
class Scratch {
public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    std::string at(const std::string &name) const { return (directory / name).string(); }
    // Names in it, sorted.
    std::vector<std::string> names() const;

private:
    std::filesystem::path directory;
};

std::string readText(const std::string &path);
void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes);

} // namespace mote::test
