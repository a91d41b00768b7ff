/* tensor.c - conversions between storage types. */
#include "tensor/tensor.h"

#include <string.h>

#include "base/error.h"

float kr_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 1023;
    union { uint32_t u; float f; } v;
    if (e == 31) v.u = sign | 0x7f800000u | m << 13;
    else if (e) v.u = sign | (e + 112) << 23 | m << 13;
    else { /* subnormal: m * 2^-24 is exact in float */
        v.f = (float)m * 0x1p-24f;
        v.u |= sign;
    }
    return v.f;
}

uint16_t kr_to_f16(float f) {
    union { float f; uint32_t u; } v = {f};
    uint16_t sign = (uint16_t)(v.u >> 16 & 0x8000u);
    v.u &= 0x7fffffffu;
    if (v.u > 0x7f800000u) return sign | 0x7e00;
    if (v.f >= 65520.f) return sign | 0x7c00;
    if (v.f < 0x1p-14f) { /* the sum rounds to a multiple of 2^-24, to nearest even */
        union { float f; uint32_t u; } s = {v.f + 0.5f};
        return (uint16_t)(sign | (s.u - 0x3f000000u));
    }
    uint32_t odd = v.u >> 13 & 1;
    return (uint16_t)(sign | ((v.u + 0xfffu + odd - (112u << 23)) >> 13));
}

static double get(const void *p, kr_dtype t, int64_t i) {
    switch (t) {
    case KR_F32: return ((const float *)p)[i];
    case KR_F64: return ((const double *)p)[i];
    case KR_BF16: return kr_from_bf16(((const uint16_t *)p)[i]);
    case KR_F16: return kr_from_f16(((const uint16_t *)p)[i]);
    default: KR_ASSERT(!"a dtype that converts"); return 0;
    }
}

void kr_convert(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n) {
    if (to_type == from_type) {
        memcpy(to, from, (size_t)n * kr_dtype_bytes(to_type));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        double x = get(from, from_type, i);
        switch (to_type) {
        case KR_F32: ((float *)to)[i] = (float)x; break;
        case KR_F64: ((double *)to)[i] = x; break;
        case KR_BF16: ((uint16_t *)to)[i] = kr_to_bf16((float)x); break;
        case KR_F16: ((uint16_t *)to)[i] = kr_to_f16((float)x); break;
        default: KR_ASSERT(!"a dtype that converts");
        }
    }
}
