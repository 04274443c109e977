#include "kernels/ops.h"

#include "gpu/device.h"

#include <algorithm>
#include <cstring>

namespace mote {

using namespace kernels;

namespace {

// `count` workgroups in three dimensions within the limits; the product is at least count.
std::array<uint32_t, 3> fold(uint32_t count, const uint32_t limits[3]) {
    const uint64_t rows = std::max<uint64_t>(divideUp(count, limits[0]), 1);
    const uint64_t planes = divideUp(rows, limits[1]);
    const uint64_t x = std::max<uint64_t>(divideUp(count, rows), 1), y = divideUp(rows, planes);
    return {static_cast<uint32_t>(x), static_cast<uint32_t>(y), static_cast<uint32_t>(planes)};
}

} // namespace

Traits traitsOf(const gpu::Device &device) {
    constexpr uint32_t kBroadcom = 0x14e4, kArm = 0x13b5; // of Mali, whoever wrote the driver
    Traits traits;
    traits.caps = device.caps();
    traits.cpu = device.info().type == VK_PHYSICAL_DEVICE_TYPE_CPU;
    traits.scatters = traits.cpu && device.info().driverName == "llvmpipe" &&
                      device.info().driverVersion >= VK_MAKE_API_VERSION(0, 25, 1, 0);
    const uint32_t vendor = device.info().vendorId;
    traits.tiles = vendor == kBroadcom ? RegisterTiles::VideoCore
                   : vendor == kArm    ? RegisterTiles::Mali
                                       : RegisterTiles::Large;
    return traits;
}

RecordEntry recordEntry(const Dispatch &dispatch) {
    RecordEntry entry;
    entry.name = dispatch.name;
    entry.pointwise = dispatch.pointwise;
    for (const Binding &binding : dispatch.bindings) {
        if (binding.access == Access::Unused)
            continue;
        if (binding.access != Access::Write)
            entry.reads.push_back(binding.range);
        if (binding.access == Access::Write || binding.access == Access::ReadWrite)
            entry.writes.push_back(binding.range);
    }
    return entry;
}

Dispatch slice(const Dispatch &whole, uint32_t first, uint32_t count, const Traits &traits) {
    Dispatch part = whole;
    part.push[0] = whole.push[0] + first;
    part.push[1] = count;
    part.groupCount = count;
    part.groups = fold(count, traits.caps.maxWorkgroupCount);
    const double share = static_cast<double>(count) / whole.groupCount;
    part.operations = static_cast<uint64_t>(static_cast<double>(whole.operations) * share);
    part.bytes = static_cast<uint64_t>(static_cast<double>(whole.bytes) * share);
    return part;
}

std::vector<Dispatch> split(const Dispatch &whole, uint64_t maxOperations, const Traits &traits) {
    const uint64_t pieces = std::clamp<uint64_t>(
        divideUp(whole.operations, std::max<uint64_t>(maxOperations, 1)), 1, whole.groupCount);
    std::vector<Dispatch> parts;
    for (uint64_t i = 0; i < pieces; ++i) {
        const uint64_t begin = i * whole.groupCount / pieces, end = (i + 1) * whole.groupCount / pieces;
        parts.push_back(
            slice(whole, static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin), traits));
    }
    return parts;
}

namespace kernels {

void PushWords::addFloat(float value) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    words.push_back(bits);
}

void PushWords::addAddressing(uint32_t digits, uint32_t addresses) {
    for (uint32_t digit = 0; digit < digits; ++digit)
        add(digit);
    if (words.size() % 2 != 0)
        add(0); // std430 aligns uvec2
    for (uint32_t word = 0; word < 2 * addresses; ++word)
        add(0);
}

gpu::PipelineDescription pipelineOf(ShaderId id, std::vector<uint32_t> constants, uint32_t bindings,
                                    uint32_t pushWords, uint32_t texelBindings, uint32_t addressBindings) {
    const ShaderModule &module = shaderModule(id);
    gpu::PipelineDescription description;
    description.shader = {static_cast<uint32_t>(id), module.name, module.packed, module.packedCount};
    description.constants = std::move(constants);
    description.bindings = bindings;
    description.texelBindings = texelBindings;
    description.addressBindings = addressBindings;
    description.pushBytes = pushWords * 4;
    return description;
}

bool canShuffle(const gpu::Caps &caps) {
    constexpr VkSubgroupFeatureFlags kNeeded =
        VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    return caps.subgroupSize >= 8 && (caps.subgroupOperations & kNeeded) == kNeeded;
}

Result<Dispatch> makeDispatch(std::string name, gpu::PipelineDescription pipeline,
                              std::vector<Binding> bindings, PushWords push, uint64_t groupCount,
                              const Traits &traits) {
    if (groupCount == 0 || groupCount > 0x7fffffffu)
        return makeStatus(StatusCode::Unsupported, "%s: found %llu workgroups, expected 1 to 2147483647",
                          name.c_str(), static_cast<unsigned long long>(groupCount));
    if (pipeline.bindings != bindings.size() || pipeline.pushBytes != push.words.size() * 4)
        return makeStatus(StatusCode::Internal,
                          "%s: found %zu bindings and %zu push bytes, expected %u and %u", name.c_str(),
                          bindings.size(), push.words.size() * 4, pipeline.bindings, pipeline.pushBytes);
    Dispatch dispatch;
    dispatch.name = std::move(name);
    dispatch.pipeline = std::move(pipeline);
    dispatch.bindings = std::move(bindings);
    dispatch.push = std::move(push.words);
    dispatch.groupCount = static_cast<uint32_t>(groupCount);
    dispatch.push[1] = dispatch.groupCount;
    dispatch.groups = fold(dispatch.groupCount, traits.caps.maxWorkgroupCount);
    return dispatch;
}

} // namespace kernels
} // namespace mote
