// Whole files in, whole files out: a reader with a size limit, and a writer that never leaves half a file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace mote::command {

// Throws CommandError (BadInput) when the file cannot be read, is not a regular file, or is larger.
std::vector<uint8_t> readFile(const std::string &path, uint64_t mostBytes);

// Size of a regular file; throws like readFile.
uint64_t fileBytes(const std::string &path);

// An output file under a temporary name in the same directory, which gets its real name in commit() and is
// removed when that was not reached. Throws CommandError (Output).
class OutputFile {
public:
    explicit OutputFile(const std::string &path);
    ~OutputFile();
    OutputFile(const OutputFile &) = delete;
    OutputFile &operator=(const OutputFile &) = delete;

    const std::string &temporaryPath() const { return temporary; }
    void write(std::span<const uint8_t> bytes);
    void commit();

private:
    std::string path, temporary;
    int descriptor = -1;
};

// All of it through an OutputFile.
void writeFile(const std::string &path, std::span<const uint8_t> bytes);

// Refuses, before any work is done, an output that could not be written afterwards: a missing or unwritable
// directory, or a name that is taken by something other than a regular file.
void checkWritable(const std::string &path);

// Removes the temporary files of all OutputFiles alive; for a program that is about to end at once.
void removeTemporaryFiles();

} // namespace mote::command
