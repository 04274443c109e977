// m = m_none + scale (m_class - m_none), over the first half of a batch: classifier-free guidance (Ho and
// Salimans 2021). With STATISTICS also the partial statistics of m_class and m of each image, for the
// rescaling.
//
//   scales  [rows] float, of this run
//   outputs, statistics: see guidance.glsl
//
// Workgroup: one chunk of one image; chunk fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "guidance.glsl"

layout(constant_id = 0) const int STATISTICS = 0;

layout(binding = 2, std430) readonly buffer Scales {
    float scales[];
};

void addTo(inout vec3 set, float value) {
    combineStatistics(set.x, set.y, set.z, 1.0, value, 0.0);
}

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint image = group / pc.chunks, chunk = group - image * pc.chunks;
    uint begin = chunk * pc.chunkElements;
    uint end = groupLive ? min(begin + pc.chunkElements, pc.imageElements) : 0;
    float scale = scales[pc.row];
    vec3 ofClass = vec3(0), ofGuided = vec3(0);
    for (uint i = begin + local; i < end; i += LOCAL_SIZE) {
        uint at = image * pc.imageElements + i;
        float withClass = outputs[at], without = outputs[at + pc.images * pc.imageElements];
        float guided = without + scale * (withClass - without);
        outputs[at] = guided;
        if (STATISTICS != 0) {
            addTo(ofClass, withClass);
            addTo(ofGuided, guided);
        }
    }
    if (STATISTICS != 0) {
        ofClass = reduceSet(0, local, ofClass);
        ofGuided = reduceSet(1, local, ofGuided);
        if (groupLive && local == 0) {
            uint entry = 2 * (image * pc.entries + pc.firstEntry + chunk);
            statistics[entry] = vec4(ofClass, 0);
            statistics[entry + 1] = vec4(ofGuided, 0);
        }
    }
}
