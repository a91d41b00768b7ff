/* quant.c - blocks of numbers: out of them and into them.
 *
 * Into Q8_0 the largest number fixes the scale.  With four or six bits that wastes levels on
 * few numbers, so a group tries some twenty scales; for each the numbers are rounded, and the
 * scale (and offset) that fits these best is solved for.  The best by squared error stays,
 * where larger numbers weigh more, as they do in products. */
#include "tensor/quant.h"

#include <math.h>
#include <string.h>

#include "base/error.h"

_Static_assert(sizeof(kr_q8_0) == 34 && sizeof(kr_q4_0) == 18 && sizeof(kr_q4_k) == 144 && sizeof(kr_q6_k) == 210, "ggml's sizes");

/* --- out of blocks ---------------------------------------------------------------------- */

static void read_q8_0(float *to, const kr_q8_0 *b) {
    float d = kr_from_f16(b->d);
    for (int i = 0; i < 32; i++) to[i] = d * (float)b->q[i];
}

static void read_q4_0(float *to, const kr_q4_0 *b) {
    float d = kr_from_f16(b->d);
    for (int i = 0; i < 16; i++) {
        to[i] = d * (float)((b->q[i] & 15) - 8);
        to[16 + i] = d * (float)((b->q[i] >> 4) - 8);
    }
}

static void read_q4_k(float *to, const kr_q4_k *b) {
    for (int j = 0; j < 8; j++) {
        int scale, min, shift = j % 2 * 4;
        kr_q4_k_scale(b->scales, j, &scale, &min);
        float s = kr_from_f16(b->d) * (float)scale, m = kr_from_f16(b->dmin) * (float)min;
        for (int i = 0; i < 32; i++) to[32 * j + i] = s * (float)(b->q[j / 2 * 32 + i] >> shift & 15) - m;
    }
}

static void read_q6_k(float *to, const kr_q6_k *b) {
    float d = kr_from_f16(b->d);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, l = i % 128, low = b->low[64 * half + l % 64] >> l / 64 * 4 & 15;
        int high = b->high[32 * half + l % 32] >> l / 32 * 2 & 3;
        to[i] = d * (float)b->scales[i / 16] * (float)((low | high << 4) - 32);
    }
}

void kr_dequantize(float *to, const void *from, kr_dtype type, int64_t n) {
    int64_t length = kr_dtype_block(type);
    KR_ASSERT(length > 1 && n % length == 0);
    for (int64_t i = 0, b = 0; i < n; i += length, b++) {
        switch (type) {
        case KR_Q8_0: read_q8_0(to + i, (const kr_q8_0 *)from + b); break;
        case KR_Q4_0: read_q4_0(to + i, (const kr_q4_0 *)from + b); break;
        case KR_Q4_K: read_q4_k(to + i, (const kr_q4_k *)from + b); break;
        case KR_Q6_K: read_q6_k(to + i, (const kr_q6_k *)from + b); break;
        default: KR_ASSERT(!"a type of blocks");
        }
    }
}

float kr_dequantize_at(const void *from, kr_dtype type, int64_t i) {
    float block[256];
    int64_t length = kr_dtype_block(type);
    kr_dequantize(block, (const char *)from + kr_dtype_row_bytes(type, i), type, length);
    return block[i % length];
}

/* --- into blocks ------------------------------------------------------------------------ */

/* To the nearest whole number in [low, high]; NaN becomes low. */
static inline float round_in(float x, float low, float high) {
    float r = (x + 12582912.f) - 12582912.f; /* 1.5 * 2^23: no fraction is left */
    r = r > low ? r : low;
    return r < high ? r : high;
}
static inline float inverse(float x) { return x != 0 ? 1 / x : 0; }

static float largest(const float *x, int n) { /* by size, with its sign */
    float best = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(best)) best = x[i];
    return best;
}

/* What an error of each number weighs. */
static void weigh(const float *x, int n, float *w) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    float base = sqrtf(sum / (float)n);
    for (int i = 0; i < n; i++) w[i] = base + fabsf(x[i]);
}

/* The scale s for x = s q, q whole in [-top, top - 1] (or the other way round, for s < 0). */
static float fit_scale(const float *x, const float *w, int n, float top) {
    float extreme = largest(x, n), best = 0, scale = 0;
    if (fabsf(extreme) < 1e-30f) return 0;
    for (int step = -9; step <= 9; step++) {
        float to = -(top + 0.1f * (float)step) / extreme, xq = 0, qq = 0;
#pragma omp simd reduction(+ : xq, qq)
        for (int i = 0; i < n; i++) {
            float q = round_in(to * x[i], -top, top - 1);
            xq += w[i] * x[i] * q;
            qq += w[i] * q * q;
        }
        if (qq > 0 && xq * xq > best * qq) best = xq * xq / qq, scale = xq / qq;
    }
    return scale;
}

static float error_of(const float *x, const float *w, int n, float scale, float min) {
    float sum = 0, to = inverse(scale);
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++) {
        float e = scale * round_in(to * (x[i] + min), 0, 15) - min - x[i];
        sum += w[i] * e * e;
    }
    return sum;
}

