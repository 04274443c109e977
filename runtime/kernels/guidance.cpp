// Classifier-free guidance of a band's outputs. See shaders/guidance.comp and guidance_rescale.comp.
#include "kernels/image_kernels.h"
#include "kernels/ops.h"

#include <algorithm>

namespace mote {

using namespace kernels;

namespace {

constexpr uint32_t kPushWords = 10;
constexpr uint64_t kMostChunks = 256, kLeastChunkElements = 1024;

uint64_t imageElements(const ImageExtent &extent) {
    return elementsOf(extent) / extent.batch;
}

PushWords pushWords(const ImageExtent &extent, uint32_t row, float rescale, uint32_t firstEntry,
                    uint32_t entries) {
    const uint64_t chunks = guidanceEntries(extent);
    PushWords push;
    push.add({extent.batch, imageElements(extent), chunks, divideUp(imageElements(extent), chunks),
              firstEntry, entries, row});
    push.addFloat(rescale);
    return push;
}

} // namespace

uint32_t guidanceEntries(const ImageExtent &band) {
    return static_cast<uint32_t>(
        std::clamp<uint64_t>(divideUp(imageElements(band), kLeastChunkElements), 1, kMostChunks));
}

uint64_t guidanceStatisticsBytes(uint32_t images, uint32_t entriesOfAllBands) {
    return uint64_t{images} * entriesOfAllBands * 2 * 4 * sizeof(float);
}

Result<Dispatch> buildGuidance(const ImageExtent &extent, const GuidanceBuffers &buffers, uint32_t row,
                               float rescale, uint32_t firstEntry, uint32_t entries, const Traits &traits) {
    const bool statistics = rescale > 0;
    MOTE_TRY_ASSIGN(
        Dispatch dispatch,
        makeDispatch("guidance", pipelineOf(ShaderId::Guidance, {statistics ? 1u : 0u}, 3, kPushWords),
                     {{buffers.outputs, Access::ReadWrite},
                      statistics ? Binding{buffers.statistics, Access::Write} : unused(buffers.scales),
                      {buffers.scales, Access::Read}},
                     pushWords(extent, row, rescale, firstEntry, entries),
                     uint64_t{extent.batch} * guidanceEntries(extent), traits));
    dispatch.pointwise = true;
    dispatch.operations = 3 * elementsOf(extent);
    dispatch.bytes = 12 * elementsOf(extent);
    return dispatch;
}

Result<Dispatch> buildGuidanceRescale(const ImageExtent &extent, const GuidanceBuffers &buffers,
                                      float rescale, uint32_t firstEntry, uint32_t entries,
                                      const Traits &traits) {
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch("guidance rescale", pipelineOf(ShaderId::GuidanceRescale, {}, 2, kPushWords),
                                 {{buffers.outputs, Access::ReadWrite}, {buffers.statistics, Access::Read}},
                                 pushWords(extent, 0, rescale, firstEntry, entries),
                                 uint64_t{extent.batch} * guidanceEntries(extent), traits));
    dispatch.pointwise = true;
    dispatch.operations = elementsOf(extent);
    dispatch.bytes = 8 * elementsOf(extent);
    return dispatch;
}

} // namespace mote
