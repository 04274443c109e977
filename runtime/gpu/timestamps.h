// GPU timestamps in milliseconds.
#pragma once

#include <cstdint>
#include <vector>

#include "gpu/device.h"

namespace mote::gpu {

// A pool of timestamp queries. Move-only. Recorded with CommandBuffer::resetTimestamps and writeTimestamp. A
// recording that writes them must not be pending twice.
class Timestamps {
public:
    // Unsupported where Caps::timestamps is false.
    static Result<Timestamps> create(Device &device, uint32_t count);

    Timestamps() = default;
    Timestamps(Timestamps &&other) noexcept;
    Timestamps &operator=(Timestamps &&other) noexcept;
    ~Timestamps();

    // Milliseconds from query `first` to each of the queries first .. first+count-1 (so element 0 is 0), once
    // the fence of the submission that wrote them is signalled. NotReady where one was not written.
    Result<std::vector<double>> milliseconds(uint32_t first, uint32_t count) const;

    VkQueryPool handle() const { return handle_; }
    uint32_t count() const { return count_; }

private:
    Device *device_ = nullptr;
    VkQueryPool handle_ = VK_NULL_HANDLE;
    uint32_t count_ = 0;
};

// The difference of two raw timestamps of validBits bits, across one wrap, in milliseconds.
double timestampMilliseconds(uint64_t from, uint64_t to, uint32_t validBits, double periodNs);

} // namespace mote::gpu
