// Compute pipelines: made once for each shader, constants and interface, kept by the device, cached on disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/device.h"

namespace mote::gpu {

// A SPIR-V module, entry point "main", all its buffers in descriptor set 0, packed as packed_spirv.h
// says. The units must outlive the Device.
struct ShaderCode {
    uint32_t id = 0;       // distinguishes modules in the cache; any stable number, e.g. the ShaderId
    const char *name = ""; // for messages
    const uint16_t *packed = nullptr;
    size_t packedCount = 0;
};

struct PipelineDescription {
    ShaderCode shader;
    std::vector<uint32_t>
        constants;         // specialisation constants by constant_id 0, 1, 2, ...; bit patterns of 32 bits
    uint32_t bindings = 0; // buffers at bindings 0 .. bindings-1: storage buffers, but
    uint32_t texelBindings = 0; // bit i: binding i is a uniform texel buffer of format R32G32B32A32_UINT
    // Bit i: the shader reads binding i's range through its address as well, which needs
    // Caps::bufferDeviceAddress. The last words of the push constants are those addresses, in order of
    // binding, two words each, the low one first; CommandBuffer::dispatch writes them over what is given
    // there. Validation sees no hazard in what goes through an address.
    uint32_t addressBindings = 0;
    uint32_t pushBytes = 0; // push constants from offset 0; a multiple of 4
    // 0: the device's choice; else full subgroups of that many, which needs Caps::subgroupSizeControl
    uint32_t requiredSubgroupSize = 0;
};

inline bool isTexelBinding(uint32_t texelBindings, size_t binding) {
    return binding < 32 && (texelBindings >> binding & 1) != 0;
}

constexpr uint32_t kAddressBytes = 8; // of one in the push constants

inline bool isAddressBinding(uint32_t addressBindings, size_t binding) {
    return binding < 32 && (addressBindings >> binding & 1) != 0;
}

// Owned by the PipelineCache; the address stays valid as long as the Device.
struct Pipeline {
    VkPipeline handle = VK_NULL_HANDLE;
    VkPipelineLayout layout = VK_NULL_HANDLE;
    VkDescriptorSetLayout setLayout = VK_NULL_HANDLE;
    std::string name;
    uint32_t bindings = 0;
    uint32_t texelBindings = 0;
    uint32_t addressBindings = 0;
    uint32_t pushBytes = 0;
    uint32_t workgroupSize[3] = {1, 1, 1}; // as the module has it after specialisation
};

// Safe from any thread. Different pipelines compile in parallel; one asked for by two threads compiles once.
class PipelineCache {
public:
    // Reads the device's cache file where there is a cache directory; whatever is wrong with it is a miss.
    static Result<std::unique_ptr<PipelineCache>> create(Device &device);

    PipelineCache(const PipelineCache &) = delete;
    PipelineCache &operator=(const PipelineCache &) = delete;
    ~PipelineCache();

    // Finds or makes. The module's own capabilities, workgroup size, shared memory, bindings and push
    // constants are read from its words and held against the caps and the description before the driver sees
    // it.
    //
    // Unsupported: exceeds a limit, or the driver could not compile it (fall to another variant). A failure
    // is not remembered: the same call may be tried again.
    Result<const Pipeline *> get(const PipelineDescription &description);

    // Writes the cache file (temporary name, then renamed) where pipelines were made since it was read; does
    // nothing without a cache directory. A failure is logged by the Device's destructor and harms nothing
    // else.
    Status save();

    size_t pipelineCount() const;                           // made so far
    bool loadedFromDisk() const { return loadedFromDisk_; } // the file was there and was accepted

private:
    struct Entry {
        std::mutex mutex;
        bool made = false;
        Pipeline pipeline;
    };
    struct Layout {
        VkDescriptorSetLayout setLayout = VK_NULL_HANDLE;
        VkPipelineLayout layout = VK_NULL_HANDLE;
    };
    using Key = std::vector<uint32_t>;
    using SetKey = std::pair<uint32_t, uint32_t>;  // bindings, texel bindings
    using LayoutKey = std::pair<SetKey, uint32_t>; // and push bytes

    explicit PipelineCache(Device &device) : device_(device) {}
    Result<Layout> layoutFor(const PipelineDescription &description);
    Status make(const PipelineDescription &description, Pipeline &pipeline);

    Device &device_;
    VkPipelineCache cache_ = VK_NULL_HANDLE;
    bool loadedFromDisk_ = false;
    mutable std::mutex mutex_; // guards what is below
    std::map<Key, std::unique_ptr<Entry>> entries_;
    std::map<SetKey, VkDescriptorSetLayout> setLayouts_;
    std::map<LayoutKey, VkPipelineLayout> layouts_;
    size_t madeCount_ = 0;
    size_t savedCount_ = 0;
};

} // namespace mote::gpu
