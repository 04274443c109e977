// A file that is read at offsets. Used by the converter and, for tensor files, by the mote command.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace mote::convert {

class InputFile {
public:
    explicit InputFile(const std::string &path); // throws ReadError

    const std::string &path() const { return path_; }
    uint64_t bytes() const { return bytes_; }

    // Exactly `count` bytes; throws ReadError where the file does not have them. `what` they are: for the
    // message.
    void read(uint64_t offset, void *to, size_t count, const std::string &what) const;

private:
    std::string path_;
    std::unique_ptr<FILE, int (*)(FILE *)> file_;
    uint64_t bytes_ = 0;
};

} // namespace mote::convert
