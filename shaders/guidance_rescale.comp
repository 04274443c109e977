// m = (rescale std(m_class) / std(m) + 1 - rescale) m, standard deviations over each image (Lin et al. 2023,
// "Common Diffusion Noise Schedules and Sample Steps are Flawed", eq. 15 and 16). A constant m stays as it
// is.
//
//   outputs, statistics: see guidance.glsl
//
// Workgroup: one chunk of one image, after combining all entries of the image; chunk fastest. Features: none.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "guidance.glsl"

void main() {
    uint local = gl_LocalInvocationID.x;
    uint number = dispatchGroup();
    bool groupLive = number < pc.groupCount;
    uint group = pc.firstGroup + number;
    uint image = group / pc.chunks, chunk = group - image * pc.chunks;
    vec3 ofClass = vec3(0), ofGuided = vec3(0);
    uint entries = groupLive ? pc.entries : 0;
    for (uint i = local; i < entries; i += LOCAL_SIZE) {
        uint entry = 2 * (image * pc.entries + i);
        vec4 a = statistics[entry], b = statistics[entry + 1];
        combineStatistics(ofClass.x, ofClass.y, ofClass.z, a.x, a.y, a.z);
        combineStatistics(ofGuided.x, ofGuided.y, ofGuided.z, b.x, b.y, b.z);
    }
    ofClass = reduceSet(0, local, ofClass);
    ofGuided = reduceSet(1, local, ofGuided);
    // Both sets have one count, which falls out of the ratio.
    float ratio = ofGuided.z > 0 ? sqrt(ofClass.z / ofGuided.z) : 1.0;
    float factor = pc.rescale * ratio + (1.0 - pc.rescale);
    uint begin = chunk * pc.chunkElements;
    uint end = groupLive ? min(begin + pc.chunkElements, pc.imageElements) : 0;
    for (uint i = begin + local; i < end; i += LOCAL_SIZE)
        outputs[image * pc.imageElements + i] *= factor;
}