/* The scale s and the offset m >= 0 for x = s q - m, q whole in [0, 15]. */
static void fit_range(const float *x, const float *w, int n, float *scale, float *min) {
    float low = 0, high = 0, sw = 0, sx = 0, best;
    for (int i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low, high = x[i] > high ? x[i] : high;
        sw += w[i], sx += w[i] * x[i];
    }
    *scale = (high - low) / 15, *min = -low;
    if (!(high - low > 1e-30f)) return;
    best = error_of(x, w, n, *scale, *min);
    for (int step = -10; step <= 10; step++) {
        float to = (15 + 0.1f * (float)step) / (high - low), q1 = 0, q2 = 0, xq = 0;
#pragma omp simd reduction(+ : q1, q2, xq)
        for (int i = 0; i < n; i++) {
            float q = round_in(to * (x[i] - low), 0, 15);
            q1 += w[i] * q, q2 += w[i] * q * q, xq += w[i] * x[i] * q;
        }
        float det = sw * q2 - q1 * q1, s, m;
        if (!(det > 0)) continue;
        s = (sw * xq - sx * q1) / det, m = (q1 * xq - q2 * sx) / det;
        if (m < 0) m = 0, s = xq / q2;
        float e = error_of(x, w, n, s, m);
        if (s > 0 && e < best) best = e, *scale = s, *min = m;
    }
}

static void write_q8_0(kr_q8_0 *b, const float *x) {
    b->d = kr_to_f16(fabsf(largest(x, 32)) / 127);
    float to = inverse(kr_from_f16(b->d));
    for (int i = 0; i < 32; i++) b->q[i] = (int8_t)round_in(to * x[i], -127, 127);
}

static void write_q4_0(kr_q4_0 *b, const float *x) {
    float w[32];
    weigh(x, 32, w);
    b->d = kr_to_f16(fit_scale(x, w, 32, 8));
    float to = inverse(kr_from_f16(b->d));
    for (int i = 0; i < 16; i++) {
        int first = (int)round_in(to * x[i], -8, 7) + 8, second = (int)round_in(to * x[16 + i], -8, 7) + 8;
        b->q[i] = (uint8_t)(first | second << 4);
    }
}

/* A group's scale and offset in 6 bits: the neighbours are tried, as one's error may mend the other's. */
static void fit_six_bits(const float *x, const float *w, float d, float dmin, int *scale, int *min) {
    int s0 = *scale, m0 = *min;
    float best = INFINITY;
    for (int s = s0 - 1; s <= s0 + 1; s++)
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (s < 0 || s > 63 || m < 0 || m > 63) continue;
            float e = error_of(x, w, 32, d * (float)s, dmin * (float)m);
            if (e < best) best = e, *scale = s, *min = m;
        }
}

static void write_q4_k(kr_q4_k *b, const float *x) {
    float w[256], scale[8], min[8], top_scale = 0, top_min = 0;
    int s[8], m[8];
    for (int j = 0; j < 8; j++) {
        weigh(x + 32 * j, 32, w + 32 * j);
        fit_range(x + 32 * j, w + 32 * j, 32, &scale[j], &min[j]);
        top_scale = scale[j] > top_scale ? scale[j] : top_scale, top_min = min[j] > top_min ? min[j] : top_min;
    }
    memset(b, 0, sizeof *b);
    b->d = kr_to_f16(top_scale / 63), b->dmin = kr_to_f16(top_min / 63);
    float d = kr_from_f16(b->d), dmin = kr_from_f16(b->dmin);
    for (int j = 0; j < 8; j++) {
        s[j] = (int)round_in(scale[j] * inverse(d), 0, 63), m[j] = (int)round_in(min[j] * inverse(dmin), 0, 63);
        fit_six_bits(x + 32 * j, w + 32 * j, d, dmin, &s[j], &m[j]);
        if (j < 4) b->scales[j] = (uint8_t)s[j], b->scales[j + 4] = (uint8_t)m[j];
        float to = inverse(d * (float)s[j]), offset = dmin * (float)m[j];
        for (int i = 0; i < 32; i++) {
            int q = (int)round_in(to * (x[32 * j + i] + offset), 0, 15);
            b->q[j / 2 * 32 + i] |= (uint8_t)(q << j % 2 * 4);
        }
    }
    for (int j = 4; j < 8; j++) {
        b->scales[j + 4] = (uint8_t)((s[j] & 15) | (m[j] & 15) << 4);
        b->scales[j - 4] |= (uint8_t)(s[j] >> 4 << 6), b->scales[j] |= (uint8_t)(m[j] >> 4 << 6);
    }
}

static void write_q6_k(kr_q6_k *b, const float *x) {
    float w[256], scale[16];
    for (int j = 0; j < 16; j++) {
        weigh(x + 16 * j, 16, w + 16 * j);
        scale[j] = fit_scale(x + 16 * j, w + 16 * j, 16, 32);
    }
    memset(b, 0, sizeof *b);
    b->d = kr_to_f16(largest(scale, 16) / -128);
    float d = kr_from_f16(b->d);
    for (int j = 0; j < 16; j++) {
        b->scales[j] = (int8_t)round_in(scale[j] * inverse(d), -128, 127);
        float to = inverse(d * (float)b->scales[j]);
        for (int i = 16 * j; i < 16 * j + 16; i++) {
            int q = (int)round_in(to * x[i], -32, 31) + 32, half = i / 128, l = i % 128;
            b->low[64 * half + l % 64] |= (uint8_t)((q & 15) << l / 64 * 4);
            b->high[32 * half + l % 32] |= (uint8_t)(q >> 4 << l / 32 * 2);
        }
    }
}

void kr_quantize(void *to, kr_dtype type, const float *x, int64_t n) {
    int64_t length = kr_dtype_block(type);
    KR_ASSERT(length > 1 && n % length == 0);
    for (int64_t i = 0, b = 0; i < n; i += length, b++) {
        switch (type) {
        case KR_Q8_0: write_q8_0((kr_q8_0 *)to + b, x + i); break;
        case KR_Q4_0: write_q4_0((kr_q4_0 *)to + b, x + i); break;
        case KR_Q4_K: write_q4_k((kr_q4_k *)to + b, x + i); break;
        case KR_Q6_K: write_q6_k((kr_q6_k *)to + b, x + i); break;
        default: KR_ASSERT(!"a type of blocks");
        }
    }
}
