// Dispatches around the network: start and step of the sampler, noise, tiles, images.
//
// Whole-image buffers (state x, condition y, model output m, registers, noise) are fp32 planar [N][C][H][W]
// with H and W padded to the graph's multiple. An image that exceeds what a binding may span lies in bands of
// rows, each a buffer [N][C][rows][W] of its own; the dispatches below each work on one band.
#pragma once

#include "kernels/kernels.h"
#include "kernels/session.h"

namespace mote {

// Of a tile, or of a band of the whole image (which may be all of it).
struct ImageExtent {
    uint32_t batch = 1, channels = 3, height = 0, width = 0; // padded
    uint32_t firstRow = 0;                                   // of a band in the whole image
};
inline uint64_t elementsOf(const ImageExtent &extent) {
    return uint64_t{extent.batch} * extent.channels * extent.height * extent.width;
}

// Streams of the noise generator: the counter of a normal is (y * noiseWidth + x, channel, draw, stream).
constexpr uint32_t kInitialNoiseStream = 0; // draw 0
constexpr uint32_t kStepNoiseStream = 1;    // draw = how many draws of the recipe came before
constexpr uint32_t kAppNoiseStream = 2;     // ports with PortSource::Noise; draw = port index

// ---- sampler
struct SamplerBuffers {
    BufferRange state; // x, read and written
    BufferRange modelOutput, condition;
    BufferRange noise;           // empty: z is generated
    BufferRange registers;       // [registers][registerStride] floats; empty where the recipe has none
    uint64_t registerStride = 0; // elements from one register to the next
    BufferRange session;         // with flagged rows: of sessionBytes()
    // Where the row has a known region or a learned variance: [N][1][H][W], 1 = to be filled, and
    // [N][C][H][W]
    BufferRange mask, known, variance;
};

// How many registers a recipe needs: 0..4.
uint32_t registerCount(const Recipe &recipe);

// x, r_store <- row (see StepRow). Terms with coefficient 0 and registers not yet written are not read.
// `written`: bit k set when register k has been written by an earlier row. Behind buildRowMeasures where that
// gives anything.
Result<Dispatch> buildSamplerRow(const StepRow &row, uint32_t written, const ImageExtent &extent,
                                 const SamplerBuffers &buffers, uint32_t draw, uint32_t errorCode,
                                 const Traits &traits);

// Rows with a dynamic threshold or a Langevin step depend on the whole image, which is measured first: over
// all bands, in an order that does not depend on them.
struct SamplerBand {
    ImageExtent extent;
    SamplerBuffers buffers;
};
// Memory in which it is done, 0 bytes where no row of the recipe needs any; `whole`: the image, all bands.
uint64_t measureBytes(const Recipe &recipe, const ImageExtent &whole);
// What the session buffer takes with the results, which lie behind its words.
uint64_t sessionBytes(uint32_t batch);
// Nothing for rows that need none. draw: as for buildSamplerRow.
Result<std::vector<Dispatch>> buildRowMeasures(const StepRow &row, const std::vector<SamplerBand> &bands,
                                               BufferRange memory, uint32_t draw, const Traits &traits);

// The dynamic threshold that was last measured of an image, from what the session buffer holds.
float measuredThreshold(const std::vector<uint32_t> &session, uint32_t image);

// x = initNoise z + initCondition y. Uses state, condition, noise, session.
Result<Dispatch> buildSamplerStart(const Recipe &recipe, const ImageExtent &extent,
                                   const SamplerBuffers &buffers, const Traits &traits);

// target = normals of the given stream and draw.
Result<Dispatch> buildNoise(const ImageExtent &extent, BufferRange target, BufferRange session,
                            uint32_t stream, uint32_t draw, const Traits &traits);

// target = 0.
Result<Dispatch> buildClear(const ImageExtent &extent, BufferRange target, BufferRange session,
                            const Traits &traits);

// ---- guidance
// A band's outputs hold two passes, [2N][C][rows][W]; `extent` is that of one, N images. The guided output
// replaces the first half. rescale above 0: followed, once all bands have been guided, by the rescaling of
// each band.
struct GuidanceBuffers {
    BufferRange outputs;
    BufferRange scales;     // [rows of the step table] floats
    BufferRange statistics; // guidanceStatisticsBytes(), where there is a rescaling
};
// Entries of statistics that a band takes for each image.
uint32_t guidanceEntries(const ImageExtent &band);
uint64_t guidanceStatisticsBytes(uint32_t images, uint32_t entriesOfAllBands);
Result<Dispatch> buildGuidance(const ImageExtent &extent, const GuidanceBuffers &buffers, uint32_t row,
                               float rescale, uint32_t firstEntry, uint32_t entries, const Traits &traits);
Result<Dispatch> buildGuidanceRescale(const ImageExtent &extent, const GuidanceBuffers &buffers,
                                      float rescale, uint32_t firstEntry, uint32_t entries,
                                      const Traits &traits);

// ---- tiles
// Weights of tiles along one axis: a partition of unity. Tile i covers [origins[i], origins[i] + length) of
// [0, total); neighbours overlap (origins ascend, gaps are not allowed). weights[i * length + k] belongs to
// pixel origins[i] + k; over each pixel the weights of all tiles sum to 1. Within an overlap they ramp
// linearly; the outer `margin` pixels of a tile's inner edges get weight 0 where the overlap allows it, since
// they lack context.
std::vector<float> featherWeights(const std::vector<uint32_t> &origins, uint32_t length, uint32_t total,
                                  uint32_t margin);

// A tile and where it lies in the whole image.
struct TilePlace {
    ImageExtent tile;
    uint32_t x = 0, y = 0;               // of its top left pixel
    uint32_t featherX = 0, featherY = 0; // where its column and row weights start, in floats
};

// Whether a tile and a band have rows in common.
bool tileTouches(const TilePlace &place, const ImageExtent &band);

// tile = whole, for the rows that the tile and the band have in common, of which there must be some.
Result<Dispatch> buildTileRead(const TilePlace &place, const ImageExtent &band, BufferRange tilePlanes,
                               BufferRange bandPlanes, const Traits &traits);

// whole += tile * columnWeight * rowWeight, likewise. feather: floats.
Result<Dispatch> buildTileAdd(const TilePlace &place, const ImageExtent &band, BufferRange tilePlanes,
                              BufferRange bandPlanes, BufferRange feather, const Traits &traits);

// ---- images
// Some rows of 8-bit interleaved pixels in a buffer, rows `strideBytes` apart (any number for import, a
// multiple of 4 for export), 1 (gray), 3 (RGB) or 4 (RGBA) bytes a pixel.
struct PackedRows {
    BufferRange buffer;              // import: at least the last row's end, rounded up to 4 bytes
    uint32_t firstRow = 0, rows = 0; // of the band's planes
    uint32_t width = 0, bytesPerPixel = 3;
    uint64_t strideBytes = 0;
    uint32_t image = 0; // of the batch
};

// planes[image][c][y][x] = low + (high - low) / 255 * pixel, reflected at the right up to the padded width
// (images one pixel wide too). Gray feeds every channel; RGB(A) feeds channel c from byte min(c, 2), the only
// channel from luma.
Result<Dispatch> buildImageImport(const PackedRows &image, const ImageExtent &band, float low, float high,
                                  BufferRange planes, const Traits &traits);

// The same of a picture of width x height that is to be `factor` times as large: `width` and `firstRow`,
// `rows` remain those of the planes, the buffer holds the source rows from sourceRow on.
struct EnlargedRows {
    PackedRows packed;
    uint32_t factor = 2;
    uint32_t sourceHeight = 0, sourceWidth = 0; // of the whole picture
    uint32_t sourceRow = 0;
};
Result<Dispatch> buildImageEnlarge(const EnlargedRows &image, const ImageExtent &band, float low, float high,
                                   BufferRange planes, const Traits &traits);
// Source rows [first, end) that enlarged rows [first, first + count) depend on; rows beyond the enlarged
// picture are reflected.
struct SourceRows {
    uint32_t first = 0, end = 0;
};
SourceRows enlargeSources(uint32_t first, uint32_t count, uint32_t sourceHeight, uint32_t factor);

// Where the mask is at least a half it becomes 1 and what is known 0; elsewhere the mask becomes 0. `band` is
// that of `known`, the mask has one channel.
Result<Dispatch> buildMaskKnown(const ImageExtent &band, BufferRange mask, BufferRange known,
                                const Traits &traits);

// What a picture is made of, see shaders/image_export.comp. low and high are what the bytes 0 and 255 stand
// for.
enum class ExportSide : uint8_t { None = 0, Luma = 1, Mask = 2 };
struct ExportPlanes {
    BufferRange state;
    float low = -1, high = 1;
    // x0 = clamp(stateFactor state + outputFactor m) in place of the state; end = 0: the state itself.
    BufferRange modelOutput;
    float stateFactor = 1, outputFactor = 0, clipLow = 0, clipHigh = 0;
    ExportSide side = ExportSide::None;
    BufferRange sidePlanes;           // luma or the mask, of one channel
    BufferRange known;                // Mask
    float sideLow = -1, sideHigh = 1; // of luma, or of what is known
};

// pixel = clamp(floor((value - low) / (high - low) * 255 + 0.5), 0, 255), the first `width` of each row. One
// channel gives gray bytes in every colour byte; three give RGB. The fourth byte of RGBA is written as 255.
Result<Dispatch> buildImageExport(const PackedRows &image, const ImageExtent &band,
                                  const ExportPlanes &planes, const Traits &traits);

} // namespace mote
