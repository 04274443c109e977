#include "variants.h"

#include "convert.h"
#include "gpu/packed_spirv.h"
#include "graph/shapes.h"
#include "shaders/embedded.h"

#include <algorithm>
#include <stdexcept>

namespace mote::bench {
namespace {

struct MeasuredModel {
    const char *directory;
    std::vector<uint32_t> sizes;
};
const MeasuredModel kModels[] = {
    {MOTE_SOURCE_DIR "/converter/models/restore", {512}},
    {MOTE_SOURCE_DIR "/bench/models/ddpm32", {32}},
    {MOTE_SOURCE_DIR "/bench/models/edge", {128, 256}},
};

template <typename T> T valueOrThrow(Result<T> result) {
    if (!result.ok())
        throw std::runtime_error(result.status().message);
    return std::move(result.value());
}

bool same(const gpu::PipelineDescription &a, const gpu::PipelineDescription &b) {
    return a.shader.id == b.shader.id && a.constants == b.constants &&
           a.requiredSubgroupSize == b.requiredSubgroupSize && a.addressBindings == b.addressBindings;
}

void add(std::vector<Variant> &variants, const gpu::PipelineDescription &pipeline, const std::string &kernel,
         Use use) {
    for (Variant &variant : variants) {
        if (same(variant.pipeline, pipeline)) {
            variant.use = std::min(variant.use, use);
            ++variant.ops;
            return;
        }
    }
    variants.push_back({pipeline, kernel, use, 1});
}

void addNetwork(std::vector<Variant> &variants, const Model &model, uint32_t size, const Traits &traits) {
    const Graph &graph = model.graphs[0];
    const GraphShapes shapes = valueOrThrow(inferShapes(model, graph, 1, size, size));
    Traits software = traits;
    software.cpu = true;
    software.caps.subgroupSize = 8;
    software.caps.subgroupOperations |= VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    software.caps.maxTexelBufferElements = 1u << 27;
    for (uint32_t op = 0; op < graph.ops.size(); ++op) {
        const auto candidates = valueOrThrow(kernelCandidates(model, graph, shapes, op, traits));
        for (size_t i = 0; i < candidates.size(); ++i)
            for (const gpu::PipelineDescription &pipeline : candidates[i].pipelines)
                add(variants, pipeline, candidates[i].name, i == 0 ? Use::Default : Use::Fallback);
        for (const OpKernel &kernel : valueOrThrow(kernelCandidates(model, graph, shapes, op, software)))
            for (const gpu::PipelineDescription &pipeline : kernel.pipelines)
                if (std::none_of(candidates.begin(), candidates.end(),
                                 [&](const OpKernel &candidate) { return candidate.name == kernel.name; }))
                    add(variants, pipeline, kernel.name, Use::Elsewhere);
    }
}

// SPIR-V's capabilities GroupNonUniformShuffle, CooperativeMatrixKHR and PhysicalStorageBufferAddresses.
constexpr uint32_t kShuffle = 65, kMatrices = 6022, kAddresses = 5347;

bool declares(const gpu::SpirvInfo &info, uint32_t capability) {
    return std::find(info.capabilities.begin(), info.capabilities.end(), capability) !=
           info.capabilities.end();
}

// The constants that a module outside of the models' networks is used with; none: as the module has them.
std::vector<std::vector<uint32_t>> constantsOf(ShaderId id) {
    switch (id) {
    case ShaderId::Guidance:
        return {{0}, {1}};
    case ShaderId::ImageExport:
        return {{0, 0}, {0, 1}, {1, 0}, {2, 0}};
    default:
        return {{}};
    }
}

void addModule(std::vector<Variant> &variants, ShaderId id) {
    const ShaderModule &module = shaderModule(id);
    const std::vector<uint32_t> words = gpu::unpackSpirv(module.packed, module.packedCount);
    for (std::vector<uint32_t> &constants : constantsOf(id)) {
        const gpu::SpirvInfo info = valueOrThrow(gpu::inspectSpirv(words.data(), words.size(), constants));
        gpu::PipelineDescription pipeline;
        pipeline.shader = {static_cast<uint32_t>(id), module.name, module.packed, module.packedCount};
        pipeline.constants = std::move(constants);
        pipeline.bindings = info.bindings;
        pipeline.texelBindings = info.texelBindings;
        pipeline.pushBytes = info.pushBytes;
        // Kernels that no op of the models has: those for software devices shuffle, others multiply matrices
        // or read through addresses, which this device has not.
        const bool shuffles = declares(info, kShuffle);
        const bool elsewhere = shuffles || needsMatrices(info) || declares(info, kAddresses);
        variants.push_back({std::move(pipeline), "", elsewhere ? Use::Elsewhere : Use::Default, 0});
    }
}

} // namespace

const char *nameOf(Use use) {
    return use == Use::Default ? "default" : use == Use::Fallback ? "fallback" : "elsewhere";
}

bool needsMatrices(const gpu::SpirvInfo &info) {
    return declares(info, kMatrices);
}

std::vector<Variant> variantsFor(const Traits &traits) {
    std::vector<Variant> variants;
    for (const MeasuredModel &measured : kModels) {
        convert::ConvertOptions options;
        options.directory = measured.directory;
        options.randomWeights = 1; // nothing here depends on them
        options.keepConstants = false;
        const Model model = convert::convertCheckpoint(options).model;
        for (const uint32_t size : measured.sizes)
            addNetwork(variants, model, size, traits);
    }
    for (uint32_t id = 0; id < kShaderCount; ++id)
        if (std::none_of(variants.begin(), variants.end(),
                         [id](const Variant &variant) { return variant.pipeline.shader.id == id; }))
            addModule(variants, static_cast<ShaderId>(id));
    std::stable_sort(variants.begin(), variants.end(), [](const Variant &a, const Variant &b) {
        return a.pipeline.shader.id < b.pipeline.shader.id;
    });
    return variants;
}

} // namespace mote::bench
