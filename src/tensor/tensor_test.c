/* tensor_test.c - storage types against their definition in double. */
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* A number of `mantissa` stored bits whose largest exponent is special, by the book. */
static double decode(uint32_t h, int mantissa, int exponent) {
    int bias = (1 << (exponent - 1)) - 1, e = (int)(h >> mantissa) & ((1 << exponent) - 1);
    double m = h & ((1u << mantissa) - 1), one = 1u << mantissa, sign = h >> (mantissa + exponent) ? -1 : 1;
    if (e == (1 << exponent) - 1) return m > 0 ? NAN : sign * INFINITY;
    return sign * (e ? ldexp(1 + m / one, e - bias) : ldexp(m / one, 1 - bias));
}

static void reads_every_half(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double f16 = decode(h, 10, 5), bf16 = decode(h, 7, 8), a = kr_from_f16((uint16_t)h), b = kr_from_bf16((uint16_t)h);
        assert_true(isnan(f16) ? isnan(a) : a == f16 && !signbit(a) == !signbit(f16));
        assert_true(isnan(bf16) ? isnan(b) : b == bf16 && !signbit(b) == !signbit(bf16));
        assert_true(isnan(a) ? isnan(kr_from_f16(kr_to_f16((float)a))) : kr_to_f16((float)a) == h);
        assert_true(isnan(b) ? isnan(kr_from_bf16(kr_to_bf16((float)b))) : kr_to_bf16((float)b) == h);
    }
}

/* Between two neighbours: below the middle down, above it up, on it to the even one.  Past
 * the largest one the next step would be infinity's. */
static void rounds_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double lo = decode(h, 10, 5), hi = h == 0x7bff ? 65536 : decode(h + 1, 10, 5);
        float middle = (float)((lo + hi) / 2); /* exact: 24 bits hold 11 and one more */
        assert_int_equal(kr_to_f16(middle), h + (h & 1));
        assert_int_equal(kr_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(kr_to_f16(-nextafterf(middle, INFINITY)), 0x8000 | (h + 1));
    }
    for (uint32_t h = 0; h < 0x7f80; h++) {
        float middle = float_of(h << 16 | 0x8000);
        assert_int_equal(kr_to_bf16(middle), h + (h & 1));
        assert_int_equal(kr_to_bf16(float_of(h << 16 | 0x7fff)), h);
        assert_int_equal(kr_to_bf16(-float_of(h << 16 | 0x8001)), 0x8000 | (h + 1));
    }
    assert_int_equal(kr_to_f16(INFINITY), 0x7c00);
    assert_int_equal(kr_to_f16(3e38f), 0x7c00);
    assert_int_equal(kr_to_f16(-1e-30f), 0x8000);
    assert_int_equal(kr_to_bf16(-INFINITY), 0xff80);
    assert_true(isnan(kr_from_bf16(kr_to_bf16(float_of(0x7f800001))))); /* whose upper half alone is infinity */
    assert_true(isnan(kr_from_f16(kr_to_f16(float_of(0xff800001)))));
}

/* Every pair, at lengths around the steps it is done in, from places that are not aligned to vectors. */
static void converts_every_pair(void **state) {
    (void)state;
    enum { N = 2100 };
    static const kr_dtype types[] = {KR_F32, KR_F64, KR_BF16, KR_F16};
    static const int64_t lengths[] = {0, 1, 3, 1023, 1024, 1025, 2048, 2099};
    static double from[N + 1], to[N + 1];
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            for (int l = 0; l < 8; l++) {
                size_t wide = kr_dtype_bytes(types[a]), out = kr_dtype_bytes(types[b]);
                char *x = (char *)from + wide, *y = (char *)to + out;
                for (int i = 0; i < N; i++) {
                    float f = (float)((i - 1000) * 0.37); /* into each type one by one */
                    double d = (i - 1000) * 0.37;
                    uint16_t bf = kr_to_bf16(f), h = kr_to_f16(f);
                    const void *p = types[a] == KR_F32 ? (void *)&f : types[a] == KR_F64 ? (void *)&d : types[a] == KR_BF16 ? &bf : &h;
                    memcpy(x + (size_t)i * wide, p, wide);
                }
                memset(to, 0x55, sizeof to);
                kr_convert(y, types[b], x, types[a], lengths[l]);
                for (int64_t i = 0; i < lengths[l]; i++) {
                    uint16_t h;
                    float f;
                    double v;
                    memcpy(&h, x + (size_t)i * wide, 2);
                    memcpy(&f, x + (size_t)i * wide, 4);
                    memcpy(&v, x + (size_t)i * wide, wide == 8 ? 8 : 4);
                    if (types[a] != KR_F64) v = types[a] == KR_F32 ? f : types[a] == KR_BF16 ? kr_from_bf16(h) : kr_from_f16(h);
                    f = (float)v;
                    uint16_t bf = kr_to_bf16(f), half = kr_to_f16(f);
                    const void *p = types[b] == KR_F32 ? (void *)&f : types[b] == KR_F64 ? (void *)&v : types[b] == KR_BF16 ? &bf : &half;
                    assert_memory_equal(y + (size_t)i * out, p, out);
                }
                assert_int_equal(y[(size_t)lengths[l] * out], 0x55); /* and no further */
                assert_int_equal(((char *)to)[out - 1], 0x55);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_half),
        cmocka_unit_test(rounds_to_nearest_even),
        cmocka_unit_test(converts_every_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
