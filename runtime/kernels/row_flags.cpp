// What rows with data-dependent operations need to know of a whole image: the quantile of a dynamic threshold
// by radix selection (shaders/quantile_count.comp, quantile_pick.comp), the norms of a Langevin step
// (norms.comp).
#include "kernels/image_kernels.h"
#include "kernels/ops.h"

#include "shaders/row_results.glsl"
#include "shaders/session.glsl"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace mote {

using namespace kernels;

static_assert(SESSION_WORDS <= SESSION_RESULTS, "results lie behind the session's words");

namespace {

constexpr uint32_t kElementsPerGroup = 4096;                               // of quantile_count.comp
constexpr uint32_t kReadState = 1, kReadModelOutput = 2, kReadNoise = 128; // as in the shaders

// The bits of a float's magnitude, from the top, as the passes count by them.
struct Digit {
    uint32_t shift, width;
};
constexpr Digit kDigits[] = {{20, 11}, {10, 10}, {0, 10}};

bool needsThreshold(const StepRow &row) {
    return row.clip == ClipKind::Threshold && (row.g != 0 || (row.store != kNone && row.w != 0));
}

uint64_t selectionBytes(uint32_t batch) {
    return uint64_t{batch} * SELECTION_WORDS * sizeof(uint32_t);
}

uint64_t partialBytes(const ImageExtent &whole) {
    return uint64_t{whole.batch} * whole.channels * whole.height * 4 * sizeof(float);
}

uint32_t bitsOf(bool set, uint32_t flag) {
    return set ? flag : 0;
}

class Measures {
public:
    Measures(const StepRow &row, const std::vector<SamplerBand> &bands, BufferRange memory,
             const Traits &traits)
        : row_(row), bands_(bands), memory_(memory), traits_(traits), whole_(bands[0].extent) {
        whole_.height = 0;
        for (const SamplerBand &band : bands)
            whole_.height += band.extent.height;
    }

    Status threshold() {
        const uint64_t elements = uint64_t{whole_.channels} * whole_.height * whole_.width;
        if (elements > 0xffffffffu)
            return makeStatus(StatusCode::Unsupported,
                              "dynamic threshold: found an image of %llu values, expected less than 2^32",
                              static_cast<unsigned long long>(elements));
        const double position = double{row_.quantile} * static_cast<double>(elements - 1);
        const double rank = std::floor(position);
        const auto pick = [&](uint32_t width, bool last) {
            PushWords push;
            push.add({width, last, static_cast<uint32_t>(rank)});
            push.addFloat(static_cast<float>(position - rank));
            push.addFloat(row_.thresholdMax);
            return add("threshold pick", pipelineOf(ShaderId::QuantilePick, {}, 2, 7),
                       {{selection(), Access::ReadWrite}, {session(), Access::Write}}, std::move(push),
                       whole_.batch, selectionBytes(whole_.batch));
        };
        MOTE_TRY(pick(0, false));
        for (const Digit &digit : kDigits) {
            const bool last = digit.shift == 0;
            for (const SamplerBand &band : bands_)
                MOTE_TRY(count(band, digit, last));
            MOTE_TRY(pick(digit.width, last));
        }
        return {};
    }

    Status norms(uint32_t draw) {
        const uint64_t rows = uint64_t{whole_.channels} * whole_.height;
        if (divideUp(rows, kLocalSize) > kMaxLoopIterations)
            return makeStatus(StatusCode::Unsupported,
                              "Langevin step: found an image of %llu rows of pixels, expected at most %llu",
                              static_cast<unsigned long long>(rows),
                              static_cast<unsigned long long>(kMaxLoopIterations * kLocalSize));
        const BufferRange partial{memory_.buffer, memory_.begin, memory_.begin + partialBytes(whole_)};
        for (const SamplerBand &band : bands_) {
            const ImageExtent &extent = band.extent;
            const SamplerBuffers &buffers = band.buffers;
            const bool given = buffers.noise.end != 0;
            PushWords push;
            push.add({extent.firstRow, whole_.height, extent.height, extent.width, extent.channels,
                      bitsOf(given, kReadNoise), draw, kStepNoiseStream});
            MOTE_TRY(add("norms", pipelineOf(ShaderId::Norms, {}, 4, 10),
                         {{buffers.modelOutput, Access::Read},
                          given ? Binding{buffers.noise, Access::Read} : unused(buffers.session),
                          {partial, Access::Write},
                          {buffers.session, Access::Read}},
                         std::move(push), elementsOf(extent) / extent.width,
                         elementsOf(extent) * (given ? 8 : 64)));
        }
        PushWords push;
        push.add({0, whole_.height, 0, 0, whole_.channels, 0, 0, 0});
        return add("norms of the image", pipelineOf(ShaderId::NormsFinish, {}, 2, 10),
                   {{partial, Access::Read}, {session(), Access::Write}}, std::move(push), whole_.batch,
                   partialBytes(whole_));
    }

