// Between the passes of quantile_count.comp: the bin that holds the wanted rank lengthens the prefix, and the
// counts start again. After the last one the prefix is the order statistic v, and
//   s = clamp(v + fraction (v' - v), 1, maximum),  v' the next order statistic
// is the quantile as torch.quantile interpolates it. With width 0 nothing is picked: the selection begins.
//
//   selection  see row_results.glsl
//   session    s goes to the image's results
//
// Workgroup: one image. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "pair.glsl"
#include "row_results.glsl"
#include "tensor.glsl"

layout(local_size_x = LOCAL_SIZE) in;

#define BINS_EACH (SELECTION_BINS / LOCAL_SIZE)

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint width; // bits that were counted by; 0: begin
    uint last;
    uint rank; // wanted, from 0
    float fraction, maximum;
}
pc;

layout(binding = 0, std430) buffer Selection {
    uint selection[];
};
layout(binding = 1, std430) buffer Session {
    uint session[];
};

shared uint sums[LOCAL_SIZE];

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool live = number < pc.groupCount;
    uint image = pc.firstGroup + min(number, pc.groupCount - 1);
    uint base = image * SELECTION_WORDS, counts = base + SELECTION_COUNTS, firstBin = local * BINS_EACH;
    uint rank = selection[base + SELECTION_RANK], prefix = selection[base + SELECTION_PREFIX];
    uint sum = 0;
    for (uint k = 0; k < BINS_EACH; ++k)
        sum += selection[counts + firstBin + k];
    sums[local] = sum;
    barrier();
    uint before = 0; // values in the bins before this invocation's
    for (uint k = 0; k < local; ++k)
        before += sums[k];
    bool picks = live && pc.width != 0 && rank >= before && rank - before < sum;
    if (picks) {
        uint bin = firstBin, left = rank - before, count = selection[counts + bin];
        while (left >= count && bin + 1 < firstBin + BINS_EACH) {
            left -= count;
            ++bin;
            count = selection[counts + bin];
        }
        uint known = prefix << pc.width | bin;
        selection[base + SELECTION_PREFIX] = known;
        selection[base + SELECTION_RANK] = left;
        if (pc.last != 0) {
            uint next = known;
            if (left + 1 >= count) {
                uint after = bin + 1, bins = 1u << pc.width;
                while (after < bins && selection[counts + after] == 0)
                    ++after;
                next = after < bins ? prefix << pc.width | after : selection[base + SELECTION_ABOVE];
            }
            float value = uintBitsToFloat(known);
            Pair s = Pair(value, 0);
            if (pc.fraction != 0.0) // else there may be no next
                s = plus(s, times(sumOf(uintBitsToFloat(next), -value), pc.fraction));
            if (!(s.high >= 1.0))
                s = Pair(1, 0);
            if (s.high > pc.maximum)
                s = Pair(pc.maximum, 0);
            uint result = SESSION_RESULTS + image * RESULT_WORDS + RESULT_THRESHOLD;
            session[result] = floatBitsToUint(s.high);
            session[result + 1] = floatBitsToUint(s.low);
        }
    }
    barrier();
    if (live && pc.last == 0) {
        for (uint k = 0; k < BINS_EACH; ++k)
            selection[counts + firstBin + k] = 0;
        if (pc.width == 0 && local == 0) {
            selection[base + SELECTION_PREFIX] = 0;
            selection[base + SELECTION_RANK] = pc.rank;
            selection[base + SELECTION_ABOVE] = 0xffffffffu;
        }
    }
}
