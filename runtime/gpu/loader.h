// The Vulkan loader library, opened by us on first use, or the app's own entry point.
#pragma once

#include "gpu/vk_table.h"

namespace mote::gpu {

// Holds the loader open. Must outlive every Vulkan object made through it. Move-only.
class Loader {
public:
    // getInstanceProcAddr: the app's own, then nothing is opened; or null.
    // libraryPath: a library to open; null tries the platform's names (libvulkan.so.1, libvulkan.so).
    // NoVulkan, with what the dynamic linker said, where there is none.
    static Result<Loader> open(PFN_vkGetInstanceProcAddr getInstanceProcAddr, const char *libraryPath);

    Loader(Loader &&other) noexcept;
    Loader &operator=(Loader &&other) noexcept;
    ~Loader();

    PFN_vkGetInstanceProcAddr getInstanceProcAddr() const { return getInstanceProcAddr_; }

private:
    Loader() = default;

    void *library_ = nullptr;
    PFN_vkGetInstanceProcAddr getInstanceProcAddr_ = nullptr;
};

} // namespace mote::gpu
