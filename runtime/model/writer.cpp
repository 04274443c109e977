#include "model/writer.h"

#include "model/checked.h"
#include "model/encode.h"
#include "model/format.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

namespace mote {

namespace {

// A file under a temporary name beside its path. Unless finish() succeeds, it is removed.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::string &path) : path_(path) {}
    TemporaryFile(const TemporaryFile &) = delete;
    TemporaryFile &operator=(const TemporaryFile &) = delete;
    ~TemporaryFile() {
        if (descriptor_ >= 0)
            close(descriptor_);
        if (exists_)
            unlink(temporary_.c_str());
    }

    Status create() {
        // Two writers of one path must not share a temporary: the process number, and a count for its
        // threads.
        for (int attempt = 0; attempt < 100; ++attempt) {
            temporary_ = path_ + ".tmp" + std::to_string(getpid()) + "-" + std::to_string(attempt);
            descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
            if (descriptor_ >= 0) {
                exists_ = true;
                return {};
            }
            if (errno != EEXIST)
                break;
        }
        return failed("cannot create");
    }

    Status write(const void *data, size_t bytes, uint64_t offset) {
        const auto *from = static_cast<const uint8_t *>(data);
        while (bytes > 0) {
            const ssize_t put = pwrite(descriptor_, from, bytes, static_cast<off_t>(offset));
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0)
                return failed("cannot write");
            from += put;
            offset += static_cast<uint64_t>(put);
            bytes -= static_cast<size_t>(put);
        }
        return {};
    }

    Status finish() {
        const int closed = close(descriptor_);
        descriptor_ = -1;
        if (closed != 0)
            return failed("cannot write");
        if (rename(temporary_.c_str(), path_.c_str()) != 0)
            return failed("cannot rename the finished file");
        exists_ = false;
        return {};
    }

private:
    Status failed(const char *what) const {
        return makeStatus(StatusCode::IoError, "%s: %s: %s", path_.c_str(), what, std::strerror(errno));
    }

    std::string path_, temporary_;
    int descriptor_ = -1;
    bool exists_ = false;
};

// Writes the weights one behind the other, each at a multiple of kAlignment, and collects the chunks'
// checksums.
Status writeWeights(const Model &model, const WeightProvider &provider, TemporaryFile &file,
                    Segment &segment) {
    std::vector<uint8_t> chunk(static_cast<size_t>(std::min(kChunkBytes, segment.bytes)));
    uint64_t written = 0; // whole chunks, in bytes
    size_t filled = 0;
    const auto flush = [&]() -> Status {
        segment.checksums.push_back(XXH64(chunk.data(), filled, 0));
        MOTE_TRY(file.write(chunk.data(), filled, segment.offset + written));
        written += filled;
        filled = 0;
        return {};
    };
    for (uint32_t i = 0; i < model.weights.size(); ++i) {
        const Weight &weight = model.weights[i];
        while (written + filled < weight.offset) { // padding
            const uint64_t zeros =
                std::min<uint64_t>(weight.offset - written - filled, chunk.size() - filled);
            std::memset(chunk.data() + filled, 0, static_cast<size_t>(zeros));
            filled += static_cast<size_t>(zeros);
            if (filled == chunk.size())
                MOTE_TRY(flush());
        }
        for (uint64_t done = 0; done < weight.bytes;) {
            const uint64_t piece = std::min<uint64_t>(weight.bytes - done, chunk.size() - filled);
            MOTE_TRY(provider(i, done, chunk.data() + filled, static_cast<size_t>(piece)));
            done += piece;
            filled += static_cast<size_t>(piece);
            if (filled == chunk.size())
                MOTE_TRY(flush());
        }
    }
    return filled > 0 ? flush() : Status{};
}

} // namespace

Status writeModel(const Model &given, const WeightProvider &weights, const std::string &path) {
    Model model = given;
    // Layout: header, one segment with all weights, root.
    Checked end;
    for (size_t i = 0; i < model.weights.size(); ++i) {
        Weight &weight = model.weights[i];
        Checked bytes = elementBytes(weight.type);
        for (const uint32_t dimension : weight.shape)
            bytes *= dimension;
        end = alignUp(end, kAlignment);
        weight.segment = 0;
        weight.offset = end.value;
        weight.bytes = bytes.value;
        end += bytes;
        if (!end.within(uint64_t{1} << 62))
            return wrong(path, "weights[%zu].shape: found weights of more than 2^62 bytes, expected less", i);
    }
    model.segments.clear();
    uint64_t rootOffset = kHeaderBytes;
    if (end.value > 0) {
        model.segments.emplace_back();
        model.segments[0].offset = kHeaderBytes;
        model.segments[0].bytes = end.value;
        rootOffset = alignUp(end + kHeaderBytes, kAlignment).value;
    }
    MOTE_TRY(validateModel(model, path));

    TemporaryFile file(path);
    MOTE_TRY(file.create());
    std::vector<SegmentLabel> labels;
    if (!model.segments.empty()) {
        labels.push_back({"weights", static_cast<uint32_t>(SegmentKind::Weights), true});
        MOTE_TRY(writeWeights(model, weights, file, model.segments[0]));
        const uint8_t zeros[kAlignment] = {};
        const uint64_t segmentEnd = kHeaderBytes + model.segments[0].bytes;
        MOTE_TRY(file.write(zeros, static_cast<size_t>(rootOffset - segmentEnd), segmentEnd));
    }
    const std::vector<uint8_t> root = encodeRoot(model, labels);
    if (root.size() > kMaxRootBytes)
        return wrong(path, "root: found %zu bytes, expected at most %" PRIu64, root.size(), kMaxRootBytes);
    MOTE_TRY(file.write(root.data(), root.size(), rootOffset));

    uint8_t header[kHeaderBytes] = {};
    std::memcpy(header, kMagic, sizeof kMagic);
    storeLittle(header + kHeaderVersion, kFormatVersion, 4);
    storeLittle(header + kHeaderMinimumRuntime, kMinimumRuntimeVersion, 4);
    storeLittle(header + kHeaderRootOffset, rootOffset, 8);
    storeLittle(header + kHeaderRootBytes, root.size(), 8);
    storeLittle(header + kHeaderRootChecksum, XXH64(root.data(), root.size(), 0), 8);
    storeLittle(header + kHeaderFileBytes, rootOffset + root.size(), 8);
    storeLittle(header + kHeaderChecksum, XXH64(header, kHeaderChecksum, 0), 8);
    MOTE_TRY(file.write(header, sizeof header, 0));
    return file.finish();
}

} // namespace mote
