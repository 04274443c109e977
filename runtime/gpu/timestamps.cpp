#include "gpu/timestamps.h"

#include <utility>

namespace mote::gpu {

Result<Timestamps> Timestamps::create(Device &device, uint32_t count) {
    MOTE_TRY(device.alive());
    if (!device.caps().timestamps)
        return makeStatus(StatusCode::Unsupported, "the device's queue has no timestamps");
    if (count == 0)
        return makeStatus(StatusCode::InvalidArgument, "a pool of 0 timestamps");
    VkQueryPoolCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
    info.queryType = VK_QUERY_TYPE_TIMESTAMP;
    info.queryCount = count;
    Timestamps timestamps;
    VkQueryPool handle = VK_NULL_HANDLE;
    MOTE_TRY(device.check(device.vk().vkCreateQueryPool(device.handle(), &info, nullptr, &handle),
                          "vkCreateQueryPool"));
    timestamps.device_ = &device;
    timestamps.handle_ = handle;
    timestamps.count_ = count;
    return timestamps;
}

Timestamps::Timestamps(Timestamps &&other) noexcept {
    *this = std::move(other);
}

Timestamps &Timestamps::operator=(Timestamps &&other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
    std::swap(count_, other.count_);
    return *this;
}

Timestamps::~Timestamps() {
    if (handle_ != VK_NULL_HANDLE)
        device_->vk().vkDestroyQueryPool(device_->handle(), handle_, nullptr);
}

Result<std::vector<double>> Timestamps::milliseconds(uint32_t first, uint32_t count) const {
    if (count == 0 || first >= count_ || count > count_ - first)
        return makeStatus(StatusCode::InvalidArgument, "%u timestamps from %u of a pool of %u", count, first,
                          count_);
    MOTE_TRY(device_->alive());
    std::vector<uint64_t> ticks(count);
    MOTE_TRY(device_->check(device_->vk().vkGetQueryPoolResults(device_->handle(), handle_, first, count,
                                                                count * sizeof(uint64_t), ticks.data(),
                                                                sizeof(uint64_t), VK_QUERY_RESULT_64_BIT),
                            "vkGetQueryPoolResults"));
    std::vector<double> times(count);
    const Caps &caps = device_->caps();
    for (uint32_t i = 0; i < count; ++i)
        times[i] = timestampMilliseconds(ticks[0], ticks[i], caps.timestampValidBits, caps.timestampPeriodNs);
    return times;
}

double timestampMilliseconds(uint64_t from, uint64_t to, uint32_t validBits, double periodNs) {
    const uint64_t mask = validBits >= 64 ? ~0ull : (1ull << validBits) - 1;
    return static_cast<double>((to - from) & mask) * periodNs * 1e-6;
}

} // namespace mote::gpu
