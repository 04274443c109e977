#include "files.h"

#include "errors.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mote::command {
namespace {

struct TemporaryNames {
    std::mutex mutex;
    std::set<std::string> names;
};

TemporaryNames &temporaryNames() {
    static TemporaryNames names;
    return names;
}

class Descriptor {
public:
    explicit Descriptor(int opened) : value(opened) {}
    ~Descriptor() {
        if (value >= 0)
            close(value);
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    const int value;
};

[[noreturn]] void failReading(const std::string &path, const std::string &what) {
    throw CommandError(ExitCode::BadInput, path + ": " + what);
}

[[noreturn]] void failWriting(const std::string &path, const std::string &what) {
    throw CommandError(ExitCode::Output, path + ": cannot write: " + what);
}

// What a link points at, so that writing through it replaces the file and not the link.
std::string resolveLink(const std::string &path) {
    struct stat status = {};
    if (lstat(path.c_str(), &status) != 0 || !S_ISLNK(status.st_mode))
        return path;
    char *resolved = realpath(path.c_str(), nullptr);
    if (!resolved)
        failWriting(path, std::string("a link to nowhere: ") + std::strerror(errno));
    std::string result(resolved);
    std::free(resolved);
    return result;
}

std::string directoryOf(const std::string &path) {
    const size_t slash = path.find_last_of('/');
    if (slash == std::string::npos)
        return ".";
    return slash == 0 ? "/" : path.substr(0, slash);
}

int openRegular(const std::string &path, uint64_t &bytes) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer before it is refused.
    const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        failReading(path, std::string("cannot open: ") + std::strerror(errno));
    struct stat status = {};
    if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
        const bool directory = S_ISDIR(status.st_mode);
        close(descriptor);
        failReading(path, std::string("found ") + (directory ? "a directory" : "a special file") +
                              ", expected a regular file");
    }
    bytes = static_cast<uint64_t>(status.st_size);
    return descriptor;
}

} // namespace

std::vector<uint8_t> readFile(const std::string &path, uint64_t mostBytes) {
    uint64_t size = 0;
    const Descriptor file(openRegular(path, size));
    if (size > mostBytes)
        failReading(path, "file size: found " + std::to_string(size) + " bytes, expected at most " +
                              std::to_string(mostBytes));
    std::vector<uint8_t> bytes(static_cast<size_t>(size));
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t got = read(file.value, bytes.data() + done, bytes.size() - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            failReading(path, std::string("cannot read: ") + std::strerror(errno));
        if (got == 0)
            failReading(path, "file size: found " + std::to_string(done) + " bytes while reading, expected " +
                                  std::to_string(size));
        done += static_cast<size_t>(got);
    }
    return bytes;
}

uint64_t fileBytes(const std::string &path) {
    uint64_t size = 0;
    const Descriptor file(openRegular(path, size));
    return size;
}

OutputFile::OutputFile(const std::string &wanted) : path(resolveLink(wanted)) {
    temporary = path + ".XXXXXX";
    TemporaryNames &registry = temporaryNames();
    const std::lock_guard lock(registry.mutex);
    descriptor = mkostemp(temporary.data(), O_CLOEXEC);
    if (descriptor < 0)
        failWriting(path, std::strerror(errno));
    registry.names.insert(temporary);
    // mkostemp makes files private; the output gets the rights that any new file of the user's has.
    const mode_t mask = umask(0);
    umask(mask);
    fchmod(descriptor, 0666 & ~mask);
}

OutputFile::~OutputFile() {
    if (descriptor >= 0)
        close(descriptor);
    if (temporary.empty())
        return;
    TemporaryNames &registry = temporaryNames();
    const std::lock_guard lock(registry.mutex);
    unlink(temporary.c_str());
    registry.names.erase(temporary);
}

void OutputFile::write(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
        const ssize_t done = ::write(descriptor, bytes.data(), bytes.size());
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            failWriting(path, std::strerror(errno));
        bytes = bytes.subspan(static_cast<size_t>(done));
    }
}

void OutputFile::commit() {
    // Some file systems report a full disk only here.
    const int closed = close(descriptor);
    descriptor = -1;
    if (closed != 0)
        failWriting(path, std::strerror(errno));
    TemporaryNames &registry = temporaryNames();
    const std::lock_guard lock(registry.mutex);
    if (rename(temporary.c_str(), path.c_str()) != 0)
        failWriting(path, std::strerror(errno));
    registry.names.erase(temporary);
    temporary.clear();
}

void writeFile(const std::string &path, std::span<const uint8_t> bytes) {
    OutputFile file(path);
    file.write(bytes);
    file.commit();
}

void checkWritable(const std::string &wanted) {
    const std::string path = resolveLink(wanted);
    struct stat status = {};
    if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
        failWriting(path, std::string("found ") +
                              (S_ISDIR(status.st_mode) ? "a directory" : "a special file") +
                              " of this name, expected a regular file or none");
    const std::string directory = directoryOf(path);
    if (stat(directory.c_str(), &status) != 0)
        failWriting(path, "directory '" + directory + "': " + std::strerror(errno));
    if (!S_ISDIR(status.st_mode))
        failWriting(path, "'" + directory + "' is not a directory");
    if (access(directory.c_str(), W_OK | X_OK) != 0)
        failWriting(path, "directory '" + directory + "': " + std::strerror(errno));
}

void removeTemporaryFiles() {
    TemporaryNames &registry = temporaryNames();
    const std::lock_guard lock(registry.mutex);
    for (const std::string &name : registry.names)
        unlink(name.c_str());
    registry.names.clear();
}

} // namespace mote::command
