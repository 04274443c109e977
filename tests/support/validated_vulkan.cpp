// Stands in for libvulkan.so.1 in the test programs: the real loader, but every instance that anybody makes,
// by whichever way, has the validation layer with synchronisation validation and a messenger that listens
// from its creation to its destruction. So no test can forget to be validated.
//
// It carries libvulkan's SONAME: the dynamic linker gives it to whoever asks for libvulkan.so.1 once it is
// loaded, be it linked (the test programs) or preloaded (the mote command run by a test).
#include "support/validation.h"

#include <dlfcn.h>
#include <vulkan/vulkan_core.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

void printAndAbort(const char *id, const char *text) {
    std::fprintf(stderr, "Vulkan validation: %s\n%s\n", id, text);
    std::abort();
}

std::atomic<mote::test::MessageHandler> handler{printAndAbort};

VKAPI_ATTR VkBool32 VKAPI_CALL receive(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                       VkDebugUtilsMessageTypeFlagsEXT,
                                       const VkDebugUtilsMessengerCallbackDataEXT *data, void *) {
    handler.load()(data->pMessageIdName ? data->pMessageIdName : "", data->pMessage ? data->pMessage : "");
    return VK_FALSE;
}

// Runs when the library is loaded, before any driver or layer is.
__attribute__((constructor)) void setEnvironment() {
    // Hazards between submissions are looked for only when this is set (Debian's layers are 1.3.239).
    setenv("VK_LAYER_ENABLES", "VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT", 1);
    // Newer layers, like those that come with a driver of tests/drivers, do not look at what shaders access
    // unless they are asked to; older ones do not know this and always do.
    setenv("VK_KHRONOS_VALIDATION_SYNCVAL_SHADER_ACCESSES_HEURISTIC", "true", 1);
    setenv("MESA_SHADER_CACHE_DIR", MOTE_SHADER_CACHE_DIR, 0);
}

PFN_vkGetInstanceProcAddr realGetInstanceProcAddr() {
    // By its path, because by its name we would get ourselves.
    static void *const library = dlopen(MOTE_REAL_LIBVULKAN, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::fprintf(stderr, "%s\n", dlerror());
        std::abort();
    }
    static const auto function =
        reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
    return function;
}

template <typename Function> Function real(VkInstance instance, const char *name) {
    return reinterpret_cast<Function>(realGetInstanceProcAddr()(instance, name));
}

std::mutex messengersMutex;
std::map<VkInstance, VkDebugUtilsMessengerEXT> messengers;

void addOnce(std::vector<const char *> &names, const char *name) {
    for (const char *present : names) {
        if (std::strcmp(present, name) == 0) {
            return;
        }
    }
    names.push_back(name);
}

// Ends the program where MOTE_TEST_DRIVER is set and a device is of a driver that begins otherwise: a test
// meant for a driver must not pass on the one that happens to be installed. Names are no proof, Mesa's are
// the same in all its versions.
void expectDriver(VkInstance instance) {
    const char *const expected = std::getenv("MOTE_TEST_DRIVER");
    if (!expected) {
        return;
    }
    const auto enumerate = real<PFN_vkEnumeratePhysicalDevices>(instance, "vkEnumeratePhysicalDevices");
    uint32_t count = 0;
    enumerate(instance, &count, nullptr);
    std::vector<VkPhysicalDevice> devices(count);
    enumerate(instance, &count, devices.data());
    for (VkPhysicalDevice device : devices) {
        VkPhysicalDeviceDriverProperties driver{};
        driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
        VkPhysicalDeviceProperties2 properties{};
        properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
        properties.pNext = &driver;
        real<PFN_vkGetPhysicalDeviceProperties2>(instance, "vkGetPhysicalDeviceProperties2")(device,
                                                                                             &properties);
        const std::string found = driver.driverName + std::string(" ") + driver.driverInfo;
        if (found.rfind(expected, 0) != 0) {
            printAndAbort("tests",
                          ("found a device of driver '" + found + "', expected '" + expected + "'").c_str());
        }
    }
}

