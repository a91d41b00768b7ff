/* quant_test.c - blocks against their definition, and how much they lose. */
#include "tensor/quant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"

static const kr_dtype types[] = {KR_Q8_0, KR_Q4_0, KR_Q4_K, KR_Q6_K};
enum { N = 256 * 64 };
static float numbers[N], back[N];
static _Alignas(8) char blocks[N * 2];

static void draw(uint64_t seed) {
    kr_rng r = {seed, 1, 0};
    for (int i = 0; i < N; i++) numbers[i] = (float)(0.03 * kr_rng_normal(&r));
}

/* Random bytes, decoded by the formulas of the format's own description. */
static void reads_the_layouts(void **state) {
    (void)state;
    kr_rng r = {5, 1, 0};
    uint8_t b[256];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 256; i++) b[i] = (uint8_t)(kr_rng_uniform(&r) * 256);
        b[1] &= 0x3f, b[3] &= 0x3f, b[209] &= 0x3f; /* scales below infinity */
        float d = kr_from_f16((uint16_t)(b[0] | b[1] << 8)), dmin = kr_from_f16((uint16_t)(b[2] | b[3] << 8));
        kr_dequantize(back, b, KR_Q8_0, 32);
        for (int i = 0; i < 32; i++) assert_true(back[i] == d * (float)(int8_t)b[2 + i]);
        kr_dequantize(back, b, KR_Q4_0, 32);
        for (int i = 0; i < 32; i++) assert_true(back[i] == d * (float)((i < 16 ? b[2 + i] & 15 : b[2 + i - 16] >> 4) - 8));
        kr_dequantize(back, b, KR_Q4_K, 256);
        const uint8_t *s = b + 4, *q = b + 16;
        for (int g = 0; g < 8; g++) {
            int sc = g < 4 ? s[g] % 64 : s[g + 4] % 16 + s[g - 4] / 64 * 16, m = g < 4 ? s[g + 4] % 64 : s[g + 4] / 16 + s[g] / 64 * 16;
            for (int i = 0; i < 32; i++) {
                int v = g % 2 ? q[g / 2 * 32 + i] / 16 : q[g / 2 * 32 + i] % 16;
                assert_true(fabsf(back[32 * g + i] - (d * (float)sc * (float)v - dmin * (float)m)) <= 1e-6f * (fabsf(d) * 63 * 15 + fabsf(dmin) * 63));
            }
        }
        kr_dequantize(back, b, KR_Q6_K, 256);
        d = kr_from_f16((uint16_t)(b[208] | b[209] << 8));
        for (int h = 0; h < 2; h++)
            for (int l = 0; l < 32; l++) {
                const uint8_t *ql = b + 64 * h, *qh = b + 128 + 32 * h;
                int v[4] = {ql[l] % 16 + qh[l] % 4 * 16, ql[l + 32] % 16 + qh[l] / 4 % 4 * 16, ql[l] / 16 + qh[l] / 16 % 4 * 16,
                            ql[l + 32] / 16 + qh[l] / 64 * 16};
                for (int k = 0; k < 4; k++) {
                    int i = 128 * h + 32 * k + l;
                    assert_true(back[i] == d * (float)(int8_t)b[192 + i / 16] * (float)(v[k] - 32));
                    assert_true(kr_dequantize_at(b, KR_Q6_K, i) == back[i]);
                }
            }
    }
}

static double lost(kr_dtype t) { /* relative root of the mean square */
    double e = 0, all = 0;
    kr_convert(blocks, t, numbers, KR_F32, N);
    kr_convert(back, KR_F32, blocks, t, N);
    for (int i = 0; i < N; i++) {
        e += pow(back[i] - numbers[i], 2);
        all += pow(numbers[i], 2);
    }
    return sqrt(e / all);
}

/* Of normal numbers; what plain rounding to the largest number of a group loses is beside. */
static void loses_little(void **state) {
    (void)state;
    static const double most[] = {0.0056 /* 0.0055 */, 0.087 /* 0.095 */, 0.072 /* 0.079 */, 0.0176 /* 0.0186 */};
    draw(1);
    for (int t = 0; t < 4; t++) {
        double l = lost(types[t]);
        if (l > most[t]) print_error("%s loses %.4f\n", kr_dtype_text(types[t]), l);
        assert_true(l <= most[t]);
    }
}

/* What is in blocks already comes back as it was: its values, if not always its bytes. */
static void keeps_its_own(void **state) {
    (void)state;
    static float first[N];
    draw(2);
    for (int t = 0; t < 4; t++) {
        lost(types[t]);
        memcpy(first, back, sizeof first);
        memcpy(numbers, back, sizeof back);
        assert_true(lost(types[t]) < (types[t] == KR_Q8_0 ? 1e-3 : 0.02));
    }
}

/* Of every type zeros are zeros, one number in a block is kept, and odd input gives no more than odd output. */
static void takes_edges(void **state) {
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e-30f, 3e-8f};
    for (int t = 0; t < 4; t++) {
        memset(numbers, 0, sizeof numbers);
        assert_true(isnan(lost(types[t])));
        for (int i = 0; i < N; i++) assert_true(back[i] == 0);
        for (int i = 5; i < N; i += 256) numbers[i] = i % 512 == 5 ? 3 : -3;
        assert_true(lost(types[t]) < 0.01);
        for (int k = 0; k < 6; k++) {
            draw(3);
            for (int i = k; i < N; i += 97) numbers[i] = odd[k];
            lost(types[t]);
        }
        for (int i = 0; i < N; i++) numbers[i] = 0.25f; /* no zero among them */
        assert_true(lost(types[t]) < 0.005);
    }
}

/* Between two types of blocks as through floats. */
static void converts_between(void **state) {
    (void)state;
    static _Alignas(8) char direct[N * 2];
    draw(4);
    lost(KR_Q6_K);
    kr_convert(direct, KR_Q8_0, blocks, KR_Q6_K, N);
    memcpy(numbers, back, sizeof back);
    lost(KR_Q8_0);
    assert_memory_equal(direct, blocks, kr_dtype_row_bytes(KR_Q8_0, N));
    assert_int_equal(kr_dtype_row_bytes(KR_Q4_K, 512), 288);
    assert_int_equal(kr_dtype_bytes(KR_Q8_0), 0);
    assert_int_equal(kr_dtype_bytes(KR_F16), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_layouts), cmocka_unit_test(loses_little),     cmocka_unit_test(keeps_its_own),
        cmocka_unit_test(takes_edges),       cmocka_unit_test(converts_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
