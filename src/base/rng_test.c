/* rng_test.c - Philox against the vectors of Random123, and what is built on it. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void known_answers(void **state) {
    (void)state;
    static const struct { uint64_t seed, stream, index; uint32_t want[4]; } v[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        uint32_t out[4];
        kr_philox(v[i].seed, v[i].stream, v[i].index, out);
        assert_memory_equal(out, v[i].want, sizeof out);
    }
}

static void a_position_can_be_restored(void **state) {
    (void)state;
    kr_rng a = {.seed = 5, .stream = kr_rng_stream("w")};
    for (int i = 0; i < 10; i++) kr_rng_u64(&a);
    kr_rng b = a;
    for (int i = 0; i < 10; i++) assert_true(kr_rng_u64(&a) == kr_rng_u64(&b));
    assert_true(kr_rng_stream("w") != kr_rng_stream("v"));
}

/* Means and variances of 100000 draws, to five standard errors. */
static void moments(void **state) {
    (void)state;
    enum { N = 100000 };
    kr_rng r = {.seed = 1};
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0;
    int64_t hits[7] = {0};
    for (int i = 0; i < N; i++) {
        double u = kr_rng_uniform(&r), z = kr_rng_normal(&r);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        u1 += u, u2 += u * u, n1 += z, n2 += z * z, n4 += z * z * z * z;
        int64_t k = kr_rng_below(&r, 7);
        assert_true(k >= 0 && k < 7);
        hits[k]++;
    }
    assert_true(fabs(u1 / N - 0.5) < 5 * sqrt(1. / 12 / N) && fabs(u2 / N - 1. / 3) < 5 * sqrt(4. / 45 / N));
    assert_true(fabs(n1 / N) < 5 / sqrt(N) && fabs(n2 / N - 1) < 5 * sqrt(2. / N) && fabs(n4 / N - 3) < 5 * sqrt(96. / N));
    for (int k = 0; k < 7; k++) assert_true(fabs((double)hits[k] - N / 7.) < 5 * sqrt(N / 7.));
    assert_true(kr_rng_below(&r, 1) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(a_position_can_be_restored),
        cmocka_unit_test(moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
