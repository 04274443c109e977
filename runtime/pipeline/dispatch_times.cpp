#include "pipeline/dispatch_times.h"

#include "gpu/cache_file.h"
#include "pipeline/loaded_model.h"

#include <cstring>

namespace mote::pipeline {
namespace {

constexpr const char *kCacheName = "times";
constexpr size_t kEntryBytes = sizeof(uint64_t) + sizeof(double);
// A model has a few hundred; with more the directory's are given up for the newest.
constexpr size_t kMostEntries = 16384;
constexpr double kMostMilliseconds = 1e6;

// FNV-1a over words.
uint64_t hashOf(const Command &command) {
    uint64_t hash = 14695981039346656037ull;
    const auto add = [&](uint64_t word) { hash = (hash ^ word) * 1099511628211ull; };
    const PipelineKey pipeline = keyOf(command.dispatch.pipeline);
    add(pipeline.first);
    add(pipeline.second.size());
    for (const uint32_t constant : pipeline.second)
        add(constant);
    add(command.dispatch.groupCount);
    add(command.dispatch.operations);
    add(command.dispatch.bytes);
    return hash;
}

} // namespace

DispatchTimes DispatchTimes::read(const gpu::Device &device) {
    const Result<std::vector<uint8_t>> bytes = gpu::readCacheFile(device, kCacheName);
    return bytes.ok() ? decode(bytes.value()) : DispatchTimes();
}

std::optional<double> DispatchTimes::find(const Command &command) const {
    const auto found = milliseconds_.find(hashOf(command));
    return found != milliseconds_.end() ? std::optional(found->second) : std::nullopt;
}

void DispatchTimes::set(const Command &command, double milliseconds) {
    milliseconds_[hashOf(command)] = milliseconds;
}

void DispatchTimes::write(const gpu::Device &device) const {
    if (device.cacheDirectory().empty())
        return;
    DispatchTimes all = *this; // these before others
    DispatchTimes others = read(device);
    if (all.milliseconds_.size() + others.milliseconds_.size() <= kMostEntries)
        all.milliseconds_.merge(others.milliseconds_);
    const Status status = gpu::writeCacheFile(device, kCacheName, all.encode());
    if (!status.ok())
        device.log(gpu::LogLevel::Warning, "times of dispatches are not kept: %s", status.message.c_str());
}

std::vector<uint8_t> DispatchTimes::encode() const {
    std::vector<uint8_t> bytes(milliseconds_.size() * kEntryBytes);
    uint8_t *to = bytes.data();
    for (const auto &[key, time] : milliseconds_) {
        std::memcpy(to, &key, sizeof key);
        std::memcpy(to + sizeof key, &time, sizeof time);
        to += kEntryBytes;
    }
    return bytes;
}

DispatchTimes DispatchTimes::decode(const std::vector<uint8_t> &bytes) {
    DispatchTimes times;
    if (bytes.size() % kEntryBytes != 0)
        return times;
    for (size_t at = 0; at < bytes.size(); at += kEntryBytes) {
        uint64_t key = 0;
        double time = 0;
        std::memcpy(&key, &bytes[at], sizeof key);
        std::memcpy(&time, &bytes[at + sizeof key], sizeof time);
        if (!(time >= 0 && time <= kMostMilliseconds))
            return {};
        times.milliseconds_[key] = time;
    }
    return times;
}

} // namespace mote::pipeline
