// Images in and out, and tiles onto the whole image.
#include "kernels/image_kernels.h"
#include "kernels/ops.h"

#include <algorithm>

namespace mote {

using namespace kernels;

namespace {

constexpr uint32_t kElementsPerGroup = 256;

gpu::PipelineDescription accumulatePipeline() {
    return pipelineOf(ShaderId::Accumulate, {}, 4, 7);
}
gpu::PipelineDescription importPipeline() {
    return pipelineOf(ShaderId::ImageImport, {}, 2, 12);
}
gpu::PipelineDescription exportPipeline() {
    return pipelineOf(ShaderId::ImageExport, {}, 2, 11);
}

uint64_t elementsOf(const ImageExtent &extent) {
    return uint64_t{extent.batch} * extent.channels * extent.height * extent.width;
}

} // namespace

std::vector<gpu::PipelineDescription> imagePipelines() {
    return {pipelineOf(ShaderId::Sampler, {}, 6, 29), accumulatePipeline(), importPipeline(),
            exportPipeline()};
}

std::vector<float> featherWeights(const std::vector<uint32_t> &origins, uint32_t length, uint32_t total,
                                  uint32_t margin) {
    // A ramp for each seam: 0 up to the start of the ramp, 1 from its end on. The weight of tile i is (ramp
    // of its left seam) * (1 - ramp of its right seam). Seams are made not to overlap each other, so that
    // over each pixel at most two weights are not 0, and these two sum to 1.
    struct Ramp {
        double begin = 0, end = 0;
    };
    std::vector<Ramp> ramps; // ramps[i]: between tile i and i + 1, in pixels of the image
    for (size_t i = 0; i + 1 < origins.size(); ++i) {
        double begin = origins[i + 1],
               end = std::min<double>(static_cast<double>(origins[i]) + length, total);
        const double overlap = end - begin;
        const double cut = std::min<double>(margin, std::max(0.0, (overlap - 1) / 2));
        begin += cut;
        end -= cut;
        if (!ramps.empty())
            begin = std::max(begin, ramps.back().end);
        ramps.push_back({begin, std::max(begin, end)});
    }
    const auto at = [](const Ramp &ramp, double x) { // at a pixel's centre
        if (ramp.end <= ramp.begin)
            return x < ramp.begin ? 0.0 : 1.0;
        return std::clamp((x - ramp.begin) / (ramp.end - ramp.begin), 0.0, 1.0);
    };
    std::vector<float> weights(origins.size() * length);
    for (size_t i = 0; i < origins.size(); ++i) {
        for (uint32_t k = 0; k < length; ++k) {
            const double x = static_cast<double>(origins[i]) + k + 0.5;
            double weight = x < total ? 1.0 : 0.0;
            if (i > 0)
                weight *= at(ramps[i - 1], x);
            if (i + 1 < origins.size())
                weight *= 1.0 - at(ramps[i], x);
            weights[i * length + k] = static_cast<float>(weight);
        }
    }
    return weights;
}

Result<Dispatch> buildAccumulate(const ImageExtent &tile, const ImageExtent &whole, BufferRange tilePlanes,
                                 BufferRange wholePlanes, BufferRange feather, BufferRange session,
                                 const Traits &traits) {
    const uint64_t elements = elementsOf(tile);
    PushWords push;
    push.add({elements, tile.height, tile.width, whole.height, whole.width});
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch("accumulate tile", accumulatePipeline(),
                                 {{tilePlanes, Access::Read},
                                  {wholePlanes, Access::ReadWrite},
                                  {feather, Access::Read},
                                  {session, Access::Read}},
                                 std::move(push), divideUp(elements, kElementsPerGroup), traits));
    dispatch.pointwise = true;
    dispatch.operations = 3 * elements;
    dispatch.bytes = 12 * elements;
    return dispatch;
}

Result<Dispatch> buildImageImport(const PackedImage &image, const ImageExtent &extent, float low, float high,
                                  BufferRange planes, const Traits &traits) {
    const uint64_t elements = uint64_t{extent.channels} * extent.height * extent.width;
    PushWords push;
    push.add({elements, extent.height, extent.width, image.height, image.width, image.bytesPerPixel,
              image.strideBytes, std::min(image.bytesPerPixel, 3u) - 1});
    push.addFloat((high - low) / 255);
    push.addFloat(low);
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch("image import", importPipeline(),
                                 {{image.buffer, Access::Read}, {planes, Access::Write}}, std::move(push),
                                 divideUp(elements, kElementsPerGroup), traits));
    dispatch.operations = 20 * elements;
    dispatch.bytes = 5 * elements;
    return dispatch;
}

Result<Dispatch> buildImageExport(const PackedImage &image, const ImageExtent &extent, float low, float high,
                                  BufferRange planes, const Traits &traits) {
    if (image.strideBytes % 4 != 0 || image.strideBytes < uint64_t{image.width} * image.bytesPerPixel)
        return makeStatus(
            StatusCode::Internal, "image export: found rows of %llu bytes for %u pixels of %u bytes",
            static_cast<unsigned long long>(image.strideBytes), image.width, image.bytesPerPixel);
    const uint64_t words = image.strideBytes / 4 * image.height;
    PushWords push;
    push.add({extent.height, extent.width, extent.channels, image.height, image.width, image.bytesPerPixel,
              image.strideBytes / 4});
    push.addFloat(255 / (high - low));
    push.addFloat(-low * 255 / (high - low));
    MOTE_TRY_ASSIGN(Dispatch dispatch, makeDispatch("image export", exportPipeline(),
                                                    {{planes, Access::Read}, {image.buffer, Access::Write}},
                                                    std::move(push), divideUp(words, kLocalSize), traits));
    dispatch.operations = 40 * words;
    dispatch.bytes = 20 * words;
    return dispatch;
}

} // namespace mote
