// Reading a .mote file: the way in for data that nobody vouches for. Everything is checked before it is used;
// the work and the memory that a file can ask for are bounded by its size. FORMAT.md describes the bytes.
#pragma once

#include "model/model.h"
#include "model/status.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mote {

// Where the bytes of a file come from. Movable, not copyable; closes what it opened.
// Reading is safe from several threads at once when the callback is (paths, memory and descriptors are).
class Source {
public:
    // Fills `to` with exactly `bytes` bytes from `offset`, or returns 0. offset + bytes <= size always holds.
    using Callback = std::function<bool(uint64_t offset, void *to, size_t bytes)>;

    static Result<Source> fromPath(const std::string &path);
    // Borrows the memory: it must stay as it is while the source is used.
    static Result<Source> fromMemory(const void *data, size_t bytes, const std::string &name);
    // Duplicates the descriptor, so that the caller may close theirs. The file must allow pread (no pipes).
    // bytes = 0: up to the file's end.
    static Result<Source> fromDescriptor(int descriptor, uint64_t offset, uint64_t bytes,
                                         const std::string &name);
    static Result<Source> fromCallback(Callback callback, uint64_t bytes, const std::string &name);

    Source(Source &&other) noexcept;
    Source &operator=(Source &&other) noexcept;
    Source(const Source &) = delete;
    Source &operator=(const Source &) = delete;
    ~Source();

    uint64_t size() const { return bytes_; }
    const std::string &name() const { return name_; } // for messages: the path or what the caller said

    // Reads exactly `bytes` bytes; a range outside the source, or a short read, is a status that names it.
    Status readAt(uint64_t offset, void *to, size_t bytes) const;

private:
    Source() = default;

    std::string name_;
    uint64_t bytes_ = 0;
    const uint8_t *memory_ = nullptr;
    int descriptor_ = -1;
    uint64_t base_ = 0; // of the descriptor's window
    Callback callback_;
};

// Reads and checks header, root and segment table, and everything that the root says (validate.h). Weights
// stay in the source; their checksums are checked when they are streamed.
Result<Model> readModel(const Source &source);

// Streams weights out of the source in chunks of at most 1 MiB, each checked against its checksum before any
// byte of it is handed on. Keeps the last chunk, so reading weights in file order reads each byte once. Holds
// references: source and model must outlive it. One thread at a time.
class WeightReader {
public:
    using Sink = std::function<Status(const void *data, size_t bytes)>;

    WeightReader(const Source &source, const Model &model) : source_(source), model_(model) {}

    // Gives bytes [offset, offset + bytes) of model.weights[weight] to the sink, in order, in pieces of at
    // most 1 MiB.
    Status stream(uint32_t weight, uint64_t offset, uint64_t bytes, const Sink &sink);
    // The same into memory of the caller's.
    Status read(uint32_t weight, uint64_t offset, uint64_t bytes, void *to);

private:
    Status loadChunk(uint32_t segment, uint64_t chunk);

    const Source &source_;
    const Model &model_;
    std::vector<uint8_t> chunk_;
    uint32_t loadedSegment_ = kNone;
    uint64_t loadedChunk_ = 0;
};

} // namespace mote