    std::vector<Dispatch> dispatches;

private:
    BufferRange session() const { return bands_[0].buffers.session; }
    BufferRange selection() const {
        return {memory_.buffer, memory_.begin, memory_.begin + selectionBytes(whole_.batch)};
    }

    Status count(const SamplerBand &band, const Digit &digit, bool last) {
        const ImageExtent &extent = band.extent;
        const SamplerBuffers &buffers = band.buffers;
        const uint64_t imageElements = elementsOf(extent) / extent.batch;
        const uint64_t imageGroups = divideUp(imageElements, kElementsPerGroup);
        PushWords push;
        push.add({imageElements, imageGroups,
                  bitsOf(row_.p != 0, kReadState) | bitsOf(row_.q != 0, kReadModelOutput), digit.shift,
                  digit.width, last});
        push.addFloat(row_.p);
        push.addFloat(row_.q);
        return add("threshold count", pipelineOf(ShaderId::QuantileCount, {}, 3, 10),
                   {row_.p != 0 ? Binding{buffers.state, Access::Read} : unused(buffers.session),
                    row_.q != 0 ? Binding{buffers.modelOutput, Access::Read} : unused(buffers.session),
                    {selection(), Access::Atomic}},
                   std::move(push), extent.batch * imageGroups, elementsOf(extent) * 8);
    }

    Status add(const char *name, gpu::PipelineDescription pipeline, std::vector<Binding> bindings,
               PushWords push, uint64_t groups, uint64_t bytes) {
        MOTE_TRY_ASSIGN(Dispatch dispatch, makeDispatch(name, std::move(pipeline), std::move(bindings),
                                                        std::move(push), groups, traits_));
        dispatch.pointwise = true; // what a workgroup reads and writes is its own image's, behind barriers
        dispatch.operations = dispatch.bytes = bytes;
        dispatches.push_back(std::move(dispatch));
        return {};
    }

    const StepRow &row_;
    const std::vector<SamplerBand> &bands_;
    const BufferRange memory_;
    const Traits &traits_;
    ImageExtent whole_;
};

} // namespace

uint64_t measureBytes(const Recipe &recipe, const ImageExtent &whole) {
    uint64_t bytes = 0;
    for (const StepRow &row : recipe.rows) {
        if (needsThreshold(row))
            bytes = std::max(bytes, selectionBytes(whole.batch));
        if (row.langevin)
            bytes = std::max(bytes, partialBytes(whole));
    }
    return bytes;
}

uint64_t sessionBytes(uint32_t batch) {
    return (SESSION_RESULTS + uint64_t{batch} * RESULT_WORDS) * sizeof(uint32_t);
}

Result<std::vector<Dispatch>> buildRowMeasures(const StepRow &row, const std::vector<SamplerBand> &bands,
                                               BufferRange memory, uint32_t draw, const Traits &traits) {
    Measures measures(row, bands, memory, traits);
    if (needsThreshold(row))
        MOTE_TRY(measures.threshold());
    if (row.langevin)
        MOTE_TRY(measures.norms(draw));
    return std::move(measures.dispatches);
}

float measuredThreshold(const std::vector<uint32_t> &session, uint32_t image) {
    float threshold;
    std::memcpy(&threshold, &session[SESSION_RESULTS + image * RESULT_WORDS + RESULT_THRESHOLD],
                sizeof threshold);
    return threshold;
}

} // namespace mote
