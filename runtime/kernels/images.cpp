// Images in and out, and tiles onto the whole image.
#include "kernels/image_kernels.h"
#include "kernels/ops.h"

#include <algorithm>

namespace mote {

using namespace kernels;

namespace {

constexpr uint32_t kElementsPerGroup = 256;

constexpr uint32_t kTileWords = 12; // of push constants that reading and adding a tile have in common

gpu::PipelineDescription readPipeline() {
    return pipelineOf(ShaderId::TileRead, {}, 2, kTileWords);
}
gpu::PipelineDescription addPipeline() {
    return pipelineOf(ShaderId::TileAdd, {}, 3, kTileWords + 2);
}
gpu::PipelineDescription importPipeline() {
    return pipelineOf(ShaderId::ImageImport, {}, 2, 13);
}
gpu::PipelineDescription enlargePipeline() {
    return pipelineOf(ShaderId::ImageEnlarge, {}, 2, 17);
}
gpu::PipelineDescription maskPipeline() {
    return pipelineOf(ShaderId::MaskKnown, {}, 2, 5);
}
gpu::PipelineDescription exportPipeline(ExportSide side, bool estimate) {
    return pipelineOf(ShaderId::ImageExport, {static_cast<uint32_t>(side), estimate ? 1u : 0u}, 5, 19);
}

constexpr uint32_t kLuma = 3; // as in image_import.comp

// The byte of a pixel that the last channels read.
uint32_t lastColour(uint32_t channels, uint32_t bytesPerPixel) {
    return channels == 1 && bytesPerPixel >= 3 ? kLuma : std::min(bytesPerPixel, 3u) - 1;
}

// Rows of the tile that lie in the band.
struct CommonRows {
    uint32_t first = 0, count = 0;
};
CommonRows commonRows(const TilePlace &place, const ImageExtent &band) {
    const uint64_t begin = std::max(place.y, band.firstRow);
    const uint64_t end =
        std::min(uint64_t{place.y} + place.tile.height, uint64_t{band.firstRow} + band.height);
    if (begin >= end)
        return {};
    return {static_cast<uint32_t>(begin - place.y), static_cast<uint32_t>(end - begin)};
}

uint64_t commonElements(const TilePlace &place, const ImageExtent &band) {
    ImageExtent common = place.tile;
    common.height = commonRows(place, band).count;
    return elementsOf(common);
}

PushWords tileWords(const TilePlace &place, const ImageExtent &band) {
    const CommonRows rows = commonRows(place, band);
    PushWords push;
    // The tile's row 0 may lie above the band: the difference wraps, and so does its sum with a row.
    push.add({commonElements(place, band), rows.first, rows.count, place.tile.height, place.tile.width,
              band.height, band.width, place.x, static_cast<uint32_t>(place.y - band.firstRow),
              uint64_t{band.batch} * band.channels});
    return push;
}

} // namespace

bool tileTouches(const TilePlace &place, const ImageExtent &band) {
    return commonRows(place, band).count != 0;
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

Result<Dispatch> buildTileRead(const TilePlace &place, const ImageExtent &band, BufferRange tilePlanes,
                               BufferRange bandPlanes, const Traits &traits) {
    const uint64_t elements = commonElements(place, band);
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch("read tile", readPipeline(),
                                 {{tilePlanes, Access::Write}, {bandPlanes, Access::Read}},
                                 tileWords(place, band), divideUp(elements, kElementsPerGroup), traits));
    dispatch.pointwise = true;
    dispatch.operations = elements;
    dispatch.bytes = 8 * elements;
    return dispatch;
}

Result<Dispatch> buildTileAdd(const TilePlace &place, const ImageExtent &band, BufferRange tilePlanes,
                              BufferRange bandPlanes, BufferRange feather, const Traits &traits) {
    const uint64_t elements = commonElements(place, band);
    PushWords push = tileWords(place, band);
    push.add({place.featherX, place.featherY});
    MOTE_TRY_ASSIGN(
        Dispatch dispatch,
        makeDispatch("add tile", addPipeline(),
                     {{tilePlanes, Access::Read}, {bandPlanes, Access::ReadWrite}, {feather, Access::Read}},
                     std::move(push), divideUp(elements, kElementsPerGroup), traits));
    dispatch.pointwise = true;
    dispatch.operations = 3 * elements;
    dispatch.bytes = 12 * elements;
    return dispatch;
}

namespace {

// Of the image in its band, counted over the planes of all images.
uint64_t firstRowOf(const PackedRows &image, const ImageExtent &band) {
    return uint64_t{image.image} * band.channels * band.height + image.firstRow;
}

} // namespace

Result<Dispatch> buildImageImport(const PackedRows &image, const ImageExtent &band, float low, float high,
                                  BufferRange planes, const Traits &traits) {
    const uint64_t elements = uint64_t{band.channels} * image.rows * band.width;
    PushWords push;
    push.add({elements, band.height, band.width, firstRowOf(image, band), image.rows, image.width,
              image.bytesPerPixel, image.strideBytes, lastColour(band.channels, image.bytesPerPixel)});
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

Result<Dispatch> buildImageEnlarge(const EnlargedRows &image, const ImageExtent &band, float low, float high,
                                   BufferRange planes, const Traits &traits) {
    const PackedRows &packed = image.packed;
    const uint64_t elements = uint64_t{band.channels} * packed.rows * band.width;
    PushWords push;
    push.add({elements, band.height, band.width, packed.firstRow, packed.rows,
              uint64_t{band.firstRow} + packed.firstRow, image.sourceHeight, image.sourceWidth,
              image.sourceRow, image.factor, packed.bytesPerPixel, packed.strideBytes,
              lastColour(band.channels, packed.bytesPerPixel)});
    push.addFloat((high - low) / 255);
    push.addFloat(low);
    MOTE_TRY_ASSIGN(Dispatch dispatch, makeDispatch("image enlarge", enlargePipeline(),
                                                    {{packed.buffer, Access::Read}, {planes, Access::Write}},
                                                    std::move(push), divideUp(elements, kLocalSize), traits));
    dispatch.operations = 300 * elements;
    dispatch.bytes = 80 * elements;
    return dispatch;
}

SourceRows enlargeSources(uint32_t first, uint32_t count, uint32_t sourceHeight, uint32_t factor) {
    const uint64_t target = uint64_t{sourceHeight} * factor;
    const uint64_t end = uint64_t{first} + count;
    // Reflected rows count back from the last but one; a picture so small that they come forward again is
    // read whole.
    uint64_t low = std::min<uint64_t>(first, target - 1), high = std::min(end, target);
    if (end > target)
        low = end - target >= target ? 0 : std::min(low, target - 1 - (end - target));
    if (first >= target)
        high = end - target >= target ? target : target - 1 - (first - target);
    // Two source pixels to either side of the centre.
    const uint64_t below = low / factor, above = (high - 1) / factor;
    return {static_cast<uint32_t>(below < 2 ? 0 : below - 2),
            static_cast<uint32_t>(std::min<uint64_t>(above + 3, sourceHeight))};
}

Result<Dispatch> buildMaskKnown(const ImageExtent &band, BufferRange mask, BufferRange known,
                                const Traits &traits) {
    const uint64_t plane = uint64_t{band.height} * band.width, pixels = plane * band.batch;
    PushWords push;
    push.add({pixels, plane, band.channels});
    MOTE_TRY_ASSIGN(Dispatch dispatch, makeDispatch("mask", maskPipeline(),
                                                    {{mask, Access::ReadWrite}, {known, Access::ReadWrite}},
                                                    std::move(push), divideUp(pixels, kLocalSize), traits));
    dispatch.pointwise = true;
    dispatch.operations = pixels * (1 + band.channels);
    dispatch.bytes = 4 * pixels * (2 + band.channels);
    return dispatch;
}

Result<Dispatch> buildImageExport(const PackedRows &image, const ImageExtent &band,
                                  const ExportPlanes &planes, const Traits &traits) {
    if (image.strideBytes % 4 != 0 || image.strideBytes < uint64_t{image.width} * image.bytesPerPixel)
        return makeStatus(
            StatusCode::Internal, "image export: found rows of %llu bytes for %u pixels of %u bytes",
            static_cast<unsigned long long>(image.strideBytes), image.width, image.bytesPerPixel);
    const uint64_t words = image.strideBytes / 4 * image.rows;
    const bool estimate = planes.modelOutput.end != 0;
    PushWords push;
    push.add({band.height, band.width, band.channels, firstRowOf(image, band),
              uint64_t{image.image} * band.height + image.firstRow, image.rows, image.width,
              image.bytesPerPixel, image.strideBytes / 4});
    push.addFloat(255 / (planes.high - planes.low));
    push.addFloat(-planes.low * 255 / (planes.high - planes.low));
    push.addFloat(255 / (planes.sideHigh - planes.sideLow));
    push.addFloat(-planes.sideLow * 255 / (planes.sideHigh - planes.sideLow));
    for (float value : {planes.stateFactor, planes.outputFactor, planes.clipLow, planes.clipHigh})
        push.addFloat(value);
    const auto bound = [&](const BufferRange &range, bool used) {
        return used ? Binding{range, Access::Read} : unused(planes.state);
    };
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch("image export", exportPipeline(planes.side, estimate),
                                 {{planes.state, Access::Read},
                                  {image.buffer, Access::Write},
                                  bound(planes.modelOutput, estimate),
                                  bound(planes.sidePlanes, planes.side != ExportSide::None),
                                  bound(planes.known, planes.side == ExportSide::Mask)},
                                 std::move(push), divideUp(words, kLocalSize), traits));
    dispatch.operations = 40 * words;
    dispatch.bytes = 20 * words;
    return dispatch;
}

} // namespace mote
