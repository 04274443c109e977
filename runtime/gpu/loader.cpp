#include "gpu/loader.h"

#include <dlfcn.h>

#include <utility>

namespace mote::gpu {

Result<Loader> Loader::open(PFN_vkGetInstanceProcAddr getInstanceProcAddr, const char *libraryPath) {
    Loader loader;
    if (getInstanceProcAddr != nullptr) {
        loader.getInstanceProcAddr_ = getInstanceProcAddr;
        return loader;
    }
    const char *const platformNames[] = {"libvulkan.so.1", "libvulkan.so"};
    const char *const *names = libraryPath != nullptr ? &libraryPath : platformNames;
    const size_t nameCount = libraryPath != nullptr ? 1 : 2;
    std::string tried;
    for (size_t i = 0; i < nameCount; ++i) {
        loader.library_ = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (loader.library_ != nullptr)
            break;
        const char *reason = dlerror();
        tried += tried.empty() ? "" : "; ";
        tried += reason != nullptr ? reason : names[i];
    }
    if (loader.library_ == nullptr)
        return makeStatus(StatusCode::NoVulkan, "no Vulkan loader: %s", tried.c_str());
    void *symbol = dlsym(loader.library_, "vkGetInstanceProcAddr");
    if (symbol == nullptr)
        return makeStatus(StatusCode::NoVulkan, "the Vulkan loader has no vkGetInstanceProcAddr");
    loader.getInstanceProcAddr_ = reinterpret_cast<PFN_vkGetInstanceProcAddr>(symbol);
    return loader;
}

Loader::Loader(Loader &&other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      getInstanceProcAddr_(std::exchange(other.getInstanceProcAddr_, nullptr)) {}

Loader &Loader::operator=(Loader &&other) noexcept {
    std::swap(library_, other.library_);
    std::swap(getInstanceProcAddr_, other.getInstanceProcAddr_);
    return *this;
}

Loader::~Loader() {
    if (library_ != nullptr)
        dlclose(library_);
}

} // namespace mote::gpu
