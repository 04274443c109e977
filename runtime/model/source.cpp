#include "model/reader.h"

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mote {

Source::Source(Source &&other) noexcept {
    *this = std::move(other);
}

Source &Source::operator=(Source &&other) noexcept {
    if (this == &other)
        return *this;
    if (descriptor_ >= 0)
        close(descriptor_);
    name_ = std::move(other.name_);
    bytes_ = std::exchange(other.bytes_, 0);
    memory_ = std::exchange(other.memory_, nullptr);
    descriptor_ = std::exchange(other.descriptor_, -1);
    base_ = other.base_;
    callback_ = std::exchange(other.callback_, nullptr);
    return *this;
}

Source::~Source() {
    if (descriptor_ >= 0)
        close(descriptor_);
}

Result<Source> Source::fromPath(const std::string &path) {
    Source source;
    source.name_ = path;
    source.descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (source.descriptor_ < 0)
        return makeStatus(errno == ENOENT || errno == ENOTDIR ? StatusCode::NotFound : StatusCode::IoError,
                          "%s: cannot open: %s", path.c_str(), std::strerror(errno));
    struct stat info;
    if (fstat(source.descriptor_, &info) != 0)
        return makeStatus(StatusCode::IoError, "%s: cannot read its size: %s", path.c_str(),
                          std::strerror(errno));
    if (!S_ISREG(info.st_mode))
        return makeStatus(StatusCode::IoError, "%s: found something else, expected a regular file",
                          path.c_str());
    source.bytes_ = static_cast<uint64_t>(info.st_size);
    return source;
}

Result<Source> Source::fromMemory(const void *data, size_t bytes, const std::string &name) {
    if (data == nullptr)
        return makeStatus(StatusCode::InvalidArgument, "%s: found a null pointer, expected the file's bytes",
                          name.c_str());
    Source source;
    source.name_ = name;
    source.memory_ = static_cast<const uint8_t *>(data);
    source.bytes_ = bytes;
    return source;
}

Result<Source> Source::fromDescriptor(int descriptor, uint64_t offset, uint64_t bytes,
                                      const std::string &name) {
    constexpr uint64_t kMaxOffset = uint64_t{1} << 62; // off_t is signed
    if (offset > kMaxOffset || bytes > kMaxOffset - offset)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: found offset %" PRIu64 " and length %" PRIu64 ", expected a range below 2^62",
                          name.c_str(), offset, bytes);
    Source source;
    source.name_ = name;
    source.descriptor_ = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (source.descriptor_ < 0)
        return makeStatus(StatusCode::InvalidArgument, "%s: file descriptor %d: %s", name.c_str(), descriptor,
                          std::strerror(errno));
    source.base_ = offset;
    source.bytes_ = bytes;
    struct stat info;
    if (bytes == 0) {
        if (fstat(source.descriptor_, &info) != 0 || static_cast<uint64_t>(info.st_size) < offset)
            return makeStatus(StatusCode::InvalidArgument,
                              "%s: file descriptor %d has no bytes behind offset %" PRIu64, name.c_str(),
                              descriptor, offset);
        source.bytes_ = static_cast<uint64_t>(info.st_size) - offset;
    }
    return source;
}

Result<Source> Source::fromCallback(Callback callback, uint64_t bytes, const std::string &name) {
    if (!callback)
        return makeStatus(StatusCode::InvalidArgument, "%s: found a null callback, expected a function",
                          name.c_str());
    Source source;
    source.name_ = name;
    source.callback_ = std::move(callback);
    source.bytes_ = bytes;
    return source;
}

Status Source::readAt(uint64_t offset, void *to, size_t bytes) const {
    if (offset > bytes_ || bytes > bytes_ - offset)
        return makeStatus(StatusCode::InvalidModel,
                          "%s: bytes %" PRIu64 " to %" PRIu64 " were asked for, found a file of %" PRIu64,
                          name_.c_str(), offset, offset + bytes, bytes_);
    if (bytes == 0)
        return {};
    if (memory_ != nullptr) {
        std::memcpy(to, memory_ + offset, bytes);
        return {};
    }
    if (callback_) {
        if (!callback_(offset, to, bytes))
            return makeStatus(StatusCode::IoError,
                              "%s: the read callback failed at offset %" PRIu64 ", expected %zu bytes",
                              name_.c_str(), offset, bytes);
        return {};
    }
    auto *out = static_cast<uint8_t *>(to);
    for (size_t done = 0; done < bytes;) {
        const ssize_t got =
            pread(descriptor_, out + done, bytes - done, static_cast<off_t>(base_ + offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return makeStatus(StatusCode::IoError, "%s: reading at offset %" PRIu64 ": %s", name_.c_str(),
                              offset + done, got < 0 ? std::strerror(errno) : "the file ended early");
        done += static_cast<size_t>(got);
    }
    return {};
}

} // namespace mote
