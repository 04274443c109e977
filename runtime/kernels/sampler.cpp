// Rows of the step table, and what can be said as such rows. See shaders/sampler.comp.
#include "kernels/image_kernels.h"
#include "kernels/ops.h"

#include "shaders/session.glsl"

#include <algorithm>
#include <cstddef>

namespace mote {

using namespace kernels;

static_assert(offsetof(SessionWords, seedLow) == 4 * SESSION_SEED_LOW, "");
static_assert(offsetof(SessionWords, seedHigh) == 4 * SESSION_SEED_HIGH, "");
static_assert(offsetof(SessionWords, noiseWidth) == 4 * SESSION_NOISE_WIDTH, "");
static_assert(offsetof(SessionWords, nonFinite) == 4 * SESSION_NON_FINITE, "");
static_assert(offsetof(SessionWords, otherSeedLow) == 4 * SESSION_OTHER_SEED_LOW, "");
static_assert(offsetof(SessionWords, otherSeedHigh) == 4 * SESSION_OTHER_SEED_HIGH, "");
static_assert(offsetof(SessionWords, seedWeight) == 4 * SESSION_SEED_WEIGHT, "");
static_assert(offsetof(SessionWords, otherSeedWeight) == 4 * SESSION_OTHER_SEED_WEIGHT, "");
static_assert(sizeof(SessionWords) == 4 * SESSION_WORDS, "");

namespace {

constexpr uint32_t kBindings = 6, kPushWords = 29;
constexpr uint32_t kFlaggedBindings = 8, kFlaggedPushWords = 31;
constexpr uint32_t kElementsPerGroup = 256;

// As in the shader.
enum Flag : uint32_t {
    ReadState = 1,
    ReadModelOutput = 2,
    ReadCondition = 4,
    ReadRegister = 8, // << k
    ReadNoise = 128,
    MakeNoise = 256,
    FormX0 = 512,
    Clamp = 1024,
    Store = 2048,
    Check = 4096,
    Threshold = 8192,
    Langevin = 16384,
    Interpolated = 32768,
    Direct = 65536,
    Known = 131072,
};
// Of most rows: neither noise nor registers.
constexpr uint32_t kPlain = ReadState | ReadModelOutput | ReadCondition | FormX0 | Clamp | Check;
constexpr uint32_t kDataDependent = Threshold | Langevin | Interpolated | Direct | Known;

gpu::PipelineDescription pipeline(uint32_t flags) {
    return (flags & kDataDependent) != 0
               ? pipelineOf(ShaderId::SamplerFlagged, {~0u}, kFlaggedBindings, kFlaggedPushWords)
               : pipelineOf(ShaderId::Sampler, {(flags & ~kPlain) != 0 ? ~0u : kPlain}, kBindings,
                            kPushWords);
}

struct Row {
    StepRow step;
    uint32_t flags = 0, stream = 0, draw = 0, errorCode = 0;
};

Result<Dispatch> build(const char *name, const Row &row, const ImageExtent &extent,
                       const SamplerBuffers &buffers, const Traits &traits) {
    const StepRow &step = row.step;
    const uint64_t elements = elementsOf(extent);
    if (elements > 0xffffffffu || buffers.registerStride * 4 > 0xffffffffu)
        return makeStatus(StatusCode::Unsupported, "%s: found a band of %llu values, expected at most 2^32",
                          name, static_cast<unsigned long long>(elements));
    PushWords push;
    push.add({elements, extent.firstRow, extent.height, extent.width, extent.channels, buffers.registerStride,
              row.flags, step.store == kNone ? 0 : step.store, row.draw, row.stream, row.errorCode});
    const float y = step.known ? step.knownImage : step.e; // the known image takes the condition's place
    for (float value : {step.p, step.q, step.clipLow, step.clipHigh, step.a, step.b, step.g, y, step.c,
                        step.h[0], step.h[1], step.h[2], step.h[3], step.u, step.v, step.w})
        push.addFloat(value);
    const bool flagged = (row.flags & kDataDependent) != 0;
    if (flagged) {
        push.addFloat(step.varianceExponent);
        push.addFloat(step.knownNoise);
    }

    const uint32_t anyRegister = 15u * ReadRegister;
    const bool readsRegisters = (row.flags & anyRegister) != 0, stores = (row.flags & Store) != 0;
    const auto bound = [&](const BufferRange &range, uint32_t flag) {
        return (row.flags & flag) != 0 ? Binding{range, Access::Read} : unused(buffers.session);
    };
    std::vector<Binding> bindings = {
        {buffers.state, (row.flags & ReadState) != 0 ? Access::ReadWrite : Access::Write},
        bound(buffers.modelOutput, ReadModelOutput),
        bound(step.known ? buffers.known : buffers.condition, ReadCondition),
        bound(buffers.noise, ReadNoise),
        readsRegisters || stores ? Binding{buffers.registers, readsRegisters && stores ? Access::ReadWrite
                                                              : stores                 ? Access::Write
                                                                                       : Access::Read}
                                 : unused(buffers.state), // not what another dispatch may read
        {buffers.session, Access::Atomic},
    };
    if (flagged) {
        bindings.push_back(bound(buffers.mask, Known));
        bindings.push_back(bound(buffers.variance, Interpolated | Direct));
    }
    MOTE_TRY_ASSIGN(Dispatch dispatch,
                    makeDispatch(name, pipeline(row.flags), std::move(bindings), std::move(push),
                                 divideUp(elements, kElementsPerGroup), traits));
    dispatch.pointwise = true;
    dispatch.operations = elements * ((row.flags & MakeNoise) != 0 ? 250u : 30u);
    dispatch.bytes = elements * 16;
    return dispatch;
}

uint32_t noiseFlag(const SamplerBuffers &buffers) {
    return buffers.noise.end != 0 ? ReadNoise : MakeNoise;
}

} // namespace

uint32_t registerCount(const Recipe &recipe) {
    uint32_t count = 0;
    for (const StepRow &row : recipe.rows)
        if (row.store != kNone)
            count = std::max(count, row.store + 1);
    return count;
}

Result<Dispatch> buildSamplerRow(const StepRow &step, uint32_t written, const ImageExtent &extent,
                                 const SamplerBuffers &buffers, uint32_t draw, uint32_t errorCode,
                                 const Traits &traits) {
    const bool stores = step.store != kNone;
    Row row{step, Check | ReadModelOutput, kStepNoiseStream, draw, errorCode};
    const bool formsX0 = step.g != 0 || (stores && step.w != 0);
    if (formsX0)
        row.flags |= FormX0 | (step.clip == ClipKind::Clamp       ? uint32_t{Clamp}
                               : step.clip == ClipKind::Threshold ? uint32_t{Threshold}
                                                                  : 0);
    if (step.langevin)
        row.flags |= Langevin;
    if (step.variance != VarianceKind::Fixed)
        row.flags |= step.variance == VarianceKind::Interpolated ? Interpolated : Direct;
    if (step.known)
        row.flags |= Known;
    if (step.a != 0 || (formsX0 && step.p != 0) || (stores && step.u != 0))
        row.flags |= ReadState;
    if (step.e != 0 || (step.known && step.knownImage != 0))
        row.flags |= ReadCondition;
    for (uint32_t k = 0; k < 4; ++k)
        if (step.h[k] != 0 && (written >> k & 1) != 0)
            row.flags |= uint32_t{ReadRegister} << k;
    if (step.c != 0 || step.knownNoise != 0)
        row.flags |= noiseFlag(buffers);
    if (stores)
        row.flags |= Store;
    return build("sampler step", row, extent, buffers, traits);
}

Result<Dispatch> buildSamplerStart(const Recipe &recipe, const ImageExtent &extent,
                                   const SamplerBuffers &buffers, const Traits &traits) {
    Row row;
    row.step.c = recipe.initNoise;
    row.step.e = recipe.initCondition;
    row.stream = kInitialNoiseStream;
    row.flags = (row.step.c != 0 ? noiseFlag(buffers) : 0) | (row.step.e != 0 ? uint32_t{ReadCondition} : 0);
    return build("sampler start", row, extent, buffers, traits);
}

Result<Dispatch> buildNoise(const ImageExtent &extent, BufferRange target, BufferRange session,
                            uint32_t stream, uint32_t draw, const Traits &traits) {
    SamplerBuffers buffers;
    buffers.state = target;
    buffers.session = session;
    Row row;
    row.step.c = 1;
    row.stream = stream;
    row.draw = draw;
    row.flags = MakeNoise;
    return build("noise", row, extent, buffers, traits);
}

Result<Dispatch> buildClear(const ImageExtent &extent, BufferRange target, BufferRange session,
                            const Traits &traits) {
    SamplerBuffers buffers;
    buffers.state = target;
    buffers.session = session;
    return build("clear", Row{}, extent, buffers, traits);
}

} // namespace mote
