#include "read/input_file.h"

#include "read/error.h"
#include "read/text.h"

#include <cerrno>
#include <cstring>

namespace mote::convert {

InputFile::InputFile(const std::string &path)
    : path_(path), file_(std::fopen(path.c_str(), "rb"), &std::fclose) {
    if (!file_)
        throw ReadError(text(path, ": cannot be opened: ", std::strerror(errno)));
    uint8_t first = 0;
    const off_t end = fseeko(file_.get(), 0, SEEK_END) == 0 ? ftello(file_.get()) : -1;
    // A folder can be opened; what it cannot is be read.
    if (end < 0 || fseeko(file_.get(), 0, SEEK_SET) != 0 ||
        (std::fread(&first, 1, 1, file_.get()) == 0 && std::ferror(file_.get()) != 0))
        throw ReadError(text(path, ": cannot be read: ", std::strerror(errno)));
    bytes_ = static_cast<uint64_t>(end);
}

void InputFile::read(uint64_t offset, void *to, size_t count, const std::string &what) const {
    if (offset > bytes_ || count > bytes_ - offset)
        throw ReadError(text(path_, ": ", what, " would end at byte ", offset, " + ", count,
                             ", the file has ", bytes_, " bytes"));
    errno = 0;
    if (fseeko(file_.get(), static_cast<off_t>(offset), SEEK_SET) != 0 ||
        std::fread(to, 1, count, file_.get()) != count)
        throw ReadError(
            text(path_, ": ", what, ": its ", count, " bytes cannot be read: ",
                 std::ferror(file_.get()) != 0 ? std::strerror(errno) : "the file has become shorter"));
}

} // namespace mote::convert
