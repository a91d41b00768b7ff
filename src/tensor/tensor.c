/* tensor.c - conversions between storage types. */
#include "tensor/tensor.h"

#include <string.h>

#include "base/error.h"
#include "tensor/quant.h"

/* Both without branches, so that loops over them become vectors. */
float kr_from_f16(uint16_t h) {
    union { uint32_t u; float f; } v = {(uint32_t)(h & 0x7fffu) << 13};
    uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0; /* infinity or NaN */
    v.f *= 0x1p112f;                                               /* the biases' distance; exact, subnormals too */
    v.u |= special | (uint32_t)(h & 0x8000u) << 16;
    return v.f;
}

uint16_t kr_to_f16(float f) {
    union { float f; uint32_t u; } v = {f}, s;
    uint32_t sign = v.u >> 16 & 0x8000u, odd = v.u >> 13 & 1, y;
    v.u &= 0x7fffffffu;
    s.f = v.f + 0.5f; /* small: the sum rounds to a multiple of 2^-24, to nearest even */
    y = (v.u + 0xfffu + odd - (112u << 23)) >> 13;
    y = v.u < 113u << 23 ? s.u - 0x3f000000u : y;
    y = v.u >= 0x477ff000u ? 0x7c00u : y; /* 65520 and above */
    y = v.u > 0x7f800000u ? 0x7e00u : y;
    return (uint16_t)(sign | y);
}

/* Every conversion passes through float: the loops below are the only ones, and plain
 * enough for vectors. */
static void to_floats(float *to, const void *from, kr_dtype t, int64_t n) {
    const uint16_t *h = from;
    const double *d = from;
    switch (t) {
    case KR_F32: memcpy(to, from, (size_t)n * sizeof *to); break;
    case KR_F64:
        for (int64_t i = 0; i < n; i++) to[i] = (float)d[i];
        break;
    case KR_BF16:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[i] = kr_from_bf16(h[i]);
        break;
    case KR_F16:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) to[i] = kr_from_f16(h[i]);
        break;
    default: kr_dequantize(to, from, t, n);
    }
}

static void from_floats(void *to, kr_dtype t, const float *from, int64_t n) {
    uint16_t *h = to;
    double *d = to;
    switch (t) {
    case KR_F32: memcpy(to, from, (size_t)n * sizeof *from); break;
    case KR_F64:
        for (int64_t i = 0; i < n; i++) d[i] = from[i];
        break;
    case KR_BF16:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) h[i] = kr_to_bf16(from[i]);
        break;
    case KR_F16:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) h[i] = kr_to_f16(from[i]);
        break;
    default: kr_quantize(to, t, from, n);
    }
}

void kr_convert(void *to, kr_dtype to_type, const void *from, kr_dtype from_type, int64_t n) {
    enum { STEP = 1024 };
    float buffer[STEP];
    if (to_type == from_type) {
        memcpy(to, from, kr_dtype_row_bytes(to_type, n));
        return;
    }
    for (int64_t i = 0; i < n; i += STEP) {
        int64_t m = n - i < STEP ? n - i : STEP;
        const char *x = (const char *)from + kr_dtype_row_bytes(from_type, i);
        char *y = (char *)to + kr_dtype_row_bytes(to_type, i);
        if (to_type == KR_F32) to_floats((float *)y, x, from_type, m);
        else if (from_type == KR_F32) from_floats(y, to_type, (const float *)x, m);
        else {
            to_floats(buffer, x, from_type, m);
            from_floats(y, to_type, buffer, m);
        }
    }
}
