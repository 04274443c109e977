// Kernels on doubled maps, folded: when it can be done, weight packing. See shaders/conv2d.comp.
#include "kernels/conv2d.h"
#include "kernels/half.h"

#include <algorithm>
#include <utility>

namespace mote::kernels {

bool foldedSuits(const OpView &view, const ConvFacts &facts, const Traits &traits) {
    const uint64_t bytes = secondWeightOffset(facts) + foldedWeightBytes(facts);
    return bytes <= std::min(traits.caps.maxStorageBufferRange, traits.caps.maxAllocationBytes) / 2 &&
           view.op.inputResample == Resample::NearestUp2 && view.op.stride == 1 && facts.kernelHeight == 3 &&
           facts.kernelWidth == 3;
}

uint64_t foldedWeightBytes(const ConvFacts &facts) {
    return directWeightBytes(facts) / 9 * 16;
}

// [parity of rows, of columns] as packDirect packs kernels of 2x2. Sums of up to four weights of fp16 in
// fp32, exact but for extreme ratios, are rounded to fp16 once.
void packFolded(const Graph &graph, const Op &op, const std::vector<uint32_t> &shape,
                const uint16_t *canonical, uint16_t *packed) {
    const size_t outputs = shape[0], inputs = shape[3];
    std::vector<uint16_t> folded(outputs * 4 * inputs);
    size_t blocks = 0;
    for (uint32_t source : op.inputs)
        blocks += blocksOf(graph.tensors[source].channels);
    for (size_t parity = 0; parity < 4; ++parity) {
        // Taps first .. last of three make the first or second of two.
        const auto range = [](size_t odd, size_t tap) {
            const size_t cut = odd != 0 ? 1 : 2; // taps before it are the first
            return tap == 0 ? std::pair<size_t, size_t>{0, cut} : std::pair<size_t, size_t>{cut, 3};
        };
        for (size_t o = 0; o < outputs; ++o) {
            for (size_t tap = 0; tap < 4; ++tap) {
                const auto [firstY, endY] = range(parity / 2, tap / 2);
                const auto [firstX, endX] = range(parity % 2, tap % 2);
                for (size_t i = 0; i < inputs; ++i) {
                    float sum = 0;
                    for (size_t y = firstY; y < endY; ++y)
                        for (size_t x = firstX; x < endX; ++x)
                            sum += floatFromHalf(canonical[((o * 3 + y) * 3 + x) * inputs + i]);
                    folded[(o * 4 + tap) * inputs + i] = halfFromFloat(sum);
                }
            }
        }
        packDirect(graph, op, {shape[0], 2, 2, shape[3]}, folded.data(),
                   packed + parity * blocksOf(shape[0]) * blocks * 4 * 64);
    }
}

} // namespace mote::kernels
