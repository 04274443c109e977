// values[i] += 1, through one feature that not every device has: subgroup shuffle, fp16 arithmetic, 16-bit
// storage, 64-bit integers (which Mote enables with buffer addresses), cooperative matrices or double precision (which
// it never enables). One workgroup of 64.
#version 450
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#ifdef FLOAT16
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif
#ifdef STORAGE16
#extension GL_EXT_shader_16bit_storage : require
#endif
#ifdef INT64
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#endif
#ifdef MATRIX
#extension GL_KHR_memory_scope_semantics : require
#extension GL_NV_cooperative_matrix : require
#endif

layout(local_size_x = 64) in;

layout(set = 0, binding = 0) buffer Values {
    float values[];
};
#ifdef STORAGE16
layout(set = 0, binding = 1) buffer Halves {
    float16_t halves[];
};
#endif

void main() {
    const uint i = gl_GlobalInvocationID.x;
    float value = values[i];
#ifdef SHUFFLE
    value = subgroupShuffle(value, gl_SubgroupInvocationID);
#endif
#ifdef FLOAT16
    value = float(float16_t(value) * float16_t(1.5));
#endif
#ifdef STORAGE16
    halves[i] = float16_t(value);
#endif
#ifdef INT64
    value = float(uint64_t(value) * 10000000000ul);
#endif
#ifdef MATRIX
    fcoopmatNV<32, gl_ScopeSubgroup, 8, 8> matrix;
    coopMatLoadNV(matrix, values, 0, 8, false);
    coopMatStoreNV(matrix, values, 0, 8, false);
#endif
#ifdef FLOAT64
    value = float(double(value) * 1.0000000001lf);
#endif
    values[i] = value + 1.0;
}