VKAPI_ATTR VkResult VKAPI_CALL createInstance(const VkInstanceCreateInfo *info,
                                              const VkAllocationCallbacks *allocator, VkInstance *instance) {
    std::vector<const char *> layers(info->ppEnabledLayerNames,
                                     info->ppEnabledLayerNames + info->enabledLayerCount);
    std::vector<const char *> extensions(info->ppEnabledExtensionNames,
                                         info->ppEnabledExtensionNames + info->enabledExtensionCount);
    addOnce(layers, "VK_LAYER_KHRONOS_validation");
    addOnce(extensions, VK_EXT_DEBUG_UTILS_EXTENSION_NAME);
    addOnce(extensions, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME);

    VkDebugUtilsMessengerCreateInfoEXT messenger{};
    messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
    messenger.messageSeverity =
        VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT;
    messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    messenger.pfnUserCallback = receive;

    const VkValidationFeatureEnableEXT enabled[] = {
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features{};
    features.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
    features.enabledValidationFeatureCount = 1;
    features.pEnabledValidationFeatures = enabled;

    // In the chain the messenger hears the creation and the destruction of the instance; the one made below
    // hears what lies between.
    VkInstanceCreateInfo validated = *info;
    VkDebugUtilsMessengerCreateInfoEXT chained = messenger;
    chained.pNext = info->pNext;
    features.pNext = &chained;
    validated.pNext = &features;
    validated.enabledLayerCount = static_cast<uint32_t>(layers.size());
    validated.ppEnabledLayerNames = layers.data();
    validated.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
    validated.ppEnabledExtensionNames = extensions.data();

    const VkResult result =
        real<PFN_vkCreateInstance>(VK_NULL_HANDLE, "vkCreateInstance")(&validated, allocator, instance);
    if (result == VK_ERROR_LAYER_NOT_PRESENT) {
        printAndAbort("tests", "VK_LAYER_KHRONOS_validation is not installed");
    }
    if (result != VK_SUCCESS) {
        return result;
    }
    VkDebugUtilsMessengerEXT made = VK_NULL_HANDLE;
    if (real<PFN_vkCreateDebugUtilsMessengerEXT>(*instance, "vkCreateDebugUtilsMessengerEXT")(
            *instance, &messenger, nullptr, &made) != VK_SUCCESS) {
        printAndAbort("tests", "no debug messenger can be made");
    }
    expectDriver(*instance);
    const std::lock_guard lock(messengersMutex);
    messengers[*instance] = made;
    return VK_SUCCESS;
}

VKAPI_ATTR void VKAPI_CALL destroyInstance(VkInstance instance, const VkAllocationCallbacks *allocator) {
    if (instance != VK_NULL_HANDLE) {
        const std::lock_guard lock(messengersMutex);
        const auto found = messengers.find(instance);
        if (found != messengers.end()) {
            real<PFN_vkDestroyDebugUtilsMessengerEXT>(instance, "vkDestroyDebugUtilsMessengerEXT")(
                instance, found->second, nullptr);
            messengers.erase(found);
        }
    }
    const auto destroy = real<PFN_vkDestroyInstance>(instance, "vkDestroyInstance");
    if (destroy) {
        destroy(instance, allocator);
    }
}

} // namespace

namespace mote::test {

MessageHandler setMessageHandler(MessageHandler next) {
    return handler.exchange(next ? next : printAndAbort);
}

} // namespace mote::test

extern "C" __attribute__((visibility("default"))) VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL
vkGetInstanceProcAddr(VkInstance instance, const char *name) {
    if (std::strcmp(name, "vkCreateInstance") == 0) {
        return reinterpret_cast<PFN_vkVoidFunction>(createInstance);
    }
    if (std::strcmp(name, "vkDestroyInstance") == 0) {
        return reinterpret_cast<PFN_vkVoidFunction>(destroyInstance);
    }
    if (std::strcmp(name, "vkGetInstanceProcAddr") == 0) {
        return reinterpret_cast<PFN_vkVoidFunction>(vkGetInstanceProcAddr);
    }
    return realGetInstanceProcAddr()(instance, name);
}
