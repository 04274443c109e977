// mote devices: what there is to run on.
#include "commands.h"

#include <cstdio>

namespace mote::command {
namespace {

const char *typeName(mote_device_type type) {
    switch (type) {
    case MOTE_DEVICE_INTEGRATED:
        return "integrated GPU";
    case MOTE_DEVICE_DISCRETE:
        return "discrete GPU";
    case MOTE_DEVICE_VIRTUAL:
        return "virtual GPU";
    case MOTE_DEVICE_CPU:
        return "CPU";
    case MOTE_DEVICE_OTHER:
        break;
    }
    return "other";
}

const char *yesNo(int32_t value) {
    return value ? "yes" : "no";
}

double mebibytes(uint64_t bytes) {
    return static_cast<double>(bytes) / (1 << 20);
}

} // namespace

void runDevices() {
    for (const mote_device_properties &device : listDevices()) {
        // VK_API_VERSION_MAJOR, _MINOR and _PATCH
        const uint32_t version = device.api_version;
        std::printf("%u: %s (%s)\n", device.index, device.name, typeName(device.type));
        std::printf("   driver       %s, Vulkan %u.%u.%u\n", device.driver, version >> 22 & 0x7f,
                    version >> 12 & 0x3ff, version & 0xfff);
        std::printf("   memory       %.0f MiB, %.0f MiB an allocation, %.0f MiB a buffer binding\n",
                    mebibytes(device.device_local_bytes), mebibytes(device.max_allocation_bytes),
                    mebibytes(device.max_storage_buffer_bytes));
        std::printf("   workgroups   %u invocations, %u bytes shared, subgroups of %u\n",
                    device.max_workgroup_invocations, device.max_shared_memory_bytes, device.subgroup_size);
        std::printf("   fp16 arithmetic %s, 16-bit storage %s, timestamps %s\n",
                    yesNo(device.has_fp16_arithmetic), yesNo(device.has_16bit_storage),
                    yesNo(device.has_timestamps));
    }
}

} // namespace mote::command
