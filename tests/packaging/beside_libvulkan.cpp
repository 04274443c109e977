// libmote.a in a program that links libvulkan and calls it: neither may disturb the other's functions.
#include "mote/mote.h"

#include <vulkan/vulkan.h>

#include <cstdio>

// True when an instance can be made through the program's own libvulkan and sees `count` devices.
static bool useVulkan(uint32_t &count) {
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.apiVersion = VK_API_VERSION_1_1;
    VkInstanceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;
    VkInstance instance = VK_NULL_HANDLE;
    if (vkCreateInstance(&info, nullptr, &instance) != VK_SUCCESS) {
        return false;
    }
    const bool listed = vkEnumeratePhysicalDevices(instance, &count, nullptr) == VK_SUCCESS;
    vkDestroyInstance(instance, nullptr);
    return listed && count > 0;
}

int main() {
    uint32_t own = 0;
    uint32_t motes = 0;
    uint32_t again = 0;
    if (!useVulkan(own)) {
        std::puts("the program's own Vulkan does not work");
        return 1;
    }
    mote_device *device = nullptr;
    if (mote_enumerate_devices(nullptr, &motes) != MOTE_OK ||
        mote_device_create(nullptr, &device) != MOTE_OK) {
        std::printf("Mote beside libvulkan: %s\n", mote_last_message());
        return 1;
    }
    const bool works = useVulkan(again) && again == own;
    mote_device_destroy(device);
    std::printf("%u devices for the program, %u for Mote\n", own, motes);
    return works && motes > 0 && useVulkan(again) ? 0 : 1;
}
