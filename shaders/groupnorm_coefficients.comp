// The coefficients of a group norm, h = x * scale + offset, for a kernel that would otherwise combine the statistics
// again for each of many bands.
//
//   sources, affine, statistics, session  as in groupnorm.comp
//   target                                [N][blocks][scale, offset] two vec4
//
// Workgroup: eight blocks, eight invocations each; groups = ceil(N * blocks / 8). For software devices, see
// groupnorm_lanes.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "numeric.glsl"
#include "session.glsl"
#include "tensor.glsl"
#include "lanes.glsl"

layout(local_size_x = LOCAL_SIZE) in;

layout(constant_id = 0) const int SOURCES = 1;
const int SHIFT = 0; // no source is read

layout(push_constant) uniform Push {
    uint firstGroup, groupCount;
    uint blocks; // of all channels
    uint channels0, channels;
    uint blocks0, blocks1;
    uint groupChannels;
    uint tiles0, tiles1;
    uint affineIndex, affineStride;
    float epsilon;
    uint errorCode;
    uint images;
} pc;

#include "group_statistics.glsl"
#include "group_lanes.glsl"

void main() {
    uint number = dispatchGroup();
    uint unit = (pc.firstGroup + number) * 8 + eightNumber();
    uint image = unit / pc.blocks;
    bool live = number < pc.groupCount && image < pc.images;
    Eight scale, offset;
    coefficients(live, live ? image : 0, unit - image * pc.blocks, pc.blocks, scale, offset);
    if (live && laneNumber() == 0) {
        target[4 * unit] = floatBitsToUint(scale.low);
        target[4 * unit + 1] = floatBitsToUint(scale.high);
        target[4 * unit + 2] = floatBitsToUint(offset.low);
        target[4 * unit + 3] = floatBitsToUint(offset.high);
    }
}
