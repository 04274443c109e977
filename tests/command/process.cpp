#include "command/process.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace mote::test {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void stop(const char *what) {
    std::perror(what);
    std::abort();
}

std::vector<std::string> environmentWith(const std::map<std::string, std::string> &changes) {
    // The driver's own cache moves with XDG_CACHE_HOME unless it is told where to be.
    std::map<std::string, std::string> all = {
        {"XDG_CACHE_HOME", MOTE_BINARY_DIR "/tests/cache"},
        {"MESA_SHADER_CACHE_DIR", MOTE_BINARY_DIR "/tests/shader-cache"}};
    for (const auto &[name, value] : changes)
        all[name] = value;
    std::vector<std::string> result;
    for (char **entry = environ; *entry; ++entry) {
        const std::string text = *entry;
        if (all.count(text.substr(0, text.find('='))) == 0)
            result.push_back(text);
    }
    for (const auto &[name, value] : all)
        if (!value.empty())
            result.push_back(name + "=" + value);
    return result;
}

std::vector<char *> pointersTo(std::vector<std::string> &strings) {
    std::vector<char *> pointers;
    for (std::string &text : strings)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

struct Channel {
    int reading = -1, writing = -1;
};

Channel makePipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        stop("pipe");
    return {ends[0], ends[1]};
}

Channel makeTerminal() {
    Channel channel;
    if (openpty(&channel.reading, &channel.writing, nullptr, nullptr, nullptr) != 0)
        stop("openpty");
    fcntl(channel.reading, F_SETFD, FD_CLOEXEC);
    fcntl(channel.writing, F_SETFD, FD_CLOEXEC);
    return channel;
}

// Reads what is there; false at the end.
bool readSome(int descriptor, std::string &text) {
    char buffer[4096];
    const ssize_t got = read(descriptor, buffer, sizeof buffer);
    if (got > 0)
        text.append(buffer, static_cast<size_t>(got));
    return got > 0 || (got < 0 && errno == EINTR);
}

} // namespace

std::string motePath() {
    return MOTE_BINARY_DIR "/bin/mote";
}
std::string moteConvertPath() {
    return MOTE_BINARY_DIR "/bin/mote-convert";
}
std::string shippedModel() {
    return MOTE_BINARY_DIR "/models/restore.mote";
}
std::string goldenCase(const std::string &name) {
    return MOTE_TESTS_DIR "/goldens/" + name;
}

ProcessResult runProgram(const std::string &program, const std::vector<std::string> &arguments,
                         const ProcessOptions &options) {
    std::vector<std::string> argumentText = {program};
    argumentText.insert(argumentText.end(), arguments.begin(), arguments.end());
    std::vector<std::string> environmentText = environmentWith(options.environment);
    const std::vector<char *> argumentPointers = pointersTo(argumentText);
    const std::vector<char *> environmentPointers = pointersTo(environmentText);
    const Channel out = makePipe(), err = options.terminal ? makeTerminal() : makePipe();
    const int file = options.outputFile.empty() ? -1 : open(options.outputFile.c_str(), O_WRONLY | O_CLOEXEC);

    const pid_t child = fork();
    if (child < 0)
        stop("fork");
    if (child == 0) {
        dup2(file >= 0 ? file : out.writing, STDOUT_FILENO);
        dup2(err.writing, STDERR_FILENO);
        execve(program.c_str(), argumentPointers.data(), environmentPointers.data());
        _exit(127);
    }
    close(out.writing);
    close(err.writing);
    if (file >= 0)
        close(file);

    ProcessResult result;
    bool outOpen = true, errOpen = true, interrupted = false;
    while (outOpen || errOpen) {
        pollfd waited[2] = {{outOpen ? out.reading : -1, POLLIN, 0}, {errOpen ? err.reading : -1, POLLIN, 0}};
        if (poll(waited, 2, -1) < 0 && errno != EINTR)
            stop("poll");
        if (waited[0].revents != 0)
            outOpen = readSome(out.reading, result.out);
        if (waited[1].revents != 0)
            errOpen = readSome(err.reading, result.err);
        const bool due =
            !options.interruptAfter.empty() && result.err.find(options.interruptAfter) != std::string::npos;
        if (due && !interrupted) {
            kill(child, SIGINT);
            interrupted = true;
        }
    }
    close(out.reading);
    close(err.reading);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            stop("waitpid");
    result.exitCode = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

ProcessResult runMote(const std::vector<std::string> &arguments, const ProcessOptions &options) {
    return runProgram(motePath(), arguments, options);
}

void expectQuietSuccess(const ProcessResult &result) {
    EXPECT_EQ(result.exitCode, 0) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "");
}

void expectParts(const std::string &text, const std::vector<std::string> &parts) {
    for (const std::string &part : parts)
        EXPECT_NE(text.find(part), std::string::npos) << text << "\n  lacks: " << part;
}

void expectRefused(const ProcessResult &result, int exitCode, const std::vector<std::string> &parts) {
    EXPECT_EQ(result.exitCode, exitCode) << result.err;
    EXPECT_EQ(result.out, "");
    expectParts(result.err, parts);
}

Scratch::Scratch() {
    std::string pattern = (fs::temp_directory_path() / "mote-command-XXXXXX").string();
    if (!mkdtemp(pattern.data()))
        stop("mkdtemp");
    directory = pattern;
}

Scratch::~Scratch() {
    std::error_code ignored;
    fs::remove_all(directory, ignored);
}

std::vector<std::string> Scratch::names() const {
    std::vector<std::string> names;
    for (const fs::directory_entry &entry : fs::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string readText(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes) {
    std::ofstream file(path, std::ios::binary);
    for (const uint8_t byte : bytes)
        file.put(static_cast<char>(byte));
    if (!file.flush())
        stop(path.c_str());
}

} // namespace mote::test
