// Stands between the runtime and Vulkan: an entry point for InstanceOptions::getInstanceProcAddr that
// replaces functions by name, or makes the n-th call that can fail do so.
//
// The state is global, because Vulkan functions have no user pointer: one ScopedFaults at a time.
#pragma once

#include "gpu/vk_table.h"

namespace mote::test {

// While one lives, faults are as asked for; its end takes them back.
class ScopedFaults {
public:
    ScopedFaults();
    ~ScopedFaults();
    ScopedFaults(const ScopedFaults &) = delete;
    ScopedFaults &operator=(const ScopedFaults &) = delete;

    // To be given to the runtime.
    PFN_vkGetInstanceProcAddr entry() const;

    // Whoever asks for `name` gets `function`; null: as if it were not there.
    void replace(const char *name, PFN_vkVoidFunction function);

    // The n-th call from now (1 is the next) of any device function that returns VkResult returns `result`
    // without being made. Works for devices created through entry() while this lives.
    void failCall(int n, VkResult result);
    void stopFailing();
    // The function that the last fault hit; null before.
    const char *hit() const;
};

// The real function, for replacements that change what it answers.
PFN_vkVoidFunction realFunction(VkInstance instance, const char *name);
// The instance made last through entry().
VkInstance lastInstance();

template <typename Function> Function real(const char *name) {
    return reinterpret_cast<Function>(realFunction(lastInstance(), name));
}

template <typename Function> PFN_vkVoidFunction asVoid(Function function) {
    return reinterpret_cast<PFN_vkVoidFunction>(function);
}

// A function of any signature that only fails: table.vkMapMemory = failWith<VK_ERROR_MEMORY_MAP_FAILED>.
template <VkResult result, typename... Arguments> VKAPI_ATTR VkResult VKAPI_CALL failWith(Arguments...) {
    return result;
}

} // namespace mote::test
