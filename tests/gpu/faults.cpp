#include "gpu/faults.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <map>
#include <string>

namespace mote::test {
namespace {

std::map<std::string, PFN_vkVoidFunction> replacements;
std::atomic<int> callsToFault{0}; // 0: none is to come
VkResult faultResult = VK_SUCCESS;
std::atomic<const char *> hitName{nullptr};
VkInstance instanceMadeLast = VK_NULL_HANDLE;

PFN_vkGetInstanceProcAddr realEntry() {
    // By name: the validated stand-in of tests/support where it is linked.
    static void *const library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
    return reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
}

bool faultIsDue(const char *name) {
    if (callsToFault.load() == 0 || callsToFault.fetch_sub(1) != 1) {
        return false;
    }
    hitName = name;
    return true;
}

// For each device function that returns VkResult: where the real one is, and one that fails when its turn
// comes.
template <typename Function, typename Tag> struct Faulty;
template <typename... Arguments, typename Tag> struct Faulty<VkResult(VKAPI_PTR *)(Arguments...), Tag> {
    inline static VkResult(VKAPI_PTR *real)(Arguments...) = nullptr;
    static VKAPI_ATTR VkResult VKAPI_CALL call(Arguments... arguments) {
        return faultIsDue(Tag::name()) ? faultResult : real(arguments...);
    }
    static PFN_vkVoidFunction wrap(PFN_vkVoidFunction function) {
        real = reinterpret_cast<VkResult(VKAPI_PTR *)(Arguments...)>(function);
        return reinterpret_cast<PFN_vkVoidFunction>(call);
    }
};
// Others cannot fail.
template <typename Value, typename... Arguments, typename Tag>
struct Faulty<Value(VKAPI_PTR *)(Arguments...), Tag> {
    static PFN_vkVoidFunction wrap(PFN_vkVoidFunction function) { return function; }
};

PFN_vkVoidFunction wrapped(const char *name, PFN_vkVoidFunction function) {
#define MOTE_WRAP(member)                                                                                    \
    if (std::strcmp(name, #member) == 0) {                                                                   \
        struct Tag {                                                                                         \
            static const char *name() { return #member; }                                                    \
        };                                                                                                   \
        return Faulty<PFN_##member, Tag>::wrap(function);                                                    \
    }
    MOTE_VK_DEVICE_FUNCTIONS(MOTE_WRAP, MOTE_WRAP)
#undef MOTE_WRAP
    return function;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL deviceEntry(VkDevice device, const char *name) {
    const auto found = replacements.find(name);
    if (found != replacements.end()) {
        return found->second;
    }
    return wrapped(name, real<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr")(device, name));
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instanceEntry(VkInstance instance, const char *name) {
    if (instance != VK_NULL_HANDLE) {
        instanceMadeLast = instance;
    }
    const auto found = replacements.find(name);
    if (found != replacements.end()) {
        return found->second;
    }
    if (std::strcmp(name, "vkGetDeviceProcAddr") == 0) {
        return asVoid(deviceEntry);
    }
    return realEntry()(instance, name);
}

void clear() {
    replacements.clear();
    callsToFault = 0;
    hitName = nullptr;
}

} // namespace

ScopedFaults::ScopedFaults() {
    clear();
}

ScopedFaults::~ScopedFaults() {
    clear();
}

PFN_vkGetInstanceProcAddr ScopedFaults::entry() const {
    return instanceEntry;
}

void ScopedFaults::replace(const char *name, PFN_vkVoidFunction function) {
    replacements[name] = function;
}

void ScopedFaults::failCall(int n, VkResult result) {
    faultResult = result;
    hitName = nullptr;
    callsToFault = n;
}

void ScopedFaults::stopFailing() {
    callsToFault = 0;
}

const char *ScopedFaults::hit() const {
    return hitName;
}

PFN_vkVoidFunction realFunction(VkInstance instance, const char *name) {
    return realEntry()(instance, name);
}

VkInstance lastInstance() {
    return instanceMadeLast;
}

} // namespace mote::test
